//! Plans through the API and the command line: the catalogue, a tenant's plan, changes that wait, previews.

use serde_json::{Value, json};

use super::cli::{good, json_of, run};
use super::world::{Reply, World};

/// A call with a token of the tenant's own that may do everything there.
async fn within(world: &World, token: &str, method: &str, path: &str, body: Value) -> Reply {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    world.raw(method, path, &headers[..if body.is_empty() { 1 } else { 2 }], &body).await
}

#[tokio::test]
async fn the_catalogue_is_everybodys_and_what_it_tells_of_the_installation_the_operators() {
    let world = World::new().await;
    world.tenant_with_domains("acme", &[]).await;
    world.tenant_with_domains("beta", &[]).await;
    let made = world.post("/v1/tenants/acme/tokens", json!({"name": "own"})).await.expect(201).clone();
    let token = made["token"].as_str().unwrap();
    let plans = world.get("/v1/plans").await.expect(200).clone();
    let names: Vec<_> = plans["plans"].as_array().unwrap().iter().map(|plan| plan["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["free", "starter", "creators", "growth", "professional", "custom"]);
    let growth = &plans["plans"][3];
    assert_eq!((&growth["tenants"], &growth["rank"], &growth["members"]), (&json!(2), &json!(3), &json!(10_000)));
    assert_eq!((&plans["plans"][0]["default"], &plans["plans"][0]["tenants"]), (&json!(true), &json!(0)));
    assert_eq!(plans["plans"][4]["members"], json!(null));
    let theirs = within(&world, token, "GET", "/v1/plans", json!(null)).await;
    assert_eq!(theirs.expect(200)["plans"][3]["features"], growth["features"]);
    assert!(!theirs.text.contains("\"tenants\""), "{}", theirs.text);

    let features = world.get("/v1/features").await.expect(200).clone();
    let export = features.as_array().unwrap().iter().find(|feature| feature["name"] == "csv_export").unwrap();
    assert_eq!((&export["licensed"], &export["title"]), (&json!(true), &json!("CSV export")));
    assert_eq!(export["plans"], json!(["growth", "professional", "custom"]));
    assert_eq!(export["routes"][0]["methods"], json!(["POST"]));
    let theirs = within(&world, token, "GET", "/v1/features", json!(null)).await;
    assert!(theirs.expect(200).is_array() && !theirs.text.contains("routes"), "{}", theirs.text);
    world.sql("UPDATE tenants SET plan = 'gold' WHERE slug = 'beta'").await;
    let missing = world.get("/v1/plans").await.expect(200)["missing"].clone();
    assert_eq!(missing, json!([{"name": "gold", "tenants": 1}]));
}

#[tokio::test]
async fn a_change_waits_is_shown_and_is_dropped() {
    let world = World::new().await;
    world.tenant_with_domains("acme", &["shop.acme.example"]).await;
    let made = world.post("/v1/tenants/acme/tokens", json!({"name": "own"})).await.expect(201).clone();
    let token = made["token"].as_str().unwrap();
    let preview = within(&world, token, "POST", "/v1/tenants/acme/plan/preview", json!({"plan": "free"})).await;
    let preview = preview.expect(200);
    assert_eq!((&preview["direction"], &preview["at_once"]), (&json!("downgrade"), &json!(false)));
    assert_eq!(preview["takes_effect"], "2026-12-01T00:00:00Z");
    let lost = preview["features_lost"].as_array().unwrap();
    let domain = lost.iter().find(|lost| lost["feature"] == "custom_domain").unwrap();
    assert_eq!((&domain["in_use"], &domain["until"]), (&json!({"domains": 1}), &json!("2026-12-31T00:00:00Z")));
    assert_eq!(preview["routes_closed"][0]["feature"], "csv_export");
    let body = json!({"plan": "free"});
    within(&world, token, "PUT", "/v1/tenants/acme/plan", body.clone()).await.refused(403, "insufficient-scope");
    within(&world, token, "DELETE", "/v1/tenants/acme/plan/scheduled", json!(null))
        .await
        .refused(403, "insufficient-scope");

    let reply = world.call("PUT", "/v1/tenants/acme/plan", body).await;
    let waits = json!({"plan": "free", "at": "2026-12-01T00:00:00Z"});
    assert_eq!((&reply.expect(200)["plan"], &reply.json["plan_change"]), (&json!("growth"), &waits));
    let tag = reply.header("etag").to_owned();
    let shown = within(&world, token, "GET", "/v1/tenants/acme/plan", json!(null)).await;
    // Another view of the same revision.
    assert_eq!(shown.header("etag").split_once('-').unwrap().0, tag.split_once('-').unwrap().0);
    let shown = shown.expect(200);
    assert_eq!((&shown["plan"], &shown["from"], &shown["change"]), (&json!("growth"), &json!("own"), &waits));
    assert_eq!(shown["period"], json!({"began": null, "ends": "2026-12-01T00:00:00Z", "from": "calendar"}));
    assert_eq!(shown["caps"][0], json!({"cap": "members", "used": 0, "limit": 10_000}));
    assert_eq!((&shown["over_cap"], &shown["change_waits_for"]), (&json!([]), &json!(null)));

    let stale = [("if-match", "\"1\"")];
    world.raw("DELETE", "/v1/tenants/acme/plan/scheduled", &stale, "").await.refused(412, "precondition-failed");
    let dropped = world.call("DELETE", "/v1/tenants/acme/plan/scheduled", json!(null)).await;
    assert_eq!(dropped.expect(200)["plan_change"], json!(null));
    world.call("DELETE", "/v1/tenants/acme/plan/scheduled", json!(null)).await.refused(404, "no-plan-change");
    let bad = world.call("PUT", "/v1/tenants/acme/plan", json!({"plan": "free", "when": "soon"})).await;
    assert_eq!(bad.refused(422, "invalid")["errors"][0]["pointer"], "/when");
    let slip = world.call("PUT", "/v1/tenants/acme/plan", json!({"plan": "growht"})).await;
    assert!(slip.refused(422, "invalid")["detail"].as_str().unwrap().contains("did you mean growth?"));
    let actions: Vec<_> = world.ledger().await.iter().map(|line| line["action"].clone()).collect();
    let of_plans: Vec<_> = actions.iter().filter(|action| action.as_str().unwrap().contains("plan")).collect();
    assert_eq!(of_plans, ["tenant.plan-unschedule", "tenant.plan-schedule"]);
}

#[tokio::test]
async fn plans_from_a_shell() {
    let world = World::new().await;
    world.tenant_with_domains("acme", &["shop.acme.example"]).await;
    let list = good(&world, &["plan", "list"]).await;
    assert!(list.starts_with("PLAN") && list.contains("free (default)") && list.lines().count() == 7, "{list}");
    let out = good(&world, &["plan", "preview", "acme", "free"]).await;
    for words in ["growth -> free (downgrade)", "2026-12-01T00:00:00Z", "loses custom_domain (1 domains)", "csv_export"]
    {
        assert!(out.contains(words), "{words}: {out}");
    }
    let out = good(&world, &["plan", "set", "acme", "free"]).await;
    assert!(out.contains("free at 2026-12-01T00:00:00Z"), "{out}");
    let out = good(&world, &["plan", "show", "acme"]).await;
    assert!(out.contains("growth (Growth)") && out.contains("free at 2026-12-01") && out.contains("members"), "{out}");
    assert_eq!(json_of(&world, &["plan", "cancel", "acme", "--json"]).await["plan_change"], json!(null));
    let (code, _, err) = run(&world, &["plan", "cancel", "acme"]).await;
    assert!(code == 1 && err.contains("no-plan-change"), "{err}");
    let (code, _, err) = run(&world, &["plan", "set", "acme", "profesional"]).await;
    assert!(code == 1 && err.contains("did you mean professional?"), "{err}");
    let (_, _, err) = run(&world, &["tenant", "features", "acme", "--on", "csv_exprot"]).await;
    assert!(err.contains("did you mean csv_export?"), "{err}");
    let now = json_of(&world, &["plan", "set", "acme", "starter", "--when", "now", "--json"]).await;
    assert_eq!((&now["plan"], &now["plan_change"]), (&json!("starter"), &json!(null)));
    let preview = json_of(&world, &["plan", "preview", "acme", "--features-on", "sso,csv_export", "--json"]).await;
    assert_eq!(preview["features_gained"].as_array().unwrap().len(), 2);
    let features = good(&world, &["feature", "list"]).await;
    assert!(features.starts_with("FEATURE") && features.contains("growth, professional, custom"), "{features}");
}
