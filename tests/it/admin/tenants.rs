//! Tenants through their life: what each call answers, writes, and notes in the ledger.

use std::time::Duration;

use serde_json::json;

use super::world::World;

#[tokio::test]
async fn a_tenant_is_created_shown_changed_and_every_change_is_in_the_ledger() {
    let world = World::new().await;
    let created =
        world.post("/v1/tenants", json!({"slug": "acme", "name": "Acme", "plan": "growth", "status": "active"})).await;
    let tenant = created.expect(201).clone();
    let id = tenant["id"].as_str().unwrap().to_owned();
    assert_eq!(created.header("location"), format!("/v1/tenants/{id}"));
    assert_eq!(created.header("tenantry-applied"), "true");
    assert_eq!(tenant["host"], "acme.connect.localhost");
    assert_eq!(tenant["created"], "2026-11-21T12:00:00Z");
    let features = json!(["catch_up_ai", "csv_export", "custom_domain", "embed_sdk"]);
    assert_eq!(tenant["effective"]["features"], features);
    for key in ["acme", &id] {
        assert_eq!(world.get(&format!("/v1/tenants/{key}")).await.expect(200), &tenant);
    }
    world.call("PATCH", "/v1/tenants/acme", json!({"name": " Acme Holding "})).await.expect(200);
    world.call("PUT", "/v1/tenants/acme/plan", json!({"plan": "professional"})).await.expect(200);
    let features = json!({"on": ["sso"], "off": ["scim", "csv_export"]});
    world.call("PUT", "/v1/tenants/acme/features", features).await.expect(200);
    let tenant = world.get("/v1/tenants/acme").await.expect(200).clone();
    assert_eq!((&tenant["name"], &tenant["plan"]), (&json!("Acme Holding"), &json!("professional")));
    assert_eq!(tenant["features"], json!({"on": ["sso"], "off": ["csv_export", "scim"]}));
    assert!(!tenant["effective"]["features"].to_string().contains("scim"));
    let ledger = world.ledger().await;
    let actions: Vec<_> = ledger.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    let expected = ["tenant.features", "tenant.plan", "tenant.rename", "tenant.create", "token.create"];
    assert_eq!(actions, expected);
    assert!(ledger[..4].iter().all(|entry| {
        entry["actor"] == "operator:test"
            && entry["tenant"] == id.as_str()
            && entry["subject"] == "acme"
            && entry["request_id"].is_string()
    }));
    assert_eq!(
        (&ledger[2]["before"], &ledger[2]["after"]),
        (&json!({"name": "Acme"}), &json!({"name": "Acme Holding"}))
    );
}

#[tokio::test]
async fn suspension_and_activation_keep_what_was() {
    let world = World::new().await;
    world.post("/v1/tenants", json!({"slug": "beta", "name": "Beta"})).await.expect(201);
    let body = json!({"reason": "invoice overdue", "public": true});
    let suspended = world.post("/v1/tenants/beta/suspend", body).await.expect(200).clone();
    assert_eq!((&suspended["status"], &suspended["reason_public"]), (&json!("suspended"), &json!(true)));
    assert_eq!(suspended["effective"]["served"], false);
    let host = world.get("/v1/hosts/beta.connect.localhost").await.expect(200).clone();
    assert_eq!(host["visit"], json!({"action": "refuse", "status": 403, "code": "tenant-suspended"}));
    // A trial that is not over goes on, and only then becomes active.
    let back = world.post("/v1/tenants/beta/activate", json!({})).await.expect(200).clone();
    assert_eq!((&back["status"], &back["suspend_reason"]), (&json!("trial"), &json!(null)));
    assert_eq!(back["trial_ends"], "2026-12-05T12:00:00Z");
    let active = world.post("/v1/tenants/beta/activate", json!(null)).await.expect(200).clone();
    assert_eq!((&active["status"], &active["trial_ends"]), (&json!("active"), &json!(null)));
    let refused = world.post("/v1/tenants/beta/extend-trial", json!({"days": 3})).await;
    assert_eq!(refused.refused(409, "invalid-transition")["tenant_status"], "active");
    world.post("/v1/tenants/beta/cancel", json!(null)).await.expect(200);
    world.post("/v1/tenants/beta/suspend", json!({})).await.refused(409, "invalid-transition");
    assert_eq!(world.post("/v1/tenants/beta/restore", json!(null)).await.expect(200)["status"], "active");
}

