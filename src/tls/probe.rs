//! A handshake as a visitor would make it, to see which certificate is shown. Whether it is to be trusted is not asked: the
//! question is only whether it is the one expected.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Why the expected certificate was not seen.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("the expected chain is no PEM: {0}")]
    Expected(String),
    #[error("{0:?} cannot be asked for in a handshake")]
    Name(String),
    #[error("no handshake within {0:?}")]
    Timeout(Duration),
    #[error("the handshake failed: {0}")]
    Handshake(std::io::Error),
    #[error("another certificate is shown")]
    Another,
}

/// Makes a handshake at `address` for `name`, and compares the leaf that is shown with that of `chain` (PEM).
pub async fn probe(address: SocketAddr, name: &str, chain: &str, within: Duration) -> Result<(), ProbeError> {
    let expected = CertificateDer::from_pem_slice(chain.as_bytes());
    let expected = expected.map_err(|error| ProbeError::Expected(error.to_string()))?;
    let name = ServerName::try_from(name.to_owned()).map_err(|_| ProbeError::Name(name.to_owned()))?;
    let config = config().map_err(|error| ProbeError::Handshake(std::io::Error::other(error)))?;
    let handshake = async {
        let tcp = TcpStream::connect(address).await?;
        TlsConnector::from(config).connect(name, tcp).await
    };
    let stream = tokio::time::timeout(within, handshake).await.map_err(|_| ProbeError::Timeout(within))?;
    let stream = stream.map_err(ProbeError::Handshake)?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    if shown == Some(&expected) { Ok(()) } else { Err(ProbeError::Another) }
}

fn config() -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyChain(provider)))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Takes any chain, but only from somebody who has the leaf's key.
#[derive(Debug)]
struct AnyChain(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyChain {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, leaf, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
