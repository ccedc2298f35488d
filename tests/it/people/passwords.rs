//! Signing in with a password: who is let in, what the others are told, how often they may try, and what ends when it changes.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;

use super::{PASSWORD, manual, person};
use crate::support::visitor::Visitor;
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_password_lets_its_owner_in_and_nobody_else() {
    let world = World::start().await;
    let ada = person(&world, "Ada@Example.com").await;
    let mut visitor = Visitor::new(&world);
    let said = visitor.sign_in(" ADA@example.com ", PASSWORD).await;
    assert_eq!(said.status, 201, "{said:?}");
    assert_eq!(said.json["person"]["id"], ada.id.to_string());
    let mut refusals = Vec::new();
    for (email, password) in [
        ("ada@example.com", "tram velvet ospreys"),
        ("ada@example.com", ""),
        ("nobody@example.com", PASSWORD),
        ("no address", PASSWORD),
    ] {
        let said = Visitor::new(&world).sign_in(email, password).await;
        assert_eq!((said.status.as_u16(), said.code()), (401, "sign-in-refused"), "{email}");
        assert!(said.headers.get("set-cookie").is_none());
        refusals.push(said.json["detail"].clone());
    }
    refusals.dedup();
    assert_eq!(refusals.len(), 1, "all are told the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_send_to_sign_in_is_read_up_to_a_few_kilobytes() {
    let world = World::start().await;
    let long = |bytes| "a".repeat(bytes);
    for (path, body) in [
        ("/v1/session", json!({ "email": "ada@example.com", "password": long(20_000) })),
        ("/v1/password-tokens/redeem", json!({ "token": long(20_000), "password": PASSWORD })),
        ("/v1/invitations/join", json!({ "token": "t", "name": long(20_000), "password": PASSWORD })),
    ] {
        let said = Visitor::new(&world).call(Method::POST, path, Some(body)).await;
        assert_eq!((said.status.as_u16(), said.code()), (413, "body-too-large"), "{path}");
    }
    // The longest password, each of its characters written as two escapes.
    let longest = Visitor::new(&world).sign_in("ada@example.com", &"\u{1f600}".repeat(1024)).await;
    assert_eq!((longest.status.as_u16(), longest.code()), (401, "sign-in-refused"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_as_long_as_somebody() {
    let world = World::start().await;
    person(&world, "ada@example.com").await;
    let mut took = [Duration::MAX; 2];
    // The fastest of a few: whatever else the machine does makes them slower, never faster.
    for turn in 0..4 {
        for (which, email) in ["ada@example.com", &format!("nobody-{turn}@example.com")].into_iter().enumerate() {
            let started = Instant::now();
            assert_eq!(Visitor::new(&world).sign_in(email, "not the password").await.status, 401);
            took[which] = took[which].min(started.elapsed());
        }
    }
    let [known, unknown] = took.map(|took| took.as_secs_f64());
    assert!(unknown > known / 2.0, "{known} s and {unknown} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_guesses_has_to_wait() {
    let clock = manual();
    let world = World::builder().clock(clock.clone()).start().await;
    person(&world, "ada@example.com").await;
    for turn in 0..5 {
        let said = Visitor::new(&world).sign_in("ada@example.com", "not the password").await;
        assert_eq!(said.status, 401, "{turn}");
    }
    // However it is spelled, it is one account.
    for spelling in ["ADA@example.com ", "ada@ｅxample.com"] {
        assert_eq!(Visitor::new(&world).sign_in(spelling, PASSWORD).await.status, 429, "{spelling}");
    }
    let said = Visitor::new(&world).sign_in("ada@example.com", PASSWORD).await;
    assert_eq!((said.status.as_u16(), said.code()), (429, "rate-limited"));
    let wait: u64 = said.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    clock.advance(Duration::from_secs(61));
    assert_eq!(Visitor::new(&world).sign_in("ada@example.com", PASSWORD).await.status, 201);
    // The right password is forgiven everything.
    for _ in 0..8 {
        assert_eq!(Visitor::new(&world).sign_in("ada@example.com", PASSWORD).await.status, 201);
    }
    // Whoever tries many accounts is one network.
    let mut refused = false;
    for turn in 0..40 {
        let said = Visitor::new(&world).sign_in(&format!("a{turn}@example.com"), PASSWORD).await;
        refused |= said.status == 429;
    }
    assert!(refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_ends_all_other_sessions() {
    let world = World::start().await;
    person(&world, "ada@example.com").await;
    let mut here = Visitor::signed_in(&world, "ada@example.com", PASSWORD).await;
    let mut there = Visitor::signed_in(&world, "ada@example.com", PASSWORD).await;
    let change = |current: &str, new: &str| Some(json!({ "current": current, "new": new }));
    for (current, new, code, pointer) in [
        ("wrong", "a quite new password", "wrong-password", "/current"),
        (PASSWORD, "short", "too-short", "/new"),
        (PASSWORD, "ada@example.com1", "too-common", "/new"),
        (PASSWORD, "password12345678", "too-common", "/new"),
    ] {
        let said = here.call(Method::PUT, "/v1/session/password", change(current, new)).await;
        assert_eq!(said.status, 422, "{said:?}");
        assert_eq!(said.json["errors"][0]["code"], code);
        assert_eq!(said.json["errors"][0]["pointer"], pointer);
    }
    let said = here.call(Method::PUT, "/v1/session/password", change(PASSWORD, "a quite new password")).await;
    assert_eq!((said.status.as_u16(), &said.json["sessions"]), (200, &json!(1)), "{said:?}");
    assert_eq!(here.get("/v1/session").await.status, 200);
    assert_eq!(there.get("/v1/session").await.status, 401);
    assert_eq!(Visitor::new(&world).sign_in("ada@example.com", PASSWORD).await.status, 401);
    assert_eq!(Visitor::new(&world).sign_in("ada@example.com", "a quite new password").await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_disabled_is_out_at_once_and_told_nothing_more() {
    let world = World::start().await;
    person(&world, "ada@example.com").await;
    let mut ada = Visitor::signed_in(&world, "ada@example.com", PASSWORD).await;
    let mut operator = Visitor::new(&world);
    operator.headers.push(("authorization".into(), format!("Bearer {}", world.token("ops").await)));
    let said = operator.call(Method::PATCH, "/v1/people/ada@example.com", Some(json!({ "disabled": true }))).await;
    assert_eq!((said.status.as_u16(), &said.json["disabled"]), (200, &json!(true)), "{said:?}");
    assert_eq!(ada.get("/v1/session").await.status, 401);
    let said = Visitor::new(&world).sign_in("ada@example.com", PASSWORD).await;
    assert_eq!((said.status.as_u16(), said.code()), (401, "sign-in-refused"));
}
