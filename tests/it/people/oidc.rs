//! Signing in through a real OpenID Connect provider, and everything that must not work.

use serde_json::json;
use tenantry::tenancy::{Actor, NewInvitation};

use super::{PASSWORD, person};
use crate::support::glewlwyd::Glewlwyd;
use crate::support::visitor::{Said, Visitor};
use crate::support::world::{BASE, World};

/// A world, and a provider that it trusts under the name `gl`.
async fn start(more: &str) -> (World, Glewlwyd) {
    let glewlwyd = Glewlwyd::start(&format!("https://ops.{BASE}/v1/session/oidc/gl/callback")).await;
    let world = World::builder().admin(&settings(&glewlwyd, "gl", more)).start().await;
    (world, glewlwyd)
}

fn settings(glewlwyd: &Glewlwyd, name: &str, more: &str) -> String {
    format!(
        "[[admin.oidc]]\nname = \"{name}\"\nissuer = \"{}\"\nclient_id = \"{}\"\nclient_secret = \"{}\"\n{more}\n",
        glewlwyd.issuer(),
        Glewlwyd::CLIENT,
        Glewlwyd::SECRET
    )
}

/// The path and query that a browser is sent to.
fn target(location: &str) -> String {
    let (_, rest) = location.split_once("://").unwrap();
    rest[rest.find('/').unwrap()..].to_owned()
}

async fn begin(visitor: &mut Visitor, query: &str) -> String {
    let said = visitor.get(&format!("/v1/session/oidc/gl/start{query}")).await;
    assert_eq!(said.status, 303, "{said:?}");
    said.headers["location"].to_str().unwrap().to_owned()
}

