//! Every kind of bad input: its status, its code, the place that it names, and that nothing was written.

use serde_json::{Value, json};

use super::world::{MAX_BODY, World};

/// Method, path, body; status, code; the place (pointer or parameter) and code of the first fault, if it has one.
type Case = (&'static str, &'static str, Value, u16, &'static str, Option<(&'static str, &'static str)>);

fn creations() -> Vec<Case> {
    let bad = |body: Value, place: &'static str, code: &'static str| -> Case {
        ("POST", "/v1/tenants", body, 422, "invalid", Some((place, code)))
    };
    let long = "x".repeat(121);
    vec![
        bad(json!({}), "/slug", "required"),
        bad(json!({"slug": "a"}), "/name", "required"),
        bad(json!({"slug": 5, "name": "A"}), "/slug", "wrong-type"),
        bad(json!({"slug": "a", "name": "A", "colour": 1}), "/colour", "unknown-field"),
        bad(json!(["a"]), "", "wrong-type"),
        bad(json!({"slug": "", "name": "A"}), "/slug", "invalid-slug"),
        bad(json!({"slug": "Acme", "name": "A"}), "/slug", "invalid-slug"),
        bad(json!({"slug": "a b", "name": "A"}), "/slug", "invalid-slug"),
        bad(json!({"slug": "-a", "name": "A"}), "/slug", "invalid-slug"),
        bad(json!({"slug": "xn--a", "name": "A"}), "/slug", "invalid-slug"),
        bad(json!({"slug": "019371c8-7a1b-7000-8000-000000000000", "name": "A"}), "/slug", "invalid-slug"),
        bad(json!({"slug": "www", "name": "A"}), "/slug", "reserved"),
        bad(json!({"slug": "ops", "name": "A"}), "/slug", "reserved"),
        bad(json!({"slug": "a", "name": ""}), "/name", "required"),
        bad(json!({"slug": "a", "name": " \t "}), "/name", "required"),
        bad(json!({"slug": "a", "name": "a\u{0}b"}), "/name", "control-character"),
        bad(json!({"slug": "a", "name": long}), "/name", "too-long"),
        bad(json!({"slug": "a", "name": "A", "plan": "gold"}), "/plan", "unknown-plan"),
        bad(json!({"slug": "a", "name": "A", "parent": "nobody"}), "/parent", "unknown-tenant"),
        bad(json!({"slug": "a", "name": "A", "status": "suspended"}), "/status", "invalid-status"),
        bad(json!({"slug": "a", "name": "A", "status": "great"}), "/status", "wrong-type"),
        bad(json!({"slug": "a", "name": "A", "trial_days": 0}), "/trial_days", "out-of-range"),
        bad(json!({"slug": "a", "name": "A", "trial_days": -1}), "/trial_days", "wrong-type"),
        bad(json!({"slug": "a", "name": "A", "status": "active", "trial_days": 3}), "/trial_days", "contradiction"),
        ("POST", "/v1/tenants", json!({"slug": "acme", "name": "A"}), 409, "slug-taken", Some(("/slug", "slug-taken"))),
    ]
}

fn changes() -> Vec<Case> {
    let bad = |method, path, body: Value, place, code| (method, path, body, 422, "invalid", Some((place, code)));
    vec![
        bad("PATCH", "/v1/tenants/acme", json!({}), "/name", "required"),
        bad("PATCH", "/v1/tenants/acme", json!({"name": null}), "/name", "wrong-type"),
        bad("PATCH", "/v1/tenants/acme", json!({"name": "A", "slug": "b"}), "/slug", "unknown-field"),
        bad("PUT", "/v1/tenants/acme/plan", json!({}), "/plan", "required"),
        bad("PUT", "/v1/tenants/acme/plan", json!({"plan": "gold"}), "/plan", "unknown-plan"),
        bad("PUT", "/v1/tenants/acme/plan", json!({"plan": null}), "/plan", "required"),
        bad("PUT", "/v1/tenants/acme/features", json!({"on": ["sso", "x"]}), "/on/1", "unknown-feature"),
        bad("PUT", "/v1/tenants/acme/features", json!({"off": [5]}), "/off/0", "wrong-type"),
        bad("PUT", "/v1/tenants/acme/features", json!({"on": ["sso"], "off": ["sso"]}), "/off/0", "contradiction"),
        bad("POST", "/v1/tenants/acme/suspend", json!({"reason": "x".repeat(501)}), "/reason", "too-long"),
        bad("POST", "/v1/tenants/acme/suspend", json!({"reason": "a\u{1b}"}), "/reason", "control-character"),
        bad("POST", "/v1/tenants/acme/suspend", json!({"public": true}), "/public", "contradiction"),
        bad("POST", "/v1/tenants/acme/suspend", json!({"why": "x"}), "/why", "unknown-field"),
        bad("POST", "/v1/tenants/acme/activate", json!({"now": 1}), "/now", "unknown-field"),
        bad("POST", "/v1/tenants/acme/extend-trial", json!({"days": 366}), "/days", "out-of-range"),
        bad("POST", "/v1/tenants/acme/extend-trial", json!({"days": "3"}), "/days", "wrong-type"),
        bad("POST", "/v1/tenants/acme/domains", json!({"domain": "x.connect.localhost"}), "/domain", "reserved"),
        bad("POST", "/v1/tenants/acme/domains", json!({"domain": "www.arythmatic.cloud"}), "/domain", "reserved"),
        bad("POST", "/v1/tenants/acme/domains", json!({"domain": "co.uk"}), "/domain", "public-suffix"),
        bad("POST", "/v1/tenants/acme/domains", json!({"domain": "intranet"}), "/domain", "single-label"),
        bad("POST", "/v1/tenants/acme/domains", json!({"domain": "192.0.2.1"}), "/domain", "invalid-domain"),
        bad("POST", "/v1/tenants/acme/domains", json!({"domain": "a..b"}), "/domain", "invalid-domain"),
        bad("POST", "/v1/tokens", json!({"name": "a b"}), "/name", "invalid-name"),
        bad("POST", "/v1/tokens", json!({"name": "a", "expires": "soon"}), "/expires", "wrong-type"),
        bad("POST", "/v1/tokens", json!({"name": "a", "expires": "2020-01-01T00:00:00Z"}), "/expires", "out-of-range"),
        ("POST", "/v1/tokens", json!({"name": "test"}), 409, "token-exists", Some(("/name", "token-exists"))),
        ("PATCH", "/v1/tenants/nobody", json!({"name": "A"}), 404, "tenant-not-found", None),
        ("POST", "/v1/tenants/nobody/suspend", json!({}), 404, "tenant-not-found", None),
        ("POST", "/v1/tenants/nobody/domains", json!({"domain": "a.example"}), 404, "tenant-not-found", None),
        ("DELETE", "/v1/domains/nobody.example", Value::Null, 404, "domain-not-found", None),
        ("DELETE", "/v1/domains/a%20b", Value::Null, 404, "domain-not-found", None),
        ("DELETE", "/v1/tokens/nobody", Value::Null, 404, "token-not-found", None),
        ("DELETE", "/v1/tokens/test", Value::Null, 409, "last-token", None),
    ]
}

fn readings() -> Vec<Case> {
    let bad = |path, place, code| ("GET", path, Value::Null, 400, "invalid-parameter", Some((place, code)));
    vec![
        bad("/v1/tenants?limit=0", "limit", "out-of-range"),
        bad("/v1/tenants?limit=201", "limit", "out-of-range"),
        bad("/v1/tenants?limit=many", "limit", "out-of-range"),
        bad("/v1/tenants?limit=1&limit=2", "limit", "bad-parameter"),
        bad("/v1/tenants?cursor=x", "cursor", "invalid-cursor"),
        bad("/v1/tenants?cursor=%00", "cursor", "invalid-cursor"),
        bad("/v1/tenants?status=great", "status", "invalid-status"),
        bad("/v1/tenants?page=2", "page", "unknown-parameter"),
        bad("/v1/tenants/acme?verbose=1", "verbose", "unknown-parameter"),
        bad("/v1/audit?cursor=YXVkaXQ6eA", "cursor", "invalid-cursor"),
        bad("/v1/tenants/acme/domains?cursor=ZG9tYWluczogIA", "cursor", "invalid-cursor"),
        ("GET", "/v1/hosts/a%20b", Value::Null, 422, "invalid", None),
        ("GET", "/v1/tenants/%ff", Value::Null, 400, "bad-request", None),
        ("GET", "/v1/tenants/nobody", Value::Null, 404, "tenant-not-found", None),
        ("GET", "/v1/tenants/019371c8-7a1b-7000-8000-000000000000", Value::Null, 404, "tenant-not-found", None),
        ("GET", "/v1/tenants/ACME", Value::Null, 404, "tenant-not-found", None),
        ("GET", "/v1/domains/nobody.example", Value::Null, 404, "domain-not-found", None),
        ("GET", "/v1/audit?tenant=nobody", Value::Null, 404, "tenant-not-found", None),
        ("GET", "/v1/nothing", Value::Null, 404, "not-found", None),
        ("GET", "/v1", Value::Null, 404, "not-found", None),
    ]
}

#[tokio::test]
async fn bad_input_is_named_and_writes_nothing() {
    let world = World::new().await;
    let acme = json!({"slug": "acme", "name": "Acme", "plan": "growth"});
    world.post("/v1/tenants", acme).await.expect(201);
    let before = world.revision().await;
    let ledger = world.ledger().await;
    for (method, path, body, status, code, first) in creations().into_iter().chain(changes()).chain(readings()) {
        let what = format!("{method} {path} {body}");
        let reply = world.call(method, path, body).await;
        let problem = reply.refused(status, code);
        let fault = &problem["errors"][0];
        if let Some((place, code)) = first {
            let named = fault["pointer"].as_str().or(fault["parameter"].as_str());
            assert_eq!((named, fault["code"].as_str()), (Some(place), Some(code)), "{what}: {problem}");
            assert!(fault["detail"].is_string(), "{what}");
        }
        assert_eq!(world.revision().await, before, "{what}");
    }
    assert_eq!(world.ledger().await, ledger);
}

#[tokio::test]
async fn all_faults_are_told_at_once() {
    let world = World::new().await;
    let reply = world.post("/v1/tenants", json!({"slug": "A", "name": "", "plan": "x", "trial_days": 999})).await;
    let errors = reply.refused(422, "invalid")["errors"].as_array().unwrap();
    let places: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    assert_eq!(places, ["/slug", "/name", "/plan", "/trial_days"]);
}

#[tokio::test]
async fn bodies_that_are_no_json_or_too_large_are_refused() {
    let world = World::new().await;
    let before = world.revision().await;
    let json = [("content-type", "application/json")];
    for body in ["", "{", "{\"slug\":\"a\",\"name\":\"A\"} x", "slug=a", "\u{feff}{}"] {
        world.raw("POST", "/v1/tenants", &json, body).await.refused(400, "malformed-json");
    }
    let twice = world.raw("POST", "/v1/tenants", &json, r#"{"slug":"a","slug":"b","name":"A"}"#).await;
    assert_eq!(twice.refused(422, "invalid")["errors"][0]["code"], "duplicate-field");
    let good = r#"{"slug":"a","name":"A"}"#;
    for kind in ["-", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1"] {
        let reply = world.raw("POST", "/v1/tenants", &[("content-type", kind)], good).await;
        reply.refused(415, "unsupported-media-type");
    }
    let large = json!({"slug": "a", "name": "x".repeat(MAX_BODY)}).to_string();
    world.raw("POST", "/v1/tenants", &json, &large).await.refused(413, "body-too-large");
    let deep = format!("{{\"slug\":{}", "[".repeat(2000));
    world.raw("POST", "/v1/tenants", &json, &deep).await.refused(422, "invalid");
    assert_eq!(world.revision().await, before);
    let null = world.raw("POST", "/v1/tenants/nobody/suspend", &json, "null").await;
    null.refused(404, "tenant-not-found");
    let untyped = world.raw("POST", "/v1/tenants/nobody/suspend", &[], "{}").await;
    untyped.refused(415, "unsupported-media-type");
    let merge = [("content-type", "application/merge-patch+json; charset=\"UTF-8\"")];
    world.raw("POST", "/v1/tenants", &merge, good).await.expect(201);
}

#[tokio::test]
async fn nothing_under_v1_answers_without_a_token_that_works() {
    let world = World::new().await;
    let before = world.revision().await;
    let unknown = format!("Bearer arc_live_00000000_{}", "0".repeat(64));
    let basic = format!("Basic {}", world.token);
    let none = world.raw("GET", "/v1/tenants", &[("authorization", "-")], "").await;
    none.refused(401, "unauthorized");
    assert_eq!(none.header("www-authenticate"), "Bearer realm=\"tenantry\"");
    for value in ["Bearer", "Bearer x", "Bearer  ", &unknown, &basic, &world.token] {
        let reply = world.raw("POST", "/v1/tenants", &[("authorization", value)], "{").await;
        reply.refused(401, "unauthorized");
        assert!(reply.header("www-authenticate").contains("invalid_token"), "{value}");
    }
    let lower = format!("bearer {}", world.token);
    world.raw("GET", "/v1/tenants", &[("authorization", &lower)], "").await.expect(200);
    assert_eq!(world.revision().await, before);
}
