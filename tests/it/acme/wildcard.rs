//! The base domain's wildcard, all the way: wanted by the configuration, proven by dynamic updates to a real Knot, signed by
//! Pebble, shown in a handshake, and good for every slug host.

use std::time::Duration;

use tenantry::store::ISSUED;

use crate::support::client::tls_trusting;
use crate::support::knot::{KEY, Knot};
use crate::support::pebble::Pebble;
use crate::support::world::{BASE, World};

#[tokio::test]
async fn the_base_domains_wildcard_is_had_by_dns_and_covers_every_slug_host() {
    let knot = Knot::start(BASE, "hmac-sha256", "* 60 A 127.0.0.1\n@ 60 A 127.0.0.1\n").await;
    let pebble = Pebble::builder().dns_at(knot.address).start().await;
    let settings = format!(
        "[dns]\nservers = [\"{dns}\"]\nauthoritative = false\n[outbound]\nallow = [\"127.0.0.0/8\"]\n{authority}\
         [acme.dns]\nprovider = \"rfc2136\"\nserver = \"{dns}\"\nzone = \"{BASE}\"\nkey_name = \"{}\"\nsecret = \"{}\"\n",
        KEY.0.trim_end_matches('.'),
        KEY.1,
        dns = knot.address,
        authority = pebble.settings("pebble"),
    );
    let world = World::builder().settings(&settings).bare().start().await;
    world.tenant("acme", "growth").await;
    let wildcard = format!("*.{BASE}");
    let store = world.running.store();
    let issued = async {
        while store.order(&wildcard).await.unwrap().is_none_or(|order| order.stage != ISSUED) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), issued).await;
    assert!(in_time.is_ok(), "{:?}", store.order(&wildcard).await.unwrap());
    let certificate = store.certificate(&wildcard).await.unwrap().unwrap();
    assert_eq!(certificate.names, [wildcard.clone(), BASE.to_owned()]);
    assert_eq!(certificate.authority, "pebble");
    assert!(knot.txt(&format!("_acme-challenge.{BASE}")).await.is_empty(), "the records are gone again");
    let root = pebble.root().await;
    for host in [format!("acme.{BASE}"), BASE.to_owned()] {
        tls_trusting(&root, world.https(), &host).await.unwrap();
    }
}
