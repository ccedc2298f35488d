//! Requests a second: a bucket for each tenant, told to visitors, and changed while they come.

use std::time::Duration;

use http::Method;
use http_body_util::Full;
use serde_json::json;

use super::{HOST, limit, meter, set, still};
use crate::support::client::{Answer, get, get_plain, get_with, h1, h2, request, send_h1, send_h2};
use crate::support::world::World;

/// Status, `RateLimit-Policy`, `RateLimit` and `Retry-After`.
fn told(answer: &Answer) -> (u16, &str, &str, &str) {
    let header = |name| answer.header(name);
    (answer.status.as_u16(), header("ratelimit-policy"), header("ratelimit"), header("retry-after"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_kept_and_told_over_both_protocols() {
    let world = still(World::builder()).await;
    assert_eq!(told(&get(&world, HOST, "/").await), (200, "", "", ""), "no limit is no header");
    limit(&world, json!({"requests_per_second": 2, "burst": 5})).await;
    let policy = "\"tenant\";q=5;w=3";
    let (mut one, mut two) = (h1(&world, HOST).await, h2(&world, HOST).await);
    for (left, full_in) in [(4, 1), (3, 1), (2, 2), (1, 2), (0, 3)] {
        let ask = request(Method::GET, HOST, "/").body(Full::default()).unwrap();
        let answer = match left % 2 {
            0 => send_h1(&mut one, ask).await,
            _ => send_h2(&mut two, ask).await,
        };
        let level = format!("\"tenant\";r={left};t={full_in}");
        assert_eq!(told(&answer), (200, policy, level.as_str(), ""));
    }
    for _ in 0..2 {
        let ask = || request(Method::GET, HOST, "/").body(Full::default()).unwrap();
        for refused in [send_h1(&mut one, ask()).await, send_h2(&mut two, ask()).await] {
            assert_eq!(told(&refused), (429, policy, "\"tenant\";r=0;t=3", "1"));
            assert_eq!(refused.code(), "rate-limited");
        }
    }
    assert_eq!(world.backend.take().len(), 6);
    world.clock.advance(Duration::from_millis(500));
    assert_eq!(told(&get(&world, HOST, "/").await), (200, policy, "\"tenant\";r=0;t=3", ""));
    assert_eq!(get(&world, HOST, "/").await.status, 429);
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(told(&get(&world, HOST, "/").await).2, "\"tenant\";r=4;t=1", "no more than the burst is saved up");
    let meter = meter(&world, "acme").await;
    assert_eq!((meter.counts().limited[0], meter.counts().refused), (5, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_in_force_with_the_next_request() {
    let world = still(World::builder()).await;
    // A slow rate that is used up is not waited for under a fast one.
    limit(&world, json!({"requests_per_second": 1, "burst": 1})).await;
    assert_eq!(get(&world, HOST, "/").await.status, 200);
    assert_eq!(get(&world, HOST, "/").await.status, 429);
    limit(&world, json!({"requests_per_second": 1, "burst": 3})).await;
    assert_eq!(told(&get(&world, HOST, "/").await).2, "\"tenant\";r=1;t=2");
    limit(&world, json!({"requests_per_second": 0})).await;
    let refused = get(&world, HOST, "/").await;
    assert_eq!(told(&refused), (429, "\"tenant\";q=1;w=1", "\"tenant\";r=0;t=60", "60"));
    limit(&world, json!({"requests_per_second": "unlimited"})).await;
    assert_eq!(told(&get(&world, HOST, "/").await), (200, "", "", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn children_inherit_the_number_and_have_a_bucket_of_their_own() {
    let world = still(World::builder()).await;
    world.child("shop", "acme").await;
    limit(&world, json!({"requests_per_second": 1, "burst": 2})).await;
    let shop = world.host("shop");
    for host in [HOST, &shop, HOST, &shop] {
        assert_eq!(get(&world, host, "/").await.status, 200, "{host}");
    }
    for host in [HOST, &shop] {
        assert_eq!(get(&world, host, "/").await.status, 429, "{host}");
    }
    set(&world, "shop", json!({"limits": {"requests_per_second": "unlimited"}})).await;
    assert_eq!(get(&world, &shop, "/").await.status, 200);
    assert_eq!(get(&world, HOST, "/").await.status, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_edges_own_paths_and_the_main_site_are_exempt() {
    let world = still(World::builder()).await;
    limit(&world, json!({"requests_per_second": 0})).await;
    assert_eq!(get(&world, HOST, "/").await.status, 429);
    assert_eq!(get(&world, HOST, "/.well-known/tenantry/jwks.json").await.status, 200);
    assert_eq!(get(&world, HOST, "/.well-known/acme-challenge/unknown").await.status, 404);
    assert_eq!(get_plain(&world, HOST, "/.well-known/acme-challenge/unknown").await.status, 404);
    assert_eq!(get(&world, HOST, "/tenants/by-host/acme.connect.localhost").await.status, 200);
    assert_eq!(get(&world, "connect.localhost", "/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_calls_are_told_in_their_own_way() {
    let world = still(World::builder()).await;
    limit(&world, json!({"requests_per_second": 0})).await;
    let refused = get_with(&world, HOST, "/", &[("content-type", "application/grpc")]).await;
    assert_eq!((refused.status.as_u16(), refused.header("grpc-status")), (200, "8"));
    assert_eq!(refused.header("ratelimit"), "\"tenant\";r=0;t=60");
}
