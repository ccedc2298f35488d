//! Connections to backends for requests that ask for an upgrade. Nothing is decided here about who may have one.
//!
//! pingora 0.9.1 ends a tunnel as soon as it is open when the backend's 101 is there before pingora has told itself that
//! the request has no body: it asks for either in random order, and takes the end of the body for the end of the
//! tunnel. A backend on the same machine or a busy edge is enough for that. So a connection for an upgrade owes every
//! write one turn: the first look for an answer after it finds none, and what waits beside it comes first.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::connectors::L4Connect;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora_core::upstreams::peer::{ALPN, HttpPeer};
use pingora_error::{Error, ErrorType, OrErr, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Makes a peer good for a request that asks for an upgrade: a new connection, that is not kept.
pub fn prepare(peer: &mut HttpPeer) {
    peer.options.custom_l4 = Some(Arc::new(Dial));
    peer.options.idle_timeout = Some(Duration::ZERO);
    // No other request may find it in the pool, nor this one a connection of theirs.
    peer.group_key = UPGRADES;
    if peer.options.alpn == ALPN::H2H1 {
        // An upgrade is HTTP/1.1's alone (RFC 9113 §8.6).
        peer.options.set_http_version(1, 1);
    }
    // A WebSocket may be silent for as long as both sides like.
    peer.options.read_timeout = None;
}

/// Opens a TCP connection; pingora bounds the time that it takes.
#[derive(Debug)]
struct Dial;

#[async_trait]
impl L4Connect for Dial {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let Some(address) = address.as_inet() else {
            return Error::e_explain(ErrorType::ConnectError, "an upgrade needs a backend with an IP address");
        };
        let tcp = TcpStream::connect(address).await.map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
                io::ErrorKind::TimedOut => ErrorType::ConnectTimedout,
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => ErrorType::ConnectNoRoute,
                _ => ErrorType::ConnectError,
            };
            Error::because(why, format!("Fail to connect to {address}"), error)
        })?;
        tcp.set_nodelay(true).or_err(ErrorType::ConnectError, "set_nodelay")?;
        Ok(VirtualSocketStream::new(Box::new(Polite { tcp, wrote: false })).into())
    }
}

/// A connection that says "not yet" once after each write.
#[derive(Debug)]
struct Polite {
    tcp: TcpStream,
    wrote: bool,
}

impl AsyncRead for Polite {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.wrote) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.tcp).poll_read(cx, out)
    }
}

impl AsyncWrite for Polite {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.wrote = true;
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

impl VirtualSocket for Polite {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.tcp.set_nodelay(true),
            // Whoever keeps a WebSocket open sends pings of its own.
            _ => Ok(()),
        }
    }
}

/// Tells their connections apart from those of other requests, whose peers have 0.
const UPGRADES: u64 = 1;
