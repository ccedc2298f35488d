//! What pingora asks of a connection besides bytes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest, UniqueID,
    UniqueIDType,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::conn::{Conn, Protocol};

/// How long a client may take to let us end a connection in good order, and how much it may send meanwhile.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 * 1024;

#[async_trait]
impl Shutdown for Conn {
    async fn shutdown(&mut self) {
        let lingers = self.connection.lingers();
        let end = async {
            // An error means that the client is gone, which is what is wanted.
            if AsyncWriteExt::shutdown(self).await.is_ok() && lingers {
                self.drain().await;
            }
        };
        let _ = timeout(LINGER, end).await;
    }
}

impl Conn {
    /// Throws away what the client still sends, so that closing the socket does not reset the connection while our
    /// last bytes are on their way.
    async fn drain(&mut self) {
        let (mut scratch, mut left) = ([0; 4096], LINGER_BYTES);
        while left > 0 {
            match self.wire.read(&mut scratch).await {
                Ok(0) | Err(_) => return,
                Ok(read) => left = left.saturating_sub(read),
            }
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
