//! What somebody may do who is signed in, and picking one of their tenancies.

use serde_json::json;
use tenantry::model::Role;

use super::{PASSWORD, member, person};
use crate::support::client::get_with;
use crate::support::visitor::Visitor;
use crate::support::world::{BASE, World};

const SETTINGS: &str = "[tenancy]\nsession_cookie = \"sid\"\noperator = \"house\"\n";

async fn world() -> World {
    let world = World::builder().settings(SETTINGS).start().await;
    for slug in ["acme", "beta", "house"] {
        world.tenant(slug, "growth").await;
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn members_may_do_what_their_role_says_where_they_are_members() {
    let world = world().await;
    let ada = person(&world, "ada@example.com").await;
    member(&world, ada.id, "acme", Some(Role::Admin)).await;
    member(&world, ada.id, "beta", Some(Role::Guest)).await;
    let mut visitor = Visitor::signed_in(&world, "ada@example.com", PASSWORD).await;
    assert_eq!(visitor.get("/v1/tenants/acme").await.status, 200);
    assert_eq!(visitor.post("/v1/tenants/acme/domains", json!({ "domain": "shop.example" })).await.status, 201);
    assert_eq!(visitor.get("/v1/tenants/beta").await.code(), "insufficient-scope");
    // What is not theirs is not there, whether it is or not.
    for slug in ["house", "nobodys"] {
        let said = visitor.get(&format!("/v1/tenants/{slug}")).await;
        assert_eq!((said.status.as_u16(), said.code()), (404, "tenant-not-found"), "{slug}");
    }
    assert_eq!(visitor.post("/v1/tenants", json!({ "slug": "mine", "name": "Mine" })).await.status, 403);
    assert_eq!(visitor.get("/v1/people").await.status, 403);
    // Beside the tenants it is the tenancy that was picked.
    assert_eq!(visitor.get("/v1/domains").await.status, 403);
    assert_eq!(visitor.post("/v1/session/tenancy", json!({ "tenant": "acme" })).await.status, 200);
    let said = visitor.get("/v1/domains").await;
    assert_eq!(said.json["items"][0]["domain"], "shop.example", "{said:?}");
    let said = visitor.get("/v1/session").await;
    assert!(said.json["scopes"].as_array().unwrap().contains(&json!("domains:manage")), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_of_the_operators_tenant_are_operators() {
    let world = world().await;
    let (ada, eve) = (person(&world, "ada@example.com").await, person(&world, "eve@example.com").await);
    member(&world, ada.id, "house", Some(Role::Owner)).await;
    member(&world, eve.id, "house", Some(Role::Member)).await;
    let mut operator = Visitor::signed_in(&world, "ada@example.com", PASSWORD).await;
    assert_eq!(operator.get("/v1/session").await.json["operator"], true);
    assert_eq!(operator.get("/v1/tenants/acme").await.status, 200);
    assert_eq!(operator.get("/v1/people").await.json["items"].as_array().unwrap().len(), 2);
    let made = operator.post("/v1/tenants", json!({ "slug": "new", "name": "New" })).await;
    assert_eq!(made.status, 201, "{made:?}");
    let ledger = operator.get("/v1/audit?tenant=new").await;
    assert_eq!(ledger.json["items"][0]["actor"], format!("person:{}", ada.id), "{ledger:?}");
    let mut colleague = Visitor::signed_in(&world, "eve@example.com", PASSWORD).await;
    assert_eq!(colleague.get("/v1/session").await.json["operator"], false);
    assert_eq!(colleague.get("/v1/people").await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenancy_is_picked_by_its_members_for_as_long_as_they_are() {
    let world = world().await;
    let ada = person(&world, "ada@example.com").await;
    member(&world, ada.id, "acme", Some(Role::Member)).await;
    member(&world, ada.id, "beta", Some(Role::Owner)).await;
    let mut visitor = Visitor::signed_in(&world, "ada@example.com", PASSWORD).await;
    let listed = visitor.get("/v1/session/tenancies").await.json["items"].clone();
    let facts: Vec<_> = listed.as_array().unwrap().iter().map(|item| (&item["slug"], &item["role"])).collect();
    assert_eq!(facts, [(&json!("acme"), &json!("member")), (&json!("beta"), &json!("owner"))]);
    let first = visitor.get("/v1/session/tenancies?limit=1").await.json;
    let path = format!("/v1/session/tenancies?limit=1&cursor={}", first["next_cursor"].as_str().unwrap());
    let last = visitor.get(&path).await.json;
    assert_eq!((&first["items"][0], &last["items"][0]), (&listed[0], &listed[1]));
    assert_eq!(last["next_cursor"], json!(null));
    for slug in ["house", "nobodys"] {
        let said = visitor.post("/v1/session/tenancy", json!({ "tenant": slug })).await;
        assert_eq!((said.status.as_u16(), said.code()), (404, "tenant-not-found"), "{slug}");
    }
    let said = visitor.post("/v1/session/tenancy", json!({ "tenant": "acme" })).await;
    assert_eq!((said.status.as_u16(), &said.json["set"]), (200, &json!(true)), "{said:?}");
    let line = said.set_cookie("sid").unwrap();
    for part in [&format!("Domain={BASE}"), "Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
        assert!(line.contains(part), "{line}");
    }
    let cookie = format!("sid={}", said.json["value"].as_str().unwrap());
    assert_eq!(visitor.jar["sid"], said.json["value"].as_str().unwrap());
    let tenant = async |cookie: &str| {
        get_with(&world, BASE, "/", &[("cookie", cookie)]).await;
        let seen = world.backend.take().remove(0);
        seen.header("x-tenant-slug").map(str::to_owned)
    };
    assert_eq!(tenant(&cookie).await.as_deref(), Some("acme"));
    // Another one: both go on, each browser shows what it brings.
    let said = visitor.post("/v1/session/tenancy", json!({ "tenant": "beta" })).await;
    let other = format!("sid={}", said.json["value"].as_str().unwrap());
    assert_eq!(tenant(&other).await.as_deref(), Some("beta"));
    assert_eq!(tenant(&cookie).await.as_deref(), Some("acme"));
    member(&world, ada.id, "acme", None).await;
    assert_eq!(tenant(&cookie).await, None);
    assert_eq!(tenant(&other).await.as_deref(), Some("beta"));
    assert_eq!(visitor.post("/v1/session/tenancy", json!({ "tenant": "acme" })).await.status, 404);
    // From a host that is no part of the main site it is in the answer alone.
    visitor.host = "127.0.0.1:9900".into();
    let said = visitor.post("/v1/session/tenancy", json!({ "tenant": "beta" })).await;
    assert_eq!((&said.json["set"], said.set_cookie("sid")), (&json!(false), None), "{said:?}");
}
