//! `Idempotency-Key`: a call that is sent again is not done again.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::{Reply, World};

async fn post(world: &World, path: &str, key: &str, body: &Value) -> Reply {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    world.raw("POST", path, &headers, &body.to_string()).await
}

#[tokio::test]
async fn a_call_that_is_sent_again_is_answered_as_it_was() {
    let world = World::new().await;
    let new = json!({"slug": "acme", "name": "Acme"});
    let first = post(&world, "/v1/tenants", "k1", &new).await;
    first.expect(201);
    let again = post(&world, "/v1/tenants", "k1", &new).await;
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    for header in ["location", "etag", "content-type", "tenantry-revision"] {
        assert_eq!(again.header(header), first.header(header), "{header}");
    }
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(world.get("/v1/tenants").await.expect(200)["items"].as_array().unwrap().len(), 1);
    // Without the key, or with another, it is another call.
    world.post("/v1/tenants", new.clone()).await.refused(409, "slug-taken");
    post(&world, "/v1/tenants", "k2", &new).await.refused(409, "slug-taken");
    // The key belongs to the request and to the caller.
    let other = json!({"slug": "beta", "name": "Beta"});
    post(&world, "/v1/tenants", "k1", &other).await.refused(422, "idempotency-key-reused");
    post(&world, "/v1/tokens", "k1", &new).await.refused(422, "idempotency-key-reused");
    let token = world.post("/v1/tokens", json!({"name": "second"})).await.expect(201)["token"].clone();
    let bearer = format!("Bearer {}", token.as_str().unwrap());
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("idempotency-key", "k1")];
    world.raw("POST", "/v1/tenants", &headers, &other.to_string()).await.expect(201);
}

/// Tokens of two tenants may bear one name; what one of them was answered is nothing for the other.
#[tokio::test]
async fn a_key_belongs_to_one_tenant() {
    let world = World::new().await;
    let mut answers = Vec::new();
    for slug in ["alpha", "beta"] {
        world.post("/v1/tenants", json!({"slug": slug, "name": slug, "plan": "growth"})).await.expect(201);
        let new = json!({"name": "ci", "scopes": ["domains:manage", "domains:read"]});
        let token = world.post(&format!("/v1/tenants/{slug}/tokens"), new).await.expect(201)["token"].clone();
        if slug == "alpha" {
            let domain = json!({"domain": "shop.alpha.example", "verified": true});
            world.post("/v1/tenants/alpha/domains", domain).await.expect(201);
        }
        let bearer = format!("Bearer {}", token.as_str().unwrap());
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", "k")];
        answers.push(world.raw("POST", "/v1/domains/shop.alpha.example/verify", &headers, "").await);
    }
    assert!(answers[0].status.is_success(), "{}", answers[0].text);
    answers[1].refused(404, "domain-not-found");
}

#[tokio::test]
async fn a_call_that_was_refused_may_be_sent_again() {
    let world = World::new().await;
    let child = json!({"slug": "shop", "name": "Shop", "parent": "acme"});
    post(&world, "/v1/tenants", "k", &child).await.refused(422, "invalid");
    world.post("/v1/tenants", json!({"slug": "acme", "name": "Acme"})).await.expect(201);
    post(&world, "/v1/tenants", "k", &child).await.expect(201);
}

#[tokio::test]
async fn a_token_is_answered_again_and_never_written_down_in_the_clear() {
    let world = World::new().await;
    let new = json!({"name": "ci"});
    let first = post(&world, "/v1/tokens", "k", &new).await.expect(201)["token"].clone();
    assert_eq!(post(&world, "/v1/tokens", "k", &new).await.expect(201)["token"], first);
    let secret = first.as_str().unwrap().rsplit('_').next().unwrap().to_owned();
    world.store.close().await;
    for entry in std::fs::read_dir(world.dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
}

#[tokio::test]
async fn of_many_at_once_one_is_done() {
    let world = World::new().await;
    let new = json!({"slug": "acme", "name": "Acme"});
    let calls = (0..8).map(|_| post(&world, "/v1/tenants", "k", &new));
    let replies = futures_util::future::join_all(calls).await;
    for reply in &replies {
        match reply.status.as_u16() {
            201 => {}
            _ => drop(reply.refused(409, "idempotency-in-progress")),
        }
    }
    assert!(replies.iter().any(|reply| reply.status == 201 && reply.headers.get("idempotency-replayed").is_none()));
    let created = world.ledger().await.iter().filter(|line| line["action"] == "tenant.create").count();
    assert_eq!(created, 1);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_said_to_be_lost_and_what_did_nothing_is_done() {
    let world = World::new().await;
    let new = json!({"slug": "acme", "name": "Acme"});
    let headers = [("content-type", "application/json"), ("idempotency-key", "k"), ("x-request-id", "attempt-1")];
    world.raw("POST", "/v1/tenants", &headers, &new.to_string()).await.expect(201);
    // As if the process had ended between the commit and the keeping of the answer.
    world.sql("UPDATE calls SET answer = NULL").await;
    post(&world, "/v1/tenants", "k", &new).await.refused(409, "idempotency-in-progress");
    world.clock.advance(Duration::from_secs(60));
    post(&world, "/v1/tenants", "k", &new).await.refused(409, "idempotency-answer-lost");
    // As if it had ended before the commit: nothing in the ledger is of that attempt.
    world.sql("UPDATE calls SET request_id = 'attempt-2'").await;
    world.clock.advance(Duration::from_secs(60));
    post(&world, "/v1/tenants", "k", &new).await.refused(409, "slug-taken");
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let world = World::new().await;
    let new = json!({"slug": "acme", "name": "Acme"});
    for key in ["", "a b", &"k".repeat(256)] {
        post(&world, "/v1/tenants", key, &new).await.refused(400, "bad-idempotency-key");
    }
}
