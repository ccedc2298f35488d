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

#[tokio::test]
async fn an_operator_s_token_has_the_rank_of_whoever_made_it() {
    let world = world().await;
    member(&world, "house", "chief@example.com", "owner").await;
    let boss = member(&world, "house", "boss@example.com", "admin").await;
    let made = boss.call(&world, "POST", "/v1/tokens", json!({"name": "boss"})).await;
    let own = bearer(made.expect(201));
    assert_eq!(made.json["made_by"], boss.person);
    with(&world, &own, "GET", "/v1/people", json!(null)).await.expect(200);
    let asked = json!({"email": "eve@example.com", "role": "owner"});
    with(&world, &own, "POST", "/v1/tenants/house/invitations", asked).await.refused(403, "outranked");
    let at = "/v1/tenants/house/members/boss@example.com";
    with(&world, &own, "PATCH", at, json!({"role": "owner"})).await.refused(403, "outranked");
    // Nor by a token that the token makes, nor by ending what is above it.
    let second = bearer(with(&world, &own, "POST", "/v1/tokens", json!({"name": "second"})).await.expect(201));
    with(&world, &second, "PATCH", at, json!({"role": "owner"})).await.refused(403, "outranked");
    with(&world, &own, "DELETE", "/v1/tokens/test", json!(null)).await.refused(403, "outranked");
    // Both fall with the one by whose rights they stand.
    world.call("PATCH", at, json!({"role": "moderator"})).await.expect(200);
    for gone in [&own, &second] {
        with(&world, gone, "GET", "/v1/people", json!(null)).await.refused(401, "unauthorized");
    }
    let listed = world.get("/v1/tokens").await.expect(200)["items"].as_array().unwrap().clone();
    assert!(listed.iter().all(|token| token["made_by"] == Value::Null), "{listed:?}");
}

#[tokio::test]
async fn nobody_ends_a_token_that_does_more_than_they_may() {
    let world = world().await;
    let few = token(&world, "/v1/tokens", "few", json!(["tokens:manage", "tokens:read"])).await;
    with(&world, &few, "DELETE", "/v1/tokens/test", json!(null)).await.refused(403, "insufficient-scope");
    // The last that may do everything stays, whatever others there are.
    world.call("DELETE", "/v1/tokens/test", json!(null)).await.refused(409, "last-token");
    with(&world, &few, "DELETE", "/v1/tokens/few", json!(null)).await.expect(204);
    let few = token(&world, "/v1/tenants/acme/tokens", "few", json!(["tokens:manage"])).await;
    token(&world, "/v1/tenants/acme/tokens", "all", json!(null)).await;
    let at = "/v1/tenants/acme/tokens/all";
    with(&world, &few, "DELETE", at, json!(null)).await.refused(403, "insufficient-scope");
    world.call("DELETE", at, json!(null)).await.expect(204);
}

#[tokio::test]
async fn a_token_ends_with_the_one_that_makes_it_at_the_latest() {
    let world = world().await;
    let new = json!({"name": "short", "expires": "2026-11-21T13:00:00Z"});
    let short = bearer(world.post("/v1/tokens", new).await.expect(201));
    let late = json!({"name": "late", "expires": "2026-11-21T13:00:01Z"});
    with(&world, &short, "POST", "/v1/tokens", late).await.refused(422, "invalid");
    let made = with(&world, &short, "POST", "/v1/tenants/acme/tokens", json!({"name": "open"})).await;
    assert_eq!(made.expect(201)["expires"], "2026-11-21T13:00:00Z");
    let how = json!({"reason": "ticket 7", "minutes": 60});
    world.clock.advance(std::time::Duration::from_secs(1800));
    let made = with(&world, &short, "POST", "/v1/tenants/acme/impersonate", how).await;
    assert_eq!(made.expect(201)["expires"], "2026-11-21T13:00:00Z");
}

