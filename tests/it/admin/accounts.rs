//! Whose an account is: what somebody can do with one that they made for another's address, and how it gets its owner.

use std::time::Duration;

use serde_json::{Value, json};
use tenantry::clock::Timestamp;
use tenantry::jobs;
use tenantry::tenancy::hash_token;

use super::members::{member, sign_in, tenant};
use super::world::{Reply, World};

const PASSWORD: &str = "tram velvet osprey";

async fn world() -> World {
    let world = World::new().await;
    world.tenancy_lines("operator = \"house\"");
    for slug in ["house", "acme", "beta"] {
        tenant(&world, slug, "professional").await;
    }
    member(&world, "acme", "owner@example.com", "owner").await;
    world
}

/// As somebody who is not signed in.
async fn public(world: &World, path: &str, body: Value) -> Reply {
    let headers = [("authorization", "-"), ("content-type", "application/json")];
    world.raw("POST", path, &headers, &body.to_string()).await
}

async fn join(world: &World, token: &Value) -> Reply {
    public(world, "/v1/invitations/join", json!({"token": token, "name": "New", "password": PASSWORD})).await
}

async fn password(world: &World, email: &str, password: &str) -> u16 {
    public(world, "/v1/session", json!({"email": email, "password": password})).await.status.as_u16()
}

async fn invited(world: &World, tenant: &str, email: &str, role: &str) -> Value {
    let body = json!({"email": email, "role": role});
    world.post(&format!("/v1/tenants/{tenant}/invitations"), body).await.expect(201)["token"].clone()
}

