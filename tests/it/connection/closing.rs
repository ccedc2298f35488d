//! Connections that the edge ends: one by one, or all at the end of a drain.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tenantry::edge::connection::CloseReason;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use super::heads::rest;
use super::tls::Client;
use super::world::World;

/// Echoes; asked for `half`, it sends the first half of a frame and waits for its peer to leave.
pub async fn websocket_backend(tcp: TcpStream) {
    let mut socket = accept_async(tcp).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Text(text) if text == "half" => {
                let tcp = socket.get_mut();
                tcp.write_all(&[0x81, 100, b'x']).await.unwrap();
                // Until the edge has gone.
                let _ = tcp.read(&mut [0; 16]).await;
                return;
            }
            Message::Text(_) if socket.send(message).await.is_err() => return,
            _ => {}
        }
    }
}

async fn websocket<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> WebSocketStream<S> {
    let (mut socket, response) = client_async("ws://a.test/ws", stream).await.unwrap();
    assert_eq!(response.status(), 101);
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    socket
}

fn code(frame: Option<Message>) -> Option<CloseCode> {
    match frame {
        Some(Message::Close(Some(CloseFrame { code, .. }))) => Some(code),
        other => panic!("a close frame with a code, not {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_websocket_is_closed_with_its_code() {
    let world = World::new().await;
    let client = Client::new(&world.ca).alpn(&["http/1.1"]);
    for (reason, expected) in [(CloseReason::Policy, CloseCode::Policy), (CloseReason::GoingAway, CloseCode::Away)] {
        let mut plain = websocket(TcpStream::connect(world.plain).await.unwrap()).await;
        let plain_connection = world.last();
        let mut tls = websocket(client.connect(&world, "a.test").await.unwrap()).await;
        let started = Instant::now();
        plain_connection.close(reason);
        world.last().close(reason);
        assert_eq!(code(plain.next().await.transpose().unwrap()), Some(expected));
        assert_eq!(code(tls.next().await.transpose().unwrap()), Some(expected));
        // And then nothing: the streams end in good order.
        assert!(plain.next().await.is_none() && tls.next().await.is_none());
        assert!(started.elapsed() < Duration::from_secs(1));
    }
    while world.refused("policy") + world.refused("going-away") < 4 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_in_the_middle_of_a_frame_still_ends_within_a_second() {
    let world = World::new().await;
    let mut socket = websocket(TcpStream::connect(world.plain).await.unwrap()).await;
    socket.send(Message::text("half")).await.unwrap();
    let tcp = socket.get_mut();
    let mut half = [0; 3];
    tcp.read_exact(&mut half).await.unwrap();
    assert_eq!(half, [0x81, 100, b'x']);
    let started = Instant::now();
    world.last().close(CloseReason::Policy);
    // A close frame would be read as payload of the frame that never ended: there is none.
    let mut after = Vec::new();
    let _ = tcp.read_to_end(&mut after).await;
    assert_eq!(after, Vec::<u8>::new());
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_websocket_gets_its_close_frame_between_two_of_the_backends() {
    let world = World::new().await;
    let socket = websocket(TcpStream::connect(world.plain).await.unwrap()).await;
    let (mut send, mut receive) = socket.split();
    let flood = tokio::spawn(async move {
        let text = "x".repeat(3000);
        while send.send(Message::text(text.clone())).await.is_ok() {}
    });
    let mut messages = 0;
    loop {
        match receive.next().await.unwrap().unwrap() {
            Message::Text(text) => {
                assert_eq!(text.len(), 3000);
                messages += 1;
                if messages == 20 {
                    world.last().close(CloseReason::Policy);
                }
            }
            close => break assert_eq!(code(Some(close)), Some(CloseCode::Policy)),
        }
    }
    flood.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_h1_connections_end_at_once() {
    let world = World::new().await;
    let mut stream = TcpStream::connect(world.plain).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).await.unwrap();
    world.last().close(CloseReason::Policy);
    rest(&mut stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_h2_connections_end_at_once() {
    let world = World::new().await;
    let stream = Client::new(&world.ca).alpn(&["h2"]).connect(&world, "a.test").await.unwrap();
    let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::get("https://a.test/h2").body(()).unwrap();
    let (response, _) = send.send_request(request, true).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
    let last = world.last();
    assert_eq!(world.backend_saw(), ["GET /h2"]);
    assert!(last.bytes_in() > 24 && last.bytes_out() > 24);
    last.close(CloseReason::Policy);
    let ended = tokio::time::timeout(Duration::from_secs(1), connection).await;
    assert!(ended.is_ok(), "the connection ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_refuses_newcomers_and_ends_who_is_left() {
    let world = World::new().await;
    let mut socket = websocket(TcpStream::connect(world.plain).await.unwrap()).await;
    world.shutdown.send(true).unwrap();
    let drained = async {
        world.listeners.drain(Duration::from_millis(100)).await;
        assert_eq!(world.metrics.connections_open.get(), 0);
    };
    let left = async { code(socket.next().await.transpose().unwrap()) };
    let (_, left) = tokio::join!(drained, left);
    assert_eq!(left, Some(CloseCode::Away));
    assert!(TcpStream::connect(world.plain).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_noted_on_a_connection_is_noted_once() {
    let world = World::new().await;
    let _socket = websocket(TcpStream::connect(world.plain).await.unwrap()).await;
    let (connection, tenant) = (world.last(), tenantry::model::TenantId::new());
    assert!(connection.note_tenant(tenant) && !connection.note_tenant(tenant));
    assert_eq!(connection.tenants(), [tenant]);
}
