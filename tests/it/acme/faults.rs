//! An authority that limits, fails, hangs, breaks off or babbles: each has one meaning, and none does harm.

use std::time::{Duration, Instant};

use tenantry::acme::ca::Ca;
use tenantry::acme::protocol::{CaError, ChallengeKind, OrderStatus};
use tenantry::clock::{Clock, Timestamp};
use tenantry::config::{Authority, ExternalAccount};

use super::ca::{challenge, request, settled};
use crate::support::front::{Endpoint, Fault, Front, Seen};
use crate::support::pebble::{ChallTest, Pebble};
use crate::support::world::World;

const NAME: &str = "community.acme.example";

/// An authority that believes every challenge, behind a front.
struct Bench {
    world: World,
    _pebble: Pebble,
    front: Front,
    clock: Clock,
}

impl Bench {
    async fn start() -> Self {
        let pebble = Pebble::builder().env("PEBBLE_VA_ALWAYS_VALID", "1").env("PEBBLE_WFE_NONCEREJECT", "20");
        let pebble = pebble.start().await;
        let front = Front::start(&pebble).await;
        let clock = Clock::manual(Timestamp::parse("2026-11-21T00:00:00Z").unwrap());
        let world = World::builder().settings(&front.settings("front")).start().await;
        Self { world, _pebble: pebble, front, clock }
    }

    fn ca_of(&self, authority: &Authority) -> Ca {
        let store = self.world.running.store().clone();
        Ca::within(Duration::from_secs(2), authority, &[], store, self.clock.clone()).unwrap()
    }

    fn ca(&self) -> Ca {
        self.ca_of(&self.front.authority("front"))
    }

    async fn order(&self, ca: &Ca) -> Result<tenantry::acme::ca::CaOrder, CaError> {
        ca.new_order(&[NAME.into()], None).await
    }

    fn later(&self, seconds: u64) -> Option<Timestamp> {
        Some(self.clock.now() + Duration::from_secs(seconds))
    }
}

