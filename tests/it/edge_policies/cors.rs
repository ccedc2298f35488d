//! CORS: who may read what, as the tenant's hosts come and go.

use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::Full;
use serde_json::json;
use tenantry::keyring::{Keyring, SiteCookie};
use tenantry::model::SessionId;

use super::{ask, origin};
use crate::support::client::{self, Answer, request, send_h2};
use crate::support::script::{Script, full};
use crate::support::world::World;

/// A world whose backend says that everybody may read everything.
async fn world() -> (World, Script) {
    let backend = Script::http(|request| async move {
        let status = if request.uri().path() == "/no" { 404 } else { 200 };
        http::Response::builder()
            .status(status)
            .header("access-control-allow-origin", "*")
            .header("access-control-allow-methods", "BREW")
            .header("vary", "cookie")
            .body(full(request.method().to_string()))
            .unwrap()
    })
    .await;
    let routing = format!(
        "[[pool]]\nname = \"app\"\nbackends = [\"{}\"]\n\
         [[route]]\nname = \"export\"\nhost = \"tenant\"\npath = \"/export\"\nrequires = \"csv_export\"\npool = \"app\"\n\
         [[route]]\nname = \"all\"\nhost = \"any\"\npool = \"app\"\n",
        backend.address
    );
    let dns = "[acme.dns]\nprovider = \"command\"\ncommand = \"/bin/true\"\ndelegation = \"acme.connect.localhost\"\n";
    let world = World::builder().routing(&routing).settings(dns).start().await;
    world.tenant("acme", "creators").await;
    (world, backend)
}

async fn preflight(world: &World, host: &str, origin: &str, headers: &[(&str, &str)]) -> Answer {
    let fixed = [("origin", origin), ("access-control-request-method", "PUT")];
    ask(world, true, Method::OPTIONS, host, "/export", &[&fixed[..], headers].concat()).await
}

/// The origin that may read what this one asked for.
async fn reader(world: &World, host: &str, origin: &str) -> String {
    let answer = ask(world, true, Method::GET, host, "/", &[("origin", origin)]).await;
    assert_eq!(answer.status, StatusCode::OK);
    answer.header("access-control-allow-origin").to_owned()
}

