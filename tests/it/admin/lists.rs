//! What holds for every list: it has pages, and a cursor belongs to the one list that gave it and tells nothing.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::members::{member, tenant};
use super::world::{Reply, World};

/// Lists that are told in one answer: of the program, or of what a tenant has a bounded number of.
const WHOLE: [&str; 3] = ["/v1/scopes", "/v1/tenants/{tenant}/roles", "/v1/tenants/{tenant}/units"];

#[tokio::test]
async fn every_list_has_pages() {
    let world = World::new().await;
    let openapi = world.raw("GET", "/openapi.json", &[("authorization", "-")], "").await.expect(200).clone();
    let listing = |operation: &Value| {
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        schema["$ref"].as_str().is_some_and(|name| name.contains("/Listing_"))
    };
    let lists: Vec<_> = openapi["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, item)| (path.as_str(), &item["get"]))
        .filter(|(_, operation)| listing(operation))
        .collect();
    assert!(lists.len() > 15, "{}", lists.len());
    let pages = |operation: &Value| {
        let parameters: BTreeSet<_> =
            operation["parameters"].as_array().into_iter().flatten().map(|p| p["name"].as_str().unwrap()).collect();
        parameters.is_superset(&["limit", "cursor"].into())
    };
    let whole: Vec<_> = lists.iter().filter(|(_, operation)| !pages(operation)).map(|(path, _)| *path).collect();
    assert_eq!(whole, WHOLE);
}

/// Two of everything that is listed by what is somebody's own.
async fn house() -> World {
    let world = World::new().await;
    for slug in ["acme", "beta"] {
        tenant(&world, slug, "professional").await;
        for name in ["ada", "eve"] {
            member(&world, slug, &format!("{name}@{slug}.example"), "owner").await;
            let guest = json!({"email": format!("{name}@guests.example"), "role": "guest"});
            world.post(&format!("/v1/tenants/{slug}/invitations"), guest).await.expect(201);
            world.post(&format!("/v1/tenants/{slug}/tokens"), json!({"name": name})).await.expect(201);
        }
    }
    world
}

fn refused(reply: &Reply) {
    let fault = &reply.refused(400, "invalid-parameter")["errors"][0];
    assert_eq!((&fault["parameter"], &fault["code"]), (&json!("cursor"), &json!("invalid-cursor")), "{}", reply.text);
}

#[tokio::test]
async fn a_cursor_leads_on_in_the_list_that_gave_it_and_nowhere_else() {
    let world = house().await;
    for (list, others) in [
        ("/v1/people?", &["/v1/people?email=ada&", "/v1/tenants?", "/v1/tokens?"][..]),
        ("/v1/people?email=ada&", &["/v1/people?", "/v1/people?email=a&"]),
        ("/v1/tenants/acme/members?", &["/v1/tenants/beta/members?", "/v1/tenants/acme/members?name=a&"]),
        ("/v1/tenants/acme/members?role=owner&email=&", &["/v1/tenants/acme/members?role=admin&email=&"]),
        ("/v1/tenants/acme/invitations?", &["/v1/tenants/beta/invitations?", "/v1/tenants/acme/members?"]),
        ("/v1/tenants/acme/tokens?", &["/v1/tenants/beta/tokens?", "/v1/tokens?"]),
        ("/v1/tenants?", &["/v1/tenants?status=active&", "/v1/tenants?sort=-slug&", "/v1/tenants?search=a&"]),
        ("/v1/audit?action=member&", &["/v1/audit?", "/v1/tenants/acme/audit?action=member&"]),
        ("/v1/events?", &["/v1/events?tenant=acme&"]),
    ] {
        let first = world.get(&format!("{list}limit=1")).await.expect(200).clone();
        let cursor = first["next_cursor"].as_str().unwrap_or_else(|| panic!("{list}: {first}"));
        let bytes = URL_SAFE_NO_PAD.decode(cursor).unwrap();
        assert!(!bytes.windows(3).any(|told| [b"ada", b"eve", b"acm"].contains(&told.try_into().unwrap())), "{list}");
        let next = world.get(&format!("{list}cursor={cursor}&limit=2")).await.expect(200).clone();
        assert!(!next["items"].as_array().unwrap().is_empty(), "{list}");
        assert_ne!(next["items"][0], first["items"][0], "{list}");
        for other in others {
            refused(&world.get(&format!("{other}limit=1&cursor={cursor}")).await);
        }
        let altered = format!("{}{}", &cursor[..cursor.len() - 2], if cursor.ends_with("AA") { "BB" } else { "AA" });
        refused(&world.get(&format!("{list}cursor={altered}")).await);
    }
}

#[tokio::test]
async fn a_cursor_is_its_callers_and_parameters_come_in_any_order() {
    let world = house().await;
    let made = world.post("/v1/tokens", json!({"name": "other"})).await.expect(201).clone();
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let first = world.get("/v1/people?email=a&limit=1").await.expect(200).clone();
    let cursor = first["next_cursor"].as_str().unwrap();
    let path = format!("/v1/people?cursor={cursor}&email=%61");
    world.get(&path).await.expect(200);
    refused(&world.raw("GET", &path, &[("authorization", &bearer)], "").await);
}
