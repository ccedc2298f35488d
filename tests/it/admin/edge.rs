//! What the edge does for a tenant: settings are patched, inherited, checked, and noted in the ledger.

use serde_json::json;

use super::world::World;

#[tokio::test]
async fn settings_are_patched_and_the_nearest_word_counts() {
    let world = World::new().await;
    world.post("/v1/tenants", json!({"slug": "holding", "name": "H", "plan": "growth", "status": "active"})).await;
    world.post("/v1/tenants", json!({"slug": "shop", "name": "S", "parent": "holding", "status": "active"})).await;
    let limits = json!({"limits": {"requests_per_second": 10, "concurrent_requests": 7}, "www": "add"});
    world.call("PUT", "/v1/tenants/holding/edge", limits).await.expect(200);
    let own = json!({"limits": {"requests_per_second": "unlimited"}, "maintenance": {"message": "back at noon"}});
    let shop = world.call("PATCH", "/v1/tenants/shop/edge", own.clone()).await.expect(200).clone();
    assert_eq!(shop["own"]["limits"], own["limits"]);
    let effective = &shop["effective"];
    assert_eq!(effective["limits"]["requests_per_second"], json!(null));
    assert_eq!(effective["limits"]["concurrent_requests"], 7);
    assert_eq!(effective["www"], "add");
    assert_eq!(effective["maintenance"]["retry_after"], 300);
    let back = world.call("PATCH", "/v1/tenants/shop/edge", json!({"maintenance": null, "limits": null})).await;
    assert_eq!(back.expect(200)["own"], json!({}));
    assert_eq!(back.expect(200)["effective"]["limits"]["requests_per_second"], 10);
    assert_eq!(world.ledger().await[0]["action"], "tenant.edge");
    assert_eq!(world.ledger().await[0]["after"], json!({"edge": {}}));
}

#[tokio::test]
async fn every_fault_is_named_and_nothing_is_written() {
    let world = World::new().await;
    world.post("/v1/tenants", json!({"slug": "acme", "name": "A", "plan": "growth", "status": "active"})).await;
    let bad = json!({
        "pools": {"app": "nowhere"}, "canary": {"of": "app", "pool": "nowhere", "percent": 101}, "primary_domain": "not.mine.example",
        "access": {"deny": ["10.1.2.3/8"]}, "maintenance": {"retry_after": 0},
        "cors": {"origins": ["https://A.example"], "methods": ["G T"], "max_age": 100_000},
    });
    let refused = world.call("PUT", "/v1/tenants/acme/edge", bad).await.expect(422).clone();
    let mut pointers: Vec<_> =
        refused["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap().to_owned()).collect();
    pointers.sort();
    let expected = [
        "/access/deny/0",
        "/canary/percent",
        "/canary/pool",
        "/cors/max_age",
        "/cors/methods/0",
        "/cors/origins/0",
        "/maintenance/retry_after",
        "/pools/app",
        "/primary_domain",
    ];
    assert_eq!(pointers, expected);
    for (method, body) in [
        ("PATCH", json!({"limitz": {}})),
        ("PATCH", json!([])),
        ("PUT", json!({"limits": {"websockets": -1}})),
        ("PATCH", json!({"www": "sometimes"})),
    ] {
        world.call(method, "/v1/tenants/acme/edge", body.clone()).await.expect(422);
    }
    assert_eq!(world.get("/v1/tenants/acme/edge").await.expect(200)["own"], json!({}));
}
