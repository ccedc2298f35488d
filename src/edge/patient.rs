//! Connections to backends for requests that ask for an upgrade. pingora 0.9.1 ends the tunnel at once when a backend's
//! 101 is read before pingora has taken note that the request had no body, which fast backends win: 120 µs are enough.
//! Here the first read after a write comes back empty-handed once, so that the note is taken first. Nothing else is
//! different, and no bytes are held back.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
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
use tokio::time::{Sleep, sleep, timeout};

/// Makes `peer` one for an upgrade: it gets a connection of its own, with these manners. The peer's own
/// `connection_timeout` does not apply any more, hence the argument. `answer_timeout` runs from the request to the first
/// byte of the answer; after that the tunnel may be silent for as long as both sides like.
pub fn expect_upgrade(peer: &mut HttpPeer, connect_timeout: Duration, answer_timeout: Option<Duration>) {
    peer.options.custom_l4 = Some(Arc::new(Patient { connect_timeout, answer_timeout }));
    // Not from the pool, where connections without these manners rest.
    peer.group_key = !peer.group_key;
}

#[derive(Debug)]
struct Patient {
    connect_timeout: Duration,
    answer_timeout: Option<Duration>,
}

#[async_trait]
impl Connect for Patient {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let address = address.as_inet().ok_or_else(|| Error::explain(ErrorType::ConnectError, "not a TCP address"))?;
        let tcp = timeout(self.connect_timeout, TcpStream::connect(address))
            .await
            .or_err(ErrorType::ConnectTimedout, "connecting for an upgrade")?
            .or_err(ErrorType::ConnectError, "connecting for an upgrade")?;
        let answer = self.answer_timeout.map(|limit| Box::pin(sleep(limit)));
        tcp.set_nodelay(true).or_err(ErrorType::ConnectError, "connecting for an upgrade")?;
        Ok(Stream::from(VirtualSocketStream::new(Box::new(Socket { tcp, wrote: false, answer }))))
    }
}

#[derive(Debug)]
struct Socket {
    tcp: TcpStream,
    /// Something was written since the last read.
    wrote: bool,
    /// Until when the first byte of the answer has to come; `None` once it has.
    answer: Option<Pin<Box<Sleep>>>,
}

impl VirtualSocket for Socket {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.tcp.set_nodelay(true),
            // Keep-alive probes are for connections that rest in a pool.
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
        if read.is_ready() {
            self.answer = None;
        } else if let Some(deadline) = &mut self.answer
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no answer to the upgrade")));
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
