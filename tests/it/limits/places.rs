//! How much may be under way: requests, WebSockets; and that whatever ends gives its place back.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use http::Method;
use http_body_util::Full;
use serde_json::json;
use tenantry::traffic::Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use super::{HOST, limit, meter, patient, still, until};
use crate::support::client::{get, h1, h2, request, send_h1, send_h2, tls, websocket};
use crate::support::script::{Script, read_head};
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn no_more_requests_are_under_way_than_may_be() {
    let (_backend, go, routing) = patient().await;
    let world = still(World::builder().routing(&routing)).await;
    limit(&world, json!({"concurrent_requests": 3})).await;
    let ask = || request(Method::GET, HOST, "/").body(Full::default()).unwrap();
    let mut under_way = Vec::new();
    for _ in 0..2 {
        let mut sender = h2(&world, HOST).await;
        under_way.push(tokio::spawn(async move { send_h2(&mut sender, ask()).await.status }));
    }
    let mut sender = h1(&world, HOST).await;
    under_way.push(tokio::spawn(async move { send_h1(&mut sender, ask()).await.status }));
    until("three are under way", || world.running.metrics().requests_in_flight.get() == 3).await;
    let meter = meter(&world, "acme").await;
    until("three have places", || meter.under_way(Kind::Request) == 3).await;
    let refused = get(&world, HOST, "/").await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "rate-limited"));
    assert_eq!(refused.header("retry-after"), "1");
    limit(&world, json!({"concurrent_requests": 4})).await;
    let mut sender = h2(&world, HOST).await;
    under_way.push(tokio::spawn(async move { send_h2(&mut sender, ask()).await.status }));
    until("the fourth has a place", || meter.under_way(Kind::Request) == 4).await;
    go.send(true).unwrap();
    for answer in under_way {
        assert_eq!(answer.await.unwrap(), 200);
    }
    until("all places are free", || meter.under_way(Kind::Request) == 0).await;
    assert_eq!(get(&world, HOST, "/").await.status, 200);
    assert_eq!(meter.counts().limited, [0, 1, 0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_cut_off_gives_its_place_back() {
    let (_backend, _go, routing) = patient().await;
    let world = still(World::builder().routing(&routing)).await;
    limit(&world, json!({"concurrent_requests": 20})).await;
    let head = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let mut plain = Vec::new();
    for _ in 0..10 {
        let mut stream = tls(&world, HOST, &["http/1.1"]).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        plain.push(stream);
    }
    let mut streams = Vec::new();
    let sender = h2(&world, HOST).await;
    for _ in 0..10 {
        let mut sender = sender.clone();
        streams.push(tokio::spawn(async move {
            let ask = request(Method::GET, HOST, "/").body(Full::default()).unwrap();
            sender.send_request(ask).await.map(|answer| answer.status())
        }));
    }
    until("all are under way", || world.running.metrics().requests_in_flight.get() == 20).await;
    let meter = meter(&world, "acme").await;
    until("all have places", || meter.under_way(Kind::Request) == 20).await;
    assert_eq!(get(&world, HOST, "/").await.status, 429);
    drop(plain);
    until("the connections are gone", || meter.under_way(Kind::Request) == 10).await;
    for stream in streams {
        // Dropping the answer resets the stream.
        stream.abort();
    }
    until("the streams are gone", || meter.under_way(Kind::Request) == 0).await;
    let counts = meter.counts();
    assert_eq!((counts.total(), counts.limited[1]), (21, 1), "each is counted once, however it ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_have_places_of_their_own() {
    let world = still(World::builder()).await;
    limit(&world, json!({"websockets": 2, "concurrent_requests": 1, "body_bytes": 1000})).await;
    let (mut one, two) = (websocket(&world, HOST).await, websocket(&world, HOST).await);
    let meter = meter(&world, "acme").await;
    assert_eq!((meter.under_way(Kind::WebSocket), meter.under_way(Kind::Request)), (2, 0));
    assert_eq!(get(&world, HOST, "/").await.status, 200, "they take no request's place");
    let mut stream = tls(&world, HOST, &["http/1.1"]).await.unwrap();
    let ask = format!(
        "GET /ws HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nAccept: application/json\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut refused = vec![0; 4096];
    let length = stream.read(&mut refused).await.unwrap();
    let refused = String::from_utf8_lossy(&refused[..length]).to_lowercase();
    assert!(refused.starts_with("http/1.1 429") && refused.contains("retry-after: 10"), "{refused}");
    // What goes through a tunnel is no request's body, however much it is.
    let large = "x".repeat(5000);
    one.send(Message::text(large.clone())).await.unwrap();
    assert_eq!(one.next().await.unwrap().unwrap().into_text().unwrap().as_str(), large);
    drop(two);
    until("its place is free", || meter.under_way(Kind::WebSocket) == 1).await;
    let _third = websocket(&world, HOST).await;
    one.close(None).await.unwrap();
    until("closed in good order", || meter.under_way(Kind::WebSocket) == 1).await;
    assert_eq!(meter.counts().limited, [0, 0, 1, 0, 0]);
}

/// A request that asks for a WebSocket.
fn upgrade() -> http::Request<Full<bytes::Bytes>> {
    let asked = request(Method::GET, HOST, "/slow").header("connection", "upgrade").header("upgrade", "websocket");
    let asked = asked.header("sec-websocket-version", "13").header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    asked.body(Full::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_for_a_websocket_is_no_way_around_the_limit_of_requests() {
    let (_backend, go, routing) = patient().await;
    let world = still(World::builder().routing(&routing)).await;
    limit(&world, json!({"concurrent_requests": 1})).await;
    let mut sender = h1(&world, HOST).await;
    let first = tokio::spawn(async move { send_h1(&mut sender, upgrade()).await.status });
    until("one is under way", || world.running.metrics().requests_in_flight.get() == 1).await;
    let meter = meter(&world, "acme").await;
    until("it has a request's place", || meter.under_way(Kind::Request) == 1).await;
    let refused = send_h1(&mut h1(&world, HOST).await, upgrade()).await;
    assert_eq!((refused.status.as_u16(), meter.under_way(Kind::WebSocket)), (429, 0));
    go.send(true).unwrap();
    assert_eq!(first.await.unwrap(), 200, "the backend does not agree");
    until("all places are free", || meter.under_way(Kind::Request) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_no_websocket_keeps_to_the_read_timeout() {
    let stalls = Script::raw(|mut stream, _| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
        // Until the edge gives up.
        let _ = stream.read_u8().await;
    })
    .await;
    let routing = format!(
        "[[pool]]\nname = \"app\"\nbackends = [\"{}\"]\nread_timeout = \"300ms\"\n\
         [[route]]\nname = \"all\"\nhost = \"any\"\npool = \"app\"\n",
        stalls.address
    );
    let world = still(World::builder().routing(&routing)).await;
    let mut stream = tls(&world, HOST, &["http/1.1"]).await.unwrap();
    let head = format!(
        "GET /ws HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let started = Instant::now();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer));
    let _cut_short = read.await.expect("the read timeout ends it");
    let answer = String::from_utf8_lossy(&answer);
    // So little of it may not have gone out yet.
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(started.elapsed() >= Duration::from_millis(250), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_may_be_silent_for_longer_than_an_answer() {
    let routing = crate::support::world::ROUTING
        .replace("backends = [\"${BACKEND}\"]", "backends = [\"${BACKEND}\"]\nread_timeout = \"200ms\"");
    let world = still(World::builder().routing(&routing)).await;
    let mut socket = websocket(&world, HOST).await;
    // Nothing says that a timer did not fire but time.
    assert!(tokio::time::timeout(Duration::from_millis(700), socket.next()).await.is_err());
    socket.send(Message::text("still here")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("still here"));
}
