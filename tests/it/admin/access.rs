//! Every route, as the description lists them, tried by those who may not use it and with what nobody should send. Nothing
//! here knows a route by name: a new one is covered by being there.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::world::{Reply, World};

/// One operation of the description.
pub(super) struct Operation {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) of: String,
    scope: Option<String>,
    pub(super) takes_body: bool,
}

impl Operation {
    pub(super) fn what(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The path with its parameters filled in.
    pub(super) fn at(&self, tenant: &str, other: &str) -> String {
        let filled = self.path.replace("{tenant}", tenant);
        let mut parts = filled.split('/').map(|part| if part.starts_with('{') { other } else { part });
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |path, part| format!("{path}/{part}"))
    }
}

pub(super) async fn operations(world: &World) -> Vec<Operation> {
    let reply = world.raw("GET", "/openapi.json", &[("authorization", "-")], "").await;
    let description = reply.expect(200);
    let mut operations = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|_| path.starts_with("/v1/")) {
            let needs = &operation["x-needs"];
            assert!(needs["of"].is_string(), "{method} {path} does not say what it needs");
            operations.push(Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                of: needs["of"].as_str().unwrap().to_owned(),
                scope: needs["scope"].as_str().map(str::to_owned),
                takes_body: operation["requestBody"].is_object(),
            });
        }
    }
    assert!(operations.len() > 40);
    operations
}

async fn token(world: &World, path: &str, scopes: Value) -> String {
    static NAMES: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NAMES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let mut new = json!({"name": format!("t{number}")});
    if !scopes.is_null() {
        new["scopes"] = scopes;
    }
    let made = world.post(path, new).await.expect(201).clone();
    format!("Bearer {}", made["token"].as_str().unwrap())
}

async fn try_as(world: &World, bearer: &str, operation: &Operation, tenant: &str) -> Reply {
    let body = if operation.takes_body { "{}" } else { "" };
    let headers = [("authorization", bearer), ("content-type", "application/json")];
    world.raw(&operation.method, &operation.at(tenant, "nothing"), &headers, body).await
}

/// Two tenants that know nothing of each other.
async fn two_tenants() -> World {
    let world = World::new().await;
    world.tenant_with_domains("alpha", &["secret-alpha.example"]).await;
    world.tenant_with_domains("beta", &["shop.beta.example"]).await;
    world
}

#[tokio::test]
async fn without_a_token_nothing_is_answered() {
    let world = two_tenants().await;
    for operation in operations(&world).await.iter().filter(|operation| operation.of != "public") {
        for bearer in ["-", "Bearer nonsense", "Basic b3A6b3A="] {
            let reply = try_as(&world, bearer, operation, "alpha").await;
            assert_eq!(reply.status.as_u16(), 401, "{} with {bearer}", operation.what());
            assert!(!reply.text.contains("alpha.example"), "{}", operation.what());
        }
    }
}

#[tokio::test]
async fn another_tenants_token_finds_nothing_and_cannot_tell_whether_there_is_anything() {
    let world = two_tenants().await;
    let beta = token(&world, "/v1/tenants/beta/tokens", Value::Null).await;
    let alpha_id = world.get("/v1/tenants/alpha").await.expect(200)["id"].as_str().unwrap().to_owned();
    for operation in operations(&world).await {
        let what = operation.what();
        let theirs = try_as(&world, &beta, &operation, "alpha").await;
        assert!(!theirs.text.contains(&alpha_id) && !theirs.text.contains("secret-alpha"), "{what}: {}", theirs.text);
        match operation.of.as_str() {
            "tenant" => {
                theirs.refused(404, "tenant-not-found");
                let nobodys = try_as(&world, &beta, &operation, "alphb").await;
                let (theirs, nobodys) = (theirs.text.replace("alpha", "X"), nobodys.text.replace("alphb", "X"));
                assert_eq!(theirs, nobodys, "{what}");
                let by_id = try_as(&world, &beta, &operation, &alpha_id).await;
                by_id.refused(404, "tenant-not-found");
            }
            "installation" => drop(theirs.refused(403, "insufficient-scope")),
            _ => assert!(theirs.status.as_u16() < 500, "{what}: {}", theirs.text),
        }
    }
    // What is looked for by name is not there either, and naming its owner does not help.
    for path in ["/v1/domains/secret-alpha.example", "/v1/domains/secret-alpha.example/diagnosis"] {
        for query in ["", "?tenant=alpha", "?tenant=beta"] {
            let headers = [("authorization", beta.as_str())];
            let reply = world.raw("GET", &format!("{path}{query}"), &headers, "").await;
            assert_eq!(reply.status.as_u16(), 404, "{path}{query}: {}", reply.text);
        }
    }
    for path in ["/v1/domains", "/v1/events", "/v1/audit", "/v1/certificates", "/v1/orders"] {
        let reply = world.raw("GET", path, &[("authorization", &beta)], "").await;
        reply.expect(200);
        assert!(!reply.text.contains("alpha"), "{path}: {}", reply.text);
    }
    let own = world.raw("GET", "/v1/domains", &[("authorization", &beta)], "").await;
    assert!(own.text.contains("shop.beta.example"));
}

