//! Ownership told as stories over a real DNS server: who holds a name, and until when.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tenantry::domains::{Readiness, Verdict};
use tenantry::model::{Certificate, CertificateSource, DomainState, Hostname, Status};
use tenantry::tenancy::{Expect, NewDomain, NewTenant, PlanOrder, TenancyError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::room::{self, DAY, EDGE, NAME, actor, name, proof};
use crate::support::pebble::ChallTest;

/// A room and its DNS server.
struct Room {
    room: room::Room,
    dns: ChallTest,
}

impl Deref for Room {
    type Target = room::Room;

    fn deref(&self) -> &Self::Target {
        &self.room
    }
}

impl Room {
    async fn new(more: &str) -> Self {
        let dns = ChallTest::start().await;
        // Whatever is not told otherwise leads nowhere; the edge has an address of its own.
        dns.default_a("").await;
        dns.a(EDGE, &["127.0.0.9"]).await;
        let room = room::Room::new(dns.address, &format!("authoritative = false\n{more}")).await;
        Self { room, dns }
    }

    /// Sets the TXT record of a claim; the name in it is that of the host.
    async fn prove(&self, value: &str) {
        self.dns.txt(&proof(NAME), value).await;
    }

    async fn unprove(&self) {
        self.dns.clear_txt(&proof(NAME)).await;
    }

    async fn lead_here(&self, here: bool) {
        self.dns.clear_a(NAME).await;
        self.dns.a(NAME, &[if here { "127.0.0.9" } else { "198.51.100.7" }]).await;
    }
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
    assert!(room.told("domain.verified", "rival").await);
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
    let holder = room.store.held_domain(&name()).await.unwrap().unwrap().tenant;
    room.goes_live().await;

    room.lead_here(false).await;
    room.after(2 * DAY).await;
    assert_eq!(room.state("acme").await, DomainState::Moved);
    room.lead_here(true).await;
    room.after(DAY).await;
    assert!(room.state("acme").await.is_held() && room.state("acme").await != DomainState::Moved);
    // Nobody can be asked: nothing is taken for a no.
    room.goes_live().await;
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
        assert!(events.contains(&(kind.to_owned(), "acme".to_owned())), "{kind}: {events:?}");
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
    room.vouch("acme", NAME).await;
    let token = room.claim("rival", NAME).await;
    room.prove(&token).await;
    room.after(Duration::ZERO).await;
    for _ in 0..3 {
        room.after(DAY / 2).await;
    }
    assert!(room.told("domain.contested", "acme").await, "the holder is warned");
    assert!(room.state("acme").await.is_held(), "and has its grace");
    for _ in 0..15 {
        room.after(DAY / 2).await;
    }
    assert_eq!((room.state("acme").await, room.state("rival").await), (DomainState::Released, DomainState::Verified));
    let held = room.store.held_domain(&name()).await.unwrap().unwrap();
    let order = room.store.order(NAME).await.unwrap().unwrap();
    assert_eq!(order.tenant, Some(held.tenant), "the certificate is wanted for the new holder");
    assert!(room.told("domain.released", "acme").await, "the one that lost it is told");
    assert!(room.told("domain.transferred", "rival").await);
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
async fn stranger(body: &'static str) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
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
    room.vouch("acme", NAME).await;
    assert_eq!(code().await, "dns");
    room.dns.servfail(NAME).await;
    assert_eq!(code().await, "unknown");
    room.dns.clear_servfail(NAME).await;
    room.dns.a(NAME, &["127.0.0.1"]).await;
    room.dns.caa("acme.example", "other.example").await;
    assert_eq!(code().await, "caa");
    room.dns.clear_caa("acme.example").await;
    assert_eq!(visits.load(Ordering::SeqCst), 0, "nobody is visited before");
    assert_eq!(code().await, "probe");
    assert_eq!(visits.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_port_says_so() {
    let port = crate::support::program::port();
    let more = format!(
        "[domains]\naddresses = [\"127.0.0.1\"]\n[acme]\nhttp_port = {port}\n[outbound]\nallow = [\"127.0.0.0/8\"]\n"
    );
    let room = Room::new(&more).await;
    room.vouch("acme", NAME).await;
    room.dns.a(NAME, &["127.0.0.1"]).await;
    let readiness = room.domains.preflight(&name(), &[]).await;
    assert!(
        matches!(&readiness, Readiness::NotReady { code: "probe", why } if why.contains("cannot be reached over port 80")),
        "{readiness:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_leads_to_a_private_address_is_not_connected_to() {
    let (port, visits) = stranger("secret").await;
    let more = format!("[domains]\naddresses = [\"127.0.0.1\"]\n[acme]\nhttp_port = {port}\n");
    let room = Room::new(&more).await;
    room.vouch("acme", NAME).await;
    room.dns.a(NAME, &["127.0.0.1"]).await;
    let readiness = room.domains.preflight(&name(), &[]).await;
    assert!(
        matches!(&readiness, Readiness::NotReady { code: "probe", why } if why.contains("not a public address")),
        "{readiness:?}"
    );
    assert_eq!(visits.load(Ordering::SeqCst), 0);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_child_whose_parent_loses_the_feature_has_its_grace_from_the_next_look_on() {
    let room = Room::new("").await;
    let new = NewTenant {
        slug: "shop".into(),
        name: "Shop".into(),
        parent: Some("acme".into()),
        status: Some(Status::Active),
        ..NewTenant::default()
    };
    room.tenancy.create(&actor(), &new).await.unwrap();
    room.vouch("shop", NAME).await;
    room.lead_here(true).await;
    room.goes_live().await;
    room.look().await;
    let until = async || room.tenancy.show("shop").await.unwrap().tenant.life.domains_until;
    let plan = async |plan: &str| {
        room.tenancy.set_plan(&actor(), "acme", &Expect::Anything, &PlanOrder::at_once(plan)).await.unwrap();
    };
    plan("free").await;
    assert_eq!(until().await, None, "nobody has looked yet");
    room.after(DAY * 11 / 10).await;
    assert_eq!(until().await, Some(room.clock.now() + 30 * DAY));
    assert!(room.told("domain.uncovered", "shop").await);
    room.after(DAY * 11 / 10).await;
    assert_eq!(until().await, Some(room.clock.now() + 30 * DAY - DAY * 11 / 10), "it begins once");
    plan("growth").await;
    room.after(DAY * 11 / 10).await;
    assert_eq!(until().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_with_a_certificate_that_its_tenant_brought_becomes_live_when_it_leads_here() {
    let room = Room::new("").await;
    room.vouch("acme", NAME).await;
    room.lead_here(false).await;
    let ca = tenantry::tls::LocalCa::create(room.clock.clone()).unwrap();
    let certificate = ca.issue(&[NAME.to_owned()], 30).unwrap();
    let certificate = Certificate { source: CertificateSource::Uploaded, ..certificate };
    let certificate =
        Certificate { not_before: room.clock.now() - DAY, not_after: room.clock.now() + 30 * DAY, ..certificate };
    let mut write = room.store.write().await.unwrap();
    write.insert_certificate(&certificate).await.unwrap();
    write.commit().await.unwrap();
    room.look().await;
    assert_eq!(room.state("acme").await, DomainState::Verified);
    room.lead_here(true).await;
    room.after(DAY / 24).await;
    assert_eq!(room.state("acme").await, DomainState::Live);
    assert!(room.told("domain.live", "acme").await);
}
