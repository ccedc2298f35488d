//! Two nodes on one PostgreSQL: what is written on one is in force on the other within a second. (SQLite is for one
//! process: a second one on the same file would hear of changes by polling alone.)

use std::time::Instant;

use http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{AT_ONCE, Api, LONG, close_code, ends_at_once, get, h2};
use crate::support::client::{self, websocket};
use crate::support::postgres::Server;
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql() {
    let url = Server::shared().database().await;
    let first = World::builder().store(&url).start().await;
    let second = World::builder().store(&url).beside(&first).start().await;
    what_one_writes_the_other_obeys(&first, &second).await;
}

async fn what_one_writes_the_other_obeys(first: &World, second: &World) {
    let api = Api::of(first).await;
    // Before the tenant is there, the other node remembers that it is not.
    let host = first.host("acme");
    assert_eq!(client::get(second, &host, "/").await.code(), "tenant-not-found");
    first.tenant("acme", "growth").await;
    in_force(first, second).await;
    assert_eq!(client::get(second, &host, "/").await.status, StatusCode::OK);
    first.domain("acme", "shop.example").await;
    in_force(first, second).await;
    assert_eq!(client::get(second, "shop.example", "/").await.status, StatusCode::OK);

    for _ in 0..5 {
        let socket = websocket(second, &host).await;
        let (mut idle, idle_end) = h2(second, &host).await;
        assert_eq!(idle.send_request(get(&host, "/")).await.unwrap().status(), StatusCode::OK);
        api.post("acme", "suspend").await;
        let answered = Instant::now();
        assert_eq!(ends_at_once("a WebSocket", close_code(socket)).await, Some(CloseCode::Policy));
        ends_at_once("an idle connection", idle_end).await.unwrap();
        let refused = async { while client::get(second, &host, "/").await.status != StatusCode::FORBIDDEN {} };
        tokio::time::timeout(AT_ONCE.saturating_sub(answered.elapsed()), refused).await.unwrap();
        assert_eq!(client::get(second, "shop.example", "/").await.code(), "tenant-suspended");
        api.post("acme", "activate").await;
        in_force(first, second).await;
        assert_eq!(client::get(second, &host, "/").await.status, StatusCode::OK);
    }
    // Both sign with the same keys, and each knows an assertion of the other's.
    let jwks = "/.well-known/tenantry/jwks.json";
    let keys = client::get(first, &host, jwks).await.json();
    assert_eq!(client::get(second, &host, jwks).await.json(), keys);
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1, "made once, by whoever was first");
    // And the other way.
    Api::of(second).await.post("acme", "suspend").await;
    in_force(second, first).await;
    assert_eq!(client::get(first, &host, "/").await.code(), "tenant-suspended");
}

/// What `writer` has written is in force on `other`, not later than it has to be.
async fn in_force(writer: &World, other: &World) {
    let revision = writer.running.store().revision().await.unwrap();
    assert!(other.running.applied().wait_for(revision, AT_ONCE).await, "the other node is late");
    assert!(writer.running.applied().wait_for(revision, LONG).await);
}
