//! What `route explain` says is what a real request then meets.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::Full;
use serde_json::json;
use tenantry::admin::Configuration;
use tenantry::model::{Explanation, Question};

use super::{HOST, world};
use crate::support::client::{h1, request, send_h1};
use crate::support::world::World;

async fn explain(world: &World, method: Method, url: &str, header: Option<(&str, &str)>) -> Explanation {
    let pairs = header
        .map(|(name, value)| (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap()));
    let headers = HeaderMap::from_iter(pairs);
    let question = Question { url: url.parse().unwrap(), method, headers, client: "127.0.0.1".parse().unwrap() };
    world.running.reloader().explain(&question).await.unwrap().unwrap()
}

fn text(explanation: &Explanation, step: &str) -> String {
    let told = explanation.steps.iter().filter(|told| told.step == step);
    told.map(|told| told.text.clone()).collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn the_explanation_is_what_happens() {
    let world = world().await;
    world.tenant("gone", "growth").await;
    world.suspend("gone").await;
    for (method, host, path, header) in [
        (Method::GET, HOST, "/anything", None),
        (Method::GET, HOST, "/anything", Some(("x-api-version", "2"))),
        (Method::GET, HOST, "/new/x", None),
        (Method::GET, HOST, "/old/7?a=1", None),
        (Method::POST, HOST, "/api/orders?x=1", None),
        (Method::GET, "gone.connect.localhost", "/", None),
        (Method::GET, "nobody.connect.localhost", "/", None),
        (Method::TRACE, HOST, "/", None),
        (Method::GET, HOST, "/.well-known/acme-challenge/unknown", None),
        (Method::GET, "connect.localhost", "/", None),
    ] {
        let told = explain(&world, method.clone(), &format!("https://{host}{path}"), header).await;
        assert!(world.backend.take().is_empty(), "nothing is forwarded");
        let mut ask = request(method.clone(), host, path);
        if let Some((name, value)) = header {
            ask = ask.header(name, value);
        }
        let answer = send_h1(&mut h1(&world, host).await, ask.body(Full::default()).unwrap()).await;
        let seen = world.backend.take();
        let verdict = &told.verdict;
        assert_eq!(verdict.action == "forward", !seen.is_empty(), "{method} {host}{path}: {told:?}");
        match seen.first() {
            Some(seen) => assert_eq!(verdict.target.as_deref(), Some(&*seen.target), "{told:?}"),
            None => assert_eq!(verdict.status, Some(answer.status.as_u16()), "{method} {host}{path}: {told:?}"),
        }
        assert_eq!(verdict.location.as_deref().unwrap_or_default(), answer.header("location"), "{told:?}");
    }
}

#[tokio::test]
async fn a_tenants_own_policy_stands_in_the_place_of_a_route() {
    let world = world().await;
    world.domain("acme", "acme.example").await;
    world.edge("acme", json!({"primary_domain": "acme.example"})).await;
    let told = explain(&world, Method::GET, &format!("https://{HOST}/anything?a=1"), None).await;
    assert_eq!(text(&told, "policy"), "the tenant's primary-domain answers");
    assert_eq!((text(&told, "route").as_str(), told.verdict.status), ("", Some(308)));
    let there = format!("https://acme.example:{}/anything?a=1", world.https().port());
    assert_eq!(told.verdict.location, Some(there));
    world.edge("acme", json!({"maintenance": {}})).await;
    let told = explain(&world, Method::GET, &format!("https://{HOST}/anything"), None).await;
    assert_eq!(told.verdict.code, Some("maintenance"), "{told:?}");
}

#[tokio::test]
async fn the_steps_say_why() {
    let world = world().await;
    world.edge("acme", json!({"canary": {"of": "app", "pool": "app", "percent": 100}})).await;
    let told = explain(&world, Method::POST, "https://ACME.connect.localhost/api//x", None).await;
    assert_eq!(text(&told, "host"), "acme.connect.localhost is a tenant's slug host");
    assert!(text(&told, "tenant").starts_with("acme by subdomain, active, plan growth, features: "), "{told:?}");
    let routes = text(&told, "route");
    assert!(routes.contains("compared as /api/x"), "{routes}");
    assert!(routes.contains("version-two does not: the header x-api-version is missing or has another value"));
    assert!(routes.contains("beta does not: another path") && routes.ends_with("api takes it"), "{routes}");
    assert!(text(&told, "request").contains("prefix becomes /v2/internal"), "{told:?}");
    let told = explain(&world, Method::GET, "https://beta.connect.localhost/new/x", None).await;
    assert!(text(&told, "route").contains("beta does not: the tenant does not have the feature csv_export"));
    let requests = world.running.metrics().render();
    assert!(!requests.contains("tenantry_requests_total{"), "nothing is counted: {requests}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_route_changes_how_its_backends_are_and_what_was_not_compared_is_told() {
    let mut routing = String::from("[[pool]]\nname = \"app\"\nbackends = [\"${BACKEND}\"]\ntotal_timeout = \"1m\"\n");
    for n in 0..60 {
        let head = format!("[[route]]\nname = \"r{n}\"\nhost = \"any\"\npath = \"/r{n}\"\n");
        routing.push_str(&format!("{head}[route.answer]\nbody = \"{n}\"\n"));
    }
    routing.push_str(&format!(
        "[[route]]\nname = \"own\"\nhost = \"any\"\nheaders = {{ Host = \"{HOST}\" }}\npool = \"app\"\n\
         read_timeout = \"3s\"\nbody_bytes = \"1KiB\"\ncompress = false\nremove_response_headers = [\"Server\"]\n\
         set_response_headers = {{ X-Frame-Options = \"DENY\" }}\n"
    ));
    let looks = "[[pool]]\nname = \"gone\"\nbackends = [\"127.0.0.1:9\"]\n[pool.health]\nkind = \"tcp\"\n\
                 interval = \"50ms\"\ntimeout = \"50ms\"\nunhealthy_after = 1\n\
                 [[route]]\nname = \"gone\"\nhost = \"any\"\npath = \"/gone\"\npool = \"gone\"\n";
    let world = World::builder().routing(&format!("{looks}{routing}")).start().await;
    world.tenant("acme", "growth").await;
    let told = explain(&world, Method::GET, &format!("https://{HOST}/x"), None).await;
    assert_eq!((told.verdict.action, told.verdict.route.as_deref()), ("forward", Some("own")), "{told:?}");
    assert!(text(&told, "route").ends_with("and 11 more that do not; own takes it"), "{told:?}");
    assert_eq!(text(&told, "timeouts"), "connect 5s, read 3s, total 60s");
    assert_eq!(text(&told, "request"), "retries: 1, body: at most 1024 bytes");
    assert_eq!(text(&told, "answer"), "never compressed, without server, with x-frame-options");
    assert_eq!(text(&told, "backends"), "1 of 1 healthy");

    let down = || world.running.reloader().pools().unwrap().iter().any(|pool| !pool.backends[0].healthy);
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !down() {
        assert!(std::time::Instant::now() < until, "nobody looks");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let told = explain(&world, Method::GET, &format!("https://{HOST}/gone"), None).await;
    assert!(text(&told, "backends").starts_with("0 of 1 healthy; 127.0.0.1:9: no connection"), "{told:?}");
    assert_eq!((told.verdict.action, told.verdict.code), ("refuse", Some("upstream-unavailable")));
    assert_eq!(told.verdict.pool.as_deref(), Some("gone"));

    let told = explain(&world, Method::GET, "https://nobody.connect.localhost/", None).await;
    assert_eq!((told.verdict.code, text(&told, "route").as_str()), (Some("tenant-not-found"), ""), "{told:?}");
}
