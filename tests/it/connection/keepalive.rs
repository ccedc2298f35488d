//! Requests one after another on one HTTP/1 connection, however their bytes arrive, and clients that stall.

use std::time::Duration;

use tenantry::config::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::heads::{exchange, rest};
use super::world::{World, limits};

const LAST: &str = "GET /last HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

/// The bodies that the backend made, in the order in which they came.
fn bodies(answers: &str) -> Vec<String> {
    answers
        .split("HTTP/1.1 200 OK\r\n")
        .filter_map(|answer| answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let world = World::new().await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let bytes = [get("/1"), get("/2"), get("/3"), LAST.to_owned()].concat();
    let answers = exchange(TcpStream::connect(world.plain).await.unwrap(), bytes.as_bytes()).await;
    assert_eq!(bodies(&answers), ["GET /1 ", "GET /2 ", "GET /3 ", "GET /last "]);
    let last = world.last();
    assert_eq!(last.bytes_in(), bytes.len() as u64);
    assert_eq!(last.bytes_out(), answers.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_ends_where_its_framing_says_and_the_next_head_follows() {
    let world = World::new().await;
    let fixed = "POST /cl HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello";
    let chunked =
        "POST /te HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
    let bytes = [fixed, chunked, chunked, fixed, LAST].concat();
    let expected = ["POST /cl hello", "POST /te abcde", "POST /te abcde", "POST /cl hello", "GET /last "];
    let answers = exchange(TcpStream::connect(world.plain).await.unwrap(), bytes.as_bytes()).await;
    assert_eq!(bodies(&answers), expected);
    // And cut up in every way that a few sizes give.
    for size in [1, 7, 50, 133] {
        let (mut read, mut write) = TcpStream::connect(world.plain).await.unwrap().into_split();
        let bytes = bytes.clone();
        let sender = tokio::spawn(async move {
            for piece in bytes.as_bytes().chunks(size) {
                write.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            write
        });
        assert_eq!(bodies(&rest(&mut read).await), expected, "by {size}");
        sender.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_the_backend_did_not_read_is_never_taken_for_a_request() {
    let world = World::new().await;
    let inner = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let head = format!("POST /too-large HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n", inner.len());
    let answer = exchange(TcpStream::connect(world.plain).await.unwrap(), (head + inner).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer:?}");
    assert_eq!(world.backend_saw(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_chunks_end_the_connection() {
    let world = World::new().await;
    let bytes = format!("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n{LAST}");
    let mut stream = TcpStream::connect(world.plain).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // Reset or ended: either way without a second answer.
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
    assert!(!world.backend_saw().contains(&"GET /last".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_refusal_of_an_upload_arrives() {
    let world = World::new().await;
    // The second is answered by pingora, which then drops the connection without ending it.
    for path in ["/too-large", "/too-large-by-error"] {
        let (mut read, mut write) = TcpStream::connect(world.plain).await.unwrap().into_split();
        let head = format!("POST {path} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 50000\r\n\r\n");
        write.write_all(head.as_bytes()).await.unwrap();
        // The upload goes on while the refusal is on its way.
        write.write_all(&[b'x'; 50_000]).await.unwrap();
        let answer = rest(&mut read).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{path}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_just_ends() {
    let short = Limits { idle_timeout: Duration::from_millis(200), ..limits() };
    let world = World::with(short, None).await;
    let bytes = b"GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let answers = exchange(TcpStream::connect(world.plain).await.unwrap(), bytes).await;
    assert_eq!(bodies(&answers), ["GET /1 "]);
    assert!(world.log.faults.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_first_byte_just_ends() {
    let short = Limits { head_timeout: Duration::from_millis(200), ..limits() };
    let world = World::with(short, None).await;
    let mut stream = TcpStream::connect(world.plain).await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stands_still_ends_the_connection() {
    let short = Limits { body_timeout: Duration::from_millis(200), ..limits() };
    let world = World::with(short, None).await;
    let heads = ["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n5\r\nabc"];
    for head in heads {
        let mut stream = TcpStream::connect(world.plain).await.unwrap();
        stream.write_all(format!("POST / HTTP/1.1\r\nHost: a.test\r\n{head}").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "{head:?} ends");
        assert!(!String::from_utf8_lossy(&answer).contains("200 OK"), "{head:?}");
    }
}
