//! A store that cannot be asked: what is known counts on, nothing is made up, and what changed meanwhile is not missed.

use tenantry::clock::Clock;
use tenantry::directory::Trouble;
use tenantry::model::{Certificate, Change, Tenant};
use tenantry::tls::LocalCa;

use super::source::{Override, Read};
use super::{LONG, Record, host, insert, slug_host, tenant};

#[tokio::test(flavor = "multi_thread")]
async fn known_hosts_are_served_and_unknown_ones_are_not_denied() {
    let record = Record::new().await;
    let acme = tenant("acme");
    insert(&record.store, &[&acme]).await;
    let node = record.node().await;
    node.give("acme.example", &acme).await;
    assert_eq!(node.name_at(&slug_host("acme")).await, Ok("acme".into()));
    assert_eq!(node.name_at(&slug_host("nobody")).await, Ok("-".into()));
    node.tap.set_gone(true);
    assert!(node.applied.wait_for_store(false, LONG).await);
    assert_eq!(node.metrics.store_up.get(), 0);
    assert_eq!(node.name_at(&slug_host("acme")).await, Ok("acme".into()));
    assert_eq!(node.name_at(&slug_host("nobody")).await, Ok("-".into()), "what was certain stays so");
    for _ in 0..3 {
        assert_eq!(node.name_at(&host("acme.example")).await, Err(Trouble::Unavailable));
    }
    node.tap.set_gone(false);
    assert!(node.applied.wait_for_store(true, LONG).await);
    assert_eq!(node.metrics.store_up.get(), 1);
    assert_eq!(node.name_at(&host("acme.example")).await, Ok("acme".into()), "an outage is never remembered as a no");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_touched_counts_on_until_the_store_can_be_asked() {
    let record = Record::new().await;
    let acme = tenant("acme");
    insert(&record.store, &[&acme]).await;
    let node = record.node().await;
    node.give("acme.example", &acme).await;
    let (slug, domain) = (slug_host("acme"), host("acme.example"));
    assert_eq!(node.name_at(&slug).await, Ok("acme".into()));
    assert_eq!(node.name_at(&domain).await, Ok("acme".into()));

    node.update(&Tenant { name: "renamed".into(), ..acme.clone() }).await;
    let mut write = node.store.write().await.unwrap();
    write.delete_domain(&domain.clone().into(), acme.id).await.unwrap();
    node.commit(write).await;
    node.tap.set_gone(true);
    let reads = node.tap.reads(Read::Tenant) + node.tap.reads(Read::Place);
    for _ in 0..500 {
        assert_eq!(node.name_at(&slug).await, Ok("acme".into()));
        assert_eq!(node.name_at(&domain).await, Ok("acme".into()));
    }
    let asked = node.tap.reads(Read::Tenant) + node.tap.reads(Read::Place) - reads;
    assert!(asked < 100, "{asked} of 1000 requests waited for a store that is gone");

    node.tap.set_gone(false);
    // The old answer may rest for a moment; then the truth counts, a definite no above all.
    eventually(async || node.name_at(&slug).await == Ok("renamed".into())).await;
    eventually(async || node.name_at(&domain).await == Ok("-".into())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_after_an_outage_counts_at_once() {
    let record = Record::new().await;
    let (acme, beta) = (tenant("acme"), tenant("beta"));
    insert(&record.store, &[&acme, &beta]).await;
    let node = record.node().await;
    for name in ["acme", "beta"] {
        assert_eq!(node.name_at(&slug_host(name)).await, Ok(name.into()));
    }
    for round in 0..20 {
        node.touch([Change::Tenant(acme.id)]).await;
        node.tap.set_gone(true);
        assert!(node.name_at(&slug_host("acme")).await.is_ok());
        node.tap.set_gone(false);
        // The outage was a moment ago. This write was answered, so nobody may see what was before it.
        let name = format!("beta-{round}");
        node.update(&Tenant { name: name.clone(), ..beta.clone() }).await;
        assert_eq!(node.name_at(&slug_host("beta")).await, Ok(name));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_row_is_nobodys_business_but_its_own() {
    let record = Record::new().await;
    let (acme, beta) = (tenant("acme"), tenant("beta"));
    insert(&record.store, &[&acme, &beta]).await;
    let node = record.node().await;
    for name in ["acme", "beta"] {
        assert_eq!(node.name_at(&slug_host(name)).await, Ok(name.into()));
    }
    node.tap.set_row(acme.id, Override::Damaged);
    node.touch([Change::Tenant(acme.id)]).await;
    for round in 0..20 {
        let name = format!("beta-{round}");
        node.update(&Tenant { name: name.clone(), ..beta.clone() }).await;
        assert_eq!(node.name_at(&slug_host("acme")).await, Err(Trouble::Unavailable), "unknown is never allow");
        assert_eq!(node.name_at(&slug_host("beta")).await, Ok(name));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_fell_behind_forgets_everything() {
    let record = Record::new().await;
    let (acme, beta) = (tenant("acme"), tenant("beta"));
    insert(&record.store, &[&acme, &beta]).await;
    let node = record.node().await;
    assert_eq!(node.name_at(&slug_host("acme")).await, Ok("acme".into()));
    assert_eq!(node.name_at(&slug_host("beta")).await, Ok("beta".into()));
    assert_eq!(node.name_at(&slug_host("later")).await, Ok("-".into()));

    let stalled = node.tap.stall(Read::News).reached().await;
    let mut write = node.store.write().await.unwrap();
    write.update_tenant(&Tenant { name: "renamed".into(), ..acme.clone() }).await.unwrap();
    write.insert_tenant(&tenant("later")).await.unwrap();
    write.commit().await.unwrap();
    for _ in 0..5 {
        node.store.write().await.unwrap().commit().await.unwrap();
    }
    node.store.prune_changes(1).await.unwrap();
    assert_eq!(node.name_at(&slug_host("acme")).await, Ok("acme".into()), "nobody has told it yet");
    stalled.release();
    node.caught_up(node.store.revision().await.unwrap()).await;
    assert_eq!(node.name_at(&slug_host("acme")).await, Ok("renamed".into()));
    assert_eq!(node.name_at(&slug_host("later")).await, Ok("later".into()));
    node.tap.set_gone(true);
    assert_eq!(node.name_at(&slug_host("beta")).await, Ok("beta".into()), "stale, and the store is gone");
    assert_eq!(node.name_at(&slug_host("never")).await, Err(Trouble::Unavailable));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_serves_on_when_its_successor_cannot_be_read() {
    let record = Record::new().await;
    let ca = LocalCa::create(Clock::system()).unwrap();
    let issue = || ca.issue(&["shop.example".into()], 30).unwrap();
    let put = async |certificate: &Certificate| {
        let mut write = record.store.write().await.unwrap();
        write.insert_certificate(certificate).await.unwrap();
        write
    };
    put(&issue()).await.commit().await.unwrap();
    let node = record.node().await;
    let first = node.leaf("shop.example", &ca).await.unwrap();
    node.commit(put(&issue()).await).await;
    node.tap.set_gone(true);
    assert_eq!(node.leaf("shop.example", &ca).await.unwrap(), first);
    assert_eq!(node.leaf("other.example", &ca).await, None);
    node.tap.set_gone(false);
    let second = issue();
    node.commit(put(&second).await).await;
    let served = node.leaf("shop.example", &ca).await.unwrap();
    assert_ne!(served, first, "a change after the outage counts at once");
    let damaged = Certificate { chain: "no PEM".into(), ..issue() };
    node.commit(put(&damaged).await).await;
    assert_eq!(node.leaf("shop.example", &ca).await.unwrap(), served);
}

/// Looks until it is so.
async fn eventually(mut so: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, looking).await.expect("it never came to be so");
}
