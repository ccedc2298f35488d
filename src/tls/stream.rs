//! A TLS connection after its handshake, and what was agreed on.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::{HandshakeKind, NamedGroup, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// An established TLS connection: plaintext on our side.
#[derive(Debug)]
pub struct Stream(TlsStream<TcpStream>);

/// What a handshake came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TlsFacts {
    pub version: TlsVersion,
    /// A session ticket was accepted: no certificate was sent.
    pub resumed: bool,
    pub alpn: Option<Alpn>,
    /// As rustls names it: `TLS13_AES_256_GCM_SHA384`.
    pub cipher: &'static str,
    /// The key exchange: `X25519MLKEM768`, `X25519`, … `None` for a resumed TLS 1.2 session.
    pub group: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsVersion {
    Tls12,
    Tls13,
}

/// The protocols that we agree to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Alpn {
    H2,
    Http11,
    /// RFC 8737.
    AcmeTls1,
}

impl TlsVersion {
    /// `TLSv1.2`, `TLSv1.3`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        }
    }
}

impl Alpn {
    pub fn wire(self) -> &'static [u8] {
        match self {
            Self::H2 => b"h2",
            Self::Http11 => b"http/1.1",
            Self::AcmeTls1 => b"acme-tls/1",
        }
    }

    fn from_wire(wire: &[u8]) -> Option<Self> {
        [Self::H2, Self::Http11, Self::AcmeTls1].into_iter().find(|alpn| alpn.wire() == wire)
    }
}

impl Stream {
    pub(super) fn new(inner: TlsStream<TcpStream>) -> Self {
        Self(inner)
    }

    pub fn facts(&self) -> TlsFacts {
        let session = self.0.get_ref().1;
        TlsFacts {
            version: match session.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
                // rustls speaks no other.
                _ => TlsVersion::Tls13,
            },
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            alpn: session.alpn_protocol().and_then(Alpn::from_wire),
            cipher: session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("unknown"),
            group: session.negotiated_key_exchange_group().and_then(|group| group_name(group.name())),
        }
    }
}

fn group_name(group: NamedGroup) -> Option<&'static str> {
    group.as_str()
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
