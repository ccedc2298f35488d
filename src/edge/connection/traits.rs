//! What pingora asks of a connection besides bytes.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
    UniqueIDType,
};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::conn::{Conn, Protocol};
use super::linger::{LINGER, linger};

#[async_trait]
impl Shutdown for Conn {
    async fn shutdown(&mut self) {
        // An error means that the client is gone, which is what is wanted.
        let ended = timeout(LINGER, AsyncWriteExt::shutdown(self)).await;
        if matches!(ended, Ok(Ok(()))) && self.connection.lingers() {
            linger(&mut self.wire).await;
        }
    }
}

impl UniqueID for Conn {
    fn id(&self) -> UniqueIDType {
        self.digests.id
    }
}

impl Ssl for Conn {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.digests.tls.clone()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        Some(match self.protocol {
            Protocol::H1 => ALPN::H1,
            Protocol::H2 => ALPN::H2,
        })
    }
}

impl GetTimingDigest for Conn {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Conn {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(self.digests.proxy.clone())
    }
}

impl GetSocketDigest for Conn {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.digests.socket.clone())
    }
}

/// Not offered: a head is judged before anything is handed over, and HTTP/2 is agreed on by ALPN alone.
impl Peek for Conn {}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").field("connection", &self.connection).field("protocol", &self.protocol).finish()
    }
}
