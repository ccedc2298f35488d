//! What happens to visitors when a tenant, a host, a node, the store or a key changes under them.

mod ends;
mod keys;
mod nodes;
mod outage;
mod race;
mod suspension;
mod upgrade;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::support::client::{Answer, tls};
use crate::support::world::{Builder, World};

/// By when a suspension has closed what was open.
const AT_ONCE: Duration = Duration::from_secs(1);
/// For what has to happen, but not by a certain time.
const LONG: Duration = Duration::from_secs(60);

/// A world whose `/drip` is answered with one chunk and no end.
fn dripping(drip: SocketAddr) -> Builder {
    World::builder().routing(&format!(
        "[[pool]]\nname = \"app\"\nbackends = [\"${{BACKEND}}\"]\n[[pool]]\nname = \"drip\"\nbackends = [\"{drip}\"]\n\
         [[route]]\nname = \"drip\"\nhost = \"any\"\npath = \"/drip\"\npool = \"drip\"\n\
         [[route]]\nname = \"rest\"\nhost = \"any\"\npool = \"app\"\n"
    ))
}

/// A backend whose answers begin and never end.
async fn drip() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = service_fn(async |_: Request<Incoming>| {
                let first = futures_util::stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from("drop")))]);
                Ok::<_, Infallible>(Response::new(StreamBody::new(first.chain(futures_util::stream::pending()))))
            });
            tokio::spawn(async move {
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    address
}

/// The admin API of a world.
struct Api {
    address: SocketAddr,
    token: String,
}

impl Api {
    async fn of(world: &World) -> Self {
        Self { address: world.admin(), token: world.token(&format!("of-{}", world.admin().port())).await }
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", "admin");
        request = request.header("authorization", format!("Bearer {}", self.token));
        let text = if body.is_null() { String::new() } else { body.to_string() };
        if !text.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let response = sender.send_request(request.body(Full::<Bytes>::from(text)).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, body, trailers: None }
    }

    /// POSTs to a tenant's resource and expects 200.
    async fn post(&self, tenant: &str, what: &str) {
        let answer = self.call(Method::POST, &format!("/v1/tenants/{tenant}/{what}"), Value::Null).await;
        assert_eq!(answer.status, StatusCode::OK, "{what} {tenant}: {answer:?}");
    }
}

/// An HTTP/1.1 connection and the task that ends with it.
async fn h1(world: &World, sni: &str) -> (http1::SendRequest<Full<Bytes>>, JoinHandle<()>) {
    let stream = tls(world, sni, &["http/1.1"]).await.unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    (sender, tokio::spawn(async move { drop(connection.await) }))
}

/// An HTTP/2 connection and the task that ends with it.
async fn h2(world: &World, sni: &str) -> (http2::SendRequest<Full<Bytes>>, JoinHandle<()>) {
    let stream = tls(world, sni, &["h2"]).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    (sender, tokio::spawn(async move { drop(connection.await) }))
}

fn get(host: &str, path: &str) -> Request<Full<Bytes>> {
    crate::support::client::request(Method::GET, host, path).body(Full::default()).unwrap()
}

/// The same in the form of HTTP/1.1.
fn get_h1(host: &str, path: &str) -> Request<Full<Bytes>> {
    Request::builder().uri(path).header("host", host).body(Full::default()).unwrap()
}

/// Waits for an end that has to come now.
async fn ends_at_once<T>(what: &str, end: impl Future<Output = T>) -> T {
    tokio::time::timeout(AT_ONCE, end).await.unwrap_or_else(|_| panic!("{what} is still there after {AT_ONCE:?}"))
}

/// Reads a WebSocket to its end; returns the code of the close frame, if there was one.
async fn close_code<S>(mut socket: WebSocketStream<S>) -> Option<CloseCode>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut code = None;
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Close(Some(frame)) = message {
            code = Some(frame.code);
        }
    }
    code
}

/// Looks until it is so.
async fn eventually(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, looking).await.unwrap_or_else(|_| panic!("never: {what}"));
}
