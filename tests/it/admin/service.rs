//! The service around the routes: probes, request ids, a store that is gone, a directory that lags, an orderly end.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tenantry::tenancy::Applied;
use tokio::sync::Notify;

use super::world::World;

#[tokio::test]
async fn probes_need_no_token_and_tell_the_truth() {
    let world = World::new().await;
    let probe = async |path: &str| world.raw("GET", path, &[("authorization", "-")], "").await;
    assert_eq!(probe("/healthz").await.status.as_u16(), 200);
    assert_eq!(probe("/readyz").await.expect(200), &json!({"status": "ready", "store": "ok", "revision": 7}));
    world.health.store_up.store(false, Ordering::SeqCst);
    assert_eq!(probe("/readyz").await.expect(200)["store"], "degraded");
    world.health.loaded.store(false, Ordering::SeqCst);
    assert_eq!(probe("/readyz").await.expect(503)["status"], "starting");
    world.health.draining.store(true, Ordering::SeqCst);
    assert_eq!(probe("/readyz").await.expect(503)["status"], "draining");
    world.get("/v1/tenants").await.expect(200);
    let metrics = probe("/metrics").await;
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    assert!(metrics.text.contains("tenantry_admin_requests_total{status=\"5xx\"} 2"), "{}", metrics.text);
}

#[tokio::test]
async fn a_request_keeps_its_id_if_it_is_fit_for_a_log_line() {
    let world = World::new().await;
    let id = async |given: &str| {
        world.raw("GET", "/v1/tenants", &[("x-request-id", given)], "").await.header("x-request-id").to_owned()
    };
    assert_eq!(id("abc-123").await, "abc-123");
    for unfit in ["a b", "a\"b", &"x".repeat(129)] {
        assert_eq!(id(unfit).await.len(), 36, "{unfit}");
    }
}

#[tokio::test]
async fn a_store_that_is_gone_is_said_to_be_gone() {
    let world = World::new().await;
    world.store.close().await;
    for (method, path, body) in
        [("GET", "/v1/tenants", Value::Null), ("POST", "/v1/tenants", json!({"slug": "a", "name": "A"}))]
    {
        let reply = world.call(method, path, body).await;
        reply.refused(503, "store-unavailable");
        assert_eq!(reply.header("retry-after"), "2");
    }
    world.get("/readyz").await.expect(200);
}

/// Notes what it was asked to wait for, and has not applied it.
#[derive(Default)]
struct Lagging(AtomicI64);

#[async_trait]
impl Applied for Lagging {
    async fn applied(&self, revision: i64) -> bool {
        self.0.store(revision, Ordering::SeqCst);
        false
    }
}

#[tokio::test]
async fn an_answer_says_when_the_directory_lags() {
    let lagging = Arc::new(Lagging::default());
    let world = World::with(lagging.clone()).await;
    let reply = world.post("/v1/tenants", json!({"slug": "acme", "name": "Acme"})).await;
    reply.expect(201);
    assert_eq!(reply.header("tenantry-applied"), "false");
    let revision = world.revision().await;
    assert_eq!(reply.header("tenantry-revision"), revision.to_string());
    assert_eq!(lagging.0.load(Ordering::SeqCst), revision);
}

/// Never gets there; tells the test when someone waits for it.
#[derive(Default)]
struct Stuck(Notify);

#[async_trait]
impl Applied for Stuck {
    async fn applied(&self, _revision: i64) -> bool {
        self.0.notify_one();
        std::future::pending().await
    }
}

#[tokio::test]
async fn patience_with_the_directory_has_an_end() {
    let stuck = Arc::new(Stuck::default());
    let world = World::with(stuck.clone()).await;
    let call = world.post("/v1/tenants", json!({"slug": "acme", "name": "Acme"}));
    let time = async {
        stuck.0.notified().await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(5)).await;
        tokio::time::resume();
    };
    let (reply, ()) = tokio::join!(call, time);
    reply.expect(201);
    assert_eq!(reply.header("tenantry-applied"), "false");
    world.get("/v1/tenants/acme").await.expect(200);
}

#[tokio::test]
async fn wrong_methods_are_refused_with_what_is_allowed() {
    let world = World::new().await;
    let reply = world.call("PUT", "/v1/tenants", json!({})).await;
    reply.refused(405, "method-not-allowed");
    assert_eq!(reply.header("allow"), "GET,HEAD,POST");
    world.call("POST", "/healthz", json!(null)).await.refused(405, "method-not-allowed");
    let head = world.call("HEAD", "/v1/tenants", json!(null)).await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
}

#[tokio::test]
async fn the_listener_ends_when_it_is_told() {
    let world = World::new().await;
    world.get("/healthz").await;
    world.stop().await;
}