fn vary(answer: &Answer) -> String {
    let values: Vec<_> = answer.headers.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
    values.join(", ")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tenants_hosts_and_what_it_adds_may_read_and_nobody_else() {
    let (world, _backend) = world().await;
    let host = world.host("acme");
    let stranger = ask(&world, true, Method::GET, &host, "/", &[("origin", "https://evil.example")]).await;
    assert_eq!(
        (stranger.header("access-control-allow-origin"), vary(&stranger).as_str()),
        ("*", "cookie"),
        "untouched"
    );

    world.edge("acme", json!({"cors": {"origins": ["http://localhost:3000"]}})).await;
    let app = origin(&world, "app.acme.example");
    assert_eq!(reader(&world, &host, &app).await, "", "not verified yet");
    world.claim("acme", "app.acme.example", false).await;
    assert_eq!(reader(&world, &host, &app).await, "", "only claimed");
    world.release("acme", "app.acme.example").await;
    world.domain("acme", "app.acme.example").await;
    for allowed in [app.as_str(), "http://localhost:3000", &origin(&world, &host)] {
        assert_eq!(reader(&world, &host, allowed).await, allowed);
    }
    world.tenant("other", "creators").await;
    world.domain("other", "app.other.example").await;
    for refused in [
        "null",
        "https://app.acme.example",
        "http://localhost:3001",
        "https://localhost:3000",
        &app.replace("https", "http"),
        &origin(&world, "app.other.example"),
        &origin(&world, &world.host("other")),
        &origin(&world, "connect.localhost"),
        &origin(&world, "ops.connect.localhost"),
        &origin(&world, "nobody.example"),
        &origin(&world, "xapp.acme.example"),
    ] {
        assert_eq!(reader(&world, &host, refused).await, "", "{refused}");
    }
    let twice = [("origin", app.as_str()), ("origin", "https://evil.example")];
    let answer = ask(&world, true, Method::GET, &host, "/", &twice).await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
    let silent = ask(&world, false, Method::GET, &host, "/", &[]).await;
    assert_eq!((silent.header("access-control-allow-origin"), vary(&silent).as_str()), ("", "cookie, origin"));
    assert_eq!(silent.header("access-control-allow-methods"), "");

    world.release("acme", "app.acme.example").await;
    assert_eq!(reader(&world, &host, &app).await, "", "a domain that has gone does not count any more");
    world.edge("acme", json!({"cors": null})).await;
    assert_eq!(reader(&world, &host, "https://evil.example").await, "*", "the backend's word again");
}

#[tokio::test(flavor = "multi_thread")]
async fn preflights_are_answered_without_a_backend() {
    let (world, backend) = world().await;
    let host = world.host("acme");
    world.domain("acme", "*.acme.example").await;
    world.edge("acme", json!({"cors": {"credentials": true, "expose": ["X-Total", "ETag"], "max_age": 60}})).await;
    let app = origin(&world, "any.acme.example");
    let asked = [("access-control-request-headers", "authorization,x-one")];
    let answer = preflight(&world, &host, &app, &asked).await;
    let said = |name: &str| answer.header(&format!("access-control-{name}")).to_owned();
    assert_eq!((answer.status, answer.body.len()), (StatusCode::NO_CONTENT, 0));
    assert_eq!(said("allow-origin"), app);
    assert_eq!(said("allow-methods"), "GET, HEAD, POST, PUT, PATCH, DELETE");
    assert_eq!(said("allow-headers"), "authorization,x-one");
    assert_eq!((said("max-age").as_str(), said("allow-credentials").as_str()), ("60", "true"));
    let varies = "access-control-request-method, access-control-request-headers, origin";
    assert_eq!((vary(&answer).as_str(), answer.header("content-length")), (varies, ""));

    let no = preflight(&world, &host, "https://evil.example", &asked).await;
    assert_eq!((no.status, vary(&no).as_str()), (StatusCode::NO_CONTENT, varies));
    assert!(no.headers.keys().all(|name| !name.as_str().starts_with("access-control")), "{no:?}");
    world.edge("acme", json!({"cors": {"methods": ["PUT"], "headers": ["X-Two"]}})).await;
    let answer = preflight(&world, &host, &app, &asked).await;
    assert_eq!(answer.header("access-control-allow-methods"), "PUT");
    assert_eq!(answer.header("access-control-allow-headers"), "X-Two", "the list is the list");

    let mut h1 = client::h1(&world, &host).await;
    for _ in 0..2 {
        let request = request(Method::OPTIONS, &host, "/")
            .header("origin", &app)
            .header("access-control-request-method", "PUT")
            .body(Full::default())
            .unwrap();
        assert_eq!(client::send_h1(&mut h1, request).await.status, StatusCode::NO_CONTENT, "and the next one");
    }
    assert_eq!(backend.accepted(), 0);
    let plain = ask(&world, true, Method::OPTIONS, &host, "/", &[("origin", &app)]).await;
    assert_eq!((plain.body.as_ref(), backend.accepted()), (&b"OPTIONS"[..], 1), "not every OPTIONS is a preflight");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_can_be_read_too_and_scripts_are_not_redirected() {
    let (world, _backend) = world().await;
    let host = world.host("acme");
    world.domain("acme", "app.acme.example").await;
    world.edge("acme", json!({"cors": {"expose": ["X-Request-Id"]}, "primary_domain": "app.acme.example"})).await;
    let app = origin(&world, "app.acme.example");
    let evil = "https://evil.example";
    let mut h2 = client::h2(&world, &host).await;
    let mut check = async |what: &str, path: &str, status: u16| {
        let get = request(Method::GET, &host, path).header("origin", &app).body(Full::default()).unwrap();
        let answer = send_h2(&mut h2, get).await;
        assert_eq!(answer.status.as_u16(), status, "{what}");
        assert_eq!(answer.header("access-control-allow-origin"), app, "{what}");
        assert_eq!(answer.header("access-control-expose-headers"), "X-Request-Id", "{what}");
        assert!(vary(&answer).contains("origin"), "{what}");
    };
    check("no redirect", "/", 200).await;
    check("the backend's no", "/no", 404).await;
    check("402", "/export", 402).await;
    world.edge("acme", json!({"maintenance": {}})).await;
    check("503", "/", 503).await;
    assert_eq!(preflight(&world, &host, &app, &[]).await.status, StatusCode::NO_CONTENT);
    let refused = ask(&world, true, Method::GET, &host, "/", &[("origin", evil)]).await;
    assert_eq!((refused.status.as_u16(), refused.header("access-control-allow-origin")), (503, ""));
    world.edge("acme", json!({"maintenance": null})).await;
    let elsewhere = ask(&world, true, Method::GET, &host, "/", &[("origin", evil)]).await;
    assert_eq!(elsewhere.status, StatusCode::PERMANENT_REDIRECT);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_origins_are_wrong_guesses_of_whoever_sends_them() {
    let world = World::builder().settings("[directory]\nmiss_rate = 1\nmiss_burst = 5\n").start().await;
    world.tenant("acme", "growth").await;
    world.domain("acme", "app.acme.example").await;
    let host = world.host("acme");
    world.edge("acme", json!({"cors": {}})).await;
    let app = origin(&world, "app.acme.example");
    assert_eq!(reader(&world, &host, &app).await, app);
    let mut h2 = client::h2(&world, &host).await;
    for number in 0..100 {
        let stranger = origin(&world, &format!("stranger-{number}.example"));
        let get = request(Method::GET, &host, "/").header("origin", stranger).body(Full::default()).unwrap();
        let answer = send_h2(&mut h2, get).await;
        assert_eq!(
            (answer.status, answer.header("access-control-allow-origin")),
            (StatusCode::OK, ""),
            "served plainly"
        );
    }
    let metrics = world.running.metrics().render();
    assert!(metrics.contains("tenantry_directory_lookups_total{cache=\"hosts\",outcome=\"busy\"}"), "{metrics}");
    assert_eq!(reader(&world, &host, &app).await, app, "what is known costs nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sessions_tenant_has_no_say_over_the_main_site() {
    let world = World::builder().settings("[tenancy]\nsession_cookie = \"tenantry_session\"\n").start().await;
    world.tenant("acme", "growth").await;
    world.domain("acme", "app.acme.example").await;
    world.edge("acme", json!({"cors": {"credentials": true}, "primary_domain": "app.acme.example"})).await;
    let app = origin(&world, "app.acme.example");
    let cookie = session_of(&world, "acme").await;
    let headers = [("origin", app.as_str()), ("cookie", cookie.as_str())];
    world.backend.take();
    let answer = ask(&world, true, Method::GET, "connect.localhost", "/", &headers).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (StatusCode::OK, ""));
    let seen = world.backend.take();
    assert_eq!(seen[0].header("x-tenant-slug"), Some("acme"), "it is the session's tenant all the same");
}

/// A cookie of the main site that leads to this tenant.
async fn session_of(world: &World, slug: &str) -> String {
    let id = world.running.tenancy().show(slug).await.unwrap().tenant.id;
    let ring = world.running.store().secret(Keyring::SECRET).await.unwrap().unwrap();
    let ring = Keyring::from_bytes(&ring).unwrap();
    let issued = SiteCookie::new(SessionId::new(), id, world.clock.now() + Duration::from_secs(600))
        .sign(&ring, world.clock.now())
        .unwrap();
    format!("tenantry_session={issued}")
}
