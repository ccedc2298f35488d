//! Ownership over a real store and a real DNS server, by a clock that the test moves: who holds a name, and until when.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tempfile::TempDir;
use tenantry::clock::{Clock, Timestamp};
use tenantry::config::{Config, Sources};
use tenantry::dns::Dns;
use tenantry::domains::{Domains, Readiness, Verdict};
use tenantry::metrics::Metrics;
use tenantry::model::{DomainName, DomainState, Hostname, Status};
use tenantry::outbound::Guard;
use tenantry::seal::Sealer;
use tenantry::store::{Page, Store};
use tenantry::tenancy::{Actor, NewDomain, NewTenant, Tenancy, TenancyError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::pebble::ChallTest;

const DAY: Duration = Duration::from_secs(86_400);
const NAME: &str = "shop.acme.example";
const EDGE: &str = "edge.connect.example";

/// The room, a store and a DNS server; nothing works by itself.
struct Room {
    domains: Domains,
    tenancy: Tenancy,
    store: Store,
    clock: Clock,
    dns: ChallTest,
    _dir: TempDir,
}

impl Room {
    /// `more`: further lines of `tenantry.toml`.
    async fn new(more: &str) -> Self {
        tenantry::app::install_crypto().unwrap();
        let (dir, dns) = (tempfile::tempdir().unwrap(), ChallTest::start().await);
        // Whatever is not told otherwise leads nowhere; the edge has an address of its own.
        dns.default_a("").await;
        dns.a(EDGE, &["127.0.0.9"]).await;
        let tenantry = format!(
            "[brand]\nbase = \"connect.example\"\n[[listener]]\nname = \"https\"\naddress = \"127.0.0.1:0\"\n\
             [store]\nurl = \"sqlite:x\"\nkey = \"env:X\"\n[dns]\nservers = [\"{}\"]\nauthoritative = false\n{more}",
            dns.address
        );
        let routing = include_str!("../../config/dev/routing.toml");
        let sources = Sources::new(tenantry, routing, include_str!("../../config/plans.toml"));
        let config =
            Config::parse(&sources, &|_| Some("127.0.0.1:1".into())).unwrap_or_else(|faults| panic!("{faults}"));
        let config = Arc::new(ArcSwap::from_pointee(config));
        let clock = Clock::manual(Timestamp::parse("2026-11-21T12:00:00Z").unwrap());
        let url = format!("sqlite:{}", dir.path().join("tenantry.db").display());
        let sealer = Sealer::from_key_bytes(&[5; 32]).unwrap();
        let store = Store::open(&url, 6, sealer, clock.clone()).await.unwrap();
        let tenancy = Tenancy::new(store.clone(), Arc::clone(&config), clock.clone(), Arc::new(()));
        let metrics = Arc::new(Metrics::new().unwrap());
        let guard = Guard::new(&config.load().outbound);
        let resolver = Dns::new(&config.load().dns, guard.clone(), Arc::clone(&metrics), clock.clone());
        let domains = Domains::new(tenancy.clone(), store.clone(), resolver, guard, config, clock.clone(), metrics);
        for slug in ["acme", "rival"] {
            let plan = Some("growth".to_owned());
            let new = NewTenant {
                slug: slug.into(),
                name: slug.into(),
                plan,
                status: Some(Status::Active),
                ..NewTenant::default()
            };
            tenancy.create(&actor(), &new).await.unwrap();
        }
        Self { domains, tenancy, store, clock, dns, _dir: dir }
    }

    async fn claim(&self, tenant: &str, name: &str) -> String {
        let new = NewDomain { domain: name.into(), verified: false };
        let claim = self.tenancy.add_domain(&actor(), tenant, &new).await.unwrap().value;
        claim.records[0].value.clone()
    }

    /// Sets the TXT record of a claim; the name in it is that of the host.
    async fn prove(&self, value: &str) {
        self.dns.txt(&format!("_arythmatic-verification.{NAME}"), value).await;
    }

    async fn unprove(&self) {
        self.dns.clear_txt(&format!("_arythmatic-verification.{NAME}")).await;
    }

    async fn lead_here(&self, here: bool) {
        self.dns.clear_a(NAME).await;
        self.dns.a(NAME, &[if here { "127.0.0.9" } else { "198.51.100.7" }]).await;
    }

    async fn state(&self, tenant: &str) -> DomainState {
        self.tenancy.domain(NAME, Some(tenant)).await.unwrap().domain.state
    }

    /// Moves the clock, and makes all looks that are due then.
    async fn after(&self, time: Duration) {
        self.clock.advance(time);
        while self.domains.check_due().await.unwrap() > 0 {}
    }

    async fn events(&self) -> Vec<String> {
        let rows = self.store.events(None, Some(NAME), &Page { limit: 1000, after: None }).await.unwrap();
        rows.into_iter().map(|row| row.event.kind).collect()
    }

    async fn order(&self) -> bool {
        self.store.order(NAME).await.unwrap().is_some()
    }
}

fn actor() -> Actor {
    Actor::new("test")
}

fn name() -> DomainName {
    DomainName::parse(NAME).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_to_prove_a_name_has_it_and_pending_claims_block_nobody() {
    let room = Room::new("").await;
    let (first, second) = (room.claim("acme", NAME).await, room.claim("rival", NAME).await);
    assert_ne!(first, second, "each claim has a token of its own");
    room.after(Duration::ZERO).await;
    assert_eq!((room.state("acme").await, room.state("rival").await), (DomainState::Pending, DomainState::Pending));
    room.lead_here(true).await;
    room.prove(&second).await;
    room.after(Duration::from_secs(60)).await;
    assert_eq!((room.state("acme").await, room.state("rival").await), (DomainState::Verifying, DomainState::Verified));
    assert!(room.order().await, "its certificate is wanted");
    assert!(room.events().await.contains(&"domain.verified".to_owned()));
    let vouched = NewDomain { domain: NAME.into(), verified: true };
    let refused = room.tenancy.add_domain(&actor(), "acme", &vouched).await.unwrap_err();
    assert!(matches!(refused, TenancyError::Conflict(fault) if fault.code == "domain-taken"));
    // The holder's own proof is there: the other one proves in vain.
    room.prove(&first).await;
    for _ in 0..30 {
        room.after(DAY / 2).await;
    }
    assert_eq!(room.state("acme").await, DomainState::Verifying);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leads_elsewhere_is_released_after_the_grace_and_rests() {
    let room = Room::new("").await;
    let token = room.claim("acme", NAME).await;
    room.prove(&token).await;
    room.lead_here(true).await;
    room.after(Duration::from_secs(1)).await;
    assert_eq!(room.state("acme").await, DomainState::Verified);
    let mut write = room.store.write().await.unwrap();
    let holder = room.store.held_domain(&name()).await.unwrap().unwrap().tenant;
    write.set_domain_state(&name(), holder, DomainState::Live).await.unwrap();
    write.commit().await.unwrap();

    room.lead_here(false).await;
    room.after(2 * DAY).await;
    assert_eq!(room.state("acme").await, DomainState::Moved);
    room.lead_here(true).await;
    room.after(DAY).await;
    assert!(room.state("acme").await.is_held() && room.state("acme").await != DomainState::Moved);
    // Nobody can be asked: nothing is taken for a no.
    let mut write = room.store.write().await.unwrap();
    write.set_domain_state(&name(), holder, DomainState::Live).await.unwrap();
    write.commit().await.unwrap();
    for silent in [NAME, EDGE] {
        room.dns.servfail(silent).await;
        for _ in 0..20 {
            room.after(DAY).await;
        }
        assert_eq!(room.state("acme").await, DomainState::Live, "{silent}");
        room.dns.clear_servfail(silent).await;
    }

    room.lead_here(false).await;
    room.unprove().await;
    for _ in 0..9 {
        room.after(DAY).await;
    }
    assert_eq!((room.state("acme").await, room.order().await), (DomainState::Released, false));
    let events = room.events().await;
    for kind in ["domain.verified", "domain.moved", "domain.returned", "domain.released"] {
        assert!(events.contains(&kind.to_owned()), "{kind}: {events:?}");
    }
    // It rests: another's proof counts only when that is over.
    let cooldown = room.store.cooldown(&name()).await.unwrap();
    assert_eq!(cooldown.map(|(tenant, _)| tenant), Some(holder));
    let fresh = room.claim("rival", NAME).await;
    room.prove(&fresh).await;
    room.after(Duration::from_secs(60)).await;
    let rests = room.store.cooldown(&name()).await.unwrap().is_some_and(|(_, until)| until > room.clock.now());
    assert!(rests == (room.state("rival").await != DomainState::Verified));
    room.after(2 * DAY).await;
    assert_eq!(room.state("rival").await, DomainState::Verified);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenger_who_proves_it_gets_it_when_the_holder_does_not() {
    let room = Room::new("").await;
    room.lead_here(true).await;
    let new = NewDomain { domain: NAME.into(), verified: true };
    room.tenancy.add_domain(&actor(), "acme", &new).await.unwrap();
    let token = room.claim("rival", NAME).await;
    room.prove(&token).await;
    room.after(Duration::ZERO).await;
    for _ in 0..3 {
        room.after(DAY / 2).await;
    }
    assert!(room.events().await.contains(&"domain.contested".to_owned()), "the holder is warned");
    assert!(room.state("acme").await.is_held(), "and has its grace");
    for _ in 0..15 {
        room.after(DAY / 2).await;
    }
    assert_eq!((room.state("acme").await, room.state("rival").await), (DomainState::Released, DomainState::Verified));
    let held = room.store.held_domain(&name()).await.unwrap().unwrap();
    let order = room.store.order(NAME).await.unwrap().unwrap();
    assert_eq!(order.tenant, Some(held.tenant), "the certificate is wanted for the new holder");
    assert!(room.events().await.contains(&"domain.transferred".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_never_proven_fails_and_can_be_asked_for_again() {
    let room = Room::new("").await;
    let token = room.claim("acme", NAME).await;
    for _ in 0..60 {
        room.after(DAY / 6).await;
    }
    assert_eq!(room.state("acme").await, DomainState::Failed);
    let failed = room.domains.diagnose(NAME, None).await.unwrap();
    assert_eq!((failed.proven, failed.next_check), (Some(false), None));
    let missing = failed.findings.iter().find(|finding| finding.verdict == Verdict::Missing).unwrap();
    assert!(missing.advice.contains(&token), "{missing:?}");
    room.prove(&token).await;
    let verified = room.domains.verify(&actor(), NAME, None).await.unwrap();
    assert_eq!((verified.state, verified.proven), (DomainState::Verified, Some(true)));
    for _ in 0..9 {
        room.domains.verify(&actor(), NAME, None).await.unwrap();
    }
    let often = room.domains.verify(&actor(), NAME, None).await.unwrap_err();
    assert!(matches!(often, TenancyError::TooOften { retry_after } if retry_after <= Duration::from_secs(600)));
}

/// A server that answers everything with the same body, and counts.
async fn stranger(body: &'static str) -> (u16, Arc<std::sync::atomic::AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let mut head = [0; 4096];
            let _ = tcp.read(&mut head).await;
            let answer =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            let _ = tcp.write_all(answer.as_bytes()).await;
        }
    });
    (port, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_not_worth_its_budget_before_everything_is_right() {
    let (port, visits) = stranger("not a token").await;
    let more = format!(
        "[domains]\naddresses = [\"127.0.0.1\"]\n[acme]\nhttp_port = {port}\n[outbound]\nallow = [\"127.0.0.0/8\"]\n"
    );
    let room = Room::new(&more).await;
    let ours = [Hostname::parse("ca.example").unwrap()];
    let code = async || match room.domains.preflight(&name(), &ours).await {
        Readiness::Ready => "ready".to_owned(),
        Readiness::NotReady { code, .. } => code.to_owned(),
        Readiness::Unknown { .. } => "unknown".to_owned(),
    };
    assert_eq!(code().await, "not-held");
    let new = NewDomain { domain: NAME.into(), verified: true };
    room.tenancy.add_domain(&actor(), "acme", &new).await.unwrap();
    assert_eq!(code().await, "dns");
    room.dns.servfail(NAME).await;
    assert_eq!(code().await, "unknown");
    room.dns.clear_servfail(NAME).await;
    room.dns.a(NAME, &["127.0.0.1"]).await;
    room.dns.caa("acme.example", "other.example").await;
    assert_eq!(code().await, "caa");
    room.dns.clear_caa("acme.example").await;
    assert_eq!(visits.load(std::sync::atomic::Ordering::SeqCst), 0, "nobody is visited before");
    assert_eq!(code().await, "probe");
    assert_eq!(visits.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_leads_to_a_private_address_is_not_connected_to() {
    let (port, visits) = stranger("secret").await;
    let more = format!("[domains]\naddresses = [\"127.0.0.1\"]\n[acme]\nhttp_port = {port}\n");
    let room = Room::new(&more).await;
    let new = NewDomain { domain: NAME.into(), verified: true };
    room.tenancy.add_domain(&actor(), "acme", &new).await.unwrap();
    room.dns.a(NAME, &["127.0.0.1"]).await;
    let readiness = room.domains.preflight(&name(), &[]).await;
    assert!(
        matches!(&readiness, Readiness::NotReady { code: "probe", why } if why.contains("not a public address")),
        "{readiness:?}"
    );
    assert_eq!(visits.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_claims_are_looked_at_and_one_node_makes_each_look() {
    let room = Room::new("").await;
    let number = if std::env::var_os("TENANTRY_TEST_FULL").is_some() { 500 } else { 100 };
    for n in 0..number {
        room.claim("acme", &format!("{n}.many.example")).await;
    }
    let (one, other) = tokio::join!(room.domains.check_due(), room.domains.check_due());
    let more = async {
        let mut sum = 0;
        while let Ok(looked @ 1..) = room.domains.check_due().await {
            sum += looked;
        }
        sum
    };
    assert_eq!(one.unwrap() + other.unwrap() + more.await, number, "each once");
}
