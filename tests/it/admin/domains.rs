//! Domains and hosts.

use serde_json::json;

use super::world::World;

async fn world() -> World {
    let world = World::new().await;
    for (slug, plan) in [("acme", "growth"), ("rival", "growth"), ("beta", "free")] {
        let new = json!({"slug": slug, "name": slug, "plan": plan, "status": "active"});
        world.post("/v1/tenants", new).await.expect(201);
    }
    world
}

#[tokio::test]
async fn a_claim_says_which_records_to_set_and_leads_nowhere_until_it_is_held() {
    let world = world().await;
    let added = world.post("/v1/tenants/acme/domains", json!({"domain": "Bücher.Example."})).await;
    let domain = added.expect(201).clone();
    assert_eq!(added.header("location"), "/v1/domains/xn--bcher-kva.example");
    assert_eq!((&domain["domain"], &domain["state"]), (&json!("xn--bcher-kva.example"), &json!("pending")));
    let txt = &domain["records"][0];
    assert_eq!(txt["name"], "_arythmatic-verification.xn--bcher-kva.example");
    assert!(txt["value"].as_str().unwrap().strip_prefix("arythmatic-verify=").unwrap().len() == 32);
    assert_eq!(domain["records"][1]["value"], "edge.connect.localhost");
    let host = world.get("/v1/hosts/B%C3%BCcher.example").await.expect(200).clone();
    assert_eq!(host["visit"], json!({"action": "refuse", "status": 404, "code": "domain-not-configured"}));
    world.post("/v1/tenants/acme/domains", json!({"domain": "bücher.example"})).await.refused(409, "domain-exists");
    // An operator vouches for it: the same claim, now held, and the ledger says so.
    let body = json!({"domain": "bücher.example", "verified": true});
    let verified = world.post("/v1/tenants/acme/domains", body).await.expect(200).clone();
    assert_eq!((&verified["state"], &verified["records"]), (&json!("verified"), &domain["records"]));
    let host = world.get("/v1/hosts/B%C3%9CCHER.example.").await.expect(200).clone();
    assert_eq!((&host["via"], &host["tenant"]["slug"]), (&json!("custom-domain"), &json!("acme")));
    assert_eq!(host["visit"]["action"], "forward");
    let listed = world.get("/v1/tenants/acme/domains").await.expect(200).clone();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    world.call("DELETE", "/v1/domains/bücher.example".replace('ü', "%C3%BC").as_str(), json!(null)).await.expect(204);
    world.get("/v1/domains/xn--bcher-kva.example").await.refused(404, "domain-not-found");
    let actions: Vec<_> = world.ledger().await.iter().take(3).map(|e| e["action"].clone()).collect();
    assert_eq!(actions, ["domain.remove", "domain.add-verified", "domain.add"]);
}

#[tokio::test]
async fn records_and_tokens_carry_the_configured_brand() {
    let world = world().await;
    world.post("/v1/tenants/acme/domains", json!({"domain": "shop.example"})).await.expect(201);
    world.brand(
        "edge_label = \"front\"\nverification_label = \"_own\"\nverification_prefix = \"own:\"\nkey_prefix = \"own\"\n",
    );
    let shop = world.get("/v1/domains/shop.example").await.expect(200).clone();
    assert_eq!(shop["records"][0]["name"], "_own.shop.example");
    assert_eq!(shop["records"][0]["value"].as_str().unwrap().strip_prefix("own:").unwrap().len(), 32);
    assert_eq!(shop["records"][1]["value"], "front.connect.localhost");
    let made = world.post("/v1/tokens", json!({"name": "new"})).await.expect(201)["token"].clone();
    assert!(made.as_str().unwrap().starts_with("own_live_"), "{made}");
    // The label that customers point at is nobody's slug. The token of earlier days, which asks, stays good.
    let slug = json!({"slug": "front", "name": "Front", "plan": "free"});
    world.post("/v1/tenants", slug).await.refused(422, "invalid");
}