#[tokio::test]
async fn an_account_made_for_another_s_address_leads_nowhere() {
    let world = world().await;
    // The inviter has the token in hands, and uses it.
    let token = invited(&world, "acme", "victim@example.com", "member").await;
    join(&world, &token).await.expect(200);
    let at = "/v1/people/victim@example.com";
    let person = world.get(at).await.expect(200).clone();
    assert_eq!(person["verified"], false);
    let thief = sign_in(&world, person["id"].as_str().unwrap()).await;
    let new = json!({"email": "victim@example.com", "role": "owner"});
    world.post("/v1/tenants/beta/members", new.clone()).await.refused(409, "unverified");
    thief.call(&world, "GET", "/v1/tenants/beta", json!(null)).await.refused(404, "tenant-not-found");
    // By the token that beta made, whoever has it: not by joining.
    let token = invited(&world, "beta", "victim@example.com", "owner").await;
    join(&world, &token).await.refused(409, "sign-in-to-accept");
    // Its owner gets it from an operator, and what the other knew is worth nothing.
    let made = thief.call(&world, "GET", "/v1/session", json!(null)).await;
    made.expect(200);
    let issued = world.post(&format!("{at}/password-token"), json!(null)).await.expect(200).clone();
    let new_password = json!({"token": issued["token"], "password": "another fine sentence"});
    assert_eq!(public(&world, "/v1/password-tokens/redeem", new_password).await.expect(200)["sessions"], 1);
    thief.call(&world, "GET", "/v1/session", json!(null)).await.refused(401, "unauthorized");
    assert_eq!(password(&world, "victim@example.com", PASSWORD).await, 401);
    assert_eq!(password(&world, "victim@example.com", "another fine sentence").await, 201);
    assert_eq!(world.get(at).await.expect(200)["verified"], true);
    world.post("/v1/tenants/beta/members", new).await.expect(201);
    // Probing for accounts is in the tenant's ledger.
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        let said = world.get("/v1/audit?tenant=beta").await;
        if said.text.contains("sign-in-to-accept") {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{}", said.text);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn operators_say_that_an_address_is_somebody_s() {
    let world = world().await;
    let token = invited(&world, "acme", "bob@example.com", "member").await;
    join(&world, &token).await.expect(200);
    world.call("PATCH", "/v1/people/bob@example.com", json!({"verified": true})).await.expect(200);
    world.post("/v1/tenants/beta/members", json!({"email": "bob@example.com", "role": "guest"})).await.expect(201);
    assert_eq!(password(&world, "bob@example.com", PASSWORD).await, 201);
}

#[tokio::test]
async fn whom_an_operator_made_gets_a_password_by_a_token_that_counts_once_for_an_hour() {
    let world = world().await;
    let person = json!({"email": "ada@example.com", "name": "Ada"});
    assert_eq!(world.post("/v1/people", person).await.expect(201)["verified"], true);
    let at = "/v1/people/ada@example.com/password-token";
    let redeem = async |token: &Value, password: &str| {
        public(&world, "/v1/password-tokens/redeem", json!({"token": token, "password": password})).await
    };
    let first = world.post(at, json!(null)).await.expect(200)["token"].clone();
    let second = world.post(at, json!(null)).await.expect(200)["token"].clone();
    redeem(&first, PASSWORD).await.refused(404, "password-token-not-found");
    redeem(&second, "short").await.refused(422, "invalid");
    world.clock.advance(Duration::from_secs(3600));
    redeem(&second, PASSWORD).await.refused(404, "password-token-not-found");
    let hash = hash_token(second.as_str().unwrap());
    let kept = async || world.store.password_token(&hash, Timestamp(0)).await.unwrap().is_some();
    assert!(kept().await);
    jobs::tidy(&world.store, &world.clock).await.unwrap();
    assert!(!kept().await, "its time is over");
    let third = world.post(at, json!(null)).await.expect(200)["token"].clone();
    redeem(&third, PASSWORD).await.expect(200);
    redeem(&third, PASSWORD).await.refused(404, "password-token-not-found");
    assert_eq!(password(&world, "ada@example.com", PASSWORD).await, 201);
    let ledger = serde_json::to_string(&world.ledger().await).unwrap();
    assert!(ledger.contains("person.password-token") && !ledger.contains(third.as_str().unwrap()));
    world.call("PATCH", "/v1/people/ada@example.com", json!({"disabled": true})).await.expect(200);
    world.post(at, json!(null)).await.refused(409, "person-disabled");
}

#[tokio::test]
async fn operators_are_for_those_of_their_own_rank() {
    let world = world().await;
    let chief = member(&world, "house", "chief@example.com", "owner").await;
    let boss = member(&world, "house", "boss@example.com", "admin").await;
    let few = json!({"name": "few", "scopes": ["people:manage"]});
    let few = world.post("/v1/tokens", few).await.expect(201)["token"].as_str().unwrap().to_owned();
    let few = format!("Bearer {few}");
    let at = format!("/v1/people/{}", chief.person);
    let (off, token, sessions) = (json!({"disabled": true}), format!("{at}/password-token"), format!("{at}/sessions"));
    for (method, path, body) in [("PATCH", &at, off), ("POST", &token, json!(null)), ("DELETE", &sessions, json!(null))]
    {
        boss.call(&world, method, path, body.clone()).await.refused(403, "outranked");
        let headers = [("authorization", few.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        world.raw(method, path, &headers, &body).await.refused(403, "insufficient-scope");
    }
    // Nobody is given to somebody who may do less than they.
    let headers = [("authorization", few.as_str())];
    let owner = "/v1/people/owner@example.com/password-token";
    world.raw("POST", owner, &headers, "").await.refused(403, "insufficient-scope");
    world.call("PATCH", &at, json!({"disabled": true})).await.refused(409, "last-owner");
    chief.call(&world, "PATCH", &format!("/v1/people/{}", boss.person), json!({"disabled": true})).await.expect(200);
}

#[tokio::test]
async fn a_disabled_owner_is_none() {
    let world = world().await;
    member(&world, "acme", "second@example.com", "owner").await;
    let off = json!({"disabled": true});
    world.call("PATCH", "/v1/people/owner@example.com", off.clone()).await.expect(200);
    world.call("DELETE", "/v1/tenants/acme/members/second@example.com", json!(null)).await.refused(409, "last-owner");
    world.call("PATCH", "/v1/people/second@example.com", off.clone()).await.refused(409, "last-owner");
    world.call("PATCH", "/v1/people/owner@example.com", json!({"disabled": false})).await.expect(200);
    world.call("PATCH", "/v1/people/second@example.com", off).await.expect(200);
}

#[tokio::test]
async fn an_invitation_is_worth_what_its_sender_may_do() {
    let world = world().await;
    let admin = member(&world, "acme", "admin@example.com", "admin").await;
    let invite = async |email: &str| {
        let body = json!({"email": email, "role": "admin"});
        admin.call(&world, "POST", "/v1/tenants/acme/invitations", body).await.expect(201).clone()
    };
    let (first, second) = (invite("a@example.com").await, invite("b@example.com").await);
    world.call("PATCH", "/v1/tenants/acme/members/admin@example.com", json!({"role": "member"})).await.expect(200);
    join(&world, &first["token"]).await.refused(404, "invitation-not-found");
    // Somebody else may stand for it.
    let at = format!("/v1/tenants/acme/invitations/{}/resend", second["id"].as_str().unwrap());
    let again = world.post(&at, json!(null)).await.expect(200).clone();
    assert_eq!(again["inviter"], "operator:test");
    join(&world, &again["token"]).await.expect(200);
    // A token's go with the token.
    let made = world.post("/v1/tokens", json!({"name": "ops"})).await.expect(201).clone();
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = r#"{"email":"c@example.com","role":"owner"}"#;
    let sent = world.raw("POST", "/v1/tenants/acme/invitations", &headers, body).await.expect(201).clone();
    world.call("DELETE", "/v1/tokens/ops", json!(null)).await.expect(204);
    join(&world, &sent["token"]).await.refused(404, "invitation-not-found");
}
