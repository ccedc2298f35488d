//! Requests in the clear, and the paths that the edge answers itself: the redirect to TLS, challenges before it, and
//! the question whom a host leads to.

use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::Full;
use tenantry::clock::Clock;

use crate::support::client::{Answer, get, get_plain, h1_plain, raw_plain, request, send_h1};
use crate::support::world::{BASE, World};

async fn world() -> World {
    let world = World::builder().clock(Clock::manual(Clock::system().now())).start().await;
    world.tenant("acme", "growth").await;
    world
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_requests_are_sent_to_tls_with_method_and_query() {
    let world = world().await;
    let (acme, port) = (world.host("acme"), world.https().port());
    let mut sender = h1_plain(&world).await;
    for method in [Method::GET, Method::HEAD, Method::DELETE, Method::OPTIONS] {
        for target in ["/", "/a/b?c=d&e=%2F", "//a", "/%2e%2e/x", "/?"] {
            let to = request(method.clone(), &acme, target).body(Full::default()).unwrap();
            let answer = send_h1(&mut sender, to).await;
            assert_eq!(answer.status, StatusCode::PERMANENT_REDIRECT);
            assert_eq!(answer.header("location"), format!("https://{acme}:{port}{target}"));
            assert_eq!(answer.header("cache-control"), "no-store");
            assert!(answer.headers.contains_key("x-request-id"));
        }
    }
    let post = request(Method::POST, &acme, "/upload").body(Full::from("x".repeat(100_000))).unwrap();
    let answer = send_h1(&mut h1_plain(&world).await, post).await;
    assert_eq!(answer.header("location"), format!("https://{acme}:{port}/upload"));
    // Nothing in the request can bend where it leads.
    for (head, location) in [
        (format!("GET http://{acme}/x HTTP/1.1\r\nHost: {acme}\r\n"), format!("https://{acme}:{port}/x")),
        (format!("OPTIONS * HTTP/1.1\r\nHost: {acme}\r\n"), format!("https://{acme}:{port}/")),
        (
            format!("GET //evil.example/ HTTP/1.1\r\nHost: {acme}:80\r\n"),
            format!("https://{acme}:{port}//evil.example/"),
        ),
        (format!("GET /\\evil.example HTTP/1.1\r\nHost: {acme}.\r\n"), format!("https://{acme}:{port}/\\evil.example")),
        (format!("GET / HTTP/1.0\r\nHost: {acme}\r\n"), format!("https://{acme}:{port}/")),
    ] {
        let answer = raw_plain(world.http(), format!("{head}Connection: close\r\n\r\n").as_bytes()).await;
        let answer = String::from_utf8(answer).unwrap().to_lowercase();
        assert!(answer.contains(" 308 ") && answer.contains(&format!("location: {location}\r\n")), "{head}: {answer}");
    }
    assert!(world.backend.take().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_certificate_there_is_no_redirect_and_no_page_in_the_clear() {
    let world = world().await;
    world.claim("acme", "new.acme.example", true).await;
    let answer = get_plain(&world, "new.acme.example", "/").await;
    assert_eq!(code(&answer), (503, "certificate-pending".into()));
    assert_eq!(answer.header("retry-after"), "60");
    world.certificate(&["new.acme.example"]).await;
    assert_eq!(get_plain(&world, "new.acme.example", "/").await.status, StatusCode::PERMANENT_REDIRECT);
    assert_eq!(get(&world, "new.acme.example", "/").await.status, StatusCode::OK);
    assert_eq!(world.backend.take().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn challenges_are_answered_before_everything_else() {
    let world = world().await;
    world.claim("acme", "new.acme.example", true).await;
    world.suspend("acme").await;
    let mut write = world.running.store().write().await.unwrap();
    let expires = world.clock.now() + Duration::from_secs(60);
    write.put_challenge("token-1_A", "token-1_A.thumbprint", expires).await.unwrap();
    write.commit().await.unwrap();
    let path = "/.well-known/acme-challenge/token-1_A";
    let acme = world.host("acme");
    for host in ["new.acme.example", "stranger.example", BASE, &acme, "nobody.connect.localhost"] {
        let answer = get_plain(&world, host, path).await;
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"token-1_A.thumbprint"[..]), "{host}");
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        // Whatever is not pending is nobody's, and no backend is asked.
        for unknown in ["other", "", "token-1_A/", "token-1_A/x", "a.b", "%2e", "%20", &"a".repeat(300)] {
            let answer = get_plain(&world, host, &format!("/.well-known/acme-challenge/{unknown}")).await;
            assert_eq!(code(&answer), (404, "not-found".into()), "{host}: {unknown}");
        }
    }
    assert_eq!(get(&world, &acme, path).await.body, "token-1_A.thumbprint");
    // A token is new within the second that it is written, and gone when it has expired.
    let fresh = "/.well-known/acme-challenge/other";
    let mut write = world.running.store().write().await.unwrap();
    write.put_challenge("other", "other.thumbprint", expires).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(get_plain(&world, "new.acme.example", fresh).await.body, "other.thumbprint");
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(code(&get_plain(&world, "new.acme.example", fresh).await), (404, "not-found".into()));
    assert!(world.backend.take().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn front_ends_can_ask_whom_a_host_leads_to() {
    let world = world().await;
    world.tenant("gamma", "growth").await;
    world.suspend("gamma").await;
    world.domain("acme", "community.acme.example").await;
    world.claim("acme", "claimed.acme.example", false).await;
    let acme = world.host("acme");
    let ask = async |asked: &str| get(&world, &acme, &format!("/tenants/by-host/{asked}")).await;
    for asked in [acme.as_str(), "ACME.connect.localhost.", "community.acme.example", "Community.Acme.Example"] {
        let answer = ask(asked).await;
        assert_eq!(answer.status, StatusCode::OK, "{asked}");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("cache-control"), "public, max-age=60");
        let json = answer.json();
        assert_eq!(
            (&json["slug"], &json["name"], &json["status"]),
            (&"acme".into(), &"acme".into(), &"available".into())
        );
        assert!(json["branding"].is_object());
        assert_eq!(json.as_object().unwrap().len(), 4, "nothing more than visiting shows: {json}");
    }
    let gamma = ask(&world.host("gamma")).await.json();
    assert_eq!((&gamma["slug"], &gamma["status"]), (&"gamma".into(), &"suspended".into()));
    assert!(!gamma.to_string().contains("unpaid"));

    // A claim that is pending and a name that nobody knows look alike, to the byte.
    let body = |answer: &Answer| {
        let mut json = answer.json();
        json["request_id"] = "".into();
        json
    };
    let unknown = ask("nobody.example").await;
    assert_eq!(code(&unknown), (404, "not-found".into()));
    assert_eq!(unknown.header("access-control-allow-origin"), "*", "a front end must be able to read the no");
    for asked in [
        "claimed.acme.example",
        "nobody.connect.localhost",
        BASE,
        "ops.connect.localhost",
        "127.0.0.1",
        "a..b",
        "",
        "x/y",
    ] {
        let answer = ask(asked).await;
        assert_eq!((answer.status, body(&answer)), (unknown.status, body(&unknown)), "{asked}");
    }
    // On every host of the edge, the main site too; and only asked, never told.
    let path = format!("/tenants/by-host/{acme}");
    for host in [BASE, "ops.connect.localhost", "community.acme.example"] {
        assert_eq!(get(&world, host, &path).await.json()["slug"], "acme", "{host}");
    }
    assert!(world.backend.take().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_too_often_is_refused_for_a_while() {
    let world = world().await;
    let acme = world.host("acme");
    let path = format!("/tenants/by-host/{acme}");
    let mut sender = crate::support::client::h2(&world, &acme).await;
    let mut answers = Vec::new();
    for _ in 0..61 {
        let ask = request(Method::GET, &acme, &path).body(Full::default()).unwrap();
        answers.push(crate::support::client::send_h2(&mut sender, ask).await);
    }
    let refused = answers.pop().unwrap();
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    assert_eq!(code(&refused), (429, "rate-limited".into()));
    assert_eq!((refused.header("retry-after"), refused.header("access-control-allow-origin")), ("1", "*"));
    // Only the question is limited, not the visit.
    assert_eq!(get(&world, &acme, "/").await.status, StatusCode::OK);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(get(&world, &acme, &path).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_of_our_own_take_no_other_method() {
    let world = world().await;
    let acme = world.host("acme");
    for path in ["/.well-known/tenantry/jwks.json".into(), format!("/tenants/by-host/{acme}")] {
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            let ask = request(method.clone(), &acme, &path).body(Full::from("x")).unwrap();
            let answer = send_h1(&mut crate::support::client::h1(&world, &acme).await, ask).await;
            assert_eq!(code(&answer), (405, "method-not-allowed".into()), "{method} {path}");
        }
        let ask = request(Method::HEAD, &acme, &path).body(Full::default()).unwrap();
        let answer = send_h1(&mut crate::support::client::h1(&world, &acme).await, ask).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 0));
        assert_ne!(answer.header("content-length"), "0");
    }
    assert!(world.backend.take().is_empty());
}
