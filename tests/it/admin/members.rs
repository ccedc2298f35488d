//! Members through the API: who may make whom what, and how a membership ends.

use std::time::Duration;

use serde_json::{Value, json};
use tenantry::tenancy::{Origin, csrf_token};

use super::world::{Reply, World};

const DAY: Duration = Duration::from_secs(86_400);

/// Somebody who is signed in.
pub struct Visitor {
    pub person: String,
    secret: String,
}

impl Visitor {
    pub fn cookie(&self) -> String {
        format!("__Host-tenantry={}", self.secret)
    }

    pub async fn call(&self, world: &World, method: &str, path: &str, body: Value) -> Reply {
        let cookie = self.cookie();
        let csrf = csrf_token(&self.secret);
        let headers = [
            ("authorization", "-"),
            ("cookie", cookie.as_str()),
            ("x-csrf-token", csrf.as_str()),
            ("content-type", "application/json"),
        ];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        world.raw(method, path, &headers, &body).await
    }
}

/// Makes somebody a member of a tenant, and signs them in.
pub async fn member(world: &World, tenant: &str, email: &str, role: &str) -> Visitor {
    let new = json!({"email": email, "name": email.split('@').next(), "role": role});
    let person = world.post(&format!("/v1/tenants/{tenant}/members"), new).await.expect(201)["person"].clone();
    sign_in(world, person.as_str().unwrap()).await
}

pub async fn sign_in(world: &World, person: &str) -> Visitor {
    let id = tenantry::model::PersonId::parse(person).unwrap();
    let origin = Origin { method: "password".into(), ..Origin::default() };
    let done = world.tenancy().begin_session(id, &origin, None, None).await.unwrap();
    Visitor { person: person.to_owned(), secret: done.value.secret.to_string() }
}

pub async fn tenant(world: &World, slug: &str, plan: &str) {
    world.post("/v1/tenants", json!({"slug": slug, "name": slug, "plan": plan, "status": "active"})).await.expect(201);
}

