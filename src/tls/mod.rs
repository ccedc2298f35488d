//! TLS towards visitors: the hello is read, a certificate is asked for, and only then is anything signed. Nothing here
//! reads the store: who implements [`Certificates`] answers from the directory.

mod accept;
mod certificates;
mod challenge;
mod local_ca;
mod probe;
mod server_config;
mod stream;

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
pub use rustls::ServerConfig;

pub use accept::{Accepted, HandshakeError, accept};
pub use certificates::{CertificateCache, CertificateCacheSettings};
pub use local_ca::{LocalCa, LocalCaError};
pub use probe::{ProbeError, probe};
pub use server_config::{ServerConfigs, TlsError};
pub use stream::{Alpn, Stream, TlsFacts, TlsVersion};

use crate::model::Hostname;

/// Another cryptographic provider is the process's default already.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("another cryptographic provider is installed already; aws-lc-rs must be the first")]
pub struct ForeignProvider;

/// What makes keys and signatures, as people call it.
pub const PROVIDER: &str = "aws-lc-rs";

/// Makes aws-lc-rs, with its post-quantum key exchange, the process's default provider.
pub fn install_provider() -> Result<(), ForeignProvider> {
    match rustls::crypto::aws_lc_rs::default_provider().install_default() {
        Ok(()) => Ok(()),
        // A second call in one process finds the first one's work.
        Err(installed) if is_ours(&installed) => Ok(()),
        Err(_) => Err(ForeignProvider),
    }
}

/// Providers have no name; ours is the one that begins with the post-quantum key exchange.
fn is_ours(provider: &rustls::crypto::CryptoProvider) -> bool {
    provider.kx_groups.first().is_some_and(|group| group.name() == rustls::NamedGroup::X25519MLKEM768)
}

/// Where the listener gets the certificate for a handshake, asked before anything is signed.
#[async_trait]
pub trait Certificates: Send + Sync + 'static {
    /// The configuration to go on with.
    ///
    /// `name`: the SNI, when there was one and it is a host name. `alpn_acme`: the hello offers `acme-tls/1` and
    /// nothing else (RFC 8737); the answer is then [`ServerConfigs::challenge`]'s for that name, or a refusal.
    /// `client`: the visitor's address, for the rate of look-ups that one of them may cause.
    async fn config_for(
        &self,
        name: Option<&Hostname>,
        alpn_acme: bool,
        client: IpAddr,
    ) -> Result<Arc<ServerConfig>, Refusal>;

    /// Whether a certificate for this very name (or a wildcard above it) is at hand, without asking anybody.
    fn knows(&self, name: &Hostname) -> bool;

    /// Whether this is what names get that nobody knows.
    fn is_fallback(&self, config: &Arc<ServerConfig>) -> bool;
}

/// Why there is no certificate for a handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// Nobody's name, or none at all: alert `unrecognized_name`.
    #[error("no certificate is configured for this name")]
    UnknownName,
    /// Too many look-ups under way: alert `internal_error`, and no conclusion about the name.
    #[error("too many certificate look-ups are under way")]
    Busy,
    /// The directory could not answer: alert `internal_error`.
    #[error("the certificate could not be looked up")]
    Unavailable,
}
