//! The talk with an authority, by hand: orders, challenges, the account, and what goes wrong.

use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tenantry::acme::ca::{Ca, CaOrder};
use tenantry::acme::protocol::{CaError, Challenge, ChallengeKind, OrderStatus, OrderView};
use tenantry::certificates::Reason;
use tenantry::clock::Clock;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use crate::support::pebble::{ChallTest, Pebble};
use crate::support::program::port;
use crate::support::world::World;

const NAME: &str = "community.acme.example";

const SIX_DAYS: u32 = 6 * 86_400;

/// An edge, an authority that validates at it, and a DNS that leads every name there.
struct Bench {
    world: World,
    pebble: Pebble,
    dns: ChallTest,
}

impl Bench {
    async fn start() -> Self {
        let dns = ChallTest::start().await;
        let (https, http) = (port(), port());
        let pebble = Pebble::builder().ports(https, http).dns(&dns).validity(SIX_DAYS).start().await;
        let world = World::builder().ports(https, http).settings(&pebble.settings("pebble")).start().await;
        Self { world, pebble, dns }
    }

    fn ca(&self) -> Ca {
        Ca::new(&self.pebble.authority("pebble"), &[], self.world.running.store().clone(), Clock::system()).unwrap()
    }

    /// Puts an answer where every edge gives it.
    async fn answer(&self, key: &str, answer: &str) {
        let mut write = self.world.running.store().write().await.unwrap();
        write.put_challenge(key, answer, Clock::system().now() + Duration::from_secs(600)).await.unwrap();
        let revision = write.commit().await.unwrap();
        assert!(self.world.running.applied().wait_for(revision, Duration::from_secs(10)).await);
    }
}

pub fn challenge(of: &[Challenge], kind: ChallengeKind) -> &Challenge {
    of.iter().find(|challenge| challenge.kind == kind).unwrap()
}

