//! The `IO` that pingora is given for a client connection. Its reading side is in `read`, its writing side in `write`.

use std::sync::Arc;

use pingora_core::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{SocketDigest, UniqueIDType};
use pingora_http::ResponseHeader;

use super::outlet::Outlet;
use super::read::Inlet;
use super::{Connection, Wire};
use crate::config::Limits;

/// What was agreed on with the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    H1,
    H2,
}

/// A client connection as pingora sees it.
pub struct Conn {
    pub(super) wire: Wire,
    pub(super) connection: Arc<Connection>,
    pub(super) protocol: Protocol,
    pub(super) inlet: Inlet,
    pub(super) outlet: Outlet,
    pub(super) digests: Digests,
}

/// What pingora may ask about a connection, made once.
pub(super) struct Digests {
    pub id: UniqueIDType,
    pub tls: Option<Arc<SslDigest>>,
    pub proxy: Arc<ProxyDigest>,
    pub socket: Arc<SocketDigest>,
}

impl Conn {
    /// Starts the clock of the first request.
    pub fn new(wire: Wire, connection: Arc<Connection>, protocol: Protocol, limits: Limits) -> Self {
        let digests = Digests::new(&wire, &connection);
        let inlet = Inlet::new(protocol, limits);
        Self { wire, connection, protocol, inlet, outlet: Outlet::default(), digests }
    }
}

impl Digests {
    fn new(wire: &Wire, connection: &Arc<Connection>) -> Self {
        let id = wire.id();
        let tls = connection
            .tls
            .as_ref()
            .map(|facts| Arc::new(SslDigest::new(facts.cipher, facts.version.as_str(), None, None, Vec::new())));
        let socket = SocketDigest::from_raw_fd(id);
        // Known without asking the socket: and for the peer, the visitor rather than a load balancer. Both cells are
        // new, so setting them cannot fail.
        let _ = socket.peer_addr.set(Some(PingoraAddr::Inet(connection.client)));
        let _ = socket.local_addr.set(Some(PingoraAddr::Inet(connection.local)));
        // pingora keeps a response of the CONNECT proxy here; ours is there for its `user_data` alone.
        let response = Box::new(ResponseHeader::from(http::Response::new(()).into_parts().0));
        let proxy = Arc::new(ProxyDigest::new(response, Some(Box::new(connection.clone()))));
        Self { id, tls, proxy, socket: Arc::new(socket) }
    }
}

#[cfg(test)]
#[path = "conn_tests.rs"]
mod tests;
