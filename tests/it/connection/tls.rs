//! Handshakes: what is agreed on, what is refused and how, and what a session ticket is good for.

use std::io;
use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, Error, HandshakeKind, NamedGroup, RootCertStore,
    SignatureScheme, SupportedProtocolVersion, version,
};
use tenantry::edge::connection::Connection;
use tenantry::tls::{Alpn, ServerConfigs, TlsError, TlsVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::world::{World, certificate};

/// A TLS client that trusts the world's CA.
#[derive(Clone)]
pub struct Client {
    config: ClientConfig,
}

impl Client {
    pub fn new(ca: &CertificateDer<'static>) -> Self {
        Self::speaking(ca, &[&version::TLS13, &version::TLS12])
    }

    fn speaking(ca: &CertificateDer<'static>, versions: &[&'static SupportedProtocolVersion]) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { config }
    }

    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    pub async fn connect(&self, world: &World, name: &str) -> io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(world.tls).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(self.config.clone())).connect(name, tcp).await
    }
}

/// One request, so that the session's tickets have arrived as well.
async fn get(stream: &mut TlsStream<TcpStream>, world: &World) -> Arc<Connection> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    world.last()
}

fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref()? {
        Error::AlertReceived(description) => Some(*description),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_are_served_with_their_facts() {
    let world = World::new().await;
    for (version, expected) in [(&version::TLS13, TlsVersion::Tls13), (&version::TLS12, TlsVersion::Tls12)] {
        let client = Client::speaking(&world.ca, &[version]).alpn(&["http/1.1"]);
        let mut stream = client.connect(&world, "A.Test").await.unwrap();
        let connection = get(&mut stream, &world).await;
        let facts = connection.tls.unwrap();
        assert_eq!((facts.version, facts.alpn, facts.resumed), (expected, Some(Alpn::Http11), false));
        assert_eq!(connection.sni.as_ref().unwrap().as_str(), "a.test");
        let group = if expected == TlsVersion::Tls13 { "X25519MLKEM768" } else { "X25519" };
        assert_eq!(facts.group, Some(group));
        let count = world.metrics.handshakes.with_label_values(&[expected.as_str(), "false"]).get();
        assert_eq!(count, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alpn_prefers_h2_and_none_means_http_1() {
    let world = World::new().await;
    for (offer, expected) in
        [(&["http/1.1", "h2"][..], Some(&b"h2"[..])), (&["http/1.1"], Some(b"http/1.1")), (&[], None)]
    {
        let stream = Client::new(&world.ca).alpn(offer).connect(&world, "a.test").await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), expected);
    }
    let refused = Client::new(&world.ca).alpn(&["spdy/3"]).connect(&world, "a.test").await.unwrap_err();
    assert_eq!(alert(&refused), Some(AlertDescription::NoApplicationProtocol));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_certificate_gets_an_alert() {
    let world = World::new().await;
    // An IP address is no SNI: rustls sends none.
    for (name, expected, reason) in [
        ("nobody.test", AlertDescription::UnrecognisedName, "unknown-name"),
        ("127.0.0.1", AlertDescription::UnrecognisedName, "unknown-name"),
        ("busy.test", AlertDescription::InternalError, "busy"),
    ] {
        let counter = world.metrics.handshakes_failed.with_label_values(&[reason]);
        let before = counter.get();
        let error = Client::new(&world.ca).connect(&world, name).await.unwrap_err();
        assert_eq!(alert(&error), Some(expected), "{name}: {error}");
        // The alert goes out before it is counted.
        while counter.get() == before {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_hello_and_what_never_comes_is_closed() {
    let world = World::new().await;
    let mut garbage = TcpStream::connect(world.tls).await.unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // An alert, and then an end or a reset.
    let _ = garbage.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    let mut silent = TcpStream::connect(world.tls).await.unwrap();
    silent.write_all(&[22, 3, 1]).await.unwrap();
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert_eq!(world.metrics.handshakes_failed.with_label_values(&["timeout"]).get(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_resumes_on_its_own_host_only() {
    let world = World::new().await;
    for version in [&version::TLS13, &version::TLS12] {
        let mut client = Client::speaking(&world.ca, &[version]).alpn(&["http/1.1"]);
        client.config.resumption = Resumption::store(Arc::new(Confused(ClientSessionMemoryCache::new(8))));
        let mut resumed = Vec::new();
        for name in ["a.test", "a.test", "b.test", "b.test", "a.test"] {
            let mut stream = client.connect(&world, name).await.unwrap();
            let connection = get(&mut stream, &world).await;
            assert_eq!(connection.sni.as_ref().unwrap().as_str(), name);
            let facts = connection.tls.unwrap();
            let kind = if facts.resumed { HandshakeKind::Resumed } else { HandshakeKind::Full };
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(kind));
            resumed.push(facts.resumed);
        }
        // Each offers what the connection before it was given, whoever that was for.
        assert_eq!(resumed, [false, true, false, true, false], "{version:?}");
    }
}

/// A client's session store that takes every host for `a.test`, and keeps the last ticket alone.
#[derive(Debug)]
struct Confused(ClientSessionMemoryCache);

fn a_test() -> ServerName<'static> {
    ServerName::try_from("a.test").unwrap()
}

impl ClientSessionStore for Confused {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(a_test(), group);
    }
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&a_test())
    }
    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(a_test(), value);
    }
    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(&a_test())
    }
    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&a_test());
    }
    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(a_test(), value);
    }
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        // The newest, and none that is older.
        let newest = self.0.take_tls13_ticket(&a_test());
        while self.0.take_tls13_ticket(&a_test()).is_some() {}
        newest
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acme_challenge_shows_its_certificate_and_nothing_else() {
    let world = World::new().await;
    let mut client = Client::new(&world.ca).alpn(&["acme-tls/1"]);
    let seen = Arc::<Seen>::default();
    client.config.dangerous().set_certificate_verifier(seen.clone());
    let mut stream = client.connect(&world, "c.test").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0, "nothing is served");
    let leaf = seen.0.lock().unwrap().take().unwrap();
    let (_, leaf) = x509_parser::parse_x509_certificate(&leaf).unwrap();
    // id-pe-acmeIdentifier (RFC 8737): an octet string of the digest, critical.
    let extension = leaf.extensions().iter().find(|e| e.oid.to_id_string() == "1.3.6.1.5.5.7.1.31").unwrap();
    let digest = aws_lc_rs_digest(b"token.thumbprint");
    assert!(extension.critical);
    assert_eq!(extension.value, [&[4, 32][..], &digest].concat());
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert_eq!(format!("{:?}", names.value.general_names), r#"[DNSName("c.test")]"#);
    // Offered beside something else it is no challenge (RFC 8737 §3), and `c.test` has no other certificate.
    let both = Client::new(&world.ca).alpn(&["acme-tls/1", "h2"]).connect(&world, "c.test").await.unwrap_err();
    assert_eq!(alert(&both), Some(AlertDescription::UnrecognisedName));
}

