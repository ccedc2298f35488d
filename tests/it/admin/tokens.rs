//! Operators' tokens: shown once, revoked at once, expired on time.

use std::time::Duration;

use serde_json::json;

use super::world::World;

#[tokio::test]
async fn a_token_works_until_it_is_revoked_or_expires_and_is_shown_once() {
    let world = World::new().await;
    let made = world.post("/v1/tokens", json!({"name": "deploy"})).await.expect(201).clone();
    let token = made["token"].as_str().unwrap();
    assert!(token.starts_with("arc_live_") && token.len() > 64, "{token}");
    let short = json!({"name": "short", "expires": "2026-11-21T13:00:00Z"});
    let short = world.post("/v1/tokens", short).await.expect(201)["token"].as_str().unwrap().to_owned();
    let with = async |token: &str| {
        let bearer = format!("Bearer {token}");
        world.raw("GET", "/v1/tenants", &[("authorization", &bearer)], "").await.status.as_u16()
    };
    assert_eq!((with(token).await, with(&short).await), (200, 200));
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!((with(token).await, with(&short).await), (200, 401));
    let listed = world.get("/v1/tokens").await;
    let names: Vec<_> = listed.expect(200)["items"].as_array().unwrap().iter().map(|t| t["name"].clone()).collect();
    assert_eq!(names, ["deploy", "short", "test"]);
    assert!(!listed.text.contains(token) && !listed.text.contains("hash"));
    world.call("DELETE", "/v1/tokens/deploy", json!(null)).await.expect(204);
    assert_eq!(with(token).await, 401);
    // An expired token does not count as another that works.
    world.call("DELETE", "/v1/tokens/test", json!(null)).await.refused(409, "last-token");
    let ledger = serde_json::to_string(&world.ledger().await).unwrap();
    assert!(ledger.contains("token.revoke") && !ledger.contains("arc_live_"));
}

#[tokio::test]
async fn the_store_never_sees_the_text_of_a_token() {
    let world = World::new().await;
    let secret = world.token.rsplit('_').next().unwrap().to_owned();
    world.store.close().await;
    for entry in std::fs::read_dir(world.dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
}
