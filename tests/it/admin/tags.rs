//! Entity tags: as long as one is the same, so is what is shown, whoever changed what it comes of.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::World;

/// Views of a tenant that show what it inherits, or what comes of the catalogue and the time.
const VIEWS: [&str; 6] = ["", "/effective", "/edge", "/settings", "/branding", "/plan"];

async fn seen(world: &World) -> Vec<(Value, String)> {
    let mut all = Vec::new();
    for view in VIEWS {
        let reply = world.get(&format!("/v1/tenants/shop{view}")).await;
        all.push((reply.expect(200).clone(), reply.header("etag").to_owned()));
    }
    all
}

#[tokio::test]
async fn a_tag_changes_with_whatever_is_shown() {
    let world = World::new().await;
    world.tenant_with_domains("holding", &[]).await;
    let shop = json!({"slug": "shop", "name": "Shop", "parent": "holding", "status": "active"});
    world.post("/v1/tenants", shop).await.expect(201);
    let revision = world.get("/v1/tenants/shop").await.expect(200)["revision"].clone();
    let mut before = seen(&world).await;
    let mut changed = [false; VIEWS.len()];
    for (method, path, body) in [
        ("PUT", "plan", json!({"plan": "free", "when": "now"})),
        ("PATCH", "edge", json!({"limits": {"websockets": 7}})),
        ("PATCH", "settings", json!({"time_zone": "Europe/Vienna"})),
        ("PATCH", "branding", json!({"primary_colour": "#112233"})),
        ("POST", "suspend", json!({})),
    ] {
        world.call(method, &format!("/v1/tenants/holding/{path}"), body).await.expect(200);
        let after = seen(&world).await;
        for (n, (was, is)) in before.iter().zip(&after).enumerate() {
            assert_eq!(was.0 == is.0, was.1 == is.1, "{path}: {}: {} {}", VIEWS[n], was.0, is.0);
            changed[n] |= was.0 != is.0;
        }
        before = after;
    }
    assert_eq!(changed, [true; VIEWS.len()], "each shows something of its parent's");
    assert_eq!(world.get("/v1/tenants/shop").await.expect(200)["revision"], revision);
    // None of that was a change of its own: what was seen of it before is not out of date.
    for (body, tag) in &before {
        assert!(tag.starts_with(&format!("\"{revision}-")), "{tag} {body}");
    }
    let headers = [("content-type", "application/json"), ("if-match", before[2].1.as_str())];
    let patch = async || world.raw("PATCH", "/v1/tenants/shop/edge", &headers, "{\"limits\":{\"websockets\":9}}").await;
    patch().await.expect(200);
    patch().await.refused(412, "precondition-failed");
}

#[tokio::test]
async fn a_tag_changes_with_the_time() {
    let world = World::new().await;
    let trial = json!({"slug": "shop", "name": "Shop", "trial_days": 1});
    world.post("/v1/tenants", trial).await.expect(201);
    let first = world.get("/v1/tenants/shop").await;
    world.clock.advance(Duration::from_secs(2 * 86_400));
    let headers = [("if-none-match", first.header("etag"))];
    let later = world.raw("GET", "/v1/tenants/shop", &headers, "").await;
    assert_eq!(later.expect(200)["effective"]["trial_expired"], true);
    assert_eq!(later.json["revision"], first.json["revision"]);
    assert_ne!(later.header("etag"), first.header("etag"));
}