#[tokio::test]
async fn what_a_member_made_falls_with_them() {
    let world = world().await;
    let ada = member(&world, "acme", "ada@example.com", "admin").await;
    let at = "/v1/tenants/acme/members/ada@example.com";
    let mint = async |name: &str| {
        let made = ada.call(&world, "POST", "/v1/tenants/acme/tokens", json!({"name": name})).await;
        let first = bearer(made.expect(201));
        let next = json!({"name": format!("{name}-next")});
        let next = bearer(with(&world, &first, "POST", "/v1/tenants/acme/tokens", next).await.expect(201));
        (first, next)
    };
    let use_of = async |token: &str| with(&world, token, "GET", "/v1/tenants/acme", json!(null)).await.status.as_u16();
    // Disabled: for as long as they are.
    let (first, next) = mint("one").await;
    let person = format!("/v1/people/{}", ada.person);
    world.call("PATCH", &person, json!({"disabled": true})).await.expect(200);
    assert_eq!((use_of(&first).await, use_of(&next).await), (401, 401));
    world.call("PATCH", &person, json!({"disabled": false})).await.expect(200);
    assert_eq!((use_of(&first).await, use_of(&next).await), (200, 200));
    // Made less, or removed: for good.
    let changed = world.call("PATCH", at, json!({"role": "moderator"})).await;
    changed.expect(200);
    assert_eq!((use_of(&first).await, use_of(&next).await), (401, 401));
    world.call("PATCH", at, json!({"role": "admin"})).await.expect(200);
    assert_eq!((use_of(&first).await, use_of(&next).await), (401, 401));
    let ada = sign_in(&world, &ada.person).await;
    let made = ada.call(&world, "POST", "/v1/tenants/acme/tokens", json!({"name": "two"})).await;
    let two = bearer(made.expect(201));
    world.call("DELETE", at, json!(null)).await.expect(200);
    world.post(&format!("{at}/restore"), json!(null)).await.expect(200);
    assert_eq!(use_of(&two).await, 401);
    let left = world.get("/v1/tenants/acme/tokens").await;
    assert!(left.expect(200)["items"].as_array().unwrap().is_empty(), "{}", left.text);
}

#[tokio::test]
async fn acting_within_a_tenant_ends_with_what_it_was_begun_from() {
    let world = world().await;
    let boss = member(&world, "house", "boss@example.com", "owner").await;
    let at = "/v1/tenants/acme/impersonate";
    let how = json!({"reason": "ticket 7", "minutes": 30});
    let act = async |token: &str, method: &str, path: &str, body: Value| with(&world, token, method, path, body).await;
    let show = "/v1/tenants/acme";
    // By a session.
    let acting = bearer(boss.call(&world, "POST", at, how.clone()).await.expect(201));
    act(&acting, "GET", show, json!(null)).await.expect(200);
    let lasting = json!({"email": "eve@example.com", "role": "guest"});
    let invite = "/v1/tenants/acme/invitations";
    act(&acting, "POST", invite, lasting).await.refused(403, "insufficient-scope");
    let lasting = json!({"name": "mine", "scopes": []});
    act(&acting, "POST", "/v1/tenants/acme/roles", lasting).await.refused(403, "insufficient-scope");
    boss.call(&world, "DELETE", "/v1/session", json!(null)).await.expect(204);
    act(&acting, "GET", show, json!(null)).await.refused(401, "unauthorized");
    // By a token.
    let ops = token(&world, "/v1/tokens", "ops", json!(null)).await;
    let acting = bearer(act(&ops, "POST", at, how.clone()).await.expect(201));
    act(&acting, "GET", show, json!(null)).await.expect(200);
    world.call("DELETE", "/v1/tokens/ops", json!(null)).await.expect(204);
    act(&acting, "GET", show, json!(null)).await.refused(401, "unauthorized");
    // By whoever does it.
    let acting = bearer(world.post(at, how).await.expect(201));
    act(&acting, "DELETE", "/v1/impersonation", json!(null)).await.expect(204);
    act(&acting, "GET", show, json!(null)).await.refused(401, "unauthorized");
    world.call("DELETE", "/v1/impersonation", json!(null)).await.refused(404, "impersonation-not-found");
}

