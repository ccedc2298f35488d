//! Which authority is asked when the first one cannot be: as configured, and the first one again when it is back.

use std::time::Duration;

use tenantry::clock::Clock;

use crate::support::front::{Fault, Front};
use crate::support::internet::{BOUNDLESS, Internet, issued};
use crate::support::pebble::Pebble;
use crate::support::world::World;

const PATIENCE: Duration = Duration::from_secs(60);

/// The internet's authority comes first, this one second.
struct Two {
    internet: Internet,
    second: Front,
    _pebble: Pebble,
    clock: Clock,
    world: World,
}

impl Two {
    async fn start(failover_after: &str) -> Self {
        let internet = Internet::start().await;
        let pebble = Pebble::builder().ports(internet.https, internet.http).dns(&internet.dns).start().await;
        let second = Front::start(&pebble).await;
        let authorities =
            format!("{}{BOUNDLESS}{}{BOUNDLESS}", internet.front.settings("first"), second.settings("second"));
        let clock = Clock::manual(Clock::system().now());
        let acme = format!("deadline = \"1s\"\nfailover_after = \"{failover_after}\"");
        let world = internet.world_asking(&acme, &authorities).clock(clock.clone()).start().await;
        world.tenant("acme", "growth").await;
        Self { internet, second, _pebble: pebble, clock, world }
    }

    /// One more domain; who has issued its certificate.
    async fn claim(&self, name: &str, number: usize) -> String {
        self.world.claim("acme", name, true).await;
        issued(self.world.running.store(), number, PATIENCE).await;
        self.world.running.store().certificate(name).await.unwrap().unwrap().authority
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_authority_is_asked_when_the_first_is_away_for_longer_than_is_bearable() {
    let two = Two::start("10m").await;
    let first = &two.internet.front;
    assert_eq!(two.claim("one.example", 1).await, "first");
    first.fault(None, Fault::status(503, "3600"), 1);
    assert_eq!(two.claim("two.example", 2).await, "second", "the same order, at once");
    let asked = first.seen().len();
    assert_eq!(two.claim("three.example", 3).await, "second");
    assert_eq!(first.seen().len(), asked, "it is left alone");
    two.clock.advance(Duration::from_secs(3_601));
    assert_eq!(two.claim("four.example", 4).await, "first", "it is back");
    assert_eq!(two.second.orders().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_the_first_the_next_one_issues_at_once() {
    let two = Two::start("0s").await;
    for (n, fault) in [Fault::Drop, Fault::Hang, Fault::Garbage, Fault::status(500, "")].into_iter().enumerate() {
        two.internet.front.fault(None, fault.clone(), usize::MAX);
        assert_eq!(two.claim(&format!("customer-{n}.example"), n + 1).await, "second", "{fault:?}");
        two.internet.front.heal();
        two.clock.advance(Duration::from_secs(601));
    }
    assert!(two.internet.front.orders().is_empty());
    assert!(two.second.orders().values().all(|orders| *orders == 1));
}
