//! Certificates through the whole edge: from the store to the handshake, and what strangers get.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use rustls::pki_types::ServerName;
use tenantry::model::Certificate;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::client::{self, tls_config};
use crate::support::world::World;

/// Writes a certificate as whoever gets one does, and waits until this node has heard of it.
async fn put(world: &World, certificate: &Certificate) {
    let mut write = world.running.store().write().await.unwrap();
    write.insert_certificate(certificate).await.unwrap();
    let revision = write.commit().await.unwrap();
    assert!(world.running.applied().wait_for(revision, Duration::from_secs(10)).await);
}

/// The leaf that the edge shows for this name.
fn leaf(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_served_from_the_next_handshake_on() {
    let world = World::start().await;
    world.tenant("acme", "growth").await;
    world.domain("acme", "shop.example").await;
    let before = leaf(&client::tls(&world, "shop.example", &[]).await.unwrap());
    put(&world, &world.ca.issue(&["shop.example".into()], 60).unwrap()).await;
    let after = leaf(&client::tls(&world, "shop.example", &[]).await.unwrap());
    assert_ne!(before, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn rsa_certificates_are_served_too() {
    let world = World::start().await;
    world.tenant("acme", "growth").await;
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    put(&world, &world.ca.issue_with(&["rsa.example".into()], 30, key).unwrap()).await;
    world.domain("acme", "rsa2.example").await;
    assert!(client::tls(&world, "rsa.example", &["h2"]).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nobody_has_is_refused_until_it_has_a_certificate() {
    let world = World::start().await;
    let refused = client::tls(&world, "later.example", &[]).await.unwrap_err();
    assert!(refused.to_string().to_lowercase().contains("unrecogni"), "{refused}");
    // The "no" was remembered; the certificate must undo that at once.
    world.certificate(&["later.example"]).await;
    assert!(client::tls(&world, "later.example", &[]).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_certificate_lets_strangers_read_why() {
    let files = tempfile::tempdir().unwrap();
    let ca = tenantry::tls::LocalCa::create(tenantry::clock::Clock::system()).unwrap();
    let fallback = ca.issue(&["fallback.invalid".into()], 30).unwrap();
    let (chain, key) = (files.path().join("chain.pem"), files.path().join("key.pem"));
    std::fs::write(&chain, &fallback.chain).unwrap();
    std::fs::write(&key, fallback.key.as_bytes()).unwrap();
    let settings = format!("[tls.fallback]\nchain = {chain:?}\nkey = {key:?}\n");
    let world = World::builder().settings(&settings).start().await;
    // Who clicks the warning away reads a page instead of a dead connection.
    let mut stream = connect(&world, "stranger.example", "http/1.1").await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: stranger.example\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("domain-not-configured"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_tls_alpn_challenge_is_answered_and_only_while_it_is_pending() {
    let world = World::start().await;
    let mut write = world.running.store().write().await.unwrap();
    let expires = world.clock.now() + Duration::from_secs(600);
    write.put_challenge("new.example", "token.thumbprint", expires).await.unwrap();
    write.commit().await.unwrap();
    let stream = connect(&world, "new.example", "acme-tls/1").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    let (_, certificate) = x509_parser::parse_x509_certificate(&stream.get_ref().1.peer_certificates().unwrap()[0])
        .map(|(rest, certificate)| (rest.len(), certificate.extensions().iter().any(|e| e.critical)))
        .unwrap();
    assert!(certificate, "acmeIdentifier must be critical (RFC 8737 §3)");
    assert!(connect(&world, "other.example", "acme-tls/1").await.is_err());
}

/// A handshake with whatever certificate there is.
async fn connect(world: &World, name: &'static str, alpn: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = tls_config(world, &[alpn]);
    config.dangerous().set_certificate_verifier(Arc::new(Anyone));
    let tcp = TcpStream::connect(world.https()).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name).unwrap(), tcp).await
}

/// Believes any certificate: a challenge's is signed by nobody, and a fallback's carries another name.
#[derive(Debug)]
struct Anyone;

impl rustls::client::danger::ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
