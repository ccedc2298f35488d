//! A load never outlives an invalidation, and a change costs one entry.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tenantry::model::{Change, Domain, DomainState, Hostname, Status, TenantId};

use super::source::House;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_who_ask_at_once_cost_one_read() {
    let house = Arc::new(House::new().await);
    house.put("acme", None).await;
    house.source.stall();
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let house = house.clone();
            tokio::spawn(async move { house.status("acme.connect.localhost").await })
        })
        .collect();
    house.source.stopped(1).await;
    house.source.go(100);
    for answer in asking {
        assert_eq!(answer.await.unwrap(), Ok(Some(Status::Active)));
    }
    assert_eq!(house.source.places.load(Ordering::SeqCst), 1);
    assert_eq!(house.source.tenants.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_read_before_a_change_is_never_served_after_it() {
    let house = Arc::new(House::new().await);
    let acme = house.put("acme", None).await;
    assert_eq!(house.status("acme.connect.localhost").await, Ok(Some(Status::Active)));
    // The entry is touched, so the next one reads: `active`, and stops with that in its hand.
    house.set(&acme, Status::Active).await;
    house.source.stall();
    let reader = tokio::spawn({
        let house = house.clone();
        async move { house.status("acme.connect.localhost").await }
    });
    house.source.stopped(1).await;
    house.set(&acme, Status::Suspended).await;
    house.source.go(1);
    assert_eq!(reader.await.unwrap(), Ok(Some(Status::Suspended)), "it reads again");
    assert_eq!(house.status("acme.connect.localhost").await, Ok(Some(Status::Suspended)), "and what is kept is new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_read_before_a_change_is_never_served_after_it() {
    let house = Arc::new(House::new().await);
    house.source.stall();
    let reader = tokio::spawn({
        let house = house.clone();
        async move { house.status("later.connect.localhost").await }
    });
    house.source.stopped(1).await;
    house.put("later", None).await;
    house.source.go(1);
    assert_eq!(reader.await.unwrap(), Ok(Some(Status::Active)));
    assert_eq!(house.status("later.connect.localhost").await, Ok(Some(Status::Active)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remembered_no_is_forgotten_with_the_change() {
    let house = House::new().await;
    for _ in 0..3 {
        assert_eq!(house.status("acme.connect.localhost").await, Ok(None));
        assert_eq!(house.status("www.acme.example").await, Ok(None));
    }
    assert_eq!(house.source.places.load(Ordering::SeqCst), 2, "a no is remembered");
    let acme = house.put("acme", None).await;
    assert_eq!(house.status("acme.connect.localhost").await, Ok(Some(Status::Active)));

    let now = house.clock.now();
    let name = Hostname::parse("www.acme.example").unwrap();
    let domain = Domain {
        name: name.clone(),
        tenant: acme.id,
        state: DomainState::Pending,
        token: "t".into(),
        created: now,
        updated: now,
        revision: 0,
    };
    let mut write = house.store.write().await.unwrap();
    write.insert_domain(&domain).await.unwrap();
    house.settle(write.commit().await.unwrap()).await;
    assert_eq!(house.status("www.acme.example").await, Ok(None), "a pending claim leads nowhere");
    let mut write = house.store.write().await.unwrap();
    write.set_domain_state(&name, acme.id, DomainState::Verified).await.unwrap();
    house.settle(write.commit().await.unwrap()).await;
    assert_eq!(house.status("www.acme.example").await, Ok(Some(Status::Active)));
    let mut write = house.store.write().await.unwrap();
    write.delete_domain(&name, acme.id).await.unwrap();
    house.settle(write.commit().await.unwrap()).await;
    assert_eq!(house.status("www.acme.example").await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_change_touches_one_entry_however_many_hosts_and_children_it_has() {
    let house = House::new().await;
    let parent = house.put("holding", None).await;
    for n in 0..50 {
        house.put(&format!("shop-{n}"), Some(parent.id)).await;
    }
    let hosts: Vec<_> = (0..50).map(|n| format!("shop-{n}.connect.localhost")).collect();
    for host in &hosts {
        assert_eq!(house.status(host).await, Ok(Some(Status::Active)));
    }
    let (places, tenants) = (house.source.places.load(Ordering::SeqCst), house.source.tenants.load(Ordering::SeqCst));
    house.set(&parent, Status::Suspended).await;
    for host in &hosts {
        assert_eq!(house.status(host).await, Ok(Some(Status::Suspended)), "a parent's suspension covers its children");
    }
    assert_eq!(house.source.places.load(Ordering::SeqCst), places, "no host was read again");
    assert_eq!(
        house.source.tenants.load(Ordering::SeqCst),
        tenants + 1,
        "and of the tenants only the one that changed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_is_damaged_is_never_allow() {
    let house = House::new().await;
    let top = house.put("top", None).await;
    let child = house.put("child", Some(top.id)).await;
    assert_eq!(house.status("child.connect.localhost").await, Ok(Some(Status::Active)));
    // A circle, which no rule of the house would write.
    let mut write = house.store.write().await.unwrap();
    let circle = tenantry::model::Tenant { parent: Some(child.id), ..top.clone() };
    write.update_tenant(&circle).await.unwrap();
    house.settle(write.commit().await.unwrap()).await;
    assert_eq!(house.status("child.connect.localhost").await, Err(tenantry::directory::Trouble::Unavailable));
    let nobody = house.directory.tenant(TenantId::new(), &house.catalogue, false).await;
    assert!(matches!(nobody, Ok(None)));
}

/// Writers and readers at random: after a write is acknowledged, nobody sees what was before it.
#[tokio::test(flavor = "multi_thread")]
async fn under_stress_nobody_sees_the_past() {
    let house = Arc::new(House::new().await);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let house = house.clone();
        tasks.spawn(async move {
            let tenant = house.put(&format!("t{n}"), None).await;
            let host = format!("t{n}.connect.localhost");
            for round in 0..60 {
                let status = if round % 2 == 0 { Status::Suspended } else { Status::Active };
                // Readers that are under way while the write happens may see either; those after it only the new.
                let during = tokio::spawn({
                    let (house, host) = (house.clone(), host.clone());
                    async move {
                        for _ in 0..20 {
                            house.status(&host).await.unwrap();
                        }
                    }
                });
                house.set(&tenant, status).await;
                for _ in 0..5 {
                    assert_eq!(house.status(&host).await, Ok(Some(status)));
                }
                during.await.unwrap();
                assert_eq!(house.status(&host).await, Ok(Some(status)));
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_makes_everybody_look_again() {
    let house = House::new().await;
    let acme = house.put("acme", None).await;
    assert_eq!(house.status("acme.connect.localhost").await, Ok(Some(Status::Active)));
    assert_eq!(house.status("nobody.connect.localhost").await, Ok(None));
    let reads = house.source.places.load(Ordering::SeqCst);
    let mut write = house.store.write().await.unwrap();
    write.change(Change::Reset);
    house.settle(write.commit().await.unwrap()).await;
    assert_eq!(house.status("acme.connect.localhost").await, Ok(Some(Status::Active)));
    assert_eq!(house.status("nobody.connect.localhost").await, Ok(None));
    assert_eq!(house.source.places.load(Ordering::SeqCst), reads + 2);
    // A follower that is too far behind is in the same position.
    house.set(&acme, Status::Suspended).await;
    house.store.prune_changes(0).await.unwrap();
    house.set(&acme, Status::Active).await;
    assert_eq!(house.status("acme.connect.localhost").await, Ok(Some(Status::Active)));
    tokio::time::timeout(Duration::from_secs(5), house.status("acme.connect.localhost")).await.unwrap().unwrap();
}