fn aws_lc_rs_digest(text: &[u8]) -> Vec<u8> {
    ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, text).as_ref().to_vec()
}

/// Trusts anyone, and keeps the leaf.
#[derive(Debug, Default)]
struct Seen(Mutex<Option<CertificateDer<'static>>>);

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.0.lock().unwrap() = Some(leaf.clone().into_owned());
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[test]
fn a_certificate_that_cannot_be_served_says_why() {
    let ca = CertifiedIssuer::self_signed(CertificateParams::default(), KeyPair::generate().unwrap()).unwrap();
    let good = certificate(&ca);
    let configs = ServerConfigs::new(true).unwrap();
    assert!(configs.build(&good).is_ok());
    let with = |chain: &str, key: &str| {
        let mut wrong = good.clone();
        wrong.chain = chain.to_owned();
        *wrong.key = key.to_owned();
        configs.build(&wrong).unwrap_err()
    };
    let other = KeyPair::generate().unwrap().serialize_pem();
    assert!(matches!(with(&good.chain, &other), TlsError::KeyMismatch { .. }));
    assert!(matches!(with("", &good.key), TlsError::EmptyChain { .. }));
    assert!(matches!(
        with("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", &good.key),
        TlsError::Chain { .. }
    ));
    let not_a_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
    assert!(matches!(with(not_a_certificate, &good.key), TlsError::Leaf { .. }));
    assert!(matches!(with(&good.chain, ""), TlsError::KeyPem { .. }));
    let not_a_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----";
    assert!(matches!(with(&good.chain, not_a_key), TlsError::Key { .. }));
    // Nothing of a key ever stands in an error.
    assert!(!format!("{:?}", with(&good.chain, &other)).contains("PRIVATE"));
}
