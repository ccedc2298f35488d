//! Many domains at once: every one of them gets its certificate by one order, by itself; and nobody waits for somebody else.

use std::time::{Duration, Instant};

use tenantry::model::DomainState;
use tokio::task::JoinSet;

use crate::support::client::tls_trusting;
use crate::support::front::Endpoint;
use crate::support::internet::{Internet, issued, size};

const TENANTS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn every_domain_goes_live_by_one_order_of_its_own() {
    let domains = size(60, 1_000);
    let internet = Internet::start().await;
    let world = internet.world("").start().await;
    for tenant in 0..TENANTS {
        world.tenant(&format!("tenant-{tenant}"), "growth").await;
    }
    let name = |n: usize| format!("community.customer-{n}.example");
    let started = Instant::now();
    for n in 0..domains {
        world.claim(&format!("tenant-{}", n % TENANTS), &name(n), true).await;
    }
    issued(world.running.store(), domains, Duration::from_secs(60 + domains as u64)).await;
    let rate = domains as f64 / started.elapsed().as_secs_f64();
    println!("{domains} domains live, {rate:.1} certificates per second");
    let orders = internet.front.orders();
    assert_eq!(orders.len(), domains);
    assert!(orders.values().all(|orders| *orders == 1), "{orders:?}");
    let refused = internet.front.seen().iter().filter(|seen| seen.status == 400).count();
    assert!(refused > 0, "no nonce was refused: {} requests", internet.front.seen().len());
    assert!(internet.front.count(Endpoint::Finalize) >= domains);

    let root = internet.pebble.root().await;
    let mut visits = JoinSet::new();
    for n in 0..domains {
        let claim = world.running.tenancy().domain(&name(n), None).await.unwrap();
        assert_eq!(claim.domain.state, DomainState::Live, "{}", name(n));
        let (root, address, name) = (root.clone(), world.https(), name(n));
        visits.spawn(
            async move { tls_trusting(&root, address, &name).await.map(drop).map_err(|e| format!("{name}: {e}")) },
        );
    }
    for visit in visits.join_all().await {
        visit.unwrap();
    }
}
