//! Visitors that cost little: they write requests that were prepared, and read of the answers what they must. They believe
//! every certificate, for theirs is not the work that is measured. All servers agree with them on the same TLS: 1.3, X25519,
//! AES-128-GCM.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, HandshakeKind, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::backend::{find_end, header};

/// How connections are made.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
}

impl Tls {
    /// `resumes`: with tickets of so many names at a time; 0: every handshake is a full one.
    pub fn new(alpn: &str, resumes: usize) -> Self {
        let provider = CryptoProvider {
            kx_groups: vec![aws_lc_rs::kx_group::X25519],
            cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
            ..aws_lc_rs::default_provider()
        };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone))
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        config.resumption = match resumes {
            0 => Resumption::disabled(),
            // It counts tickets, of which a name may have eight.
            names => Resumption::in_memory_sessions(names * 8),
        };
        Self { connector: TlsConnector::from(Arc::new(config)) }
    }

    pub async fn connect(&self, address: SocketAddr, host: &str) -> io::Result<TlsStream<TcpStream>> {
        self.shake_hands(TcpStream::connect(address).await?, host).await
    }

    /// The same from an address of the visitor's choice.
    pub async fn connect_from(&self, own: Ipv4Addr, address: SocketAddr, host: &str) -> io::Result<()> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((own, 0).into())?;
        self.shake_hands(socket.connect(address).await?, host).await.map(drop)
    }

    async fn shake_hands(&self, tcp: TcpStream, host: &str) -> io::Result<TlsStream<TcpStream>> {
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        self.connector.connect(name, tcp).await
    }

    /// A connection for HTTP/1.1.
    pub async fn open(&self, address: SocketAddr, host: &str) -> io::Result<Http1<TlsStream<TcpStream>>> {
        Ok(Http1::new(self.connect(address, host).await?))
    }
}

pub fn is_resumed(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
}

/// A connection with one request at a time.
pub struct Http1<S> {
    pub stream: S,
    buffer: Vec<u8>,
}

/// What is looked at of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    pub status: u16,
    pub length: usize,
}

impl<S: AsyncReadExt + AsyncWriteExt + Unpin> Http1<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::with_capacity(4096) }
    }

    /// Writes a request as it stands and reads the whole answer.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.buffer.clear();
        let end = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(end) = find_end(&self.buffer) {
                break end;
            }
        };
        let head = &self.buffer[..end];
        let status = std::str::from_utf8(head.get(9..12).unwrap_or_default()).ok().and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("no status"))?;
        let length: Option<usize> = header(head, "content-length").and_then(|length| length.parse().ok());
        if length.is_none() && status != 101 {
            return Err(io::Error::other("an answer without a length"));
        }
        let length = length.unwrap_or(0);
        self.skip(length.saturating_sub(self.buffer.len() - end)).await?;
        Ok(Answer { status, length })
    }

    /// The same, where anything but a 200 is a failure.
    pub async fn served(&mut self, request: &[u8]) -> io::Result<Answer> {
        let answer = self.ask(request).await?;
        if answer.status == 200 { Ok(answer) } else { Err(io::Error::other(format!("status {}", answer.status))) }
    }

    async fn skip(&mut self, mut left: usize) -> io::Result<()> {
        while left > 0 {
            self.buffer.clear();
            match self.stream.read_buf(&mut self.buffer).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => left = left.saturating_sub(read),
            }
        }
        Ok(())
    }

    /// One WebSocket message there and back.
    pub async fn echo(&mut self, message: &[u8; 32]) -> io::Result<()> {
        // A mask of zeros is one (RFC 6455 §5.3 wants it unpredictable, which guards browsers, not benchmarks).
        let mut frame = [0; 6 + 32];
        (frame[0], frame[1]) = (0x82, 0x80 | 32);
        frame[6..].copy_from_slice(message);
        self.stream.write_all(&frame).await?;
        self.stream.flush().await?;
        let mut answer = [0; 2 + 32];
        self.stream.read_exact(&mut answer).await?;
        if answer[2..] == *message { Ok(()) } else { Err(io::Error::other("another message came back")) }
    }
}

/// What a small browser says.
pub fn get(host: &str, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: compare\r\nAccept: */*\r\n\r\n").into_bytes()
}

pub fn post(host: &str, size: usize) -> Vec<u8> {
    let head = format!(
        "POST /upload HTTP/1.1\r\nHost: {host}\r\nUser-Agent: compare\r\nAccept: */*\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: {size}\r\n\r\n"
    );
    [head.as_bytes(), &vec![b'u'; size]].concat()
}

/// With the key of RFC 6455 §1.3.
pub fn upgrade(host: &str) -> Vec<u8> {
    format!(
        "GET /socket HTTP/1.1\r\nHost: {host}\r\nUser-Agent: compare\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}

/// Takes everybody for whom they say they are.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
