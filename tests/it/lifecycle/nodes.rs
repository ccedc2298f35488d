//! Two nodes on one PostgreSQL, and a store that goes away.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::support::client::get;
use crate::support::postgres::Server;
use crate::support::world::World;

async fn admin(world: &World, path: &str) -> (StatusCode, serde_json::Value) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = Request::get(format!("http://{}{path}", world.admin())).body(Full::default()).unwrap();
    let answer = client.request(request).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_writes_holds_on_the_other_within_a_second() {
    let url = Server::shared().database().await;
    let first = World::builder().store(&url).start().await;
    let second = World::builder().store(&url).beside(&first).start().await;
    first.tenant("acme", "growth").await;
    let host = first.host("acme");
    for _ in 0..10 {
        assert_eq!(get(&second, &host, "/").await.status, StatusCode::OK);
        first.suspend("acme").await;
        let revision = first.running.applied().revision();
        assert!(second.running.applied().wait_for(revision, Duration::from_secs(1)).await, "≤ 1 s on every other node");
        assert_eq!(get(&second, &host, "/").await.code(), "tenant-suspended");
        first.activate("acme").await;
        let revision = first.running.applied().revision();
        assert!(second.running.applied().wait_for(revision, Duration::from_secs(1)).await);
    }
    // A name that the other node has looked for in vain.
    assert_eq!(get(&second, &second.host("later"), "/").await.code(), "tenant-not-found");
    first.tenant("later", "growth").await;
    let revision = first.running.applied().revision();
    assert!(second.running.applied().wait_for(revision, Duration::from_secs(1)).await);
    assert_eq!(get(&second, &second.host("later"), "/").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_store_known_tenants_are_served_and_it_recovers_by_itself() {
    let mut server = Server::start();
    let url = server.database().await;
    let world = World::builder().store(&url).start().await;
    world.tenant("acme", "growth").await;
    world.tenant("cold", "growth").await;
    let (acme, cold) = (world.host("acme"), world.host("cold"));
    assert_eq!(get(&world, &acme, "/").await.status, StatusCode::OK);

    tokio::task::block_in_place(|| server.stop());
    assert!(world.running.applied().wait_for_store(false, Duration::from_secs(30)).await, "it is noticed");
    assert_eq!(get(&world, &acme, "/").await.status, StatusCode::OK);
    // Nobody knows whether this one exists: 503, and not a remembered "no".
    let answer = get(&world, &cold, "/").await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "lookup-unavailable"));
    assert!(!answer.header("retry-after").is_empty());
    let (status, ready) = admin(&world, "/readyz").await;
    assert_eq!((status, ready["store"].as_str()), (StatusCode::OK, Some("degraded")), "{ready}");
    assert!(world.running.metrics().render().contains("tenantry_store_up 0"));
    let (status, problem) = admin(&world, "/v1/tenants").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{problem}");

    tokio::task::block_in_place(|| server.resume());
    assert!(
        world.running.applied().wait_for_store(true, Duration::from_secs(60)).await,
        "it recovers without a restart"
    );
    assert_eq!(get(&world, &cold, "/").await.status, StatusCode::OK);
    assert_eq!(admin(&world, "/readyz").await.1["store"], "ok");
    world.suspend("acme").await;
    assert_eq!(get(&world, &acme, "/").await.code(), "tenant-suspended");
}