fn emails(listing: &Value) -> Vec<&str> {
    listing["items"].as_array().unwrap().iter().map(|member| member["email"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn members_are_added_listed_changed_removed_and_brought_back() {
    let world = World::new().await;
    tenant(&world, "acme", "growth").await;
    let ada = member(&world, "acme", "Ada@example.com", "owner").await;
    let bob = member(&world, "acme", "bob@example.com", "member").await;
    let again = json!({"email": "bob@example.com", "role": "guest"});
    world.post("/v1/tenants/acme/members", again).await.refused(409, "member-exists");
    let listed = ada.call(&world, "GET", "/v1/tenants/acme/members", json!(null)).await;
    assert_eq!(emails(listed.expect(200)), ["ada@example.com", "bob@example.com"]);
    let named = ada.call(&world, "GET", "/v1/tenants/acme/members?name=BO", json!(null)).await;
    assert_eq!(emails(named.expect(200)), ["bob@example.com"]);
    let first = ada.call(&world, "GET", "/v1/tenants/acme/members?limit=1", json!(null)).await;
    let cursor = first.expect(200)["next_cursor"].as_str().unwrap().to_owned();
    let path = format!("/v1/tenants/acme/members?limit=1&cursor={cursor}");
    assert_eq!(emails(ada.call(&world, "GET", &path, json!(null)).await.expect(200)), ["bob@example.com"]);

    let at = "/v1/tenants/acme/members/bob@example.com";
    let shown = ada.call(&world, "GET", at, json!(null)).await;
    let tag = shown.header("etag").to_owned();
    ada.call(&world, "PATCH", at, json!({"role": "moderator"})).await.expect(200);
    let stale = world.raw("PATCH", at, &[("if-match", &tag), ("content-type", "application/json")], "{}").await;
    stale.refused(412, "precondition-failed");
    assert_eq!(bob.call(&world, "GET", "/v1/tenants/acme/members", json!(null)).await.status, 200);

    let gone = ada.call(&world, "DELETE", at, json!(null)).await;
    assert_eq!(gone.expect(200)["state"], "removed");
    bob.call(&world, "GET", "/v1/tenants/acme", json!(null)).await.refused(404, "tenant-not-found");
    let removed = world.get("/v1/tenants/acme/members?state=removed").await;
    assert_eq!(emails(removed.expect(200)), ["bob@example.com"]);
    ada.call(&world, "PATCH", at, json!({"role": "guest"})).await.refused(409, "not-active");
    let restore = format!("{at}/restore");
    let back = ada.call(&world, "POST", &restore, json!(null)).await;
    assert_eq!((&back.expect(200)["state"], &back.json["role"]), (&json!("active"), &json!("moderator")));
    ada.call(&world, "POST", &restore, json!(null)).await.refused(409, "not-removed");
    bob.call(&world, "GET", "/v1/tenants/acme", json!(null)).await.expect(200);
    let said: Vec<_> = world.ledger().await.iter().map(|line| line["action"].clone()).collect();
    for action in ["member.add", "member.change", "member.remove", "member.restore"] {
        assert!(said.contains(&json!(action)), "{action}: {said:?}");
    }
}

#[tokio::test]
async fn nobody_reaches_above_their_own_rank_and_scopes() {
    let world = World::new().await;
    tenant(&world, "acme", "growth").await;
    member(&world, "acme", "owner@example.com", "owner").await;
    let admin = member(&world, "acme", "admin@example.com", "admin").await;
    let moderator = member(&world, "acme", "moderator@example.com", "moderator").await;
    let at = |who: &str| format!("/v1/tenants/acme/members/{who}@example.com");
    admin.call(&world, "PATCH", &at("owner"), json!({"role": "member"})).await.refused(403, "outranked");
    admin.call(&world, "DELETE", &at("owner"), json!(null)).await.refused(403, "outranked");
    admin.call(&world, "PATCH", &at("admin"), json!({"role": "owner"})).await.refused(403, "outranked");
    let up = json!({"email": "new@example.com", "role": "owner"});
    admin.call(&world, "POST", "/v1/tenants/acme/invitations", up).await.refused(403, "outranked");
    moderator.call(&world, "DELETE", &at("admin"), json!(null)).await.refused(403, "insufficient-scope");
    // Only operators add without asking.
    let new = json!({"email": "new@example.com", "role": "guest"});
    admin.call(&world, "POST", "/v1/tenants/acme/members", new).await.refused(403, "insufficient-scope");
    // A token of an admin that may do little makes nobody who may do more.
    let made = json!({"name": "few", "scopes": ["members:read", "members:manage"]});
    let made = admin.call(&world, "POST", "/v1/tenants/acme/tokens", made).await.expect(201).clone();
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = r#"{"role":"admin"}"#;
    world.raw("PATCH", &at("moderator"), &headers, body).await.refused(403, "insufficient-scope");
    world.raw("DELETE", &at("admin"), &headers, "").await.refused(403, "insufficient-scope");
    admin.call(&world, "PATCH", &at("moderator"), json!({"role": "admin"})).await.expect(200);
}

#[tokio::test]
async fn a_tenant_keeps_its_last_owner_whoever_races() {
    let world = World::new().await;
    tenant(&world, "acme", "growth").await;
    let ada = member(&world, "acme", "ada@example.com", "owner").await;
    let at = |who: &str| format!("/v1/tenants/acme/members/{who}@example.com");
    ada.call(&world, "DELETE", &at("ada"), json!(null)).await.refused(409, "last-owner");
    ada.call(&world, "PATCH", &at("ada"), json!({"role": "admin"})).await.refused(409, "last-owner");
    world.call("DELETE", &at("ada"), json!(null)).await.refused(409, "last-owner");
    let purge = json!({"email": "ada@example.com"});
    ada.call(&world, "POST", &format!("{}/purge", at("ada")), purge).await.refused(409, "last-owner");
    let bob = member(&world, "acme", "bob@example.com", "owner").await;
    for round in 0..10 {
        // Each demotes the other at the same moment.
        let (ada_at, bob_at) = (at("ada"), at("bob"));
        let (one, other) = tokio::join!(
            ada.call(&world, "PATCH", &bob_at, json!({"role": "admin"})),
            bob.call(&world, "PATCH", &ada_at, json!({"role": "admin"})),
        );
        let listed = world.get("/v1/tenants/acme/members?role=owner").await;
        assert_eq!(emails(listed.expect(200)).len(), 1, "round {round}: {} {}", one.text, other.text);
        for who in ["ada", "bob"] {
            world.call("PATCH", &at(who), json!({"role": "owner"})).await.expect(200);
        }
    }
}

#[tokio::test]
async fn what_the_plan_has_no_room_for_is_refused_and_what_is_there_stays() {
    let world = World::new().await;
    tenant(&world, "acme", "free").await;
    for number in 0..50 {
        let new = json!({"email": format!("m{number}@example.com"), "role": "member"});
        world.post("/v1/tenants/acme/members", new).await.expect(201);
    }
    let one_more = json!({"email": "late@example.com", "role": "member"});
    let refused = world.post("/v1/tenants/acme/members", one_more.clone()).await;
    let problem = refused.refused(402, "over-cap");
    assert_eq!((&problem["cap"], &problem["plans"][0]), (&json!(50), &json!("starter")));
    world.post("/v1/tenants/acme/invitations", one_more.clone()).await.refused(402, "over-cap");
    world.call("DELETE", "/v1/tenants/acme/members/m1@example.com", json!(null)).await.expect(200);
    world.post("/v1/tenants/acme/members", one_more).await.expect(201);
    let back = world.post("/v1/tenants/acme/members/m1@example.com/restore", json!(null)).await;
    back.refused(402, "over-cap");
}

#[tokio::test]
async fn a_purge_can_be_called_off_and_then_erases() {
    let world = World::new().await;
    for slug in ["acme", "other"] {
        tenant(&world, slug, "growth").await;
    }
    member(&world, "acme", "ada@example.com", "owner").await;
    let bob = member(&world, "acme", "bob@example.com", "member").await;
    let at = "/v1/tenants/acme/members/bob@example.com";
    let purge = format!("{at}/purge");
    world.post(&purge, json!({"email": "ada@example.com"})).await.refused(422, "invalid");
    world.post(&purge, json!({"email": " Bob@example.com"})).await.expect(200);
    bob.call(&world, "GET", "/v1/tenants/acme", json!(null)).await.refused(404, "tenant-not-found");
    world.post(&format!("{at}/restore"), json!(null)).await.refused(409, "not-removed");
    world.clock.advance(29 * DAY);
    assert_eq!(world.tenancy().forget_members("test").await.unwrap(), 0);
    assert_eq!(world.call("DELETE", &purge, json!(null)).await.expect(200)["state"], "removed");
    world.call("DELETE", &purge, json!(null)).await.refused(409, "not-purging");
    world.post(&format!("{at}/restore"), json!(null)).await.expect(200);

    // Somebody else's member is forgotten here, and stays a person.
    let new = json!({"email": "bob@example.com", "role": "member"});
    world.post("/v1/tenants/other/members", new).await.expect(201);
    let export = world.post(&format!("{at}/export"), json!(null)).await.expect(200).clone();
    assert_eq!(export["person"]["email"], "bob@example.com");
    assert!(export["audit"].as_array().unwrap().iter().any(|line| line["action"] == "member.purge-cancel"));
    world.post(&purge, json!({"email": "bob@example.com"})).await.expect(200);
    world.clock.advance(30 * DAY);
    assert_eq!(world.tenancy().forget_members("test").await.unwrap(), 1);
    world.get(at).await.refused(404, "member-not-found");
    assert_eq!(world.get("/v1/tenants/other/members/bob@example.com").await.expect(200)["name"], "bob");
    let there = "/v1/tenants/other/members/bob@example.com";
    world.post(&format!("{there}/purge"), json!({"email": "bob@example.com"})).await.expect(200);
    world.clock.advance(30 * DAY);
    assert_eq!(world.tenancy().forget_members("test").await.unwrap(), 1);
    let person = world.get(&format!("/v1/people/{}", bob.person)).await.expect(200).clone();
    assert_eq!((&person["name"], &person["disabled"]), (&json!("(erased)"), &json!(true)));
    assert!(!serde_json::to_string(&world.ledger().await).unwrap().contains("bob@example.com"));
}

#[tokio::test]
async fn the_removed_are_forgotten_after_30_days() {
    let world = World::new().await;
    tenant(&world, "acme", "growth").await;
    member(&world, "acme", "bob@example.com", "member").await;
    let at = "/v1/tenants/acme/members/bob@example.com";
    world.call("DELETE", at, json!(null)).await.expect(200);
    world.clock.advance(30 * DAY);
    world.post(&format!("{at}/restore"), json!(null)).await.refused(409, "not-removed");
    assert_eq!(world.tenancy().forget_members("test").await.unwrap(), 1);
    world.get(at).await.refused(404, "member-not-found");
    let again = json!({"email": "bob@example.com", "role": "member"});
    world.post("/v1/tenants/acme/members", again).await.expect(201);
}

#[tokio::test]
async fn the_operators_own_members_belong_everywhere_and_are_seen_by_operators_alone() {
    let world = World::new().await;
    world.tenancy_lines("operator = \"house\"");
    for slug in ["house", "acme"] {
        tenant(&world, slug, "growth").await;
    }
    let owner = member(&world, "acme", "owner@example.com", "owner").await;
    let helper = member(&world, "house", "helper@example.com", "moderator").await;
    let boss = member(&world, "house", "boss@example.com", "admin").await;
    helper.call(&world, "GET", "/v1/tenants/acme/members", json!(null)).await.expect(200);
    helper.call(&world, "PATCH", "/v1/tenants/acme", json!({"name": "x"})).await.refused(403, "insufficient-scope");
    // A tenant that is made later is theirs as well.
    tenant(&world, "newer", "growth").await;
    helper.call(&world, "GET", "/v1/tenants/newer", json!(null)).await.expect(200);
    boss.call(&world, "PATCH", "/v1/tenants/newer", json!({"name": "Newer"})).await.expect(200);
    let own = owner.call(&world, "GET", "/v1/tenants/acme/members", json!(null)).await;
    assert_eq!(emails(own.expect(200)), ["owner@example.com"]);
    let shadow = "/v1/tenants/acme/members?shadow=true";
    owner.call(&world, "GET", shadow, json!(null)).await.refused(403, "insufficient-scope");
    let seen = world.get(shadow).await.expect(200).clone();
    assert_eq!(emails(&seen), ["boss@example.com", "helper@example.com"]);
    assert_eq!(seen["items"][0]["shadow"], true);
    let at = "/v1/tenants/acme/members/helper@example.com";
    owner.call(&world, "DELETE", at, json!(null)).await.refused(404, "member-not-found");
    // Admins of the operator's own tenant make nobody its owner.
    let up = json!({"role": "owner"});
    boss.call(&world, "PATCH", "/v1/tenants/house/members/helper@example.com", up).await.refused(403, "outranked");
    world.call("DELETE", "/v1/tenants/house/members/helper@example.com", json!(null)).await.expect(200);
    helper.call(&world, "GET", "/v1/tenants/acme", json!(null)).await.refused(401, "unauthorized");
    let later = sign_in(&world, &helper.person).await;
    later.call(&world, "GET", "/v1/tenants/acme", json!(null)).await.refused(404, "tenant-not-found");
}

#[tokio::test]
async fn people_belong_to_several_tenants_and_begin_in_one() {
    let world = World::new().await;
    for slug in ["acme", "beta", "gamma"] {
        tenant(&world, slug, "growth").await;
    }
    let ada = member(&world, "acme", "ada@example.com", "owner").await;
    let new = json!({"email": "ada@example.com", "role": "guest"});
    world.post("/v1/tenants/beta/members", new).await.expect(201);
    let at = "/v1/session/default-tenancy";
    ada.call(&world, "PUT", at, json!({"tenant": "gamma"})).await.refused(404, "tenant-not-found");
    ada.call(&world, "PUT", at, json!({"tenant": "beta"})).await.expect(200);
    let again = sign_in(&world, &ada.person).await;
    let listed = again.call(&world, "GET", "/v1/session/tenancies", json!(null)).await.expect(200).clone();
    let told: Vec<_> =
        listed["items"].as_array().unwrap().iter().map(|t| (&t["slug"], &t["role"], &t["default"])).collect();
    let (yes, no) = (json!(true), json!(false));
    assert_eq!(told, [(&json!("acme"), &json!("owner"), &no), (&json!("beta"), &json!("guest"), &yes)]);
    assert_eq!(listed["items"][1]["picked"], true);
    ada.call(&world, "PUT", at, json!({"tenant": null})).await.expect(200);
}
