//! Roles of a tenant's own, and business units, through the API.

use serde_json::json;

use super::members::{member, tenant};
use super::world::World;

#[tokio::test]
async fn a_role_is_made_given_changed_and_replaced() {
    let world = World::new().await;
    tenant(&world, "acme", "professional").await;
    let ada = member(&world, "acme", "ada@example.com", "owner").await;
    let bob = member(&world, "acme", "bob@example.com", "guest").await;
    let at = "/v1/tenants/acme/roles";
    let new = json!({"name": "auditors", "base": "member", "scopes": ["audit:read", "tenant:read"]});
    ada.call(&world, "POST", at, new.clone()).await.expect(201);
    ada.call(&world, "POST", at, new).await.refused(409, "role-exists");
    for (wrong, code) in [
        (json!({"name": "admin", "scopes": []}), "invalid-name"),
        (json!({"name": "Upper", "scopes": []}), "invalid-name"),
        (json!({"name": "a", "base": "owner", "scopes": []}), "invalid-base"),
        (json!({"name": "a", "scopes": ["tenants:delete"]}), "operators-only"),
        (json!({"name": "a", "scopes": ["nothing:read"]}), "unknown-scope"),
    ] {
        let refused = ada.call(&world, "POST", at, wrong).await;
        assert_eq!(refused.refused(422, "invalid")["errors"][0]["code"], code);
    }
    let listed = bob_listing(&world).await;
    assert_eq!(listed, ["guest", "member", "moderator", "admin", "owner", "auditors"]);

    bob.call(&world, "GET", "/v1/tenants/acme/audit", json!(null)).await.refused(403, "insufficient-scope");
    let them = "/v1/tenants/acme/members/bob@example.com";
    ada.call(&world, "PATCH", them, json!({"role": "auditors"})).await.expect(200);
    bob.call(&world, "GET", "/v1/tenants/acme/audit", json!(null)).await.expect(200);
    ada.call(&world, "PATCH", &format!("{at}/auditors"), json!({"scopes": ["tenant:read"]})).await.expect(200);
    bob.call(&world, "GET", "/v1/tenants/acme/audit", json!(null)).await.refused(403, "insufficient-scope");

    ada.call(&world, "DELETE", &format!("{at}/auditors"), json!(null)).await.refused(409, "role-in-use");
    let itself = format!("{at}/auditors?replacement=auditors");
    ada.call(&world, "DELETE", &itself, json!(null)).await.refused(422, "invalid");
    let gone = ada.call(&world, "DELETE", &format!("{at}/auditors?replacement=moderator"), json!(null)).await;
    assert_eq!(gone.expect(200)["members"], 1);
    assert_eq!(world.get(them).await.expect(200)["role"], "moderator");
    ada.call(&world, "GET", &format!("{at}/auditors"), json!(null)).await.refused(404, "role-not-found");
}