/// Polls until the order has left `pending` and `processing`.
pub async fn settled(order: &mut CaOrder) -> OrderView {
    for _ in 0..500 {
        let view = order.poll().await.unwrap();
        if !matches!(view.status, OrderStatus::Pending | OrderStatus::Processing) {
            return view;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{order:?} does not settle");
}

pub fn request(names: &[&str]) -> Vec<u8> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let params = CertificateParams::new(names).unwrap();
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

async fn issued(order: &mut CaOrder, names: &[&str]) -> String {
    let view = settled(order).await;
    assert_eq!(view.status, OrderStatus::Ready, "{:?} {:?}", view.problem, order.failures().await);
    order.finalize(&request(names)).await.unwrap();
    assert_eq!(settled(order).await.status, OrderStatus::Valid);
    order.certificate().await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_by_http_01_is_answered_by_the_plain_listener() {
    let bench = Bench::start().await;
    let mut order = bench.ca().new_order(&[NAME.into()], None).await.unwrap();
    assert_eq!(order.status(), OrderStatus::Pending);
    let authorizations = order.authorizations().await.unwrap();
    assert_eq!(authorizations.len(), 1);
    assert_eq!((authorizations[0].name.as_str(), authorizations[0].wildcard), (NAME, false));
    let http = challenge(&authorizations[0].challenges, ChallengeKind::Http01);
    bench.answer(&http.token, &http.key_authorization).await;
    order.challenge_ready(NAME, false, ChallengeKind::Http01).await.unwrap();
    let chain = issued(&mut order, &[NAME]).await;
    // Leaf first, and each signed by the next, up to the authority's root.
    let chain = chain + &bench.pebble.root().await;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes()).map(Result::unwrap).collect();
    let chain: Vec<_> = chain.iter().map(|der| parse_x509_certificate(der).unwrap().1).collect();
    assert!(chain.len() >= 3, "{chain:?}");
    for pair in chain.windows(2) {
        assert_eq!(pair[0].issuer(), pair[1].subject());
    }
    let validity = chain[0].validity();
    let lifetime = validity.not_after.timestamp() - validity.not_before.timestamp();
    assert!((lifetime - i64::from(SIX_DAYS)).abs() <= 1, "{lifetime}");
    let names = chain[0].subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names, [GeneralName::DNSName(NAME)]);
    // What is done is done, and may be asked for again.
    order.challenge_ready(NAME, false, ChallengeKind::Http01).await.unwrap();
    assert_eq!(order.finalize(&request(&[NAME])).await.unwrap().status, OrderStatus::Valid);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_by_tls_alpn_01_is_answered_in_the_handshake() {
    let bench = Bench::start().await;
    let mut order = bench.ca().new_order(&[NAME.into()], None).await.unwrap();
    let authorizations = order.authorizations().await.unwrap();
    let alpn = challenge(&authorizations[0].challenges, ChallengeKind::TlsAlpn01);
    bench.answer(NAME, &alpn.key_authorization).await;
    order.challenge_ready(NAME, false, ChallengeKind::TlsAlpn01).await.unwrap();
    issued(&mut order, &[NAME]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_and_its_base_are_proven_by_two_values_at_one_name() {
    let bench = Bench::start().await;
    let names = [NAME.to_owned(), format!("*.{NAME}")];
    let mut order = bench.ca().new_order(&names, None).await.unwrap();
    let authorizations = order.authorizations().await.unwrap();
    assert_eq!(authorizations.iter().filter(|authorization| authorization.wildcard).count(), 1);
    for authorization in &authorizations {
        assert_eq!(authorization.name, NAME);
        let dns = challenge(&authorization.challenges, ChallengeKind::Dns01);
        bench.dns.txt(&format!("_acme-challenge.{NAME}"), &dns.dns_value).await;
    }
    for authorization in &authorizations {
        order.challenge_ready(NAME, authorization.wildcard, ChallengeKind::Dns01).await.unwrap();
    }
    issued(&mut order, &[NAME, &names[1]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_validation_says_which_challenge_and_why() {
    let bench = Bench::start().await;
    let mut order = bench.ca().new_order(&[NAME.into()], None).await.unwrap();
    order.authorizations().await.unwrap();
    order.challenge_ready(NAME, false, ChallengeKind::Http01).await.unwrap();
    let view = settled(&mut order).await;
    assert_eq!(view.status, OrderStatus::Invalid);
    let failures = order.failures().await;
    assert_eq!(failures.len(), 1, "{failures:?}");
    let (name, kind, problem) = &failures[0];
    assert_eq!((name.as_str(), *kind, problem.kind.as_str()), (NAME, ChallengeKind::Http01, "unauthorized"));
    assert_eq!(order.certificate().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_found_again_after_a_restart_by_the_same_account() {
    let bench = Bench::start().await;
    let url = bench.ca().new_order(&[NAME.into()], None).await.unwrap().url().to_owned();
    let secret = bench.world.running.store().secret("acme-account/pebble").await.unwrap().unwrap();
    // Another `Ca` knows nothing but what is in the store.
    let mut order = bench.ca().resume(&url).await.unwrap();
    let authorizations = order.authorizations().await.unwrap();
    let http = challenge(&authorizations[0].challenges, ChallengeKind::Http01);
    bench.answer(&http.token, &http.key_authorization).await;
    order.challenge_ready(NAME, false, ChallengeKind::Http01).await.unwrap();
    let chain = issued(&mut order, &[NAME]).await;
    assert_eq!(bench.world.running.store().secret("acme-account/pebble").await.unwrap().unwrap(), secret);
    bench.ca().revoke(&chain, Reason::Superseded).await.unwrap();
    bench.ca().revoke(&chain, Reason::Superseded).await.unwrap();
    let nowhere = url.rsplit_once('/').unwrap().0.to_owned() + "/none";
    assert!(matches!(bench.ca().resume(&nowhere).await, Err(CaError::Gone(_))));
    assert_eq!(bench.ca().renewal_window(&chain).await.unwrap(), None);
}
