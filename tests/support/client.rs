//! Clients: raw bytes over TLS or TCP, HTTP/1.1 and HTTP/2 with hyper, WebSockets with tungstenite.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;

use super::script::Body;
use super::world::World;

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }

    /// The code of a problem document.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap().to_owned()
    }
}

/// A client's TLS configuration that trusts the world's authority. `alpn`: `h2`, `http/1.1`.
pub fn tls_config(world: &World, alpn: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(world.ca.certificate().as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

/// A TLS connection to the world's HTTPS listener with this SNI.
pub async fn tls(world: &World, sni: &str, alpn: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(world.https()).await?;
    tcp.set_nodelay(true)?;
    let connector = TlsConnector::from(Arc::new(tls_config(world, alpn)));
    connector.connect(ServerName::try_from(sni.to_owned()).unwrap(), tcp).await
}

/// A TLS connection that trusts this root (PEM) alone.
pub async fn tls_trusting(root: &str, address: SocketAddr, sni: &str) -> std::io::Result<TlsStream<TcpStream>> {
    tls_trusting_with(root, address, sni, &[]).await
}

/// The same with protocols for ALPN.
pub async fn tls_trusting_with(
    root: &str,
    address: SocketAddr,
    sni: &str,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(sni.to_owned()).unwrap(), tcp).await
}

/// An HTTP/1.1 connection.
pub async fn h1(world: &World, sni: &str) -> http1::SendRequest<Full<Bytes>> {
    let stream = tls(world, sni, &["http/1.1"]).await.unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    sender
}

/// An HTTP/2 connection.
pub async fn h2(world: &World, sni: &str) -> http2::SendRequest<Full<Bytes>> {
    let stream = tls(world, sni, &["h2"]).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// An HTTP/1.1 connection to the plain listener.
pub async fn h1_plain(world: &World) -> http1::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(world.http()).await.unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// GET over a plain connection of its own.
pub async fn get_plain(world: &World, host: &str, path: &str) -> Answer {
    let request = request(Method::GET, host, path).body(Full::default()).unwrap();
    send_h1(&mut h1_plain(world).await, request).await
}

/// The same at any address; an error while nothing listens there.
pub async fn get_plain_at(address: SocketAddr, host: &str, path: &str) -> std::io::Result<Answer> {
    let stream = TcpStream::connect(address).await?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(std::io::Error::other)?;
    tokio::spawn(connection);
    let request = request(Method::GET, host, path).body(Full::<Bytes>::default()).unwrap();
    Ok(send_h1(&mut sender, request).await)
}

/// An HTTP/1.1 connection whose requests stream.
pub async fn h1_streaming(world: &World, sni: &str) -> http1::SendRequest<Body> {
    let stream = tls(world, sni, &["http/1.1"]).await.unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// An HTTP/2 connection whose requests stream.
pub async fn h2_streaming(world: &World, sni: &str) -> http2::SendRequest<Body> {
    let stream = tls(world, sni, &["h2"]).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A request builder for `https://<host><path>` (the form that HTTP/2 wants).
pub fn request(method: Method, host: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(format!("https://{host}{path}"))
}

/// GET over a connection of its own, HTTP/2.
pub async fn get(world: &World, host: &str, path: &str) -> Answer {
    get_with(world, host, path, &[]).await
}

/// GET with headers over a connection of its own, HTTP/2.
pub async fn get_with(world: &World, host: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut builder = request(Method::GET, host, path);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    send_h2(&mut h2(world, host).await, builder.body(Full::default()).unwrap()).await
}

pub async fn send_h2(sender: &mut http2::SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> Answer {
    sender.ready().await.unwrap();
    collect(sender.send_request(request).await.unwrap()).await
}

/// Sends over HTTP/1.1: the target becomes origin-form, the authority the `Host`.
pub async fn send_h1(sender: &mut http1::SendRequest<Full<Bytes>>, mut request: Request<Full<Bytes>>) -> Answer {
    if let Some(authority) = request.uri().authority().cloned() {
        let target = request.uri().path_and_query().unwrap().to_string();
        request.headers_mut().entry("host").or_insert(authority.as_str().parse().unwrap());
        *request.uri_mut() = target.parse().unwrap();
    }
    sender.ready().await.unwrap();
    collect(sender.send_request(request).await.unwrap()).await
}

pub async fn collect(response: http::Response<hyper::body::Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned();
    Answer { status: head.status, headers: head.headers, body: body.to_bytes(), trailers }
}

/// Writes bytes to a TLS connection (ALPN http/1.1) and reads until the edge closes it.
pub async fn raw(world: &World, sni: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = tls(world, sni, &["http/1.1"]).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A peer that closes without close_notify has still said what it had to say.
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

/// Writes bytes to the plain listener and reads until the edge closes it.
pub async fn raw_plain(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

/// An open WebSocket.
pub async fn websocket(world: &World, host: &str) -> WebSocketStream<TlsStream<TcpStream>> {
    let stream = tls(world, host, &["http/1.1"]).await.unwrap();
    let (socket, _) = tokio_tungstenite::client_async(format!("wss://{host}/ws"), stream).await.unwrap();
    socket
}
