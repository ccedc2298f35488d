//! Invitations through the API: a token counts once, for whom it was made, and for no longer than it should.

use std::time::Duration;

use serde_json::{Value, json};

use super::members::{member, sign_in, tenant};
use super::world::{Reply, World};

const DAY: Duration = Duration::from_secs(86_400);
const PASSWORD: &str = "tram velvet osprey";

async fn invite(world: &World, email: &str, role: &str) -> Value {
    let body = json!({"email": email, "role": role, "message": "Welcome!"});
    world.post("/v1/tenants/acme/invitations", body).await.expect(201).clone()
}

/// As somebody who has no account.
async fn join(world: &World, token: &Value) -> Reply {
    let body = json!({"token": token, "name": "New", "password": PASSWORD}).to_string();
    let headers = [("authorization", "-"), ("content-type", "application/json")];
    world.raw("POST", "/v1/invitations/join", &headers, &body).await
}

async fn house() -> World {
    let world = World::new().await;
    tenant(&world, "acme", "professional").await;
    member(&world, "acme", "ada@example.com", "owner").await;
    world
}

#[tokio::test]
async fn somebody_new_joins_once_by_a_token_that_is_shown_once() {
    let world = house().await;
    let invited = invite(&world, "New@example.com", "moderator").await;
    let token = &invited["token"];
    let listed = world.get("/v1/tenants/acme/invitations").await;
    assert_eq!(listed.expect(200)["items"][0]["email"], "new@example.com");
    assert!(!listed.text.contains(token.as_str().unwrap()));
    let again = json!({"email": "new@example.com", "role": "guest"});
    world.post("/v1/tenants/acme/invitations", again).await.refused(409, "invitation-exists");
    let weak = json!({"token": token, "name": "New", "password": "short"}).to_string();
    let headers = [("authorization", "-"), ("content-type", "application/json")];
    world.raw("POST", "/v1/invitations/join", &headers, &weak).await.refused(422, "invalid");
    let joined = join(&world, token).await;
    assert_eq!(joined.expect(200)["member"]["role"], "moderator");
    let person = joined.json["member"]["person"].as_str().unwrap().to_owned();
    join(&world, token).await.refused(404, "invitation-not-found");
    assert!(world.get("/v1/tenants/acme/invitations").await.expect(200)["items"].as_array().unwrap().is_empty());
    let credentials = json!({"email": "new@example.com", "password": PASSWORD}).to_string();
    world.raw("POST", "/v1/session", &headers, &credentials).await.expect(201);
    let visitor = sign_in(&world, &person).await;
    visitor.call(&world, "GET", "/v1/tenants/acme/members", json!(null)).await.expect(200);
    let member_again = json!({"email": "new@example.com", "role": "guest"});
    world.post("/v1/tenants/acme/invitations", member_again).await.refused(409, "member-exists");
    let events = world.get("/v1/events").await.text;
    assert!(events.contains("invitation.created") && !events.contains(token.as_str().unwrap()));
    let ledger = serde_json::to_string(&world.ledger().await).unwrap();
    assert!(ledger.contains("invitation.accept") && !ledger.contains(token.as_str().unwrap()));
}

#[tokio::test]
async fn somebody_known_accepts_when_signed_in_and_nobody_else_does() {
    let world = house().await;
    tenant(&world, "beta", "growth").await;
    let bob = member(&world, "beta", "bob@example.com", "guest").await;
    let eve = member(&world, "beta", "eve@example.com", "guest").await;
    let invited = invite(&world, "bob@example.com", "admin").await;
    let body = json!({"token": invited["token"]});
    let at = "/v1/invitations/accept";
    eve.call(&world, "POST", at, body.clone()).await.refused(404, "invitation-not-found");
    join(&world, &invited["token"]).await.refused(409, "sign-in-to-accept");
    world.post(at, body.clone()).await.refused(404, "no-session");
    bob.call(&world, "POST", at, json!({"token": "0".repeat(64)})).await.refused(404, "invitation-not-found");
    bob.call(&world, "POST", at, body.clone()).await.expect(200);
    bob.call(&world, "POST", at, body).await.refused(404, "invitation-not-found");
    bob.call(&world, "PATCH", "/v1/tenants/acme", json!({"name": "Acme"})).await.expect(200);
}

#[tokio::test]
async fn a_token_ends_by_time_by_resending_and_by_revoking() {
    let world = house().await;
    let first = invite(&world, "a@example.com", "guest").await;
    let at = format!("/v1/tenants/acme/invitations/{}", first["id"].as_str().unwrap());
    let second = world.post(&format!("{at}/resend"), json!(null)).await.expect(200).clone();
    assert_ne!(first["token"], second["token"]);
    join(&world, &first["token"]).await.refused(404, "invitation-not-found");
    world.clock.advance(7 * DAY);
    let late = join(&world, &second["token"]).await;
    late.refused(404, "invitation-not-found");
    assert_eq!(world.get("/v1/tenants/acme/invitations").await.expect(200)["items"][0]["expired"], true);
    let third = world.post(&format!("{at}/resend"), json!(null)).await.expect(200).clone();
    world.call("DELETE", &at, json!(null)).await.expect(204);
    let revoked = join(&world, &third["token"]).await;
    revoked.refused(404, "invitation-not-found");
    world.call("DELETE", &at, json!(null)).await.refused(404, "invitation-not-found");
    // What is wrong, expired or revoked cannot be told apart.
    assert_eq!(late.json["detail"], revoked.json["detail"]);
    assert_eq!(late.json["detail"], join(&world, &json!("nonsense")).await.json["detail"]);
    invite(&world, "b@example.com", "guest").await;
    world.clock.advance(8 * DAY);
    invite(&world, "b@example.com", "member").await;
    world.clock.advance(38 * DAY);
    world.tenancy().forget_members("test").await.unwrap();
    assert!(world.get("/v1/tenants/acme/invitations").await.expect(200)["items"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn of_several_who_accept_at_once_one_is_let_in() {
    let world = house().await;
    for round in 0..5 {
        let invited = invite(&world, &format!("r{round}@example.com"), "member").await;
        let token = &invited["token"];
        let (one, two, three) = tokio::join!(join(&world, token), join(&world, token), join(&world, token));
        let mut said: Vec<_> = [&one, &two, &three].iter().map(|reply| reply.status.as_u16()).collect();
        said.sort_unstable();
        assert!(said[0] == 200 && said[1..].iter().all(|status| [404, 409].contains(status)), "{said:?}");
        world.clock.advance(DAY);
    }
}

#[tokio::test]
async fn guessing_is_slowed_down() {
    let world = house().await;
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(join(&world, &json!("0".repeat(64))).await.status.as_u16());
    }
    assert!(statuses.contains(&404) && statuses.last() == Some(&429), "{statuses:?}");
}
