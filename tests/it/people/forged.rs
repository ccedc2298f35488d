//! What a provider says, or somebody in its place, that is not to be believed (OpenID Connect Core 1.0 §3.1.3.7, RFC 8725).

use serde_json::{Value, json};
use tenantry::clock::Clock;

use super::{manual, person};
use crate::support::provider::Provider;
use crate::support::visitor::{Said, Visitor};
use crate::support::world::World;

async fn start() -> (World, Provider, Clock) {
    let clock = manual();
    let provider = Provider::start().await;
    let settings = format!(
        "[[admin.oidc]]\nname = \"own\"\nissuer = \"{}\"\nclient_id = \"{}\"\nclient_secret = \"secret\"\nlink_by_email = true\n",
        provider.issuer,
        Provider::CLIENT
    );
    let world = World::builder().admin(&settings).clock(clock.clone()).start().await;
    person(&world, "ada@example.com").await;
    (world, provider, clock)
}

/// A sign-in from its beginning, with the token that `token` makes of what an honest provider would say.
async fn sign_in(world: &World, provider: &Provider, clock: &Clock, token: impl Fn(Value) -> Option<String>) -> Said {
    let mut visitor = Visitor::new(world);
    let said = visitor.get("/v1/session/oidc/own/start").await;
    let url = said.headers["location"].to_str().unwrap().to_owned();
    let parameter = |name: &str| {
        let found = url.split(['?', '&']).find_map(|part| part.strip_prefix(&format!("{name}=")));
        found.unwrap().to_owned()
    };
    let now = clock.now().secs();
    provider.hands_out(token(json!({
        "iss": provider.issuer, "aud": Provider::CLIENT, "sub": "ada", "nonce": parameter("nonce"), "iat": now,
        "exp": now + 60, "email": "ada@example.com", "email_verified": true,
    })));
    let said = visitor.get(&format!("/v1/session/oidc/own/callback?code=c&state={}", parameter("state"))).await;
    assert_eq!(visitor.jar.contains_key("__Host-tenantry"), said.status == 303, "{said:?}");
    said
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_the_provider_says_to_us_now_and_in_its_own_hand_is_believed() {
    let (world, provider, clock) = start().await;
    let honest = sign_in(&world, &provider, &clock, |claims| Some(provider.signed(&claims))).await;
    assert_eq!(honest.status, 303, "{honest:?}");
    let two = json!([Provider::CLIENT, "somebody-else"]);
    let past = json!(clock.now().secs() - 1);
    for (name, value) in [
        ("nonce", json!("another")),
        ("nonce", Value::Null),
        ("aud", json!("somebody-else")),
        ("aud", two),
        ("aud", Value::Null),
        ("iss", json!("https://evil.example")),
        ("iss", json!(format!("{}/", provider.issuer))),
        ("exp", past),
        ("exp", Value::Null),
        ("sub", Value::Null),
        ("at_hash", json!("bm90IGl0cyBoYXNo")),
    ] {
        // Nobody who tries often is let in, whoever they are: time passes.
        clock.advance(std::time::Duration::from_secs(30));
        let forged = |claims| Some(provider.signed(&with(claims, name, value.clone())));
        let said = sign_in(&world, &provider, &clock, forged).await;
        assert_eq!((said.status.as_u16(), said.code()), (403, "provider-refused"), "{name} = {value}: {said:?}");
    }
    let hands: [(&str, &Hand<'_>); 5] = [
        ("nobody", &|claims| Some(provider.unsigned(&claims))),
        ("everybody", &|claims| Some(provider.signed_with_the_public_key(&claims))),
        ("another", &|claims| Some(provider.signed_by_another(&claims))),
        ("altered", &|claims| {
            let (honest, other) = (provider.signed(&claims), provider.signed(&with(claims, "sub", json!("eve"))));
            let parts: Vec<_> = honest.split('.').collect();
            Some(format!("{}.{}.{}", parts[0], other.split('.').nth(1).unwrap(), parts[2]))
        }),
        ("none at all", &|_| None),
    ];
    for (whose, token) in hands {
        clock.advance(std::time::Duration::from_secs(30));
        let said = sign_in(&world, &provider, &clock, token).await;
        assert_eq!((said.status.as_u16(), said.code()), (403, "provider-refused"), "{whose}: {said:?}");
    }
    clock.advance(std::time::Duration::from_secs(30));
    let honest = sign_in(&world, &provider, &clock, |claims| Some(provider.signed(&claims))).await;
    assert_eq!(honest.status, 303, "{honest:?}");
}

/// Makes the ID token out of honest claims, or none.
type Hand<'a> = dyn Fn(Value) -> Option<String> + Sync + 'a;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_somebody_else_links_nobody() {
    let (world, provider, clock) = start().await;
    let bare = |claims| Some(provider.signed(&with(claims, "email", Value::Null)));
    // Asked beside the token, it speaks of another (Core 1.0 §5.3.2).
    provider.says(json!({ "sub": "eve", "email": "ada@example.com", "email_verified": true }));
    let said = sign_in(&world, &provider, &clock, bare).await;
    assert_eq!((said.status.as_u16(), said.code()), (403, "provider-refused"), "{said:?}");
    // Nor is an address believed that it has not verified.
    for verified in [json!(false), Value::Null] {
        provider.says(json!({ "sub": "ada", "email": "ada@example.com", "email_verified": verified }));
        let said = sign_in(&world, &provider, &clock, bare).await;
        assert_eq!((said.status.as_u16(), said.code()), (403, "stranger"), "{verified}: {said:?}");
    }
    provider.says(json!({ "sub": "ada", "email": "ada@example.com", "email_verified": true }));
    assert_eq!(sign_in(&world, &provider, &clock, bare).await.status, 303);
}