async fn bob_listing(world: &World) -> Vec<String> {
    let listed = world.get("/v1/tenants/acme/roles").await;
    let items = listed.expect(200)["items"].as_array().unwrap();
    items.iter().map(|role| role["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn nobody_gets_more_by_a_role_than_they_hold() {
    let world = World::new().await;
    tenant(&world, "acme", "professional").await;
    member(&world, "acme", "ada@example.com", "owner").await;
    let scopes = json!(["members:read", "members:manage", "roles:manage", "tenant:read"]);
    let new = json!({"name": "people", "base": "moderator", "scopes": scopes});
    world.post("/v1/tenants/acme/roles", new).await.expect(201);
    let high = json!({"name": "high", "base": "admin", "scopes": ["tenant:read"]});
    world.post("/v1/tenants/acme/roles", high).await.expect(201);
    let bob = member(&world, "acme", "bob@example.com", "people").await;
    let at = "/v1/tenants/acme/roles";
    let more = json!({"scopes": ["members:read", "members:manage", "roles:manage", "tenant:read", "domains:manage"]});
    // The role that they have themselves, a new one, and one that stands above them.
    bob.call(&world, "PATCH", &format!("{at}/people"), more.clone()).await.refused(403, "insufficient-scope");
    let new = json!({"name": "x", "scopes": ["domains:manage"]});
    bob.call(&world, "POST", at, new).await.refused(403, "insufficient-scope");
    let new = json!({"name": "x", "base": "admin", "scopes": []});
    bob.call(&world, "POST", at, new).await.refused(403, "outranked");
    bob.call(&world, "PATCH", &format!("{at}/high"), json!({"title": "x"})).await.refused(403, "outranked");
    bob.call(&world, "DELETE", &format!("{at}/high"), json!(null)).await.refused(403, "outranked");
    let up = json!({"role": "high"});
    bob.call(&world, "PATCH", "/v1/tenants/acme/members/bob@example.com", up).await.refused(403, "outranked");
    let up = json!({"role": "moderator"});
    let refused = bob.call(&world, "PATCH", "/v1/tenants/acme/members/bob@example.com", up).await;
    refused.refused(403, "insufficient-scope");
    bob.call(&world, "POST", at, json!({"name": "y", "scopes": ["tenant:read"]})).await.expect(201);
}

#[tokio::test]
async fn without_the_feature_roles_stay_and_count_for_less() {
    let world = World::new().await;
    tenant(&world, "acme", "professional").await;
    let new = json!({"name": "auditors", "base": "member", "scopes": ["audit:read", "tenant:read"]});
    world.post("/v1/tenants/acme/roles", new.clone()).await.expect(201);
    let bob = member(&world, "acme", "bob@example.com", "auditors").await;
    bob.call(&world, "GET", "/v1/tenants/acme/audit", json!(null)).await.expect(200);
    world.call("PUT", "/v1/tenants/acme/features", json!({"off": ["custom_roles"]})).await.expect(200);
    bob.call(&world, "GET", "/v1/tenants/acme/audit", json!(null)).await.refused(403, "insufficient-scope");
    bob.call(&world, "GET", "/v1/tenants/acme", json!(null)).await.expect(200);
    let give = json!({"email": "c@example.com", "role": "auditors"});
    world.post("/v1/tenants/acme/members", give).await.refused(402, "plan-required");
    let other = json!({"name": "other", "scopes": []});
    world.post("/v1/tenants/acme/roles", other).await.refused(402, "plan-required");
    assert_eq!(world.get("/v1/tenants/acme/members/bob@example.com").await.expect(200)["role"], "auditors");
    world.call("PUT", "/v1/tenants/acme/features", json!({})).await.expect(200);
    bob.call(&world, "GET", "/v1/tenants/acme/audit", json!(null)).await.expect(200);
}

#[tokio::test]
async fn units_form_a_tree_that_members_belong_to() {
    let world = World::new().await;
    tenant(&world, "acme", "growth").await;
    let at = "/v1/tenants/acme/units";
    let make = async |name: &str, parent: Option<&str>| {
        let made = world.post(at, json!({"name": name, "parent": parent})).await;
        made.expect(201)["id"].as_str().unwrap().to_owned()
    };
    let top = make("Sales", None).await;
    let north = make("North", Some(&top)).await;
    let far = make("Far north", Some(&north)).await;
    world.post(at, json!({"name": "sales"})).await.refused(409, "unit-exists");
    let lost = world.post(at, json!({"name": "x", "parent": "nowhere"})).await;
    assert_eq!(lost.refused(422, "invalid")["errors"][0]["code"], "unknown-unit");
    let loops = world.call("PATCH", &format!("{at}/{top}"), json!({"parent": far})).await;
    assert_eq!(loops.refused(422, "invalid")["errors"][0]["code"], "loop");
    member(&world, "acme", "ada@example.com", "owner").await;
    let them = "/v1/tenants/acme/members/ada@example.com";
    world.call("PATCH", them, json!({"unit": north})).await.expect(200);
    let of = world.get(&format!("/v1/tenants/acme/members?unit={north}")).await;
    assert_eq!(of.expect(200)["items"].as_array().unwrap().len(), 1);
    world.call("DELETE", &format!("{at}/{north}"), json!(null)).await.refused(409, "unit-in-use");
    let into_itself = world.call("DELETE", &format!("{at}/{north}?to={north}"), json!(null)).await;
    into_itself.refused(422, "invalid");
    let gone = world.call("DELETE", &format!("{at}/{north}?to={top}"), json!(null)).await;
    assert_eq!(gone.expect(200)["members"], 1);
    assert_eq!(world.get(them).await.expect(200)["unit"], json!(top));
    let units = world.get(at).await.expect(200).clone();
    assert_eq!(units["items"][1]["parent"], json!(top), "{units}");
    world.call("PATCH", &format!("{at}/{far}"), json!({"parent": null, "name": "Away"})).await.expect(200);
    world.call("PATCH", them, json!({"unit": null})).await.expect(200);
    world.call("DELETE", &format!("{at}/{top}"), json!(null)).await.expect(200);
    world.call("DELETE", &format!("{at}/{top}"), json!(null)).await.refused(404, "unit-not-found");
    // Another tenant's unit is none.
    tenant(&world, "beta", "growth").await;
    let other = json!({"email": "b@example.com", "role": "guest", "unit": far});
    world.post("/v1/tenants/beta/members", other).await.refused(422, "invalid");
    let path = format!("/v1/tenants/beta/units/{far}");
    world.call("PATCH", &path, json!({"name": "x"})).await.refused(404, "unit-not-found");
}
