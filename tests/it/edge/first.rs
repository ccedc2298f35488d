//! The thin thread: a request of each kind from socket to backend and back.

use http::{Method, StatusCode};
use http_body_util::Full;

use crate::support::client::{self, get, request, send_h1};
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_request_reaches_the_backend_with_its_identity() {
    let world = World::start().await;
    world.tenant("acme", "growth").await;
    world.domain("acme", "community.acme.example").await;
    let answer = get(&world, &world.host("acme"), "/hello").await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let answer = get(&world, "community.acme.example", "/hello").await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let mut h1 = client::h1(&world, &world.host("acme")).await;
    let post = request(Method::POST, &world.host("acme"), "/echo").body(Full::from("hello")).unwrap();
    assert_eq!(send_h1(&mut h1, post).await.body, "hello");
    let seen = world.backend.take();
    let via: Vec<_> = seen.iter().map(|seen| seen.header("x-tenant-via").unwrap()).collect();
    assert_eq!(via, ["subdomain", "custom-domain", "subdomain"]);
    assert!(seen.iter().all(|seen| seen.header("x-tenant-slug") == Some("acme")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_counts_from_the_next_request_on() {
    let world = World::start().await;
    world.tenant("acme", "growth").await;
    let host = world.host("acme");
    assert_eq!(get(&world, &host, "/").await.status, StatusCode::OK);
    world.suspend("acme").await;
    let answer = get(&world, &host, "/").await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::FORBIDDEN, "tenant-suspended"));
    world.activate("acme").await;
    assert_eq!(get(&world, &host, "/").await.status, StatusCode::OK);
    assert_eq!(get(&world, &world.host("nobody"), "/").await.code(), "tenant-not-found");
}
