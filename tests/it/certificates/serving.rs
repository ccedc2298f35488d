//! Through the whole edge: what was brought is served first, for as long as it is good, and what is ours afterwards.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tenantry::certificates::{CertificateQuery, Certificates, NewCertificate, Reach, Reason, Revoker};
use tenantry::clock::Clock;
use tenantry::model::{Certificate, CertificateSource, Rights};
use tenantry::store::ISSUED;
use tenantry::tenancy::{Actor, TenancyError};
use zeroize::Zeroizing;

use crate::support::client;
use crate::support::world::World;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// An authority that always agrees.
struct Agreeable;

#[async_trait]
impl Revoker for Agreeable {
    async fn revoke(&self, _: &str, _: &str, _: Reason) -> Result<(), String> {
        Ok(())
    }
}

fn certificates(world: &World) -> Certificates {
    Certificates::new(world.running.tenancy().clone(), Arc::new(Agreeable))
}

fn actor() -> Actor {
    Actor::new("test")
}

/// What is brought, from the authority that the test's clients trust.
fn brought(world: &World, names: &[&str], days: i64) -> NewCertificate {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let Certificate { chain, key, .. } = world.ca.issue(&names, days).unwrap();
    NewCertificate { chain, key, tenant: None }
}

/// Puts a certificate as from an authority into the store, and its order at rest until its renewal.
async fn issued(world: &World, name: &str, days: i64) {
    let certificate = Certificate {
        source: CertificateSource::Acme,
        authority: "pebble".into(),
        ..world.ca.issue(&[name.into()], days).unwrap()
    };
    let mut write = world.running.store().write().await.unwrap();
    write.insert_certificate(&certificate).await.unwrap();
    let mut order = write.order(name).await.unwrap().unwrap();
    order.stage = ISSUED.into();
    order.not_before = certificate.not_before + (certificate.not_after.since(certificate.not_before)) * 2 / 3;
    assert!(write.save_order(&order).await.unwrap());
    let revision = write.commit().await.unwrap();
    assert!(world.running.applied().wait_for(revision, Duration::from_secs(10)).await);
}