#[tokio::test]
async fn too_few_scopes_are_refused_and_the_refusal_names_the_one() {
    let world = two_tenants().await;
    let (nobody, bare) =
        (token(&world, "/v1/tokens", json!([])).await, token(&world, "/v1/tenants/alpha/tokens", json!([])).await);
    let all: BTreeSet<String> = world.get("/v1/scopes").await.expect(200)["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|scope| scope["scope"].as_str().unwrap().to_owned())
        .collect();
    for operation in operations(&world).await {
        let Some(scope) = &operation.scope else { continue };
        assert!(all.contains(scope), "{}", operation.what());
        for bearer in [&nobody, &bare] {
            let reply = try_as(&world, bearer, &operation, "alpha").await;
            assert_eq!(reply.refused(403, "insufficient-scope")["scopes"], json!([scope]), "{}", operation.what());
            assert!(reply.header("www-authenticate").contains(scope.as_str()), "{}", operation.what());
        }
        // All others do not make up for it.
        let others: Vec<_> = all.iter().filter(|other| *other != scope).collect();
        let others = token(&world, "/v1/tokens", json!(others)).await;
        let reply = try_as(&world, &others, &operation, "alpha").await;
        reply.refused(403, "insufficient-scope");
    }
}

#[tokio::test]
async fn what_nobody_should_send_is_refused_and_never_breaks_anything() {
    let world = two_tenants().await;
    let big = format!("{{\"a\":\"{}\"}}", "x".repeat(super::world::MAX_BODY));
    let deep = format!("{}{}", "[".repeat(2_000), "]".repeat(2_000));
    let bodies = [
        ("{", "application/json"),
        ("{\"no-such-field\":1}", "application/json"),
        ("[]", "application/json"),
        ("\"text\"", "application/json"),
        ("{\"a\":1e999}", "application/json"),
        ("{\"\u{0}\":\"\\u0000\"}", "application/json"),
        (deep.as_str(), "application/json"),
        ("a=b", "application/x-www-form-urlencoded"),
        ("{}", "text/plain"),
        (big.as_str(), "application/json"),
    ];
    for operation in operations(&world).await.iter().filter(|operation| operation.of != "public") {
        let what = operation.what();
        for (body, kind) in bodies.iter().filter(|_| operation.takes_body) {
            let path = operation.at("alpha", "nothing");
            let reply = world.raw(&operation.method, &path, &[("content-type", kind)], body).await;
            let status = reply.status.as_u16();
            let shown = &body[..body.len().min(40)];
            assert!(matches!(status, 400 | 404 | 409 | 413 | 415 | 422), "{what} {shown:?}: {status} {}", reply.text);
            assert_eq!(reply.header("content-type"), "application/problem+json", "{what} {shown:?}");
        }
        for odd in ["%00", "%ff", "..%2f..", "%F0%9F%A6%80", "'%20OR%201=1--", &"a".repeat(2_000)] {
            let reply = world
                .raw(&operation.method, &operation.at(odd, odd), &[("content-type", "application/json")], "{}")
                .await;
            assert!(reply.status.as_u16() < 500, "{what} {odd}: {}", reply.text);
        }
        let query = format!("{}?no-such-parameter=1", operation.at("alpha", "nothing"));
        let reply = world.raw(&operation.method, &query, &[("content-type", "application/json")], "{}").await;
        assert!(matches!(reply.status.as_u16(), 400 | 404), "{what} with a strange query: {}", reply.status);
    }
    world.get("/v1/tenants/alpha").await.expect(200);
}

#[tokio::test]
async fn nobody_hands_out_more_than_they_hold() {
    let world = two_tenants().await;
    let minter = token(&world, "/v1/tokens", json!(["tokens:manage", "domains:read"])).await;
    let as_minter = async |path: &str, body: Value| {
        let headers = [("authorization", minter.as_str()), ("content-type", "application/json")];
        world.raw("POST", path, &headers, &body.to_string()).await
    };
    for path in ["/v1/tokens", "/v1/tenants/alpha/tokens"] {
        let reply = as_minter(path, json!({"name": "more", "scopes": ["domains:manage"]})).await;
        assert_eq!(reply.refused(403, "insufficient-scope")["scopes"], json!(["domains:manage"]));
        as_minter(path, json!({"name": "less", "scopes": ["domains:read"]})).await.expect(201);
        // Left out, it is what its maker holds.
        let same = as_minter(path, json!({"name": "same"})).await.expect(201).clone();
        assert_eq!(same["scopes"], json!(["domains:read", "tokens:manage"]));
    }
    let operators = json!({"name": "op", "scopes": ["tenants:delete"]});
    world.post("/v1/tenants/alpha/tokens", operators).await.refused(422, "invalid");
    world.post("/v1/tokens", json!({"name": "x", "scopes": ["no:such"]})).await.refused(422, "invalid");
    // A tenant neither vouches for its own domains nor lifts its own limits.
    let own = token(&world, "/v1/tenants/alpha/tokens", Value::Null).await;
    let as_own = async |method: &str, path: &str, body: Value| {
        let headers = [("authorization", own.as_str()), ("content-type", "application/json")];
        world.raw(method, path, &headers, &body.to_string()).await
    };
    let vouched = json!({"domain": "bank.example", "verified": true});
    as_own("POST", "/v1/tenants/alpha/domains", vouched).await.refused(403, "insufficient-scope");
    as_own("POST", "/v1/tenants/alpha/domains", json!({"domain": "bank.example"})).await.expect(201);
    let lifted = json!({"limits": {"requests_per_second": "unlimited"}});
    as_own("PATCH", "/v1/tenants/alpha/edge", lifted).await.refused(403, "insufficient-scope");
    as_own("PATCH", "/v1/tenants/alpha/edge", json!({"maintenance": {"enabled": true}})).await.expect(200);
}

#[tokio::test]
async fn an_operator_within_a_tenant_is_named_bounded_and_out_in_time() {
    let world = two_tenants().await;
    let path = "/v1/tenants/alpha/impersonate";
    world.post(path, json!({"reason": " ", "minutes": 61})).await.refused(422, "invalid");
    let made = world.post(path, json!({"reason": "ticket 7", "minutes": 30})).await.expect(201).clone();
    assert_eq!(made["operator"], "operator:test");
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let act = async |method: &str, path: &str, body: &str| world.raw(method, path, &headers, body).await;
    act("PATCH", "/v1/tenants/alpha", "{\"name\":\"Renamed\"}").await.expect(200);
    act("GET", "/v1/tenants/beta", "").await.refused(404, "tenant-not-found");
    act("POST", "/v1/tenants/alpha/tokens", "{\"name\":\"stay\"}").await.refused(403, "insufficient-scope");
    let ledger = world.get("/v1/audit?tenant=alpha").await.expect(200)["items"].clone();
    // What was refused to them is noted by and by.
    let done = |line: &&Value| line["action"] != "access.refused";
    let ledger: Vec<_> = ledger.as_array().unwrap().iter().filter(done).collect();
    assert_eq!((&ledger[0]["action"], &ledger[0]["actor"]), (&json!("tenant.rename"), &json!("operator:test")));
    assert_eq!(ledger[1]["action"], "tenant.impersonate");
    assert_eq!(ledger[1]["detail"]["reason"], "ticket 7");
    world.clock.advance(std::time::Duration::from_secs(30 * 60));
    act("GET", "/v1/tenants/alpha", "").await.refused(401, "unauthorized");
}
