//! Connections to backends for requests that ask for an upgrade. pingora 0.9.1 ends the tunnel at once when a backend's
//! 101 is read before pingora has taken note that the request had no body, which fast backends win: 120 µs are enough.
//! Here the first read after a write comes back empty-handed once, so that the note is taken first. Nothing else is
//! different, and no bytes are held back.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::connectors::l4::Connect;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorType, OrErr, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::keep_alive::keep_alive;

/// Makes `peer` one for an upgrade: it gets a connection of its own, with these manners. The peer's own
/// `connection_timeout` does not apply any more, hence the argument. `read_timeout` is for each read, until the
/// tunnel is said to be open; from then on it may be silent for as long as both sides like. An answer that is none to the
/// upgrade keeps it to its end.
pub fn expect_upgrade(peer: &mut HttpPeer, connect_timeout: Duration, read_timeout: Option<Duration>) -> Tunnel {
    let tunnel = Tunnel::default();
    peer.options.custom_l4 = Some(Arc::new(Patient { connect_timeout, read_timeout, tunnel: tunnel.clone() }));
    // Not from the pool, where connections without these manners rest.
    peer.group_key = !peer.group_key;
    tunnel
}

/// Whether a connection has become a tunnel. Clones are of the same one.
#[derive(Clone, Debug, Default)]
pub struct Tunnel(Arc<AtomicBool>);

impl Tunnel {
    /// The backend has agreed.
    pub fn opened(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_open(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

#[derive(Debug)]
struct Patient {
    connect_timeout: Duration,
    read_timeout: Option<Duration>,
    tunnel: Tunnel,
}

#[async_trait]
impl Connect for Patient {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let address = address.as_inet().ok_or_else(|| Error::explain(ErrorType::ConnectError, "not a TCP address"))?;
        let tcp = timeout(self.connect_timeout, TcpStream::connect(address))
            .await
            .or_err(ErrorType::ConnectTimedout, "connecting for an upgrade")?
            .or_err(ErrorType::ConnectError, "connecting for an upgrade")?;
        tcp.set_nodelay(true).or_err(ErrorType::ConnectError, "connecting for an upgrade")?;
        keep_alive(&tcp).or_err(ErrorType::ConnectError, "connecting for an upgrade")?;
        let patience = self.read_timeout.map(|limit| (limit, Box::pin(sleep(limit))));
        let socket = Socket { tcp, wrote: false, patience, tunnel: self.tunnel.clone() };
        Ok(Stream::from(VirtualSocketStream::new(Box::new(socket))))
    }
}

#[derive(Debug)]
struct Socket {
    tcp: TcpStream,
    /// Something was written since the last read.
    wrote: bool,
    /// How long a read may take, and until when this one may; `None` once it is a tunnel.
    patience: Option<(Duration, Pin<Box<Sleep>>)>,
    tunnel: Tunnel,
}

impl VirtualSocket for Socket {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.tcp.set_nodelay(true),
            // It has them since it was connected.
            _ => Ok(()),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.wrote) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let read = Pin::new(&mut self.tcp).poll_read(cx, buf);
        if self.tunnel.is_open() {
            self.patience = None;
        }
        if let Some((limit, deadline)) = &mut self.patience {
            if read.is_ready() {
                deadline.as_mut().reset(Instant::now() + *limit);
            } else if deadline.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no answer to the upgrade")));
            }
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.wrote = true;
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
