//! Certificates that are had again: by the authority's wish, by an operator's hand, after a revocation; and what happens to
//! one that cannot be shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::{Method, StatusCode};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tenantry::acme::fleet::Fleet;
use tenantry::acme::proof::Proof;
use tenantry::acme::{Acme, Needs};
use tenantry::certificates::{Certificates, NoAuthority};
use tenantry::clock::Clock;
use tenantry::dns::Dns;
use tenantry::domains::Domains;
use tenantry::metrics::Metrics;
use tenantry::outbound::Guard;
use tenantry::store::ISSUED;
use tenantry::tenancy::{Actor, Applied};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use crate::support::client::{request, send_h1, tls_trusting};
use crate::support::front::{Endpoint, Fault};
use crate::support::internet::{Internet, issued, life, until};
use crate::support::world::World;

const NAME: &str = "community.acme.example";
const PATIENCE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// Waits until the order is issued with another certificate than this; which one.
async fn another(world: &World, than: &str) -> String {
    let store = world.running.store();
    let is = async || {
        let row = store.order(NAME).await.unwrap().unwrap();
        row.stage == ISSUED && life(&row).certificate.is_some_and(|id| id != than)
    };
    until(store, PATIENCE, is).await;
    life(&store.order(NAME).await.unwrap().unwrap()).certificate.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authoritys_wish_is_followed_once_and_says_what_it_replaces() {
    let internet = Internet::start().await;
    let clock = Clock::manual(Clock::system().now());
    let now = clock.now();
    internet.front.renewal(now + 10 * DAY, now + 11 * DAY, "21600");
    internet.front.renewal_of_renewed(now + 70 * DAY, now + 71 * DAY);
    let world = internet.world("").clock(clock.clone()).start().await;
    world.tenant("acme", "growth").await;
    world.claim("acme", NAME, true).await;
    let first = another(&world, "").await;
    let store = world.running.store();
    let waits = async || store.order(NAME).await.unwrap().unwrap().not_before > clock.now();
    for _ in 0..9 {
        until(store, PATIENCE, waits).await;
        clock.advance(DAY);
    }
    until(store, PATIENCE, waits).await;
    assert!(internet.front.count(Endpoint::RenewalInfo) >= 10, "it is asked again and again");
    assert_eq!(internet.front.orders()[&vec![NAME.to_owned()]], 1);
    clock.advance(2 * DAY);
    let second = another(&world, &first).await;
    let placed =
        internet.front.seen().into_iter().filter(|seen| seen.endpoint == Endpoint::NewOrder && seen.status == 201);
    let replaces: Vec<_> = placed.map(|seen| seen.replaces.is_some()).collect();
    assert_eq!(replaces, [false, true]);
    until(store, PATIENCE, waits).await;
    clock.advance(2 * DAY);
    until(store, PATIENCE, waits).await;
    assert_eq!(life(&store.order(NAME).await.unwrap().unwrap()).certificate, Some(second), "once");
}

/// An authority whose window is always past wishes for one renewal after the other.
#[tokio::test(flavor = "multi_thread")]
async fn wishes_without_end_are_not_followed_without_end() {
    let internet = Internet::start().await;
    let clock = Clock::manual(Clock::system().now());
    let now = clock.now();
    internet.front.renewal(now - 2 * DAY, now - DAY, "");
    let world = internet.world("").clock(clock.clone()).start().await;
    world.tenant("acme", "growth").await;
    world.claim("acme", NAME, true).await;
    let store = world.running.store();
    let rests = async || {
        let row = store.order(NAME).await.unwrap();
        row.is_some_and(|row| row.lease <= clock.now() && row.not_before > clock.now())
    };
    until(store, PATIENCE, rests).await;
    assert_eq!(internet.front.orders()[&vec![NAME.to_owned()]], 4, "one, and three renewals in a day");
    assert_eq!(store.order(NAME).await.unwrap().unwrap().failures, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_renews_and_revokes_and_the_authority_is_told() {
    let internet = Internet::start().await;
    let world = internet.world("").start().await;
    world.tenant("acme", "growth").await;
    world.claim("acme", NAME, true).await;
    let first = another(&world, "").await;
    let certificates = Certificates::new(world.running.tenancy().clone(), Arc::new(NoAuthority));
    certificates.renew(&Actor::new("test"), NAME).await.unwrap();
    let second = another(&world, &first).await;
    assert_eq!(internet.front.orders()[&vec![NAME.to_owned()]], 2);

    let token = world.token("revoker").await;
    let revoke = async || {
        let path = format!("/v1/certificates/{second}/revoke");
        let request = request(Method::POST, "admin", &path).header("authorization", format!("Bearer {token}"));
        let tcp = TcpStream::connect(world.admin()).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(tcp)).await.unwrap();
        tokio::spawn(connection);
        send_h1(&mut sender, request.body(Default::default()).unwrap()).await
    };
    internet.front.fault(Some(Endpoint::Revoke), Fault::status(503, "60"), 1);
    let refused = revoke().await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{refused:?}");
    let kept = world.running.store().certificate_row(&second).await.unwrap().unwrap();
    assert_eq!(kept.revoked, None, "what the authority has not heard of is not revoked");
    let revoked = revoke().await;
    assert_eq!(revoked.status, StatusCode::OK, "{revoked:?}");
    let told = internet.front.seen().into_iter().filter(|seen| seen.endpoint == Endpoint::Revoke && seen.status == 200);
    assert_eq!(told.count(), 1);
    let third = another(&world, &second).await;
    assert_ne!(third, first);
    tls_trusting(&internet.pebble.root().await, world.https(), NAME).await.unwrap();
}

/// Handshakes as told.
struct Told(AtomicBool);

#[async_trait]
impl Proof for Told {
    async fn serves(&self, _: &str, _: &str) -> Result<(), String> {
        if self.0.load(Ordering::SeqCst) { Ok(()) } else { Err("another certificate was shown".into()) }
    }
}

/// The world's directory, as those who write wait for it.
struct Here(tenantry::directory::Applied);

#[async_trait]
impl Applied for Here {
    async fn applied(&self, revision: i64) -> bool {
        self.0.wait_for(revision, PATIENCE).await
    }
}

/// A worker beside a world that has none.
fn worker(world: &World, internet: &Internet, proof: Arc<dyn Proof>) -> AbortOnDropHandle<()> {
    let running = &world.running;
    let mut config = tenantry::config::Config::clone(&running.config());
    config.acme.authorities.push(internet.front.authority("front"));
    let (guard, metrics) = (Guard::new(&config.outbound), Arc::new(Metrics::new().unwrap()));
    let (store, clock) = (running.store().clone(), world.clock.clone());
    let dns = Dns::new(&config.dns, guard.clone(), Arc::clone(&metrics), clock.clone());
    let config = Arc::new(ArcSwap::from_pointee(config));
    let domains = Domains::new(
        running.tenancy().clone(),
        store.clone(),
        dns.clone(),
        guard,
        Arc::clone(&config),
        clock.clone(),
        Arc::clone(&metrics),
    );
    let fleet = Fleet::new(store.clone(), clock.clone(), "beside", Arc::new(Here(running.applied().clone())));
    let needs = Needs {
        store,
        clock,
        config,
        dns,
        domains,
        fleet,
        proof,
        metrics,
        owner: "beside".into(),
        nudge: Arc::default(),
    };
    AbortOnDropHandle::new(tokio::spawn(Acme::new(needs).unwrap().run()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_shown_is_taken_back_and_the_one_before_stays() {
    let internet = Internet::start().await;
    let clock = Clock::manual(Clock::system().now());
    let world = internet.world_asking("", "").clock(clock.clone()).start().await;
    let store = world.running.store();
    world.tenant("acme", "growth").await;
    world.claim("acme", NAME, true).await;
    let proof = Arc::new(Told(AtomicBool::new(true)));
    let _worker = worker(&world, &internet, Arc::clone(&proof) as Arc<dyn Proof>);
    issued(store, 1, PATIENCE).await;
    let first = another(&world, "").await;
    proof.0.store(false, Ordering::SeqCst);
    Certificates::new(world.running.tenancy().clone(), Arc::new(NoAuthority))
        .renew(&Actor::new("test"), NAME)
        .await
        .unwrap();
    let failed = async || {
        let row = store.order(NAME).await.unwrap().unwrap();
        if row.stage == "installed" && row.lease <= clock.now() {
            clock.advance(Duration::from_secs(1));
        }
        row.failures == 1
    };
    until(store, PATIENCE, failed).await;
    let row = store.order(NAME).await.unwrap().unwrap();
    let order = life(&row);
    assert_eq!((row.stage.as_str(), order.reason.as_deref()), ("waiting", Some("not-served")));
    assert!(order.failure.unwrap().contains("another certificate was shown"));
    assert_eq!(store.certificate_in_use(NAME).await.unwrap(), Some(first.clone()), "the one before");
    assert_eq!(store.certificates_for(NAME).await.unwrap().len(), 1);
    tls_trusting(&internet.pebble.root().await, world.https(), NAME).await.unwrap();

    proof.0.store(true, Ordering::SeqCst);
    clock.advance(row.not_before.since(clock.now()));
    another(&world, &first).await;
}