#[tokio::test]
async fn members_change_by_a_deleted_role_only_for_who_may_change_members() {
    let world = world().await;
    let new = json!({"name": "clerks", "base": "member", "scopes": ["tenant:read"]});
    world.post("/v1/tenants/acme/roles", new).await.expect(201);
    let clerk = member(&world, "acme", "clerk@example.com", "clerks").await;
    let few = json!(["roles:manage", "tenant:read", "members:read"]);
    let few = token(&world, "/v1/tenants/acme/tokens", "few", few).await;
    let at = "/v1/tenants/acme/roles/clerks?replacement=member";
    with(&world, &few, "DELETE", at, json!(null)).await.refused(403, "insufficient-scope");
    world.call("DELETE", at, json!(null)).await.expect(200);
    let lines = world.ledger().await;
    let line = lines.iter().find(|line| line["action"] == "member.change").unwrap();
    assert_eq!((&line["subject"], &line["before"]["role"]), (&json!(clerk.person), &json!("clerks")), "{line}");
    assert_eq!(line["after"]["role"], "member");
}

#[tokio::test]
async fn events_about_members_are_for_those_who_may_see_the_members() {
    let world = world().await;
    let asked = json!({"email": "eve@example.com", "role": "guest"});
    world.post("/v1/tenants/acme/invitations", asked).await.expect(201);
    world.post("/v1/tenants/acme/domains", json!({"domain": "shop.example"})).await.expect(201);
    let kinds = async |scopes: Value, name: &str| {
        let bearer = token(&world, "/v1/tenants/acme/tokens", name, scopes).await;
        let said = with(&world, &bearer, "GET", "/v1/events", json!(null)).await;
        let items = said.expect(200)["items"].as_array().unwrap().clone();
        items.iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let few = kinds(json!(["events:read"]), "few").await;
    assert!(few.contains(&"domain.added".to_owned()), "{few:?}");
    assert!(!few.iter().any(|kind| kind.starts_with("member.") || kind.starts_with("invitation.")), "{few:?}");
    let all = kinds(json!(["events:read", "members:read"]), "all").await;
    assert!(all.contains(&"member.added".to_owned()) && all.contains(&"invitation.created".to_owned()), "{all:?}");
}

#[tokio::test]
async fn what_a_person_is_in_the_tenant_that_is_named_counts() {
    let world = world().await;
    tenant(&world, "beta", "growth").await;
    let ada = member(&world, "acme", "ada@example.com", "guest").await;
    world.post("/v1/tenants/beta/members", json!({"email": "ada@example.com", "role": "admin"})).await.expect(201);
    world.post("/v1/tenants/beta/domains", json!({"domain": "beta.example"})).await.expect(201);
    for path in ["/v1/domains", "/v1/events", "/v1/audit"] {
        ada.call(&world, "GET", path, json!(null)).await.refused(403, "insufficient-scope");
        let named = |slug: &str| format!("{path}?tenant={slug}");
        ada.call(&world, "GET", &named("acme"), json!(null)).await.refused(403, "insufficient-scope");
        ada.call(&world, "GET", &named("house"), json!(null)).await.refused(404, "tenant-not-found");
        let said = ada.call(&world, "GET", &named("beta"), json!(null)).await;
        assert!(said.expect(200)["items"].is_array());
    }
    let brought = |slug: &str| json!({"chain": "x", "key": "y", "tenant": slug});
    let at = "/v1/certificates";
    ada.call(&world, "POST", at, brought("house")).await.refused(404, "tenant-not-found");
    ada.call(&world, "POST", at, brought("acme")).await.refused(403, "insufficient-scope");
    ada.call(&world, "POST", at, brought("beta")).await.refused(422, "invalid");
    ada.call(&world, "POST", at, json!({"chain": "x", "key": "y"})).await.refused(403, "insufficient-scope");
}
