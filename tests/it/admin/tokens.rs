//! Operators' tokens: shown once, revoked at once, expired on time.

use std::time::Duration;

use serde_json::{Value, json};
use tenantry::jobs;

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
async fn tokens_are_listed_by_pages() {
    let world = World::new().await;
    for name in ["a", "b"] {
        world.post("/v1/tokens", json!({"name": name})).await.expect(201);
    }
    let first = world.get("/v1/tokens?limit=2").await.expect(200).clone();
    let names = |page: &Value| -> Vec<Value> {
        page["items"].as_array().unwrap().iter().map(|token| token["name"].clone()).collect()
    };
    assert_eq!(names(&first), ["a", "b"]);
    let path = format!("/v1/tokens?limit=2&cursor={}", first["next_cursor"].as_str().unwrap());
    let last = world.get(&path).await.expect(200).clone();
    assert_eq!((names(&last), &last["next_cursor"]), (vec![json!("test")], &json!(null)));
}

#[tokio::test]
async fn a_token_that_ended_is_listed_for_thirty_days_and_its_name_is_free_then() {
    const DAY: Duration = Duration::from_secs(86_400);
    let world = World::new().await;
    world.tenant_with_domains("acme", &[]).await;
    let short = json!({"name": "short", "expires": "2026-11-22T12:00:00Z"});
    for path in ["/v1/tokens", "/v1/tenants/acme/tokens"] {
        world.post(path, short.clone()).await.expect(201);
    }
    let listed = async |path: &str| world.get(path).await.expect(200)["items"].to_string().contains("\"short\"");
    world.clock.advance(31 * DAY);
    jobs::tidy(&world.store, &world.clock).await.unwrap();
    for path in ["/v1/tokens", "/v1/tenants/acme/tokens"] {
        assert!(listed(path).await, "{path}: 30 days");
    }
    world.clock.advance(DAY);
    jobs::tidy(&world.store, &world.clock).await.unwrap();
    for path in ["/v1/tokens", "/v1/tenants/acme/tokens"] {
        assert!(!listed(path).await, "{path}");
        world.post(path, json!({"name": "short"})).await.expect(201);
    }
    // What never ends stays.
    world.clock.advance(400 * DAY);
    jobs::tidy(&world.store, &world.clock).await.unwrap();
    assert!(listed("/v1/tokens").await && listed("/v1/tenants/acme/tokens").await);
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
