//! An authority that is busy, broken, silent or away, as an edge meets it: it is never asked before it said, nothing hangs,
//! and what is served goes on being served.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tenantry::clock::{Clock, Timestamp};
use tenantry::store::{ISSUED, OrderRow, Store};

use crate::support::front::{Endpoint, Fault, Front};
use crate::support::internet::{BOUNDLESS, Internet, count, issued, life, orders, size, until};
use crate::support::pebble::Pebble;

const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than the worker sleeps between two looks at its clock: what has not been done by then is not going to be.
const WHILE: Duration = Duration::from_millis(1_100);
const HOUR: Duration = Duration::from_secs(3600);

/// Every order is at rest, and nothing is due.
async fn at_rest(store: &Store, clock: &Clock) -> Vec<OrderRow> {
    let rests = |row: &OrderRow| row.lease <= clock.now() && row.not_before > clock.now();
    until(store, PATIENCE, async || orders(store).await.iter().all(rests)).await;
    orders(store).await
}

/// A date as HTTP writes it, so many seconds from now.
fn http_date(seconds: u64) -> String {
    let at = Clock::system().now() + Duration::from_secs(seconds);
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_millis(at.millis() as u64))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_not_asked_again_before_it_said() {
    let internet = Internet::start().await;
    let clock = Clock::manual(Clock::system().now());
    let world = internet.world("").clock(clock.clone()).start().await;
    let store = world.running.store();
    world.tenant("acme", "growth").await;
    let limited: fn(&str) -> Fault = |after| Fault::status(429, after);
    let busy: fn(&str) -> Fault = |after| Fault::problem(429, "rateLimited", "too many new orders", after);
    let broken: fn(&str) -> Fault = |after| Fault::status(503, after);
    let told = [
        (Endpoint::NewOrder, limited, false),
        (Endpoint::NewOrder, limited, true),
        (Endpoint::NewOrder, busy, false),
        (Endpoint::NewOrder, broken, false),
        (Endpoint::NewOrder, broken, true),
        (Endpoint::Authorization, broken, false),
        (Endpoint::Challenge, broken, true),
        (Endpoint::Order, busy, false),
        (Endpoint::Finalize, broken, false),
        (Endpoint::Certificate, broken, true),
    ];
    let every = size(3, 1);
    for (n, (endpoint, fault, is_date)) in told.into_iter().step_by(every).enumerate() {
        let fault = fault(&if is_date { http_date(120) } else { "120".into() });
        let what = format!("{endpoint:?} {fault:?}");
        internet.front.fault(Some(endpoint), fault, 1);
        let (first, second) = (format!("first-{n}.example"), format!("second-{n}.example"));
        world.claim("acme", &first, true).await;
        let row = at_rest(store, &clock).await.into_iter().find(|row| row.name == first).unwrap();
        assert!(row.stage != ISSUED && row.failures == 0, "{what}: {row:?}");
        assert!(row.not_before.since(clock.now()) >= Duration::from_secs(118), "{what}: {row:?}");
        // Neither that order nor another one.
        let asked = internet.front.seen().len();
        world.claim("acme", &second, true).await;
        clock.advance(row.not_before.since(clock.now()) - Duration::from_secs(1));
        tokio::time::sleep(WHILE).await;
        assert_eq!(internet.front.seen().len(), asked, "{what}: asked too early");
        clock.advance(Duration::from_secs(2));
        issued(store, 2 * n + 2, PATIENCE).await;
    }
    let made = internet.front.orders();
    assert!(made.values().all(|orders| *orders == 1), "an order that was made is gone on with: {made:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_once_is_done_again_and_nothing_hangs() {
    let internet = Internet::start().await;
    let clock = Clock::manual(Clock::system().now());
    let world = internet.world("deadline = \"1s\"").clock(clock.clone()).start().await;
    let store = world.running.store();
    world.tenant("acme", "growth").await;
    let endpoints =
        [Endpoint::NewOrder, Endpoint::Authorization, Endpoint::Challenge, Endpoint::Finalize, Endpoint::Certificate];
    let faults = [Fault::Drop, Fault::DropAfter, Fault::Hang, Fault::Garbage, Fault::Half];
    let mut number = 0;
    let each = size(1, faults.len());
    for (n, endpoint) in endpoints.into_iter().enumerate() {
        for fault in faults.iter().cycle().skip(n).take(each) {
            let name = format!("customer-{number}.example");
            number += 1;
            // The one try that a connection which was closed is worth is broken too.
            internet.front.fault(Some(endpoint), fault.clone(), 2);
            world.claim("acme", &name, true).await;
            let started = Instant::now();
            while count(store, ISSUED).await < number {
                assert!(started.elapsed() < PATIENCE, "{endpoint:?} {fault:?}: {:?}", store.order(&name).await);
                let row = store.order(&name).await.unwrap().unwrap();
                if row.lease <= clock.now() && row.not_before > clock.now() && row.stage != ISSUED {
                    clock.advance(row.not_before.since(clock.now()));
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            internet.front.heal();
        }
    }
}

/// Certificates of six days, and nobody who renews them from 40% of their life to 70%, which is when all of them should be.
#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_away_for_a_third_of_a_lifetime_costs_no_certificate_and_no_burst() {
    const LIFE: Duration = Duration::from_secs(6 * 86_400);
    let domains = size(20, 200);
    let internet = Internet::with(|pebble| pebble.validity(LIFE.as_secs() as u32)).await;
    // Pebble's time cannot be moved: what it would issue later would have to be renewed at once. Another one takes over then.
    let later = Pebble::builder().ports(internet.https, internet.http).dns(&internet.dns).start().await;
    let later = Front::start(&later).await;
    later.fault(None, Fault::Drop, usize::MAX);
    let authorities = format!("{}{BOUNDLESS}{}{BOUNDLESS}", internet.front.settings("front"), later.settings("later"));
    let clock = Clock::manual(Clock::system().now());
    let world = internet.world_asking("failover_after = \"0s\"", &authorities).clock(clock.clone()).start().await;
    let store = world.running.store();
    world.tenant("acme", "growth").await;
    for n in 0..domains {
        world.claim("acme", &format!("customer-{n}.example"), true).await;
    }
    issued(store, domains, PATIENCE).await;
    let start = clock.now();
    internet.front.fault(None, Fault::Drop, usize::MAX);
    let mut asked = BTreeMap::new();
    let mut ends: BTreeMap<String, Timestamp> = BTreeMap::new();
    let (mut healed, mut placed) = (false, later.orders().len());
    clock.advance(LIFE.mul_f64(0.4));
    while clock.now().since(start) < LIFE.mul_f64(0.9) && placed < domains {
        for row in at_rest(store, &clock).await {
            let end = life(&row).ends.unwrap();
            assert!(end > clock.now(), "{} has expired: {row:?}", row.name);
            ends.insert(row.name, end);
        }
        let made: usize = later.orders().values().sum();
        if healed {
            asked.insert(clock.now().since(start).as_secs() / 3600, made - placed);
        }
        placed = made;
        if !healed && clock.now().since(start) >= LIFE.mul_f64(0.7) {
            assert_eq!(made, 0);
            later.heal();
            healed = true;
        }
        clock.advance(if healed { HOUR } else { 4 * HOUR });
    }
    assert_eq!(placed, domains, "{asked:?}");
    assert!(ends.values().all(|end| *end > start));
    println!("{domains} renewed after the outage, by hour of life: {asked:?}");
    let most = asked.values().max().copied().unwrap();
    assert!(most <= domains / 2, "{most} of {domains} within an hour: {asked:?}");
    assert!(later.orders().values().all(|orders| *orders == 1), "each once: {:?}", later.orders());
}
