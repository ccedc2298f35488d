//! The assertion as a backend checks it: against the published keys, across half-lives and a rotation.

use std::time::Duration;

use http::StatusCode;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;
use tenantry::clock::{Clock, Timestamp};
use tenantry::jobs;
use tenantry::keyring::Keyring;

use crate::support::client::get;
use crate::support::world::World;

/// The keys as anybody can fetch them.
async fn jwks(world: &World) -> JwkSet {
    let answer = get(world, &world.host("acme"), "/.well-known/tenantry/jwks.json").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), "application/jwk-set+json");
    serde_json::from_slice(&answer.body).unwrap()
}

/// The assertion that the backend gets with a request for this host.
async fn assertion(world: &World, host: &str) -> String {
    assert_eq!(get(world, host, "/").await.status, StatusCode::OK);
    world.backend.take()[0].header("x-tenant-assertion").unwrap().to_owned()
}

/// What a backend does: finds the key by its id, checks the signature, the audience and the issuer.
fn verify(token: &str, keys: &JwkSet) -> Option<Value> {
    let header = jsonwebtoken::decode_header(token).unwrap();
    assert_eq!(header.alg, Algorithm::EdDSA);
    let key = keys.find(&header.kid.unwrap())?;
    assert!(matches!(&key.algorithm, AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519));
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&["app"]);
    validation.set_issuer(&["https://connect.localhost"]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // Tests move their own clock.
    validation.validate_exp = false;
    jsonwebtoken::decode(token, &DecodingKey::from_jwk(key).unwrap(), &validation).ok().map(|data| data.claims)
}

async fn world() -> World {
    let world = World::builder().clock(Clock::manual(Clock::system().now())).start().await;
    world.tenant("acme", "growth").await;
    world.domain("acme", "community.acme.example").await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_can_check_who_its_tenant_is() {
    let world = world().await;
    let host = world.host("acme");
    let now = world.clock.now().secs();
    let (token, keys) = (assertion(&world, &host).await, jwks(&world).await);
    let claims = verify(&token, &keys).unwrap();
    let id = world.running.tenancy().show("acme").await.unwrap().tenant.id.to_string();
    assert_eq!(claims["sub"], id);
    assert_eq!(
        (&claims["aud"], &claims["host"], &claims["plan"]),
        (&"app".into(), &host.clone().into(), &"growth".into())
    );
    assert_eq!((claims["iat"].as_i64(), claims["exp"].as_i64()), (Some(now), Some(now + 60)));
    assert!(claims["jti"].as_str().unwrap().len() >= 32);
    // One for each host, and none can be bent.
    let other = assertion(&world, "community.acme.example").await;
    assert_eq!(verify(&other, &keys).unwrap()["host"], "community.acme.example");
    let (head, signature) = token.rsplit_once('.').unwrap();
    let (_, others) = other.rsplit_once('.').unwrap();
    assert_ne!(signature, others);
    assert!(verify(&format!("{head}.{others}"), &keys).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_is_signed_again_at_half_its_life_or_when_its_tenant_changes() {
    let world = world().await;
    let host = world.host("acme");
    let first = assertion(&world, &host).await;
    world.clock.advance(Duration::from_secs(29));
    assert_eq!(assertion(&world, &host).await, first);
    world.clock.advance(Duration::from_secs(1));
    let second = assertion(&world, &host).await;
    assert_ne!(second, first);
    let keys = jwks(&world).await;
    let id = |token: &str| verify(token, &keys).unwrap()["jti"].as_str().unwrap().to_owned();
    assert_ne!(id(&first), id(&second));
    // Another revision of the tenant is another assertion, at once.
    world.suspend("acme").await;
    world.activate("acme").await;
    assert_ne!(assertion(&world, &host).await, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_and_nothing_signed_becomes_unverifiable_before_its_time() {
    let world = world().await;
    let host = world.host("acme");
    // A ring that has served its life, as it would be after a month.
    let old = Keyring::generate(Timestamp(world.clock.now().millis()) - Keyring::LIFE).unwrap();
    let mut write = world.running.store().write().await.unwrap();
    write.put_secret(Keyring::SECRET, &old.to_bytes().unwrap()).await.unwrap();
    write.commit().await.unwrap();
    published(&world, 1, &old.newest().unwrap().id).await;
    let before = assertion(&world, &host).await;

    // The next key is published before it signs.
    jobs::keep_signing_keys(world.running.store(), &world.clock).await.unwrap();
    let keys = published(&world, 2, &old.newest().unwrap().id).await;
    let during = assertion(&world, &host).await;
    assert_eq!(key_of(&during), key_of(&before));
    world.clock.advance(Keyring::LEAD);
    let after = assertion(&world, &host).await;
    assert_ne!(key_of(&after), key_of(&before));
    for token in [&before, &during, &after] {
        assert!(verify(token, &keys).is_some());
    }

    // When nothing that it signed is valid any more, the old key goes.
    world.clock.advance(Keyring::OVERLAP);
    jobs::keep_signing_keys(world.running.store(), &world.clock).await.unwrap();
    let keys = published(&world, 1, &key_of(&after)).await;
    assert!(verify(&before, &keys).is_none());
    assert!(verify(&assertion(&world, &host).await, &keys).is_some());
}

fn key_of(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

/// The published keys, once there are so many of them and this one is among them.
async fn published(world: &World, many: usize, id: &str) -> JwkSet {
    let asking = async {
        loop {
            let keys = jwks(world).await;
            if keys.keys.len() == many && keys.find(id).is_some() {
                return keys;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asking).await.unwrap()
}