#[tokio::test]
async fn pending_claims_block_nobody_and_a_held_name_has_one_owner() {
    let world = world().await;
    let name = json!({"domain": "shop.example"});
    for tenant in ["acme", "rival"] {
        world.post(&format!("/v1/tenants/{tenant}/domains"), name.clone()).await.expect(201);
    }
    world.get("/v1/domains/shop.example").await.refused(409, "ambiguous-domain");
    world.call("DELETE", "/v1/domains/shop.example", json!(null)).await.refused(409, "ambiguous-domain");
    let rivals = world.get("/v1/domains/shop.example?tenant=rival").await.expect(200).clone();
    assert_eq!(rivals["state"], "pending");
    let verified = json!({"domain": "shop.example", "verified": true});
    world.post("/v1/tenants/rival/domains", verified.clone()).await.expect(200);
    let before = world.revision().await;
    world.post("/v1/tenants/acme/domains", verified).await.refused(409, "domain-taken");
    assert_eq!(world.revision().await, before);
    // Now it is clear whose is meant.
    assert_eq!(world.get("/v1/domains/shop.example").await.expect(200)["tenant"], rivals["tenant"]);
    world.call("DELETE", "/v1/domains/shop.example?tenant=acme", json!(null)).await.expect(204);
    assert_eq!(world.get("/v1/hosts/shop.example").await.expect(200)["tenant"]["slug"], "rival");
}

#[tokio::test]
async fn a_plan_without_custom_domains_is_told_which_has_them() {
    let world = world().await;
    let before = world.revision().await;
    let reply = world.post("/v1/tenants/beta/domains", json!({"domain": "beta.example", "verified": true})).await;
    let problem = reply.refused(402, "plan-required");
    assert_eq!(problem["feature"], "custom_domain");
    assert_eq!(problem["plans"], json!(["creators", "growth", "professional", "custom"]));
    assert!(problem["upgrade_url"].as_str().unwrap().starts_with("https://"));
    assert_eq!(world.revision().await, before);
    world.call("PUT", "/v1/tenants/beta/features", json!({"on": ["custom_domain"]})).await.expect(200);
    world.post("/v1/tenants/beta/domains", json!({"domain": "beta.example"})).await.expect(201);
}

#[tokio::test]
async fn a_host_is_explained() {
    let world = world().await;
    let pending = json!({"slug": "later", "name": "Later", "status": "pending"});
    world.post("/v1/tenants", pending).await.expect(201);
    let forward = json!({"action": "forward", "status": null, "code": null});
    let refuse = |status: u16, code: &str| json!({"action": "refuse", "status": status, "code": code});
    for (host, class, via, visit) in [
        ("connect.localhost", "apex", json!(null), forward.clone()),
        ("OPS.connect.localhost", "console", json!(null), forward.clone()),
        ("www.connect.localhost", "reserved", json!(null), forward.clone()),
        ("ACME.Connect.Localhost.", "tenant", json!("subdomain"), forward),
        ("later.connect.localhost", "tenant", json!("subdomain"), refuse(503, "tenant-pending")),
        ("nobody.connect.localhost", "tenant", json!(null), refuse(404, "tenant-not-found")),
        ("a.b.connect.localhost", "subdomain", json!(null), refuse(404, "tenant-not-found")),
        ("nobody.example", "custom", json!(null), refuse(404, "domain-not-configured")),
    ] {
        let answer = world.get(&format!("/v1/hosts/{host}")).await.expect(200).clone();
        assert_eq!((&answer["class"], &answer["via"], &answer["visit"]), (&json!(class), &via, &visit), "{host}");
    }
    world.post("/v1/tenants/acme/cancel", json!(null)).await.expect(200);
    let answer = world.get("/v1/hosts/acme.connect.localhost").await.expect(200).clone();
    assert_eq!(answer["visit"], refuse(410, "tenant-cancelled"));
}

#[tokio::test]
async fn looks_are_made_on_demand_but_not_without_end() {
    let world = world().await;
    world.post("/v1/tenants/acme/domains", json!({"domain": "shop.example"})).await.expect(201);
    for _ in 0..10 {
        let seen = world.post("/v1/domains/shop.example/verify", json!(null)).await.expect(200).clone();
        // Nobody answers here, which proves nothing and refutes nothing.
        assert_eq!((&seen["state"], &seen["proven"]), (&json!("pending"), &json!(null)));
        let advice = seen["findings"][0]["advice"].as_str().unwrap();
        assert!(advice.contains("Nobody could be asked"), "{advice}");
    }
    let often = world.post("/v1/domains/shop.example/verify", json!(null)).await;
    often.refused(429, "rate-limited");
    assert_eq!(often.header("retry-after"), "600");
    // To look without anything following from it is not limited: it is not what the worker does.
    world.get("/v1/domains/shop.example/diagnosis").await.expect(200);
    world.clock.advance(std::time::Duration::from_secs(601));
    world.post("/v1/domains/shop.example/verify", json!(null)).await.expect(200);
}