/// The whole way, as `name` there.
async fn sign_in(visitor: &mut Visitor, glewlwyd: &Glewlwyd, name: &str) -> Said {
    let url = begin(visitor, "?return_to=/tenants/acme").await;
    let back = glewlwyd.consent(name, &url).await;
    visitor.get(&target(&back)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_lets_people_in() {
    let (world, glewlwyd) = start("create_people = true").await;
    glewlwyd.account("ada", "Ada@Example.com", true).await;
    let mut visitor = Visitor::new(&world);
    assert_eq!(visitor.get("/v1/session/providers").await.json["providers"][0], "gl");
    let said = sign_in(&mut visitor, &glewlwyd, "ada").await;
    assert_eq!(said.status, 303, "{said:?}");
    assert_eq!(said.headers["location"], "/tenants/acme");
    assert_eq!(visitor.jar.keys().collect::<Vec<_>>(), ["__Host-tenantry"], "what was brought back is used up");
    let said = visitor.get("/v1/session").await;
    assert_eq!(said.json["person"]["email"], "ada@example.com");
    assert_eq!(said.json["person"]["name"], "ada there");
    assert_eq!(said.json["session"]["method"], "gl");
    let id = said.json["person"]["id"].clone();
    // The second time it is the same person, whatever has become of the address.
    let mut again = Visitor::new(&world);
    assert_eq!(sign_in(&mut again, &glewlwyd, "ada").await.status, 303);
    assert_eq!(again.get("/v1/session").await.json["person"]["id"], id);
    // Whoever was made by a provider has no password to guess.
    assert_eq!(Visitor::new(&world).sign_in("ada@example.com", "").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_providers_word_makes_nobody_somebody_who_is_here_unless_it_is_trusted_with_that() {
    let (world, glewlwyd) = start("create_people = true").await;
    person(&world, "ada@example.com").await;
    glewlwyd.account("mallory", "ada@example.com", true).await;
    let said = sign_in(&mut Visitor::new(&world), &glewlwyd, "mallory").await;
    assert_eq!((said.status.as_u16(), said.code()), (403, "stranger"), "{said:?}");
    assert_eq!(Visitor::new(&world).sign_in("ada@example.com", PASSWORD).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_verified_address_leads_to_somebody() {
    let (world, glewlwyd) = start("link_by_email = true").await;
    let ada = person(&world, "ada@example.com").await;
    glewlwyd.account("mallory", "ada@example.com", false).await;
    let mut mallory = Visitor::new(&world);
    let said = sign_in(&mut mallory, &glewlwyd, "mallory").await;
    assert_eq!((said.status.as_u16(), said.code()), (403, "stranger"), "{said:?}");
    assert!(!mallory.jar.contains_key("__Host-tenantry"));
    glewlwyd.account("ada", "ada@example.com", true).await;
    let mut visitor = Visitor::new(&world);
    assert_eq!(sign_in(&mut visitor, &glewlwyd, "ada").await.status, 303);
    assert_eq!(visitor.get("/v1/session").await.json["person"]["id"], ada.id.to_string());
    // The provider gives the address to somebody else: that is not Ada.
    glewlwyd.account("next", "ada@example.com", true).await;
    let said = sign_in(&mut Visitor::new(&world), &glewlwyd, "next").await;
    assert_eq!((said.status.as_u16(), said.code()), (403, "stranger"), "{said:?}");
    // Nobody is made where the configuration does not say so.
    glewlwyd.account("eve", "eve@example.com", true).await;
    let said = sign_in(&mut Visitor::new(&world), &glewlwyd, "eve").await;
    assert_eq!((said.status.as_u16(), said.code()), (403, "stranger"), "{said:?}");
    assert!(world.running.tenancy().person("eve@example.com").await.is_err());
    // Somebody disabled is out by this way too.
    let change = tenantry::tenancy::PersonChange { disabled: Some(true), ..Default::default() };
    let actor = tenantry::tenancy::Actor::new("test");
    world.running.tenancy().change_person(&actor, "ada@example.com", &Default::default(), &change).await.unwrap();
    assert_eq!(sign_in(&mut Visitor::new(&world), &glewlwyd, "ada").await.status, 403);
    assert_eq!(Visitor::new(&world).sign_in("ada@example.com", PASSWORD).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_certain_domains_where_the_configuration_says_so() {
    let (world, glewlwyd) = start("create_people = true\nemail_domains = [\"example.com\"]").await;
    glewlwyd.account("ada", "ada@example.com", true).await;
    glewlwyd.account("eve", "eve@example.com.evil.example", true).await;
    assert_eq!(sign_in(&mut Visitor::new(&world), &glewlwyd, "ada").await.status, 303);
    let said = sign_in(&mut Visitor::new(&world), &glewlwyd, "eve").await;
    assert_eq!((said.status.as_u16(), said.code()), (403, "stranger"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_begun_here_by_this_browser_lately_is_refused() {
    let clock = super::manual();
    let glewlwyd = Glewlwyd::start(&format!("https://ops.{BASE}/v1/session/oidc/gl/callback")).await;
    let two = settings(&glewlwyd, "gl", "create_people = true") + &settings(&glewlwyd, "other", "");
    let world = World::builder().admin(&two).clock(clock.clone()).start().await;
    glewlwyd.account("ada", "ada@example.com", true).await;
    let mut visitor = Visitor::new(&world);
    let url = begin(&mut visitor, "").await;
    let back = target(&glewlwyd.consent("ada", &url).await);
    let code = back.split(['?', '&']).find_map(|part| part.strip_prefix("code=")).unwrap();
    let state = back.split(['?', '&']).find_map(|part| part.strip_prefix("state=")).unwrap();
    let refused = async |visitor: &mut Visitor, path: &str, status: u16, code: &str| {
        let said = visitor.get(path).await;
        assert_eq!((said.status.as_u16(), said.code()), (status, code), "{path}");
        assert!(!visitor.jar.contains_key("__Host-tenantry"), "{path}");
    };
    let path = "/v1/session/oidc/gl/callback";
    refused(&mut Visitor::new(&world), &back, 400, "sign-in-not-begun").await;
    refused(&mut visitor, &format!("{path}?code={code}"), 400, "sign-in-not-begun").await;
    refused(&mut visitor, &format!("{path}?code={code}&state=x{state}"), 400, "sign-in-not-begun").await;
    refused(&mut visitor, &format!("{path}?state={state}"), 400, "sign-in-not-begun").await;
    refused(&mut visitor, &back.replace("/gl/", "/other/"), 400, "sign-in-not-begun").await;
    refused(&mut visitor, &back.replace("/gl/", "/none/"), 404, "provider-not-found").await;
    let mixed = format!("{path}?code={code}&state={state}&iss=https%3A%2F%2Fevil.example");
    refused(&mut visitor, &mixed, 403, "provider-refused").await;
    let denied = format!("{path}?error=access_denied&state={state}");
    refused(&mut visitor, &denied, 403, "provider-refused").await;
    refused(&mut visitor, &format!("{path}?code=nonsense&state={state}"), 403, "provider-refused").await;
    // Another's flow: state is right, the verifier and the nonce are not those of the code.
    let mut other = Visitor::new(&world);
    let url = begin(&mut other, "").await;
    let theirs = url.split(['?', '&']).find_map(|part| part.strip_prefix("state=")).unwrap();
    refused(&mut other, &format!("{path}?code={code}&state={theirs}"), 403, "provider-refused").await;
    // In time it would have worked, had nobody tried the code.
    let mut late = Visitor::new(&world);
    let url = begin(&mut late, "").await;
    let back = target(&glewlwyd.consent("ada", &url).await);
    clock.advance(std::time::Duration::from_secs(601));
    refused(&mut late, &back, 400, "sign-in-not-begun").await;
    // And nobody is sent to another site.
    let mut sent = Visitor::new(&world);
    let url = begin(&mut sent, "?return_to=https://evil.example/").await;
    let said = sent.get(&target(&glewlwyd.consent("ada", &url).await)).await;
    assert_eq!(said.headers["location"], "/");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_not_there_is_said_to_be() {
    let more =
        "[[admin.oidc]]\nname = \"gone\"\nissuer = \"http://127.0.0.1:1/\"\nclient_id = \"a\"\nclient_secret = \"b\"\n";
    let world = World::builder().admin(more).start().await;
    let said = Visitor::new(&world).get("/v1/session/oidc/gone/start").await;
    assert_eq!((said.status.as_u16(), said.code()), (502, "provider-unreachable"));
    assert_eq!(Visitor::new(&world).get("/v1/session/oidc/none/start").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_gives_an_account_to_whom_the_address_belongs() {
    let (world, glewlwyd) = start("link_by_email = true").await;
    world.tenant("acme", "growth").await;
    // Whoever held the invitation made the account.
    let tenancy = world.running.tenancy();
    let actor = Actor::new("test");
    let new = NewInvitation { email: "ada@example.com".into(), role: "member".into(), ..Default::default() };
    let invited = tenancy.invite(&actor, "acme", &new).await.unwrap().value;
    let mut thief = Visitor::new(&world);
    let body = json!({ "token": *invited.token, "name": "Ada", "password": PASSWORD });
    assert_eq!(thief.post("/v1/invitations/join", body).await.status, 200);
    assert_eq!(thief.sign_in("ada@example.com", PASSWORD).await.status, 201);
    let id = thief.get("/v1/session").await.json["person"]["id"].clone();
    glewlwyd.account("ada", "ada@example.com", true).await;
    let mut ada = Visitor::new(&world);
    assert_eq!(sign_in(&mut ada, &glewlwyd, "ada").await.status, 303);
    assert_eq!(ada.get("/v1/session").await.json["person"]["id"], id);
    assert_eq!(thief.get("/v1/session").await.status, 401);
    assert_eq!(Visitor::new(&world).sign_in("ada@example.com", PASSWORD).await.status, 401);
    assert!(tenancy.person("ada@example.com").await.unwrap().verified);
}
