//! The demo backend: answers every request with what it got, as JSON, and echoes WebSocket messages. It stands for the
//! application that a newcomer has not written yet.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Starts the backend on a free port of the loopback and returns its address. It runs until the runtime ends.
pub async fn start() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                // A client that goes away in the middle is its own business.
                let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service_fn(echo)).await;
            });
        }
    });
    Ok(address)
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY).cloned() {
        return Ok(upgrade(request, &key));
    }
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MOST_ECHOED).collect().await else {
        return Ok(answer(StatusCode::PAYLOAD_TOO_LARGE, json!({ "error": "the demo backend echoes at most 1 MiB" })));
    };
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    let seen = json!({
        "method": head.method.as_str(),
        "path": head.uri.path_and_query().map_or("/", |target| target.as_str()),
        "tenant": headers(&head.headers, |name| name.starts_with("x-tenant-")),
        "headers": headers(&head.headers, |name| !name.starts_with("x-tenant-")),
        "body": body,
    });
    Ok(answer(StatusCode::OK, seen))
}

fn headers(all: &HeaderMap, which: impl Fn(&str) -> bool) -> Map<String, Value> {
    let mut map = Map::new();
    for name in all.keys().filter(|name| which(name.as_str())) {
        let values: Vec<_> = all.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
        // As people know them: `X-Tenant-Slug`.
        let title: Vec<_> = name.as_str().split('-').map(capitalised).collect();
        map.insert(title.join("-"), json!(values.join(", ")));
    }
    map
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

fn answer(status: StatusCode, body: Value) -> Response<Full<Bytes>> {
    let text = format!("{body:#}\n");
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn upgrade(mut request: Request<Incoming>, key: &HeaderValue) -> Response<Full<Bytes>> {
    tokio::spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(&mut request).await else { return };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if message.is_close() || (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                break;
            }
        }
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let map = response.headers_mut();
    map.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    map.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        map.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

const MOST_ECHOED: usize = 1 << 20;
