//! From a certificate to what rustls serves it with. One [`ServerConfigs`] per process: its ticket keys are shared by
//! all configurations, and a ticket is still good for its own host name only, which rustls checks (RFC 6066 §3).

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{InconsistentKeys, ServerConfig, SupportedProtocolVersion};

use super::{Alpn, challenge};
use crate::model::{Certificate, Hostname};

/// What all server configurations have in common.
#[derive(Clone, Debug)]
pub struct ServerConfigs {
    ticketer: Arc<dyn ProducesTickets>,
    versions: &'static [&'static SupportedProtocolVersion],
    provider: Arc<CryptoProvider>,
}

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("certificate {id}: the chain is not PEM that starts with the leaf: {source}")]
    Chain { id: String, source: rustls::pki_types::pem::Error },
    #[error("certificate {id}: the chain is empty")]
    EmptyChain { id: String },
    #[error("certificate {id}: the key is not PEM: {source}")]
    KeyPem { id: String, source: rustls::pki_types::pem::Error },
    #[error("certificate {id}: the key is not an ECDSA, RSA or Ed25519 key that can sign: {source}")]
    Key { id: String, source: rustls::Error },
    #[error("certificate {id}: the key does not belong to the leaf certificate")]
    KeyMismatch { id: String },
    #[error("certificate {id}: the leaf is not an X.509 certificate: {source}")]
    Leaf { id: String, source: rustls::Error },
    #[error("the acme-tls/1 certificate for {name} could not be made: {source}")]
    Challenge { name: Hostname, source: rcgen::Error },
    #[error("TLS could not be set up: {0}")]
    Setup(#[source] rustls::Error),
}

const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
const NEW: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

impl ServerConfigs {
    /// With ticket keys of its own, which change every six hours and are never stored. `min_version_13` leaves TLS 1.2
    /// out. Fails only when the system gives no randomness.
    pub fn new(min_version_13: bool) -> Result<Self, TlsError> {
        Ok(Self {
            ticketer: aws_lc_rs::Ticketer::new().map_err(TlsError::Setup)?,
            versions: if min_version_13 { NEW } else { BOTH },
            provider: Arc::new(aws_lc_rs::default_provider()),
        })
    }

    /// For HTTP/2 and HTTP/1.1 with this certificate. Parses and checks the key: not for the hot path.
    pub fn build(&self, certificate: &Certificate) -> Result<Arc<ServerConfig>, TlsError> {
        let key = self.certified_key(certificate)?;
        let mut config = self.config(Arc::new(SingleCertAndKey::from(key)))?;
        config.alpn_protocols = vec![Alpn::H2.wire().to_vec(), Alpn::Http11.wire().to_vec()];
        config.ticketer = self.ticketer.clone();
        config.send_tls13_tickets = 2;
        Ok(Arc::new(config))
    }

    /// For one acme-tls/1 validation of `name` (RFC 8737): a self-signed certificate that carries the digest of
    /// `key_authorization`, and no session that could outlive it.
    pub fn challenge(&self, name: &Hostname, key_authorization: &str) -> Result<Arc<ServerConfig>, TlsError> {
        let (leaf, key) = challenge::certificate(name, key_authorization)
            .map_err(|source| TlsError::Challenge { name: name.clone(), source })?;
        let key = self.provider.key_provider.load_private_key(key).map_err(TlsError::Setup)?;
        let mut config = self.config(Arc::new(SingleCertAndKey::from(CertifiedKey::new(vec![leaf], key))))?;
        config.alpn_protocols = vec![Alpn::AcmeTls1.wire().to_vec()];
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    fn config(&self, resolver: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, TlsError> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(self.versions)
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // 0-RTT can be replayed, and nothing behind us is told that a request was early.
        config.max_early_data_size = 0;
        Ok(config)
    }

    fn certified_key(&self, certificate: &Certificate) -> Result<CertifiedKey, TlsError> {
        let id = || certificate.id.clone();
        let chain = CertificateDer::pem_slice_iter(certificate.chain.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| TlsError::Chain { id: id(), source })?;
        if chain.is_empty() {
            return Err(TlsError::EmptyChain { id: id() });
        }
        let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes())
            .map_err(|source| TlsError::KeyPem { id: id(), source })?;
        let key =
            self.provider.key_provider.load_private_key(key).map_err(|source| TlsError::Key { id: id(), source })?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            Ok(()) => Ok(key),
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                Err(TlsError::KeyMismatch { id: id() })
            }
            Err(source) => Err(TlsError::Leaf { id: id(), source }),
        }
    }
}