#[tokio::test]
async fn a_trial_is_extended_from_its_end_or_from_now() {
    let world = World::new().await;
    let new = json!({"slug": "beta", "name": "Beta", "trial_days": 2});
    assert_eq!(world.post("/v1/tenants", new).await.expect(201)["trial_ends"], "2026-11-23T12:00:00Z");
    let extended = world.post("/v1/tenants/beta/extend-trial", json!({"days": 1})).await;
    assert_eq!(extended.expect(200)["trial_ends"], "2026-11-24T12:00:00Z");
    world.clock.advance(Duration::from_secs(10 * 86_400));
    let expired = world.get("/v1/tenants/beta").await.expect(200).clone();
    assert_eq!((&expired["effective"]["trial_expired"], &expired["effective"]["served"]), (&json!(true), &json!(true)));
    let extended = world.post("/v1/tenants/beta/extend-trial", json!({"days": 5})).await;
    assert_eq!(extended.expect(200)["trial_ends"], "2026-12-06T12:00:00Z");
    // A suspended trial whose end has passed is activated for good.
    world.post("/v1/tenants/beta/suspend", json!({})).await.expect(200);
    world.clock.advance(Duration::from_secs(10 * 86_400));
    assert_eq!(world.post("/v1/tenants/beta/activate", json!({})).await.expect(200)["status"], "active");
}

#[tokio::test]
async fn children_inherit_and_a_parent_covers_them() {
    let world = World::new().await;
    let holding = json!({"slug": "holding", "name": "Holding", "plan": "growth", "status": "active"});
    world.post("/v1/tenants", holding).await.expect(201);
    let shop = json!({"slug": "shop", "name": "Shop", "parent": "holding", "status": "active"});
    let shop = world.post("/v1/tenants", shop).await.expect(201).clone();
    assert_eq!((&shop["plan"], &shop["effective"]["plan"]), (&json!(null), &json!("growth")));
    world.call("PUT", "/v1/tenants/shop/plan", json!({"plan": "free", "when": "now"})).await.expect(200);
    let shop = world.call("PUT", "/v1/tenants/shop/plan", json!({"plan": null})).await.expect(200).clone();
    assert_eq!(shop["effective"]["plan"], "growth");
    world.post("/v1/tenants/holding/suspend", json!({})).await.expect(200);
    let shop = world.get("/v1/tenants/shop").await.expect(200).clone();
    assert_eq!((&shop["status"], &shop["effective"]["status"]), (&json!("active"), &json!("suspended")));
    // Eight generations, and not one more.
    let mut parent = "shop".to_owned();
    for generation in 3..=8 {
        let slug = format!("g{generation}");
        let new = json!({"slug": slug, "name": slug, "parent": parent});
        world.post("/v1/tenants", new).await.expect(201);
        parent = slug;
    }
    let before = world.revision().await;
    let refused = world.post("/v1/tenants", json!({"slug": "g9", "name": "g9", "parent": parent})).await;
    assert_eq!(refused.refused(422, "invalid")["errors"][0]["code"], "too-deep");
    assert_eq!(world.revision().await, before);
}

