//! Many domains at once: every one of them gets its certificate by one order, by itself; and nobody waits for somebody else.

use std::time::{Duration, Instant};

use tenantry::clock::Clock;
use tenantry::model::DomainState;
use tokio::task::JoinSet;

use crate::support::client::tls_trusting;
use crate::support::front::Endpoint;
use crate::support::internet::{BOUNDLESS, Internet, issued, size};

const TENANTS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(60);

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

/// One customer brings many domains, half of them leading elsewhere, and the account's limit lets few orders through: the
/// first domain of another customer, which comes last, is next all the same; and those that have to wait are left in peace.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_domain_does_not_wait_for_somebody_elses_many() {
    const EACH: Duration = Duration::from_secs(36 * 60);
    let internet = Internet::start().await;
    let clock = Clock::manual(Clock::system().now());
    let limits = BOUNDLESS.replace("orders = \"1000000/1s\"", "orders = \"5/3h\"");
    let authority = format!("{}{limits}", internet.front.settings("front"));
    let world = internet.world_asking("", &authority).clock(clock.clone()).start().await;
    let store = world.running.store();
    for tenant in ["big", "small"] {
        world.tenant(tenant, "growth").await;
    }
    for n in 0..30 {
        let elsewhere = format!("elsewhere-{n}.example");
        internet.dns.a(&elsewhere, &["192.0.2.1"]).await;
        world.claim("big", &elsewhere, true).await;
        world.claim("big", &format!("good-{n}.example"), true).await;
    }
    issued(store, 5, PATIENCE).await;
    world.claim("small", "first.example", true).await;
    let looks = internet.dns.questions("good-29.example").await.len();
    for step in 1..=3 {
        clock.advance(EACH);
        issued(store, 5 + step, PATIENCE).await;
    }
    let placed: Vec<_> = internet.front.seen().into_iter().filter(|seen| seen.status == 201).collect();
    let placed: Vec<_> =
        placed.iter().filter(|seen| seen.endpoint == Endpoint::NewOrder).map(|seen| &seen.names[0]).collect();
    assert_eq!(placed.len(), 8, "{placed:?}");
    assert!(placed[5..7].iter().any(|name| *name == "first.example"), "{placed:?}");
    let looks = internet.dns.questions("good-29.example").await.len() - looks;
    assert!(looks < 10, "a domain that only waits was looked at {looks} times");
}
