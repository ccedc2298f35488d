//! Sessions by cookie: always new ones, against other sites, over in time, and ended from elsewhere.

use std::time::Duration;

use http::Method;
use serde_json::json;

use super::{PASSWORD, manual, person};
use crate::support::visitor::Visitor;
use crate::support::world::World;

const MINUTE: Duration = Duration::from_secs(60);
const COOKIE: &str = "__Host-tenantry";

#[tokio::test(flavor = "multi_thread")]
async fn a_session_says_who_one_is_until_one_signs_out() {
    let world = World::start().await;
    let ada = person(&world, "ada@example.com").await;
    let mut visitor = Visitor::new(&world);
    assert_eq!(visitor.get("/v1/session").await.status, 401);
    visitor.sign_in("ada@example.com", PASSWORD).await;
    let secret = visitor.jar[COOKIE].clone();
    assert_eq!(secret.len(), 64);
    let said = visitor.get("/v1/session").await;
    assert_eq!(
        said.json["person"],
        json!({ "id": ada.id.to_string(), "email": "ada@example.com", "name": "ada@example.com" })
    );
    assert_eq!(said.json["session"]["method"], "password");
    assert_eq!((&said.json["operator"], &said.json["scopes"]), (&json!(false), &json!([])));
    // Somebody who is nobody's member may do nothing else.
    assert_eq!(visitor.get("/v1/tenants").await.status, 403);
    assert_eq!(visitor.get("/v1/people").await.status, 403);
    let said = visitor.delete("/v1/session").await;
    assert_eq!((said.status.as_u16(), visitor.jar.len()), (204, 0), "{said:?}");
    // The cookie is worth nothing, whoever kept it.
    visitor.jar.insert(COOKIE.into(), secret);
    assert_eq!(visitor.get("/v1/session").await.status, 401);
    let store = world.running.store();
    assert!(
        store
            .sessions_of(ada.id, (world.clock.now(), tenantry::clock::Timestamp(0)), &Default::default())
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_site_can_use_a_session() {
    let world = World::start().await;
    person(&world, "ada@example.com").await;
    let mut visitor = Visitor::signed_in(&world, "ada@example.com", PASSWORD).await;
    let (host, token) = (visitor.host.clone(), visitor.csrf.clone());
    let same = ("origin".to_owned(), format!("https://{host}"));
    for (why, csrf, headers) in [
        ("no token", None, vec![]),
        ("no token, from our site", None, vec![same.clone()]),
        ("a token of nobody's", Some("0".repeat(64)), vec![same.clone()]),
        ("another site", token.clone(), vec![("origin".to_owned(), "https://evil.example".to_owned())]),
        ("a tenant's own host", token.clone(), vec![("sec-fetch-site".to_owned(), "same-site".to_owned())]),
    ] {
        (visitor.csrf, visitor.headers) = (csrf, headers);
        let said = visitor.post("/v1/session/tenancy", json!({ "tenant": "acme" })).await;
        assert_eq!((said.status.as_u16(), said.code()), (403, "csrf"), "{why}");
        assert_eq!(visitor.delete("/v1/session").await.status, 403, "{why}");
        assert_eq!(visitor.get("/v1/session").await.status, 200, "{why}: reading is no harm");
    }
    (visitor.csrf, visitor.headers) = (token, vec![same]);
    assert_eq!(visitor.delete("/v1/session").await.status, 204);
    // Nobody is signed in by another site either.
    let mut stranger = Visitor::new(&world);
    stranger.headers.push(("origin".into(), "https://evil.example".into()));
    assert_eq!(stranger.sign_in("ada@example.com", PASSWORD).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_makes_a_new_session_and_ends_the_one_before() {
    let world = World::start().await;
    person(&world, "ada@example.com").await;
    let mut visitor = Visitor::new(&world);
    // What somebody planted.
    visitor.jar.insert(COOKIE.into(), "ab".repeat(32));
    visitor.sign_in("ada@example.com", PASSWORD).await;
    let first = visitor.jar[COOKIE].clone();
    assert_ne!(first, "ab".repeat(32));
    visitor.sign_in("ada@example.com", PASSWORD).await;
    assert_ne!(visitor.jar[COOKIE], first);
    assert_eq!(visitor.get("/v1/sessions").await.json["items"].as_array().unwrap().len(), 1);
    let mut old = Visitor::new(&world);
    old.jar.insert(COOKIE.into(), first);
    assert_eq!(old.get("/v1/session").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_over_when_it_rests_and_when_it_is_old() {
    let clock = manual();
    let admin = "session_idle = \"10m\"\nsession_absolute = \"1h\"\n";
    let world = World::builder().admin(admin).clock(clock.clone()).start().await;
    person(&world, "ada@example.com").await;
    let mut resting = Visitor::signed_in(&world, "ada@example.com", PASSWORD).await;
    let mut busy = Visitor::signed_in(&world, "ada@example.com", PASSWORD).await;
    for turn in 1..=11 {
        clock.advance(5 * MINUTE);
        assert_eq!(busy.get("/v1/session").await.status, 200, "{turn}");
    }
    assert_eq!(resting.get("/v1/session").await.status, 401, "used last 55 minutes ago");
    clock.advance(5 * MINUTE);
    assert_eq!(busy.get("/v1/session").await.status, 401, "an hour old");
    let signin = world.running.tenancy();
    assert_eq!(signin.forget_sessions().await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn everywhere_is_everywhere() {
    let world = World::start().await;
    let (ada, _) = (person(&world, "ada@example.com").await, person(&world, "eve@example.com").await);
    let mut here = Visitor::signed_in(&world, "ada@example.com", PASSWORD).await;
    let mut there = Visitor::signed_in(&world, "ada@example.com", PASSWORD).await;
    let mut elsewhere = Visitor::signed_in(&world, "ada@example.com", PASSWORD).await;
    let mut eve = Visitor::signed_in(&world, "eve@example.com", PASSWORD).await;
    let listed = here.get("/v1/sessions").await.json;
    let sessions = listed["items"].as_array().unwrap();
    assert_eq!(sessions.len(), 3);
    assert_eq!(sessions.iter().filter(|session| session["current"] == true).count(), 1);
    // Page by page.
    let page = here.get("/v1/sessions?limit=2").await.json;
    let next = page["next_cursor"].as_str().unwrap();
    assert_eq!(here.get(&format!("/v1/sessions?cursor={next}")).await.json["items"].as_array().unwrap().len(), 1);
    // One's own, and nobody else's.
    let id = sessions.iter().find(|session| session["current"] == false).unwrap()["id"].as_str().unwrap();
    let mine = format!("/v1/sessions/{id}");
    assert_eq!(eve.delete(&mine).await.status, 404);
    assert_eq!(here.delete(&mine).await.status, 204);
    assert_eq!(here.delete(&mine).await.status, 404);
    assert_eq!(here.delete("/v1/sessions/nonsense").await.status, 404);
    let said = here.delete("/v1/sessions").await;
    assert_eq!((said.status.as_u16(), &said.json["sessions"]), (200, &json!(2)), "{said:?}");
    for visitor in [&mut here, &mut there, &mut elsewhere] {
        assert_eq!(visitor.get("/v1/session").await.status, 401);
    }
    assert_eq!(eve.get("/v1/session").await.status, 200);
    // An operator sees and ends them.
    let mut again = Visitor::signed_in(&world, "ada@example.com", PASSWORD).await;
    let mut operator = Visitor::new(&world);
    operator.headers.push(("authorization".into(), format!("Bearer {}", world.token("ops").await)));
    let path = format!("/v1/people/{}/sessions", ada.id);
    assert_eq!(operator.get(&path).await.json["items"].as_array().unwrap().len(), 1);
    assert_eq!(operator.delete(&path).await.json["sessions"], 1);
    assert_eq!(again.get("/v1/session").await.status, 401);
    // A token is nobody's session.
    let said = operator.call(Method::GET, "/v1/session", None).await;
    assert_eq!((said.status.as_u16(), said.code()), (404, "no-session"));
}
