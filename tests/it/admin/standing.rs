//! Who may make whom what, tried from every side by somebody who would like to be more than they are.

use serde_json::{Value, json};

use super::members::{Visitor, member, sign_in, tenant};
use super::world::{Reply, World};

/// An installation whose operators are the members of `house`, and a tenant `acme` with an owner.
async fn world() -> World {
    let world = World::new().await;
    world.tenancy_lines("operator = \"house\"");
    for slug in ["house", "acme"] {
        tenant(&world, slug, "professional").await;
    }
    member(&world, "acme", "owner@example.com", "owner").await;
    world
}

/// Makes a token at `path`, and answers with what to present.
async fn token(world: &World, path: &str, name: &str, scopes: Value) -> String {
    let mut new = json!({"name": name});
    if !scopes.is_null() {
        new["scopes"] = scopes;
    }
    bearer(world.post(path, new).await.expect(201))
}

fn bearer(made: &Value) -> String {
    format!("Bearer {}", made["token"].as_str().unwrap())
}

async fn with(world: &World, bearer: &str, method: &str, path: &str, body: Value) -> Reply {
    let headers = [("authorization", bearer), ("content-type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    world.raw(method, path, &headers, &body).await
}

/// Every scope that can be held within a tenant.
async fn within(world: &World) -> Value {
    let all = world.get("/v1/scopes").await.expect(200)["items"].as_array().unwrap().clone();
    all.iter().filter(|scope| scope["within_a_tenant"] == true).map(|scope| scope["scope"].clone()).collect()
}

#[tokio::test]
async fn nobody_becomes_an_operator_by_who_is_none() {
    let world = world().await;
    let scopes = within(&world).await;
    let support = token(&world, "/v1/tokens", "support", scopes).await;
    let own = token(&world, "/v1/tenants/house/tokens", "own", json!(null)).await;
    for role in ["admin", "owner"] {
        let asked = json!({"email": "eve@example.com", "role": role});
        let at = "/v1/tenants/house/invitations";
        with(&world, &support, "POST", at, asked.clone()).await.refused(403, "insufficient-scope");
        with(&world, &own, "POST", at, asked.clone()).await.refused(403, "outranked");
        let at = "/v1/tenants/house/members";
        with(&world, &own, "POST", at, asked).await.refused(403, "insufficient-scope");
    }
    // What one is there one is everywhere: a token that reaches no further makes nobody anything.
    let asked = json!({"email": "eve@example.com", "role": "moderator"});
    with(&world, &own, "POST", "/v1/tenants/house/invitations", asked.clone()).await.refused(403, "outranked");
    with(&world, &support, "POST", "/v1/tenants/house/invitations", asked).await.expect(201);
    let boss = member(&world, "house", "boss@example.com", "admin").await;
    let at = "/v1/tenants/house/members/boss@example.com";
    with(&world, &support, "PATCH", at, json!({"role": "guest"})).await.refused(403, "insufficient-scope");
    with(&world, &support, "DELETE", at, json!(null)).await.refused(403, "insufficient-scope");
    world.call("DELETE", at, json!(null)).await.expect(200);
    let restore = format!("{at}/restore");
    with(&world, &support, "POST", &restore, json!(null)).await.refused(403, "insufficient-scope");
    world.post(&restore, json!(null)).await.expect(200);
    let how = json!({"reason": "to be more", "minutes": 5});
    world.post("/v1/tenants/house/impersonate", how).await.refused(409, "operator-tenant");
    // Elsewhere an operator's token is above every role, and an operator makes operators.
    let asked = json!({"email": "eve@example.com", "role": "owner"});
    with(&world, &support, "POST", "/v1/tenants/acme/invitations", asked).await.expect(201);
    let boss = sign_in(&world, &boss.person).await;
    let asked = json!({"email": "deputy@example.com", "role": "admin"});
    boss.call(&world, "POST", "/v1/tenants/house/invitations", asked).await.expect(201);
    let asked = json!({"email": "chief@example.com", "role": "owner"});
    boss.call(&world, "POST", "/v1/tenants/house/invitations", asked).await.refused(403, "outranked");
}

#[tokio::test]
async fn nobody_vouches_for_a_domain_by_a_table() {
    let world = world().await;
    let few = token(&world, "/v1/tokens", "domains", json!(["domains:manage", "domains:read"])).await;
    let headers = [("authorization", few.as_str()), ("content-type", "text/csv")];
    let vouched = "domain,tenant,verified\nshop.example,acme,true\n";
    for path in ["/v1/imports/domains", "/v1/imports/domains?dry_run=true"] {
        world.raw("POST", path, &headers, vouched).await.refused(403, "insufficient-scope");
    }
    let claimed = "domain,tenant,verified\nshop.example,acme,false\n";
    world.raw("POST", "/v1/imports/domains", &headers, claimed).await.expect(200);
}

#[tokio::test]
async fn what_is_not_theirs_is_not_named_to_them() {
    let world = world().await;
    tenant(&world, "beta", "growth").await;
    let eve = member(&world, "beta", "eve@example.com", "member").await;
    let id = world.get("/v1/tenants/acme").await.expect(200)["id"].as_str().unwrap().to_owned();
    let said = eve.call(&world, "PUT", "/v1/session/default-tenancy", json!({"tenant": id})).await;
    said.refused(404, "tenant-not-found");
    assert!(said.text.contains(&id) && !said.text.contains("acme"), "{}", said.text);
}

#[tokio::test]
async fn a_forged_call_is_in_the_ledger() {
    let world = world().await;
    let owner = sign_in(&world, &person(&world, "owner@example.com").await).await;
    owner.forged(&world, "PATCH", "/v1/tenants/acme", json!({"name": "x"})).await.refused(403, "csrf");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let lines = world.ledger().await;
        if lines.iter().any(|line| line["action"] == "access.refused" && line["detail"]["code"] == "csrf") {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{lines:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn person(world: &World, email: &str) -> String {
    world.get(&format!("/v1/people/{email}")).await.expect(200)["id"].as_str().unwrap().to_owned()
}

impl Visitor {
    /// As another site would have their browser call.
    async fn forged(&self, world: &World, method: &str, path: &str, body: Value) -> Reply {
        let cookie = self.cookie();
        let headers = [("authorization", "-"), ("cookie", cookie.as_str()), ("content-type", "application/json")];
        world.raw(method, path, &headers, &body.to_string()).await
    }
}
