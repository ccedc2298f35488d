//! What streams through: WebSockets, server-sent events, gRPC with its trailers, and bodies larger than any buffer.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, mpsc};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::client::{collect, h1_streaming, h2_streaming, request, tls};
use crate::support::script::{Body, Script, full, read_head, streamed};
use crate::support::world::World;

const HOST: &str = "acme.connect.localhost";
const BIG: usize = 64 << 20;
const CHUNK: usize = 64 << 10;

async fn world(backend: &Script, protocol: &str) -> World {
    let routing = format!(
        "[[pool]]\nname = \"app\"\nbackends = [\"{}\"]\nprotocol = \"{protocol}\"\n\
         [[route]]\nname = \"all\"\nhost = \"any\"\npool = \"app\"\n",
        backend.address
    );
    let world = World::builder().routing(&routing).start().await;
    world.tenant("acme", "growth").await;
    world
}

/// A WebSocket server that speaks `chat`, greets first, and echoes until it is told to close.
async fn chat(mut request: Request<Incoming>) -> Response<Body> {
    let key = derive_accept_key(request.headers()[header::SEC_WEBSOCKET_KEY].as_bytes());
    let asked = request.headers()[header::SEC_WEBSOCKET_PROTOCOL].clone();
    assert_eq!(asked, "chat, other");
    assert_eq!(request.headers()["x-tenant-slug"], "acme");
    tokio::spawn(async move {
        let upgraded = hyper::upgrade::on(&mut request).await.unwrap();
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        socket.send(Message::text("welcome")).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            match message {
                Message::Text(text) if text == "bye" => {
                    let frame = CloseFrame { code: CloseCode::Library(4001), reason: "as you like".into() };
                    socket.close(Some(frame)).await.unwrap();
                }
                Message::Text(_) | Message::Binary(_) => socket.send(message).await.unwrap(),
                _ => {}
            }
        }
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, key)
        .header(header::SEC_WEBSOCKET_PROTOCOL, "chat")
        .body(full(""))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_passes_both_ways_with_its_protocol_pings_and_close() {
    let backend = Script::http(chat).await;
    let world = world(&backend, "h1").await;
    let mut ask = format!("wss://{HOST}/chat?room=1").into_client_request().unwrap();
    ask.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, "chat, other".parse().unwrap());
    let stream = tls(&world, HOST, &["http/1.1"]).await.unwrap();
    let (mut socket, answer) = tokio_tungstenite::client_async(ask, stream).await.unwrap();
    assert_eq!(answer.headers()[header::SEC_WEBSOCKET_PROTOCOL], "chat");
    assert!(answer.headers().contains_key("x-request-id"));
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("welcome"));
    let large: Vec<u8> = (0..1 << 20).map(|n: u32| n.to_le_bytes()[1]).collect();
    for message in [Message::text("grüezi"), Message::binary(vec![0, 255]), Message::binary(large), Message::text("")]
    {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    socket.send(Message::Ping("are you there".into())).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::Pong("are you there".into()));
    socket.send(Message::text("bye")).await.unwrap();
    let Message::Close(Some(close)) = socket.next().await.unwrap().unwrap() else { panic!("a close frame") };
    assert_eq!((close.code, close.reason.as_str()), (CloseCode::Library(4001), "as you like"));
    assert!(matches!(socket.next().await, None | Some(Err(Error::ConnectionClosed))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_that_a_client_leaves_is_left_at_the_backend_too() {
    let (told, mut left) = mpsc::channel(1);
    let backend = Script::raw(move |mut stream, _| {
        let told = told.clone();
        async move {
            let head = read_head(&mut stream).await;
            let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap_or_default();
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {}\r\n\r\n",
                derive_accept_key(key.as_bytes())
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            told.send(rest.len()).await.unwrap();
        }
    })
    .await;
    let world = world(&backend, "h1").await;
    let mut stream = tls(&world, HOST, &["http/1.1"]).await.unwrap();
    let ask = format!(
        "GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(ask.as_bytes()).await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 101 "));
    drop(stream);
    assert_eq!(left.recv().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn server_sent_events_arrive_one_by_one() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let (events, body) = streamed();
        let handed = Arc::new(Mutex::new(Some(body)));
        let backend = Script::http(move |_| {
            let handed = handed.clone();
            async move {
                let body = handed.lock().await.take().unwrap();
                Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
            }
        })
        .await;
        let world = world(&backend, "h1").await;
        let ask = request(Method::GET, HOST, "/events").header("accept", "text/event-stream");
        let answer = match version {
            Version::HTTP_2 => h2_streaming(&world, HOST).await.send_request(ask.body(full("")).unwrap()).await,
            _ => {
                let ask = ask.uri("/events").header("host", HOST).body(full("")).unwrap();
                h1_streaming(&world, HOST).await.send_request(ask).await
            }
        };
        let answer = answer.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut stream = answer.into_body();
        for n in 0..20 {
            let event = format!("data: {n}\n\n");
            // The next is not sent before this one has arrived.
            events.send(Frame::data(event.clone().into())).await.unwrap();
            let mut got = Vec::new();
            while got.len() < event.len() {
                got.extend(stream.frame().await.unwrap().unwrap().into_data().unwrap());
            }
            assert_eq!(got, event.as_bytes());
        }
    }
}

/// A gRPC-like service: each message comes back at once, and the call ends with a status in trailers.
async fn grpc(request: Request<Incoming>) -> Response<Body> {
    assert_eq!(request.version(), Version::HTTP_2);
    assert_eq!(request.headers()["te"], "trailers");
    let (frames, body) = streamed();
    tokio::spawn(async move {
        let mut incoming = request.into_body();
        let mut messages = 0;
        while let Some(Ok(frame)) = incoming.frame().await {
            if let Ok(data) = frame.into_data()
                && !data.is_empty()
            {
                messages += 1;
                frames.send(Frame::data(data)).await.unwrap();
            }
        }
        let trailers = [("grpc-status", "0".to_owned()), ("x-messages", messages.to_string())];
        let trailers = trailers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        frames.send(Frame::trailers(HeaderMap::from_iter(trailers))).await.unwrap();
    });
    Response::builder().header("content-type", "application/grpc").body(body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bidirectional_grpc_call_passes_with_its_trailers() {
    let backend = Script::http(grpc).await;
    let world = world(&backend, "h2c").await;
    let (messages, body) = streamed();
    let ask = request(Method::POST, HOST, "/pkg.Service/Chat").header("content-type", "application/grpc");
    let ask = ask.header("te", "trailers").body(body).unwrap();
    let mut sender = h2_streaming(&world, HOST).await;
    let mut answer = sender.send_request(ask).await.unwrap();
    assert_eq!(
        (answer.status(), &answer.headers()["content-type"]),
        (StatusCode::OK, &"application/grpc".parse().unwrap())
    );
    for n in 0..10u8 {
        messages.send(Frame::data(Bytes::from(vec![n; 100]))).await.unwrap();
        let back = answer.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(back, vec![n; 100]);
    }
    drop(messages);
    let trailers = collect(answer).await.trailers.expect("a status");
    assert_eq!((&trailers["grpc-status"], &trailers["x-messages"]), (&"0".parse().unwrap(), &"10".parse().unwrap()));
}

fn block(n: usize) -> Bytes {
    Bytes::from(vec![n as u8 ^ (n >> 8) as u8; CHUNK])
}

fn hash_of_blocks() -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    (0..BIG / CHUNK).for_each(|n| context.update(&block(n)));
    context.finish().as_ref().to_vec()
}

/// Sends blocks from `from` on until nobody takes any for a while: how many went out.
async fn fill(sender: &mpsc::Sender<Frame<Bytes>>) -> usize {
    for n in 0..BIG / CHUNK {
        let sent = tokio::time::timeout(Duration::from_millis(500), sender.send(Frame::data(block(n)))).await;
        if sent.is_err() {
            return n;
        }
    }
    BIG / CHUNK
}

async fn send_rest(sender: mpsc::Sender<Frame<Bytes>>, from: usize) {
    for n in from..BIG / CHUNK {
        sender.send(Frame::data(block(n))).await.unwrap();
    }
}

async fn hash(mut body: Incoming) -> (usize, Vec<u8>) {
    let (mut context, mut length) = (Context::new(&SHA256), 0);
    while let Some(frame) = body.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        length += data.len();
        context.update(&data);
    }
    (length, context.finish().as_ref().to_vec())
}

/// What may be under way at most: sockets' buffers on both sides and the edge's own, far from the whole.
const IN_FLIGHT: usize = 24 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_download_waits_for_its_reader_and_arrives_whole() {
    for (protocol, version) in [("h1", Version::HTTP_11), ("h1", Version::HTTP_2), ("h2c", Version::HTTP_2)] {
        let (blocks, body) = streamed();
        let body = Arc::new(Mutex::new(Some(body)));
        let backend = Script::http(move |_| {
            let body = body.clone();
            async move { Response::new(body.lock().await.take().unwrap()) }
        })
        .await;
        let world = world(&backend, protocol).await;
        let answer = send(&world, version, Method::GET, full("")).await;
        let sent = fill(&blocks).await;
        assert!(sent * CHUNK < IN_FLIGHT, "{protocol} {version:?}: {} bytes are buffered somewhere", sent * CHUNK);
        let reading = tokio::spawn(hash(answer.into_body()));
        send_rest(blocks, sent).await;
        assert_eq!(reading.await.unwrap(), (BIG, hash_of_blocks()), "{protocol} {version:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_upload_waits_for_its_backend_and_arrives_whole() {
    for (protocol, version) in [("h1", Version::HTTP_11), ("h1", Version::HTTP_2), ("h2c", Version::HTTP_2)] {
        let (go, wait) = tokio::sync::watch::channel(false);
        let backend = Script::http(move |request: Request<Incoming>| {
            let mut wait = wait.clone();
            async move {
                wait.wait_for(|go| *go).await.unwrap();
                let (length, hash) = hash(request.into_body()).await;
                Response::builder().header("x-length", length).body(full(hash)).unwrap()
            }
        })
        .await;
        let world = world(&backend, protocol).await;
        let (blocks, body) = streamed();
        let upload = tokio::spawn(async move {
            let sent = fill(&blocks).await;
            assert!(sent * CHUNK < IN_FLIGHT, "{} bytes are buffered somewhere", sent * CHUNK);
            go.send(true).unwrap();
            send_rest(blocks, sent).await;
        });
        let answer = send(&world, version, Method::POST, body).await;
        assert_eq!(answer.headers()["x-length"], BIG.to_string().as_str());
        assert_eq!(collect(answer).await.body, hash_of_blocks(), "{protocol} {version:?}");
        upload.await.unwrap();
    }
}

async fn send(world: &World, version: Version, method: Method, body: Body) -> Response<Incoming> {
    let ask = request(method, HOST, "/big");
    match version {
        Version::HTTP_2 => h2_streaming(world, HOST).await.send_request(ask.body(body).unwrap()).await.unwrap(),
        _ => {
            let ask = ask.uri("/big").header("host", HOST).body(body).unwrap();
            h1_streaming(world, HOST).await.send_request(ask).await.unwrap()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_100_continue_gets_it_from_the_backend() {
    let backend = Script::http(|request: Request<Incoming>| async move {
        if request.uri().path() == "/no" {
            return Response::builder().status(401).body(full("no")).unwrap();
        }
        Response::new(full(request.into_body().collect().await.unwrap().to_bytes()))
    })
    .await;
    let world = world(&backend, "h1").await;
    let head = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    };
    let mut stream = tls(&world, HOST, &["http/1.1"]).await.unwrap();
    stream.write_all(head("/").as_bytes()).await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 100 "));
    stream.write_all(b"hello").await.unwrap();
    let answer = read_head(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && !answer.contains("close"), "{answer}");
    let mut body = [0; 5];
    stream.read_exact(&mut body).await.unwrap();
    assert_eq!(&body, b"hello");
    // Who is told no has sent nothing.
    stream.write_all(head("/no").as_bytes()).await.unwrap();
    let answer = read_head(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_body_keep_their_headers_and_the_connection() {
    let backend = Script::http(|request: Request<Incoming>| async move {
        let answer = Response::builder().header("etag", "\"1\"");
        match (request.method().as_str(), request.uri().path()) {
            ("HEAD", _) => answer.header("content-length", 1234).body(full("")).unwrap(),
            (_, "/204") => answer.status(204).body(full("")).unwrap(),
            (_, "/304") => answer.status(304).body(full("")).unwrap(),
            _ => answer.body(full("body")).unwrap(),
        }
    })
    .await;
    for protocol in ["h1", "h2c"] {
        let world = world(&backend, protocol).await;
        let mut over_h1 = h1_streaming(&world, HOST).await;
        let mut over_h2 = h2_streaming(&world, HOST).await;
        for (method, path, status) in [
            (Method::HEAD, "/", 200),
            (Method::GET, "/204", 204),
            (Method::GET, "/304", 304),
            (Method::DELETE, "/204", 204),
            (Method::GET, "/", 200),
        ] {
            let ask = Request::builder().method(method.clone()).uri(path).header("host", HOST).body(full("")).unwrap();
            over_h1.ready().await.unwrap();
            let by_h1 = collect(over_h1.send_request(ask).await.unwrap()).await;
            let by_h2 =
                over_h2.send_request(request(method.clone(), HOST, path).body(full("")).unwrap()).await.unwrap();
            for answer in [by_h1, collect(by_h2).await] {
                assert_eq!((answer.status.as_u16(), answer.header("etag")), (status, "\"1\""), "{method} {path}");
                let body: &[u8] = if path == "/" && method == Method::GET { b"body" } else { b"" };
                assert_eq!(answer.body, body, "{method} {path}");
                if method == Method::HEAD {
                    assert_eq!(answer.header("content-length"), "1234");
                }
            }
        }
    }
}
