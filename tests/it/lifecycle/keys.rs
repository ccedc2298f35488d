//! Signing keys change hands without anybody noticing: a new one is published before it signs, and the old one stays
//! published for as long as anything that it signed is worth something.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tenantry::clock::Clock;
use tenantry::jobs::keep_signing_keys;
use tenantry::keyring::Keyring;

use super::eventually;
use crate::support::client::get;
use crate::support::world::{BASE, World};

const DAY: Duration = Duration::from_secs(86_400);

/// The ids of the keys that are published.
async fn published(world: &World) -> Vec<String> {
    let jwks = get(world, &world.host("acme"), "/.well-known/tenantry/jwks.json").await.json();
    jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// The id of the key that signs.
async fn signing(world: &World) -> String {
    world.backend.take();
    get(world, &world.host("acme"), "/").await;
    let assertion = world.backend.take()[0].header("x-tenant-assertion").unwrap().to_owned();
    let header = URL_SAFE_NO_PAD.decode(assertion.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<serde_json::Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_with_overlap_on_every_node() {
    // Clients live in real time: the world's clock ends where theirs is, and its certificate is good for all of it.
    let start = Clock::system().now() - DAY * 40;
    let world = World::builder().clock(Clock::manual(start)).start().await;
    let certificate = world.ca.issue(&[format!("*.{BASE}"), BASE.into()], 90).unwrap();
    let mut write = world.running.store().write().await.unwrap();
    write.insert_certificate(&certificate).await.unwrap();
    let revision = write.commit().await.unwrap();
    assert!(world.running.applied().wait_for(revision, super::LONG).await);
    let other = World::builder().beside(&world).start().await;
    world.tenant("acme", "growth").await;
    let revision = world.running.store().revision().await.unwrap();
    assert!(other.running.applied().wait_for(revision, super::LONG).await);
    let both = [&world, &other];

    let first = published(&world).await;
    for node in both {
        assert_eq!((published(node).await, signing(node).await), (first.clone(), first[0].clone()));
    }
    world.clock.advance(Keyring::LIFE - DAY);
    keep_signing_keys(world.running.store(), &world.clock).await.unwrap();
    assert_eq!(published(&world).await, first, "not yet");

    world.clock.advance(DAY);
    // Both nodes come by at once; one of them makes the key.
    let (here, there) = tokio::join!(
        keep_signing_keys(world.running.store(), &world.clock),
        keep_signing_keys(other.running.store(), &other.clock)
    );
    here.unwrap();
    there.unwrap();
    for node in both {
        eventually("the new key is published", async || published(node).await.len() == 2).await;
    }
    let two = published(&world).await;
    assert_eq!(published(&other).await, two);
    assert_eq!(two[0], first[0]);
    for node in both {
        assert_eq!(signing(node).await, first[0], "nobody may have heard of the new key yet");
    }
    world.clock.advance(Keyring::LEAD);
    for node in both {
        assert_eq!(signing(node).await, two[1]);
        assert_eq!(published(node).await, two, "what the old one has signed is still good");
    }
    world.clock.advance(Keyring::OVERLAP);
    keep_signing_keys(other.running.store(), &other.clock).await.unwrap();
    for node in both {
        eventually("the old key is gone", async || published(node).await == two[1..]).await;
        assert_eq!(signing(node).await, two[1]);
    }
}
