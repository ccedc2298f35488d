//! Sockets and files that the configuration names: bound and read before anything is served.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tracing::warn;

use super::{AppError, Roles};
use crate::clock::Timestamp;
use crate::config::{self, Config, FallbackCertificate};
use crate::edge::listener::{Inherited, socket};
use crate::model::{Certificate, CertificateSource};
use crate::tls::{ServerConfig, ServerConfigs};

/// A bound socket and where it really listens.
pub(super) type Bound = (std::net::TcpListener, SocketAddr);

/// Binds the configured listeners (where this process has that role) and the private one, or takes those that were
/// inherited. A port 0 becomes the one that
/// the system chose, in the configuration too, so that redirects and headers name it.
pub(super) fn bind(
    config: &mut Config,
    roles: Roles,
    mut inherited: Inherited,
) -> Result<(Vec<Bound>, std::net::TcpListener), AppError> {
    let mut sockets = Vec::new();
    for listener in config.listeners.iter_mut().filter(|_| roles.edge) {
        let socket = socket(listener, &mut inherited)?;
        let address = socket.local_addr().map_err(AppError::Runtime)?;
        if listener.public_port == 0 {
            listener.public_port = address.port();
        }
        sockets.push((socket, address));
    }
    let address = config.admin.address;
    let private = config::Listener {
        name: "admin".into(),
        address,
        tls: false,
        proxy_protocol: None,
        public_port: address.port(),
    };
    let private = socket(&private, &mut inherited)?;
    for unused in inherited.unused() {
        warn!(socket = unused, "an inherited socket has no listener in the configuration");
    }
    Ok((sockets, private))
}

pub(super) fn fallback(files: &FallbackCertificate, configs: &ServerConfigs) -> Result<Arc<ServerConfig>, AppError> {
    let read = |path: &std::path::Path| {
        std::fs::read_to_string(path).map_err(|source| AppError::Fallback { path: path.display().to_string(), source })
    };
    let certificate = Certificate {
        id: "fallback".into(),
        names: Vec::new(),
        chain: read(&files.chain)?,
        key: zeroize::Zeroizing::new(read(&files.key)?),
        not_before: Timestamp(0),
        not_after: Timestamp::MAX,
        source: CertificateSource::Uploaded,
        authority: String::new(),
    };
    Ok(configs.build(&certificate)?)
}

/// Where a socket that listens at `address` is reached from this machine.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
