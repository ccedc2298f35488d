//! What the directory says while the store cannot be asked, and what time alone changes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tenantry::clock::{Clock, Timestamp};
use tenantry::directory::Trouble;
use tenantry::model::{Change, Status, Tenant};

use super::source::{House, settings};

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_store_is_bridged_and_never_taken_for_a_no() {
    let house = House::new().await;
    let acme = house.put("acme", None).await;
    house.put("cold", None).await;
    assert_eq!(house.status("acme.connect.localhost").await, Ok(Some(Status::Active)));
    house.source.failing.store(true, Ordering::SeqCst);
    assert_eq!(house.status("acme.connect.localhost").await, Ok(Some(Status::Active)), "fresh");
    // Touched, and unreadable: the old value is better than none.
    house.set(&acme, Status::Active).await;
    assert_eq!(house.status("acme.connect.localhost").await, Ok(Some(Status::Active)), "stale");
    assert_eq!(house.status("cold.connect.localhost").await, Err(Trouble::Unavailable));
    // Even everything at once.
    let mut write = house.store.write().await.unwrap();
    write.change(Change::Reset);
    house.settle(write.commit().await.unwrap()).await;
    assert_eq!(house.status("acme.connect.localhost").await, Ok(Some(Status::Active)), "stale after a reset");
    assert!(house.metrics.render().contains("tenantry_directory_lookups_total{cache=\"hosts\",outcome=\"stale\"}"));
    house.source.failing.store(false, Ordering::SeqCst);
    assert_eq!(house.status("cold.connect.localhost").await, Ok(Some(Status::Active)), "and no \"no\" was kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_ends_by_the_clock_and_touches_nothing() {
    let clock = Clock::manual(Timestamp::parse("2026-11-21T00:00:00Z").unwrap());
    let house = House::with(settings(), clock.clone()).await;
    let trial = house.put("trial", None).await;
    let ends = clock.now() + Duration::from_secs(14 * 86_400);
    let mut write = house.store.write().await.unwrap();
    write.update_tenant(&Tenant { status: Status::Trial, trial_ends: Some(ends), ..trial.clone() }).await.unwrap();
    house.settle(write.commit().await.unwrap()).await;
    let view =
        async |suspend: bool| house.directory.tenant(trial.id, &house.catalogue, suspend).await.unwrap().unwrap();
    assert_eq!(view(true).await.effective.status, Status::Trial);
    let reads = house.source.tenants.load(Ordering::SeqCst);
    clock.advance(Duration::from_secs(14 * 86_400));
    let over = view(false).await;
    assert!(over.effective.trial_expired && over.effective.status == Status::Trial, "badged, and still reachable");
    assert_eq!(view(true).await.effective.status, Status::Suspended, "where the configuration says so");
    assert_eq!(house.source.tenants.load(Ordering::SeqCst), reads);
}
