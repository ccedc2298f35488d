//! Pools at run time: which backend a request goes to, and what to do when it fails.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderValue;
use pingora_core::protocols::tls::CaType;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::utils::tls::WrappedX509;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::gates::Permit;
use crate::config::{self, PoolId, Protocol, Routing};

/// Every pool of one configuration, ready to hand out peers.
#[derive(Debug)]
pub struct Pools(Vec<Pool>);

/// One pool: its backends with everything but the request decided.
#[derive(Debug)]
pub struct Pool {
    /// `aud` of the assertions that go there.
    pub name: Arc<str>,
    pub host_header: Option<HeaderValue>,
    pub total_timeout: Option<Duration>,
    backends: Vec<HttpPeer>,
    /// Round robin.
    next: AtomicUsize,
}

/// Why a pool cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    #[error("pool {pool}: the backend {backend} does not resolve to an address: {why}")]
    Resolve { pool: String, backend: String, why: String },
    #[error("pool {pool}: {path}: {why}")]
    Ca { pool: String, path: String, why: String },
}

impl Pools {
    /// Resolves backends and reads authorities; blocks for DNS, so it is called when a configuration is built.
    pub fn build(routing: &Routing) -> Result<Self, PoolError> {
        routing.pools.iter().map(Pool::build).collect::<Result<_, _>>().map(Self)
    }

    pub fn get(&self, id: PoolId) -> Option<&Pool> {
        self.0.get(id.0)
    }
}

impl Pool {
    fn build(config: &config::Pool) -> Result<Self, PoolError> {
        let ca = config.ca.as_deref().map(|path| read_ca(&config.name, path)).transpose()?;
        let mut backends = Vec::new();
        for backend in &config.backends {
            let failed = |why: String| PoolError::Resolve { pool: config.name.clone(), backend: backend.clone(), why };
            let addresses = backend.to_socket_addrs().map_err(|e| failed(e.to_string()))?;
            let before = backends.len();
            backends.extend(addresses.map(|address| peer(config, address, ca.clone())));
            if backends.len() == before {
                return Err(failed("no address".into()));
            }
        }
        Ok(Self {
            name: Arc::from(config.name.as_str()),
            host_header: config.host_header.clone(),
            total_timeout: config.total_timeout,
            backends,
            next: AtomicUsize::new(0),
        })
    }

    /// The next backend for a permitted request, another one than `avoid` where there is one.
    pub fn choose(&self, _permit: &Permit, avoid: Option<SocketAddr>) -> Option<HttpPeer> {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let nth = |offset: usize| &self.backends[start.wrapping_add(offset) % self.backends.len()];
        (0..self.backends.len())
            .map(nth)
            .find(|peer| avoid.is_none() || address(peer) != avoid)
            .or_else(|| self.backends.first())
            .cloned()
    }

    /// Whether a second try can go somewhere else.
    pub fn has_another(&self) -> bool {
        self.backends.len() > 1
    }
}

/// The address of a peer that [`Pool::choose`] made.
pub fn address(peer: &HttpPeer) -> Option<SocketAddr> {
    peer._address.as_inet().copied()
}

fn peer(config: &config::Pool, address: SocketAddr, ca: Option<Arc<CaType>>) -> HttpPeer {
    // A TLS peer without a name would not be verified at all; the configuration refuses that, see `server_name`.
    let name = config.server_name.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut peer = HttpPeer::new(address, config.protocol == Protocol::Tls, name);
    match config.protocol {
        Protocol::H1 => peer.options.set_http_version(1, 1),
        Protocol::H2c => peer.options.set_http_version(2, 2),
        Protocol::Tls => peer.options.set_http_version(2, 1),
    }
    peer.options.ca = ca;
    peer.options.connection_timeout = Some(config.connect_timeout);
    peer.options.total_connection_timeout = Some(config.connect_timeout);
    peer.options.read_timeout = Some(config.read_timeout);
    peer.options.write_timeout = Some(config.write_timeout);
    peer.options.idle_timeout = Some(config.idle_timeout);
    peer
}

fn read_ca(pool: &str, path: &std::path::Path) -> Result<Arc<CaType>, PoolError> {
    let failed = |why: String| PoolError::Ca { pool: pool.into(), path: path.display().to_string(), why };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
        .map_err(|e| failed(e.to_string()))?;
    if certificates.is_empty() {
        return Err(failed("there is no certificate in this file".into()));
    }
    let mut authorities = Vec::new();
    for certificate in certificates {
        // pingora's own parsing panics on a damaged certificate, so it only gets whole ones.
        x509_parser::parse_x509_certificate(&certificate).map_err(|e| failed(e.to_string()))?;
        authorities.push(WrappedX509::new(certificate.to_vec(), pingora_core::utils::tls::parse_x509));
    }
    Ok(authorities.into())
}
