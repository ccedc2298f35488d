//! Two nodes on one PostgreSQL: one works on an order, both can answer for it, and nobody places a second one.

use std::time::Duration;

use tenantry::clock::Clock;

use crate::support::internet::{BOUNDLESS, Internet, issued, size, until};
use crate::support::postgres::Server;
use crate::support::world::World;

/// Both nodes see the same orders at the same moment, again and again: each is placed once. The authority asks the one node
/// alone, at whose ports it looks, whoever works on the order.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_one_places_each_order_and_either_answers() {
    let races = size(40, 500);
    let url = Server::shared().database().await;
    let internet = Internet::start().await;
    let first = internet.world("").store(&url).start().await;
    let authority = format!("{}{BOUNDLESS}", internet.front.settings("front"));
    let settings = internet.settings("", &authority);
    // The second node listens elsewhere: every challenge of an order that it works on is answered by the first.
    let second = World::builder().settings(&settings).store(&url).beside(&first).start().await;
    let store = first.running.store();
    first.tenant("acme", "growth").await;
    for n in 0..races {
        first.claim("acme", &format!("race-{n}.example"), true).await;
    }
    issued(store, races, Duration::from_secs(60 + races as u64)).await;
    let orders = internet.front.orders();
    assert_eq!(orders.len(), races);
    assert!(orders.values().all(|placed| *placed == 1), "{orders:?}");
    // Both have worked.
    let owners: Vec<u64> = [&first, &second]
        .map(|world| world.running.metrics().orders.with_label_values(&["front", "issued"]).get())
        .to_vec();
    assert_eq!(owners.iter().sum::<u64>(), races as u64);
    assert!(owners.iter().all(|issued| *issued > 0), "{owners:?}");
}

/// A node that has not followed yet is waited for; one that is gone is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lags_is_waited_for_and_one_that_is_gone_is_not() {
    let url = Server::shared().database().await;
    let internet = Internet::start().await;
    let world = internet.world("node_wait = \"60s\"").store(&url).start().await;
    let store = world.running.store();
    world.tenant("acme", "growth").await;
    // Another node lives, and has applied nothing of late.
    let report = async |applied: i64| {
        let mut aside = store.aside().await.unwrap();
        aside.report_node("laggard", applied, Clock::system().now() - Duration::from_secs(3600)).await.unwrap();
        aside.commit().await.unwrap();
    };
    report(0).await;
    world.claim("acme", "slow.example", true).await;
    let proving = async || store.order("slow.example").await.unwrap().is_some_and(|order| order.stage == "proving");
    until(store, Duration::from_secs(20), proving).await;
    let told = || internet.front.count(crate::support::front::Endpoint::Challenge);
    for _ in 0..20 {
        report(0).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(told(), 0, "the authority has not been told to look");
    report(i64::MAX).await;
    issued(store, 1, Duration::from_secs(20)).await;
    assert!(told() > 0);
    // It does not report any more: after a while nobody waits for it.
    let mut aside = store.aside().await.unwrap();
    aside.remove_node("laggard").await.unwrap();
    aside.commit().await.unwrap();
    world.claim("acme", "quick.example", true).await;
    issued(store, 2, Duration::from_secs(20)).await;
}
