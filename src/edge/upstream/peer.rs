//! Peers as pingora wants them: how a backend is connected to. A TLS backend is always verified.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use pingora_core::protocols::tls::CaType;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::utils::tls::WrappedX509;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::PoolError;
use crate::config::{self, Protocol};
use crate::edge::keep_alive::keep_alive_upstream;

/// The authorities of a pool, with the file that they were read from: the same file makes the same ones.
#[derive(Clone)]
pub(super) struct Authorities {
    pem: Arc<[u8]>,
    parsed: Arc<CaType>,
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({})", self.parsed.len())
    }
}

impl Authorities {
    /// Those of the pool, if it names any. `before` is used again when it is the same.
    pub fn new(config: &config::Pool, before: Option<&Self>) -> Result<Option<Self>, PoolError> {
        let Some(file) = &config.ca else { return Ok(None) };
        let failed = |why: String| {
            let (pool, path) = (config.name.clone(), file.path.display().to_string());
            PoolError::Ca { pool, path, why }
        };
        let pem = Arc::clone(&file.bytes);
        if let Some(before) = before.filter(|before| before.pem == pem) {
            return Ok(Some(before.clone()));
        }
        let mut authorities = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| failed(error.to_string()))?;
            // pingora's own parsing panics on a damaged certificate, so it only gets whole ones.
            x509_parser::parse_x509_certificate(&certificate).map_err(|error| failed(error.to_string()))?;
            authorities.push(WrappedX509::new(certificate.to_vec(), pingora_core::utils::tls::parse_x509));
        }
        Ok(Some(Self { pem, parsed: authorities.into() }))
    }
}

pub(super) fn new(config: &config::Pool, address: SocketAddr, authorities: Option<&Authorities>) -> HttpPeer {
    // A TLS peer without a name would not be verified at all; the configuration refuses that, see `server_name`.
    let name = config.server_name.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut peer = HttpPeer::new(address, config.protocol == Protocol::Tls, name);
    match config.protocol {
        Protocol::H1 => peer.options.set_http_version(1, 1),
        Protocol::H2c => peer.options.set_http_version(2, 2),
        Protocol::Tls => peer.options.set_http_version(2, 1),
    }
    peer.options.ca = authorities.map(|authorities| Arc::clone(&authorities.parsed));
    peer.options.connection_timeout = Some(config.connect_timeout);
    peer.options.total_connection_timeout = Some(config.connect_timeout);
    peer.options.read_timeout = Some(config.read_timeout);
    peer.options.write_timeout = Some(config.write_timeout);
    peer.options.idle_timeout = Some(config.idle_timeout);
    keep_alive_upstream(&mut peer.options);
    peer
}

/// The address of a peer that was made here.
pub fn address(peer: &HttpPeer) -> Option<SocketAddr> {
    peer._address.as_inet().copied()
}
