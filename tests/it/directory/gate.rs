//! What strangers' guesses may cost: bounded memory, a bounded number of reads, and nobody else's patience.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tenantry::directory::{DirectorySettings, GateSettings, Trouble};
use tenantry::model::Tenant;

use super::source::Read;
use super::{LONG, Record, host, insert, settings, slug_host, tenant};

fn strict(concurrent: usize, burst: u32) -> DirectorySettings {
    let gate = GateSettings { concurrent, wait: LONG, rate: 10, burst };
    DirectorySettings { gate, ..settings() }
}

fn client(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_guesses_are_paid_by_who_makes_them() {
    let record = Record::new().await;
    insert(&record.store, &[&tenant("hot"), &tenant("cold")]).await;
    let node = record.node_with(strict(64, 20)).await;
    let (guesser, neighbour, other) = (client("198.51.100.7"), client("198.51.100.8"), client("203.0.113.1"));
    assert!(node.resolve_for(&slug_host("hot"), other).await.is_ok());
    let mut answers = Vec::new();
    for number in 0..100 {
        answers.push(node.resolve_for(&slug_host(&format!("guess-{number}")), guesser).await.err());
    }
    assert_eq!(answers, [vec![None; 20], vec![Some(Trouble::Busy); 80]].concat());
    assert_eq!(node.metrics.lookups.with_label_values(&["hosts", "busy"]).get(), 80);
    let cold = slug_host("cold");
    assert_eq!(node.resolve_for(&cold, neighbour).await.err(), Some(Trouble::Busy), "one network is one client");
    assert!(node.resolve_for(&slug_host("hot"), guesser).await.is_ok(), "what is known costs nothing");
    assert!(node.resolve_for(&slug_host("guess-0"), guesser).await.is_ok(), "a known no neither");
    assert!(node.resolve_for(&cold, other).await.is_ok(), "Busy was not remembered as a no");
    assert!(node.resolve_for(&slug_host("guess-77"), other).await.is_ok());
    node.clock.advance(Duration::from_millis(100));
    assert!(node.resolve_for(&slug_host("guess-98"), guesser).await.is_ok());
    assert_eq!(node.resolve_for(&slug_host("guess-99"), guesser).await.err(), Some(Trouble::Busy));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_exist_are_never_charged() {
    let record = Record::new().await;
    let tenants: Vec<Tenant> = (0..500).map(|number| tenant(&format!("t{number}"))).collect();
    insert(&record.store, &tenants.iter().collect::<Vec<_>>()).await;
    let node = record.node_with(strict(64, 3)).await;
    for tenant in &tenants {
        assert_eq!(node.name_at(&slug_host(&tenant.name)).await.as_ref(), Ok(&tenant.name));
    }
    assert_eq!(node.tap.reads(Read::Place), 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_that_queue_together_do_not_slip_through_together() {
    let record = Record::new().await;
    insert(&record.store, &[&tenant("cold")]).await;
    let node = Arc::new(record.node_with(strict(1, 10)).await);
    let stall = node.tap.stall(Read::Place);
    let guess = |number: usize| {
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            node.resolve_for(&slug_host(&format!("guess-{number}")), client("198.51.100.7")).await.err()
        })
    };
    let mut guesses = vec![guess(0)];
    let stalled = stall.reached().await;
    guesses.extend((1..300).map(guess));
    let real = tokio::spawn({
        let node = Arc::clone(&node);
        async move { node.resolve_for(&slug_host("cold"), client("203.0.113.1")).await.is_ok() }
    });
    tokio::task::yield_now().await;
    stalled.release();
    let mut busy = 0;
    for guess in guesses {
        busy += usize::from(guess.await.unwrap() == Some(Trouble::Busy));
    }
    assert_eq!(busy, 290);
    assert!(real.await.unwrap(), "whoever stands behind them waits for ten reads, not for three hundred");
    assert_eq!(node.tap.reads(Read::Place), 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_too_long_for_a_turn_is_told_and_nothing_is_remembered() {
    let record = Record::new().await;
    insert(&record.store, &[&tenant("cold")]).await;
    let gate = GateSettings { concurrent: 1, wait: Duration::from_millis(20), rate: 10, burst: 10 };
    let node = Arc::new(record.node_with(DirectorySettings { gate, ..settings() }).await);
    let stall = node.tap.stall(Read::Place);
    let slow = tokio::spawn({
        let node = Arc::clone(&node);
        async move { node.name_at(&slug_host("nobody")).await }
    });
    let stalled = stall.reached().await;
    assert_eq!(node.name_at(&slug_host("cold")).await, Err(Trouble::Busy));
    stalled.release();
    assert_eq!(slow.await.unwrap(), Ok("-".into()));
    assert_eq!(node.name_at(&slug_host("cold")).await, Ok("cold".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn noes_are_bounded_and_end() {
    let record = Record::new().await;
    let negative_ttl = Duration::from_millis(50);
    let node = record.node_with(DirectorySettings { negatives: 100, negative_ttl, ..settings() }).await;
    for number in 0..2_000 {
        assert_eq!(node.name_at(&host(&format!("n{number}.example"))).await, Ok("-".into()));
        if number % 100 == 0 {
            assert!(node.directory.stats().0.absent <= 100);
        }
    }
    let reads = node.tap.reads(Read::Place);
    assert_eq!(node.name_at(&host("again.example")).await, Ok("-".into()));
    let ending = async {
        while node.tap.reads(Read::Place) == reads + 1 {
            assert_eq!(node.name_at(&host("again.example")).await, Ok("-".into()));
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, ending).await.expect("a no that never ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn challenges_are_never_remembered_as_missing() {
    let record = Record::new().await;
    let node = record.node_with(strict(64, 5)).await;
    let ca = client("203.0.113.9");
    assert_eq!(node.directory.challenge("token", ca).await, Ok(None));
    let mut write = node.store.write().await.unwrap();
    write.put_challenge("token", "answer", node.clock.now() + LONG).await.unwrap();
    node.commit(write).await;
    for _ in 0..50 {
        assert_eq!(node.directory.challenge("token", ca).await, Ok(Some("answer".into())));
    }
    for number in 0..4 {
        assert_eq!(node.directory.challenge(&format!("guess-{number}"), ca).await, Ok(None));
    }
    assert_eq!(node.directory.challenge("guess-5", ca).await, Err(Trouble::Busy));
}