/// A date as HTTP writes it, so many seconds from now.
fn http_date(seconds: u64) -> String {
    let at = Clock::system().now() + Duration::from_secs(seconds);
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_millis(at.millis() as u64))
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_outages_say_when_to_come_back() {
    let bench = Bench::start().await;
    let ca = bench.ca();
    bench.order(&ca).await.unwrap();
    let at = Some(Endpoint::NewOrder);

    bench.front.fault(at, Fault::problem(429, "rateLimited", "too many new orders", "120"), 1);
    let limited = bench.order(&ca).await.unwrap_err();
    let expected = CaError::RateLimited { retry_after: bench.later(120), detail: "too many new orders".into() };
    assert_eq!(limited, expected);

    bench.front.fault(at, Fault::status(429, &http_date(3600)), 1);
    let CaError::RateLimited { retry_after: Some(until), .. } = bench.order(&ca).await.unwrap_err() else { panic!() };
    // The date counts from the answer's own, not from our clock, which stands elsewhere.
    let wait = until.since(bench.clock.now());
    assert!((3598..=3601).contains(&wait.as_secs()), "{wait:?}");

    bench.front.fault(at, Fault::status(503, "60"), 1);
    let CaError::Unavailable { retry_after, why } = bench.order(&ca).await.unwrap_err() else { panic!() };
    assert_eq!(retry_after, bench.later(60));
    assert!(why.contains("503"), "{why}");

    bench.front.fault(at, Fault::problem(503, "rateLimited", "service busy", "7"), 1);
    let expected = CaError::RateLimited { retry_after: bench.later(7), detail: "service busy".into() };
    assert_eq!(bench.order(&ca).await.unwrap_err(), expected);

    bench.front.fault(at, Fault::problem(500, "serverInternal", "oh", ""), 1);
    assert!(matches!(bench.order(&ca).await, Err(CaError::Unavailable { retry_after: None, .. })));

    bench.front.fault(at, Fault::problem(400, "rejectedIdentifier", "policy forbids", ""), 1);
    let CaError::Refused(problem) = bench.order(&ca).await.unwrap_err() else { panic!() };
    assert_eq!((problem.kind.as_str(), problem.detail.as_str()), ("rejectedIdentifier", "policy forbids"));

    bench.front.fault(at, Fault::problem(409, "alreadyReplaced", "again?", ""), 1);
    assert_eq!(bench.order(&ca).await.unwrap_err(), CaError::AlreadyReplaced);
    bench.order(&ca).await.unwrap();
    // No request was ever made twice for its own sake.
    assert!(bench.front.seen().is_sorted_by_key(|seen| seen.at));
    assert_eq!(bench.front.orders().into_values().collect::<Vec<_>>(), [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_and_nonsense_are_an_outage_wherever_they_come() {
    let bench = Bench::start().await;
    let faults = [Fault::Drop, Fault::Hang, Fault::Garbage, Fault::Half, Fault::status(403, "")];
    let places = [Endpoint::Directory, Endpoint::Account, Endpoint::NewOrder, Endpoint::Authorization];
    let cases = places.iter().flat_map(|at| faults.iter().map(move |fault| (*at, fault)));
    for (number, (at, fault)) in cases.enumerate() {
        let ca = bench.ca_of(&bench.front.authority(&format!("ca{number}")));
        bench.front.fault(Some(at), fault.clone(), usize::MAX);
        let began = Instant::now();
        let answer = match bench.order(&ca).await {
            Ok(mut order) => order.authorizations().await.map(|_| ()),
            Err(error) => Err(error),
        };
        let lost = matches!(answer, Err(CaError::Unavailable { .. }));
        // What was made, and only its description is cut off, is found by its URL.
        let made = [Endpoint::NewOrder, Endpoint::Account].contains(&at) && matches!(fault, Fault::Half);
        assert!(lost || made && answer.is_ok(), "{at:?} {fault:?}: {answer:?}");
        assert!(began.elapsed() < Duration::from_secs(10), "{at:?} {fault:?}: {:?}", began.elapsed());
        bench.front.heal();
        bench.order(&ca).await.unwrap().authorizations().await.unwrap();
    }
    let made = |seen: &&Seen| seen.endpoint == Endpoint::Account && seen.status == 201;
    assert_eq!(bench.front.seen().iter().filter(made).count(), 20, "one for each name, however often it was tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_got_lost_is_not_asked_for_in_vain() {
    let bench = Bench::start().await;
    let ca = bench.ca();
    let mut order = bench.order(&ca).await.unwrap();
    order.authorizations().await.unwrap();
    bench.front.fault(Some(Endpoint::Challenge), Fault::DropAfter, 1);
    let lost = order.challenge_ready(NAME, false, ChallengeKind::Http01).await;
    assert!(matches!(lost, Err(CaError::Unavailable { .. })), "{lost:?}");
    order.challenge_ready(NAME, false, ChallengeKind::Http01).await.unwrap();
    assert_eq!(settled(&mut order).await.status, OrderStatus::Ready);
    bench.front.patience("17");
    assert_eq!(order.poll().await.unwrap().retry_after, bench.later(17));
    bench.front.patience("");
    let csr = request(&[NAME]);
    bench.front.fault(Some(Endpoint::Finalize), Fault::DropAfter, 1);
    let lost = order.finalize(&csr).await;
    assert!(matches!(lost, Err(CaError::Unavailable { .. })), "{lost:?}");
    let view = order.finalize(&csr).await.unwrap();
    assert!(matches!(view.status, OrderStatus::Processing | OrderStatus::Valid), "{view:?}");
    assert_eq!(settled(&mut order).await.status, OrderStatus::Valid);
    for fault in [Fault::Drop, Fault::Garbage, Fault::status(503, "5")] {
        bench.front.fault(Some(Endpoint::Certificate), fault, 1);
        assert!(matches!(order.certificate().await, Err(CaError::Unavailable { .. })));
    }
    assert!(order.certificate().await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn renewal_windows_and_profiles_where_they_are_offered() {
    let bench = Bench::start().await;
    let (start, end) = (bench.clock.now(), bench.clock.now() + Duration::from_secs(86_400));
    bench.front.renewal(start, end, "7200");
    bench.front.profile("shortlived");
    let mut authority = bench.front.authority("front");
    authority.profile = Some("shortlived".into());
    let ca = bench.ca_of(&authority);
    let mut order = bench.order(&ca).await.unwrap();
    order.authorizations().await.unwrap();
    order.challenge_ready(NAME, false, ChallengeKind::Http01).await.unwrap();
    settled(&mut order).await;
    order.finalize(&request(&[NAME])).await.unwrap();
    settled(&mut order).await;
    let chain = order.certificate().await.unwrap().unwrap();

    let window = ca.renewal_window(&chain).await.unwrap().unwrap();
    assert_eq!((window.start, window.end), (start, end));
    assert_eq!(Some(window.ask_again), bench.later(7200));
    bench.front.renewal(start, end, "");
    assert_eq!(Some(ca.renewal_window(&chain).await.unwrap().unwrap().ask_again), bench.later(6 * 3600));
    bench.front.renewal(end, start, "60");
    assert!(matches!(ca.renewal_window(&chain).await, Err(CaError::Unavailable { .. })));

    ca.new_order(&[NAME.into()], Some(&chain)).await.unwrap();
    let last = bench.front.seen().into_iter().rfind(|seen| seen.endpoint == Endpoint::NewOrder).unwrap();
    assert_eq!(last.profile.as_deref(), Some("shortlived"));
    assert!(last.replaces.is_some_and(|replaced| replaced.contains('.')));

    authority.profile = Some("eternal".into());
    let CaError::Refused(problem) = bench.order(&bench.ca_of(&authority)).await.unwrap_err() else { panic!() };
    assert_eq!(problem.kind, "invalidProfile");
    assert!(problem.detail.contains("it offers shortlived"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_account_for_all_who_begin_at_once() {
    let bench = Bench::start().await;
    let nodes: Vec<Ca> = (0..8).map(|_| bench.ca()).collect();
    let orders = nodes.iter().map(|ca| bench.order(ca));
    for order in futures_util::future::join_all(orders).await {
        order.unwrap();
    }
    let made =
        bench.front.seen().iter().filter(|seen| seen.endpoint == Endpoint::Account && seen.status == 201).count();
    assert_eq!(made, 1);
    // The directory is read once by each, not for each order.
    let before = bench.front.count(Endpoint::Directory);
    bench.order(&nodes[0]).await.unwrap();
    assert_eq!(bench.front.count(Endpoint::Directory), before);

    // It has lost our account: the same key makes it anew.
    let gone = Fault::problem(400, "accountDoesNotExist", "who?", "");
    bench.front.fault(Some(Endpoint::NewOrder), gone.clone(), 1);
    bench.order(&nodes[0]).await.unwrap();
    bench.front.fault(Some(Endpoint::NewOrder), gone, 10);
    assert!(matches!(bench.order(&nodes[0]).await, Err(CaError::Unavailable { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_authority_makes_nobody_wait_for_the_others() {
    let bench = Bench::start().await;
    bench.front.fault(Some(Endpoint::Account), Fault::Hang, usize::MAX);
    let ca = bench.ca();
    let began = Instant::now();
    let orders = (0..20).map(|_| bench.order(&ca));
    for order in futures_util::future::join_all(orders).await {
        assert!(matches!(order, Err(CaError::Unavailable { .. })));
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    bench.front.heal();
    bench.order(&ca).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_account_vouches_for_ours() {
    let dns = ChallTest::start().await;
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let pebble = Pebble::builder().dns(&dns).eab("kid-1", key).start().await;
    let world = World::start().await;
    let ca = |authority: &Authority| {
        Ca::new(authority, &["mailto:ops@example.com".into()], world.running.store().clone(), Clock::system()).unwrap()
    };
    let mut authority = pebble.authority("pebble");
    let CaError::Refused(problem) = ca(&authority).new_order(&[NAME.into()], None).await.unwrap_err() else { panic!() };
    assert_eq!(problem.kind, "externalAccountRequired");
    use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
    let key = BASE64_URL_SAFE_NO_PAD.decode(key).unwrap().into();
    authority.eab = Some(ExternalAccount { key_id: "kid-1".into(), key });
    let mut order = ca(&authority).new_order(&[NAME.into()], None).await.unwrap();
    let authorizations = order.authorizations().await.unwrap();
    challenge(&authorizations[0].challenges, ChallengeKind::Dns01);
}
