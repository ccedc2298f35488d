//! One handshake: the hello is read, its name is looked up, and then either the handshake goes on or a fatal alert says
//! why not. The caller sets the deadline for all of it.

use std::io;
use std::net::IpAddr;

use rustls::server::Acceptor;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::{Alpn, Certificates, Refusal, Stream, TlsFacts};
use crate::model::Hostname;

/// A handshake that came to its end.
#[derive(Debug)]
pub struct Accepted {
    pub stream: Stream,
    pub sni: Option<Hostname>,
    pub facts: TlsFacts,
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// No certificate: the client was sent an alert.
    #[error("handshake refused: {0}")]
    Refused(#[from] Refusal),
    /// The client left, or what it sent is no hello that we can answer.
    #[error("handshake failed: {0}")]
    Failed(#[source] io::Error),
}

impl HandshakeError {
    /// For the metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Refused(Refusal::UnknownName) => "unknown-name",
            Self::Refused(Refusal::Busy) => "busy",
            Self::Refused(Refusal::Unavailable) => "unavailable",
            Self::Failed(_) => "failed",
        }
    }
}

/// Takes `tcp` through a handshake with a certificate for the name that the client asks for.
///
/// After one that agreed on [`Alpn::AcmeTls1`] there is nothing to serve: the connection is to be closed.
pub async fn accept(
    tcp: TcpStream,
    certificates: &dyn Certificates,
    client: IpAddr,
) -> Result<Accepted, HandshakeError> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), tcp).await.map_err(HandshakeError::Failed)?;
    let (sni, acme) = asked(&start);
    match certificates.config_for(sni.as_ref(), acme, client).await {
        Ok(config) => {
            let stream = Stream::new(start.into_stream(config).await.map_err(HandshakeError::Failed)?);
            let facts = stream.facts();
            Ok(Accepted { stream, sni, facts })
        }
        Err(refusal) => {
            // Whether the alert arrives changes nothing for us.
            let _ = alert(start.io, refusal).await;
            Err(refusal.into())
        }
    }
}

/// The name in the hello, and whether `acme-tls/1` is all it offers.
fn asked(start: &StartHandshake<TcpStream>) -> (Option<Hostname>, bool) {
    let hello = start.client_hello();
    let name = hello.server_name().and_then(|name| Hostname::parse(name).ok());
    let mut offers = hello.alpn().into_iter().flatten();
    let acme = offers.next() == Some(Alpn::AcmeTls1.wire()) && offers.next().is_none();
    (name, acme)
}

/// A fatal alert in the clear, as before any key exchange (RFC 8446 §6.2, RFC 6066 §3).
async fn alert(mut tcp: impl AsyncWrite + Unpin, refusal: Refusal) -> io::Result<()> {
    const INTERNAL_ERROR: u8 = 80;
    const UNRECOGNIZED_NAME: u8 = 112;
    let description = match refusal {
        Refusal::UnknownName => UNRECOGNIZED_NAME,
        Refusal::Busy | Refusal::Unavailable => INTERNAL_ERROR,
    };
    // Content type 21 (alert), legacy version 3.3, length 2; level 2 (fatal).
    tcp.write_all(&[21, 3, 3, 0, 2, 2, description]).await?;
    tcp.shutdown().await
}
