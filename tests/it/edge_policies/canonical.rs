//! Redirects between a tenant's hosts: to the primary domain, and to or from `www`.

use http::{Method, StatusCode};
use serde_json::json;

use super::{ask, origin};
use crate::support::client::{Answer, get, get_plain};
use crate::support::world::World;

const PERMANENT: StatusCode = StatusCode::PERMANENT_REDIRECT;

fn location(answer: &Answer) -> (StatusCode, String) {
    (answer.status, answer.header("location").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn other_hosts_lead_to_the_primary_domain_while_it_can_be_visited() {
    let world = World::builder().settings("[domains]\ncooldown = \"0s\"\n").start().await;
    world.tenant("acme", "growth").await;
    world.domain("acme", "shop.acme.example").await;
    world.domain("acme", "old.acme.example").await;
    world.claim("acme", "bare.acme.example", true).await;
    let slug = world.host("acme");
    assert_eq!(get(&world, &slug, "/").await.status, StatusCode::OK);
    world.edge("acme", json!({"primary_domain": "shop.acme.example"})).await;

    let there = format!("{}/a%20b?c=d&e=%2F", origin(&world, "shop.acme.example"));
    for host in [slug.as_str(), "old.acme.example"] {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::DELETE] {
            for h2 in [false, true] {
                let answer = ask(&world, h2, method.clone(), host, "/a%20b?c=d&e=%2F", &[]).await;
                assert_eq!(location(&answer), (PERMANENT, there.clone()), "{method} {host}");
                assert_eq!(answer.headers.get_all("cache-control").iter().collect::<Vec<_>>(), ["max-age=60"]);
            }
        }
    }
    assert_eq!(get(&world, "shop.acme.example", "/").await.status, StatusCode::OK, "it is there");
    world.backend.take();
    for (method, path, headers) in [
        (Method::GET, "/.well-known/tenantry/jwks.json", vec![]),
        (Method::GET, "/.well-known/acme-challenge/none", vec![]),
        (Method::OPTIONS, "/", vec![("origin", "https://a.example"), ("access-control-request-method", "PUT")]),
        (Method::POST, "/a.B/C", vec![("content-type", "application/grpc")]),
    ] {
        let answer = ask(&world, true, method, &slug, path, &headers).await;
        assert_ne!(answer.status, PERMANENT, "{path} {headers:?}");
    }
    crate::support::client::websocket(&world, &slug).await;
    assert_eq!(world.backend.take().len(), 3, "the preflight, the call and the WebSocket");
    let plain = get_plain(&world, &slug, "/x").await;
    assert_eq!(location(&plain), (PERMANENT, format!("{}/x", origin(&world, &slug))), "first to TLS");

    world.edge("acme", json!({"primary_domain": "bare.acme.example"})).await;
    assert_eq!(get(&world, &slug, "/").await.status, StatusCode::OK, "nobody is sent where no certificate is");
    world.certificate(&["bare.acme.example"]).await;
    assert_eq!(location(&get(&world, &slug, "/").await).0, PERMANENT);
    world.release("acme", "bare.acme.example").await;
    assert_eq!(get(&world, &slug, "/").await.status, StatusCode::OK, "nor to a domain that is no longer theirs");
    world.tenant("thief", "growth").await;
    world.claim("thief", "bare.acme.example", true).await;
    assert_eq!(get(&world, &slug, "/").await.status, StatusCode::OK, "nor to another tenant");
}

#[tokio::test(flavor = "multi_thread")]
async fn www_is_added_or_removed_where_both_names_are_the_tenants() {
    let world = World::start().await;
    world.tenant("acme", "growth").await;
    world.domain("acme", "acme.example").await;
    world.domain("acme", "lone.example").await;
    world.edge("acme", json!({"www": "add"})).await;
    assert_eq!(get(&world, "acme.example", "/").await.status, StatusCode::OK, "there is no www yet");
    world.domain("acme", "www.acme.example").await;
    let there = |host: &str| (PERMANENT, format!("{}/x?y", origin(&world, host)));
    let go = async |host: &str| location(&get(&world, host, "/x?y").await);
    let stays = (StatusCode::OK, String::new());

    assert_eq!(go("acme.example").await, there("www.acme.example"), "a host that has just come counts at once");
    assert_eq!(go("www.acme.example").await, stays);
    assert_eq!(go("lone.example").await, stays);
    assert_eq!(go(&world.host("acme")).await, stays);
    world.edge("acme", json!({"www": "remove"})).await;
    assert_eq!(go("www.acme.example").await, there("acme.example"));
    assert_eq!(go("acme.example").await, stays);
    world.edge("acme", json!({"www": "keep"})).await;
    assert_eq!(go("www.acme.example").await, stays);

    // They contradict each other: the primary domain wins, and nobody goes in circles.
    world.edge("acme", json!({"www": "add", "primary_domain": "acme.example"})).await;
    assert_eq!(go("acme.example").await, stays);
    assert_eq!(go("www.acme.example").await, there("acme.example"));
    assert_eq!(go("lone.example").await, there("acme.example"));
}