/// The leaf that a visitor sees, PEM.
async fn seen(world: &World, name: &str) -> Vec<u8> {
    let stream = client::tls(world, name, &[]).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn leaf_of(chain: &str) -> Vec<u8> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    CertificateDer::from_pem_slice(chain.as_bytes()).unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_brought_goes_first_and_ours_is_ready_when_it_ends() {
    let clock = Clock::manual(Clock::system().now());
    let world = World::builder().clock(clock.clone()).start().await;
    world.tenant("acme", "growth").await;
    world.claim("acme", "shop.example", true).await;
    issued(&world, "shop.example", 90).await;
    let ours = seen(&world, "shop.example").await;
    let certificates = certificates(&world);
    let new = brought(&world, &["shop.example"], 40);
    let done = certificates.upload(&actor(), &new).await.unwrap();
    assert!(done.applied);
    let uploaded = leaf_of(&new.chain);
    assert_eq!(seen(&world, "shop.example").await, uploaded);
    // A newer one of ours does not come before it.
    issued(&world, "shop.example", 80).await;
    assert_eq!(seen(&world, "shop.example").await, uploaded);
    // One of ours ends well after it; nobody had to order it anew because of it.
    let order = world.running.store().order("shop.example").await.unwrap().unwrap();
    assert!(order.not_before > clock.now() + DAY * 10, "{order:?}");
    clock.advance(DAY * 41);
    let after = seen(&world, "shop.example").await;
    assert!(after != uploaded && after != ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_rests_until_a_fallback_is_needed() {
    let clock = Clock::manual(Clock::system().now());
    let world = World::builder().clock(clock.clone()).start().await;
    world.tenant("acme", "growth").await;
    world.claim("acme", "shop.example", true).await;
    let certificates = certificates(&world);
    let order = || async { world.running.store().order("shop.example").await.unwrap().unwrap() };
    assert!(order().await.not_before <= clock.now());
    let done = certificates.upload(&actor(), &brought(&world, &["shop.example"], 100)).await.unwrap();
    let row = done.value.certificate.row;
    assert_eq!(order().await.not_before, row.not_after - DAY * 30);
    assert_eq!(certificates.queue(&Rights::all(), &Default::default()).await.unwrap()[0].position, None);
    // Gone, and nothing else is there: now.
    certificates.delete(&actor(), &row.id).await.unwrap();
    assert_eq!(order().await.not_before, clock.now());
    assert_eq!(certificates.queue(&Rights::all(), &Default::default()).await.unwrap()[0].position, Some(1));
    assert!(client::tls(&world, "shop.example", &[]).await.is_err());
    // Gone, and ours is still good for a while: when ours is to be renewed.
    issued(&world, "shop.example", 90).await;
    let renewal = order().await.not_before;
    let done = certificates.upload(&actor(), &brought(&world, &["shop.example"], 365)).await.unwrap();
    assert!(order().await.not_before > renewal);
    certificates.delete(&actor(), &done.value.certificate.row.id).await.unwrap();
    assert_eq!(order().await.not_before, renewal);
    assert!(client::tls(&world, "shop.example", &[]).await.is_ok());
    // An end that is near leaves the order alone: ours has to come now.
    let order_before = order().await;
    certificates.upload(&actor(), &brought(&world, &["shop.example"], 20)).await.unwrap();
    assert_eq!(order().await, order_before);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_belong_to_one_holder() {
    let dns = "[acme.dns]\nprovider = \"command\"\ncommand = \"/bin/true\"\ndelegation = \"acme.connect.localhost\"\n";
    let world = World::builder().settings(dns).start().await;
    for slug in ["acme", "rival"] {
        world.tenant(slug, "growth").await;
    }
    for (tenant, name) in [("acme", "a.example"), ("acme", "x.shared.example"), ("rival", "y.shared.example")] {
        world.claim(tenant, name, true).await;
    }
    world.claim("acme", "pending.example", false).await;
    world.claim("acme", "*.wild.example", true).await;
    world.claim("acme", "own.wild.example", true).await;
    let certificates = certificates(&world);
    let upload = async |names: &[&str], tenant: Option<&str>| {
        let new = NewCertificate { tenant: tenant.map(str::to_owned), ..brought(&world, names, 60) };
        match certificates.upload(&actor(), &new).await {
            Ok(done) => Ok((done.value.certificate.row.names, done.value.warnings.iter().map(|w| w.code).collect())),
            Err(TenancyError::Invalid(faults)) => Err(faults.iter().map(|f| f.code).collect::<Vec<_>>()),
            Err(other) => panic!("{other}"),
        }
    };
    let base = tenantry_base();
    for (names, tenant, expected) in [
        (&["stranger.example"] as &[&str], None, &["not-held"] as &[&str]),
        (&["pending.example"], None, &["not-held"]),
        (&["a.example", "pending.example", "stranger.example"], None, &["not-held", "not-held"]),
        (&["a.example", "y.shared.example"], None, &["several-tenants"]),
        (&["a.example", "y.shared.example"], Some("acme"), &["not-held"]),
        (&["*.shared.example"], None, &["several-tenants"]),
        (&["*.stranger.example"], None, &["not-held"]),
        (&["a.example", &base], None, &["mixed-names"]),
    ] {
        assert_eq!(upload(names, tenant).await.unwrap_err(), expected, "{names:?}");
    }
    let good: Vec<&str> = vec!["no-intermediate"];
    let only_some = vec!["no-intermediate", "name-not-served"];
    for (names, tenant, served, warnings) in [
        (&["a.example"] as &[&str], None, vec!["a.example"], &good),
        (&["*.shared.example"], Some("rival"), vec!["y.shared.example"], &only_some),
        (&["*.wild.example"], None, vec!["*.wild.example", "own.wild.example"], &good),
        (&[&format!("*.{base}"), &base], None, vec![&format!("*.{base}"), &base], &good),
    ] {
        let (names, codes): (Vec<String>, Vec<&str>) = upload(names, tenant).await.unwrap();
        assert_eq!((names, &codes), (served.into_iter().map(str::to_owned).collect(), warnings));
    }
    // Somebody else's visitors are not touched.
    assert!(client::tls(&world, "x.shared.example", &[]).await.is_err());
    assert!(client::tls(&world, "y.shared.example", &[]).await.is_ok());
}

fn tenantry_base() -> String {
    crate::support::world::BASE.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_takes_a_certificate_from_every_visitor() {
    let world = World::start().await;
    world.tenant("acme", "growth").await;
    world.claim("acme", "shop.example", true).await;
    issued(&world, "shop.example", 90).await;
    let certificates = certificates(&world);
    let query = CertificateQuery { name: Some("SHOP.example".into()), ..CertificateQuery::default() };
    let found = certificates.list(&Rights::all(), &query, &Default::default()).await.unwrap();
    let id = found.rows[0].row.id.clone();
    certificates.revoke(&actor(), &id, Reason::KeyCompromise, Reach::Authority).await.unwrap();
    assert!(client::tls(&world, "shop.example", &[]).await.is_err());
    let order = world.running.store().order("shop.example").await.unwrap().unwrap();
    assert!(order.not_before <= world.clock.now());
    let again = certificates.revoke(&actor(), &id, Reason::KeyCompromise, Reach::Authority).await.unwrap_err();
    assert!(matches!(&again, TenancyError::Conflict(fault) if fault.code == "already-revoked"), "{again}");
    let new = NewCertificate { key: Zeroizing::new(String::new()), ..Default::default() };
    assert_eq!(format!("{new:?}"), "NewCertificate { tenant: None, .. }");
}