#[tokio::test]
async fn listings_are_paged_by_cursors_and_filtered() {
    let world = World::new().await;
    for n in 0..7 {
        let status = if n % 2 == 0 { "active" } else { "trial" };
        let new = json!({"slug": format!("t-{n}"), "name": "T", "status": status});
        world.post("/v1/tenants", new).await.expect(201);
    }
    world.post("/v1/tenants", json!({"slug": "other", "name": "O"})).await.expect(201);
    let mut slugs = Vec::new();
    let mut path = "/v1/tenants?limit=3".to_owned();
    loop {
        let page = world.get(&path).await.expect(200).clone();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 3);
        slugs.extend(items.iter().map(|tenant| tenant["slug"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/tenants?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(slugs, ["other", "t-0", "t-1", "t-2", "t-3", "t-4", "t-5", "t-6"]);
    let page = world.get("/v1/tenants?status=active&prefix=t-").await.expect(200).clone();
    let slugs: Vec<_> = page["items"].as_array().unwrap().iter().map(|t| t["slug"].as_str().unwrap()).collect();
    assert_eq!(slugs, ["t-0", "t-2", "t-4", "t-6"]);
    // The ledger pages the same way, newest first, and by tenant.
    let first = world.get("/v1/audit?limit=2").await.expect(200).clone();
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = world.get(&format!("/v1/audit?limit=2&cursor={cursor}")).await.expect(200).clone();
    let subjects: Vec<_> =
        [&first, &second].iter().flat_map(|page| page["items"].as_array().unwrap()).map(|e| &e["subject"]).collect();
    assert_eq!(subjects, ["other", "t-6", "t-5", "t-4"]);
    let about = world.get("/v1/audit?tenant=t-3").await.expect(200).clone();
    assert_eq!(about["items"].as_array().unwrap().len(), 1);
    // A cursor belongs to its listing.
    let stray = world.get(&format!("/v1/tenants?cursor={cursor}")).await;
    assert_eq!(stray.refused(400, "invalid-parameter")["errors"][0]["parameter"], "cursor");
}

#[tokio::test]
async fn if_match_keeps_one_from_overwriting_what_one_has_not_seen() {
    let world = World::new().await;
    let created = world.post("/v1/tenants", json!({"slug": "acme", "name": "Acme"})).await;
    let tag = created.header("etag").to_owned();
    let rename = async |tag: &str, name: &str| {
        let headers = [("content-type", "application/json"), ("if-match", tag)];
        world.raw("PATCH", "/v1/tenants/acme", &headers, &json!({"name": name}).to_string()).await
    };
    let renamed = rename(&tag, "One").await;
    renamed.expect(200);
    let newer = renamed.header("etag").to_owned();
    assert_ne!(newer, tag);
    assert_eq!(world.get("/v1/tenants/acme").await.header("etag"), newer);
    let before = world.revision().await;
    let stale = rename(&tag, "Two").await;
    let revision = stale.refused(412, "precondition-failed")["revision"].to_string();
    assert!(newer.starts_with(&format!("\"{revision}-")), "{newer}");
    rename(&format!("W/{newer}"), "Two").await.refused(412, "precondition-failed");
    rename("42", "Two").await.refused(400, "bad-if-match");
    assert_eq!(world.revision().await, before);
    rename(&format!("\"0\", {newer}"), "Two").await.expect(200);
    let now = world.get("/v1/tenants/acme").await.expect(200)["revision"].clone();
    rename(&format!("\"{now}\""), "Two and a half").await.expect(200);
    rename("*", "Three").await.expect(200);
}

#[tokio::test]
async fn a_new_configuration_counts_from_the_next_call() {
    let world = World::new().await;
    world.post("/v1/tenants", json!({"slug": "beta", "name": "Beta", "plan": "growth"})).await.expect(201);
    world.clock.advance(Duration::from_secs(15 * 86_400));
    assert_eq!(world.get("/v1/tenants/beta").await.expect(200)["effective"]["served"], true);
    let mut config = (**world.config.load()).clone();
    config.tenancy.suspend_expired_trials = true;
    config.admin.max_body = 10;
    world.config.store(config.into());
    let beta = world.get("/v1/tenants/beta").await.expect(200).clone();
    assert_eq!((&beta["status"], &beta["effective"]["status"]), (&json!("trial"), &json!("suspended")));
    world.post("/v1/tenants", json!({"slug": "c", "name": "C"})).await.refused(413, "body-too-large");
}

#[tokio::test]
async fn of_many_who_want_a_slug_at_once_one_gets_it() {
    let world = World::new().await;
    let before = world.revision().await;
    let new = json!({"slug": "acme", "name": "Acme"});
    let replies = futures_util::future::join_all((0..20).map(|_| world.post("/v1/tenants", new.clone()))).await;
    let created = replies.iter().filter(|reply| reply.status.as_u16() == 201).count();
    let refused = replies.iter().filter(|reply| reply.json["code"] == "slug-taken").count();
    assert_eq!((created, refused), (1, 19));
    assert_eq!(world.revision().await, before + 1);
}
