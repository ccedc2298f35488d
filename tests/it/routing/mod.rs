//! Routes: what they match, what they do to a request on its way, and pools that a tenant has for its own.

mod explain;
mod pools;
mod shipped;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::Full;

use crate::support::client::{Answer, get, get_with, h1, h2, request, send_h1, send_h2};
use crate::support::world::World;

const ROUTES: &str = r#"
[[pool]]
name = "app"
backends = ["${BACKEND}"]

[[route]]
name = "version-two"
host = "tenant"
headers = { "X-Api-Version" = "2" }
[route.answer]
body = "two"

[[route]]
name = "beta"
host = "tenant"
path_prefix = "/new"
feature = "csv_export"
[route.answer]
status = 203
content_type = "application/json"
body = '{"new":true}'

[[route]]
name = "old"
host = "any"
path_regex = "^/old/[0-9]+$"
set_response_headers = { "X-Moved" = "1" }
[route.redirect]
to = "https://www.example.com{path}{query}"
status = 301

[[route]]
name = "api"
host = "tenant"
path_prefix = "/api"
pool = "app"
rewrite_prefix = "/v2/internal"
body_bytes = "1KiB"
set_request_headers = { "X-Area" = "api" }
remove_request_headers = ["X-Debug"]
set_response_headers = { "X-Frame-Options" = "DENY" }
remove_response_headers = ["Server"]

[[route]]
name = "rest"
host = "any"
pool = "app"
"#;

const HOST: &str = "acme.connect.localhost";

async fn world() -> World {
    let world = World::builder().routing(ROUTES).start().await;
    world.tenant("acme", "growth").await;
    world.tenant("beta", "free").await;
    world
}

fn text(answer: &Answer) -> &str {
    std::str::from_utf8(&answer.body).unwrap()
}

#[tokio::test]
async fn the_first_route_that_matches_answers_redirects_or_forwards() {
    let world = world().await;
    let answer = get_with(&world, HOST, "/anything", &[("x-api-version", "2")]).await;
    assert_eq!((answer.status, text(&answer)), (StatusCode::OK, "two"));
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    let answer = get(&world, HOST, "/new/x").await;
    assert_eq!((answer.status.as_u16(), text(&answer)), (203, "{\"new\":true}"));
    assert_eq!(answer.header("content-type"), "application/json");
    let answer = get(&world, HOST, "/old/77?a=1&b=%20").await;
    assert_eq!(answer.status, StatusCode::MOVED_PERMANENTLY);
    assert_eq!(answer.header("location"), "https://www.example.com/old/77?a=1&b=%20");
    assert_eq!(answer.header("x-moved"), "1");
    assert!(world.backend.take().is_empty(), "none of these was for a backend");
    // What nearly matches goes on to the next route.
    for (host, path, version) in [
        (HOST, "/anything", "3"),
        ("beta.connect.localhost", "/new/x", "1"),
        (HOST, "/old/x", "1"),
        (HOST, "/newer", "1"),
    ] {
        let answer = get_with(&world, host, path, &[("x-api-version", version)]).await;
        assert_eq!(answer.status, StatusCode::OK, "{host}{path}");
        assert_eq!(world.backend.take()[0].target, path, "{host}{path}");
    }
}

#[tokio::test]
async fn a_prefix_is_rewritten_and_headers_are_edited_over_both_protocols() {
    let world = world().await;
    for (path, target) in [
        ("/api", "/v2/internal"),
        ("/api/orders/7?x=1", "/v2/internal/orders/7?x=1"),
        ("/x/../api/%6frders", "/v2/internal/orders"),
    ] {
        let ask = || request(Method::GET, HOST, path).header("x-debug", "1").body(Full::default()).unwrap();
        let answers =
            [send_h1(&mut h1(&world, HOST).await, ask()).await, send_h2(&mut h2(&world, HOST).await, ask()).await];
        for answer in answers {
            assert_eq!(answer.header("x-frame-options"), "DENY");
        }
        for seen in world.backend.take() {
            assert_eq!(seen.target, target, "{path}");
            assert_eq!((seen.header("x-area"), seen.header("x-debug")), (Some("api"), None));
            assert_eq!(seen.header("x-tenant-slug"), Some("acme"), "the contract stands whatever a route does");
        }
    }
}

#[tokio::test]
async fn a_routes_body_limit_is_its_own() {
    let world = world().await;
    let post = async |path: &str, size: usize| {
        let ask = request(Method::POST, HOST, path).body(Full::new(Bytes::from(vec![b'x'; size]))).unwrap();
        send_h1(&mut h1(&world, HOST).await, ask).await.status.as_u16()
    };
    assert_eq!(post("/api", 1024).await, 200);
    assert_eq!(post("/api", 1025).await, 413);
    assert_eq!(post("/elsewhere", 1025).await, 200);
}
