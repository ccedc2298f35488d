//! The classes of attack that proxies of this family have had: leftovers of one request taken for another, tunnels before
//! their time, and streams reset for their cost.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::client::{get, raw, tls};
use crate::support::script::{Script, read_head};
use crate::support::world::World;

const HOST: &str = "acme.connect.localhost";
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: acme.connect.localhost\r\n\r\n";

async fn world_before(backend: &Script) -> World {
    let routing = format!(
        "[[pool]]\nname = \"app\"\nbackends = [\"{}\"]\n[[route]]\nname = \"all\"\nhost = \"any\"\npool = \"app\"\n",
        backend.address
    );
    let world = World::builder().routing(&routing).start().await;
    world.tenant("acme", "growth").await;
    world
}

async fn rest(stream: &mut TlsStream<TcpStream>) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_a_refused_request_is_no_request() {
    let world = World::start().await;
    world.tenant("acme", "free").await;
    for framing in [
        format!("Content-Length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len()),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len()),
        format!("Content-Length: 1000000\r\n\r\n{SMUGGLED}"),
    ] {
        let bytes = format!("POST /analytics/export HTTP/1.1\r\nHost: {HOST}\r\n{framing}{SMUGGLED}");
        let answer = String::from_utf8(raw(&world, HOST, bytes.as_bytes()).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 402 "), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
    assert!(world.backend.take().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_answers_early_leaves_nothing_behind_for_the_next() {
    // Answers each head at once, and then reads the body that it announced.
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = heads.clone();
    let backend = Script::raw(move |mut stream, _| {
        let noted = noted.clone();
        async move {
            loop {
                let head = read_head(&mut stream).await;
                if head.is_empty() {
                    return;
                }
                noted.lock().unwrap().push(head.lines().next().unwrap().to_owned());
                if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
                    return;
                }
                let mut body = vec![0; if head.starts_with("POST") { SMUGGLED.len() } else { 0 }];
                if stream.read_exact(&mut body).await.is_err() {
                    return;
                }
                assert!(
                    body.is_empty() || body == SMUGGLED.as_bytes(),
                    "the next request came as the body of the last"
                );
            }
        }
    })
    .await;
    let world = world_before(&backend).await;
    let mut stream = tls(&world, HOST, &["http/1.1"]).await.unwrap();
    let head = format!("POST /early HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n", SMUGGLED.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_head(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // The answer is there before the body: the body is still a body.
    let _ = stream.write_all(SMUGGLED.as_bytes()).await;
    let more = rest_after(stream).await;
    assert!(!more.contains("HTTP/1.1 "), "{more}");
    for _ in 0..3 {
        assert_eq!(get(&world, HOST, "/next").await.body, "ok");
    }
    let heads = heads.lock().unwrap().clone();
    assert_eq!(heads, ["POST /early HTTP/1.1", "GET /next HTTP/1.1", "GET /next HTTP/1.1", "GET /next HTTP/1.1"]);
}

/// Asks for nothing more, and reads what still comes.
async fn rest_after(mut stream: TlsStream<TcpStream>) -> String {
    let _ = stream.shutdown().await;
    rest(&mut stream).await
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_one_by_one_in_order() {
    let world = World::start().await;
    world.tenant("acme", "free").await;
    let bytes = format!(
        "POST /1 HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 3\r\n\r\none\
         POST /2 HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n\
         GET /3 HTTP/1.1\r\nHost: {HOST}\r\nX-Tenant-Id: forged\r\nConnection: close\r\n\r\n{SMUGGLED}"
    );
    let answer = String::from_utf8(raw(&world, HOST, bytes.as_bytes()).await).unwrap();
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 3, "{answer}");
    assert!(answer.find("one") < answer.find("two"));
    let seen = world.backend.take();
    assert_eq!(seen.iter().map(|seen| seen.target.as_str()).collect::<Vec<_>>(), ["/1", "/2", "/3"]);
    assert!(seen.iter().all(|seen| seen.header("x-tenant-slug") == Some("acme")));
    assert!(seen.iter().all(|seen| seen.header("x-tenant-id") != Some("forged")));
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_behind_an_upgrade_wait_for_its_101() {
    // Declines to upgrade; the request behind must come as a request of its own, with our word on it.
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = heads.clone();
    let backend = Script::raw(move |mut stream, _| {
        let noted = noted.clone();
        async move {
            loop {
                let head = read_head(&mut stream).await;
                if head.is_empty() {
                    return;
                }
                noted.lock().unwrap().push(head);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            }
        }
    })
    .await;
    let world = world_before(&backend).await;
    for upgrade in ["websocket", "h2c", "evil", "TLS/1.0"] {
        let bytes = format!(
            "GET /ws HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\
             GET /after HTTP/1.1\r\nHost: {HOST}\r\nX-Tenant-Id: forged\r\nConnection: close\r\n\r\n"
        );
        let answer = String::from_utf8(raw(&world, HOST, bytes.as_bytes()).await).unwrap();
        let heads = std::mem::take(&mut *heads.lock().unwrap());
        assert!(heads[0].starts_with("GET /ws "), "{heads:?}");
        for head in &heads {
            let lower = head.to_lowercase();
            assert_eq!(lower.matches("x-tenant-id: ").count(), 1, "{upgrade}: {head}");
            assert!(!lower.contains("forged") && lower.contains("x-tenant-slug: acme"), "{upgrade}: {head}");
            // Only a WebSocket may become a tunnel.
            assert_eq!(lower.contains("upgrade: "), upgrade == "websocket" && head.starts_with("GET /ws "), "{head}");
        }
        assert!(answer.matches("HTTP/1.1 200 ").count() <= 2 && !answer.contains(" 101 "), "{upgrade}: {answer}");
    }
}

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// HEADERS of a POST whose body is to come: `:method POST`, `:scheme https`, `:path /` and the authority.
fn headers(stream: u32) -> Vec<u8> {
    let block = [&[0x83, 0x87, 0x84, 0x01, HOST.len() as u8], HOST.as_bytes()].concat();
    frame(1, 0x4, stream, &block)
}

const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;

/// Opens streams and has each reset in its own way until the edge ends the connection; how many requests that made.
async fn reset_many(world: &World, reset: impl Fn(u32) -> Vec<u8>) -> u64 {
    let before = world.running.metrics().request_seconds.get_sample_count();
    let (mut read, mut write) = tokio::io::split(tls(world, HOST, &["h2"]).await.unwrap());
    let mut preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    preface.extend(frame(4, 0, 0, &[]));
    write.write_all(&preface).await.unwrap();
    let abuse: Vec<Vec<u8>> = (0..20_000u32).map(|n| [headers(2 * n + 1), reset(2 * n + 1)].concat()).collect();
    let abuse = tokio::spawn(async move {
        for bytes in abuse {
            if write.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // All of it was taken: the reader must not wait for ever.
        let _ = write.shutdown().await;
    });
    let mut scratch = Vec::new();
    let _ = read.read_to_end(&mut scratch).await;
    abuse.await.unwrap();
    world.running.metrics().request_seconds.get_sample_count() - before
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_its_streams_reset_over_and_over_is_cut_off() {
    let world = World::start().await;
    world.tenant("acme", "free").await;
    // Rapid reset: the client cancels what it has just asked for.
    let made = reset_many(&world, |stream| frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())).await;
    assert!(made < 5_000, "{made}");
    // MadeYouReset: the client has the edge reset them, by a window update of nothing.
    let made = reset_many(&world, |stream| frame(WINDOW_UPDATE, 0, stream, &[0; 4])).await;
    assert!(made < 5_000, "{made}");
    // Everybody else is served.
    assert_eq!(get(&world, HOST, "/").await.status, 200);
}
