//! Requests that are too large or too slow: the answer arrives, even at a client that is still sending.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::Full;
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::{collect, get, h2, h2_streaming, request, send_h2, tls};
use crate::support::script::streamed;
use crate::support::world::World;

const LIMITS: &str =
    "[limits]\nbody_bytes = \"64KiB\"\nhead_timeout = \"200ms\"\nheader_bytes = \"4KiB\"\nheader_count = 20\n";

async fn world() -> World {
    let world = World::builder().settings(LIMITS).start().await;
    world.tenant("acme", "free").await;
    world
}

/// Sends some, and reads to the end of what comes: a reset would be an error.
async fn exchange(world: &World, bytes: &[u8]) -> String {
    let mut stream = tls(world, &world.host("acme"), &["http/1.1"]).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn is(answer: &str, status: u16, code: &str) -> bool {
    answer.starts_with(&format!("HTTP/1.1 {status} "))
        && answer.contains(code)
        && answer.matches("HTTP/1.1").count() == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_announced_too_large_is_413_before_it_is_sent() {
    let world = world().await;
    let host = world.host("acme");
    let head = format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 10000000\r\n");
    // Still uploading, waiting for a word, and with all of it under way at once.
    for sent in [format!("{head}\r\n{}", "x".repeat(50_000)), format!("{head}Expect: 100-continue\r\n\r\n")] {
        let answer = exchange(&world, sent.as_bytes()).await;
        assert!(is(&answer, 413, "body-too-large"), "{answer}");
        assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    }
    let exactly = format!("POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 65536\r\n\r\n");
    let answer = exchange(&world, format!("{exactly}{}", "x".repeat(65_536)).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(world.backend.take().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_body_is_counted_and_413_when_it_is_too_large() {
    let world = world().await;
    let host = world.host("acme");
    let head = format!("POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    let answer = exchange(&world, format!("{head}{}", chunk.repeat(6)).as_bytes()).await;
    assert!(is(&answer, 413, "body-too-large"), "{answer}");
    let answer = exchange(
        &world,
        format!("{}{}0\r\n\r\n", head.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"), chunk.repeat(4)).as_bytes(),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{}", &answer[..200]);
    assert_eq!(world.backend.take().len(), 1, "a body that was cut off is no request");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_h2_stream_is_counted_too_and_its_connection_goes_on() {
    let world = world().await;
    let host = world.host("acme");
    let mut sender = h2_streaming(&world, &host).await;
    for announced in [true, false] {
        let (chunks, body) = streamed();
        let mut builder = request(Method::POST, &host, "/");
        if announced {
            builder = builder.header("content-length", "10000000");
        }
        let answer = sender.send_request(builder.body(body).unwrap());
        let upload = tokio::spawn(async move {
            let chunk = Bytes::from(vec![b'x'; 0x4000]);
            // For as long as anybody takes it.
            while chunks.send(Frame::data(chunk.clone())).await.is_ok() {}
        });
        let answer = collect(answer.await.unwrap()).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"));
        upload.await.unwrap();
        let (chunks, body) = streamed();
        drop(chunks);
        sender.ready().await.unwrap();
        let after = sender.send_request(request(Method::POST, &host, "/after").body(body).unwrap()).await.unwrap();
        assert_eq!(after.status(), StatusCode::OK);
    }
    let seen: Vec<_> = world.backend.take().into_iter().map(|seen| seen.target).collect();
    assert_eq!(seen, ["/after", "/after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_431() {
    let world = world().await;
    let host = world.host("acme");
    for fields in [format!("X: {}\r\n", "y".repeat(5000)), "X: y\r\n".repeat(30)] {
        let answer = exchange(&world, format!("GET / HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n").as_bytes()).await;
        assert!(is(&answer, 431, "headers-too-large"), "{answer}");
    }
    let long = "y".repeat(5000);
    let mut sender = h2(&world, &host).await;
    let ask = request(Method::GET, &host, "/").header("x", &long).body(Full::default()).unwrap();
    let refused = sender.send_request(ask).await.map(|answer| answer.status().as_u16());
    // The protocol's own way to say it: 431 by the frame layer, or a reset of the stream.
    assert!(!matches!(refused, Ok(200)), "{refused:?}");
    assert_eq!(world.backend.take().len(), 0);
    assert_eq!(get(&world, &host, "/").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_header_lines_than_allowed_are_431_over_h2_as_well() {
    let world = world().await;
    let host = world.host("acme");
    let mut builder = request(Method::GET, &host, "/");
    for n in 0..30 {
        builder = builder.header(format!("x-{n}"), "y");
    }
    let answer = send_h2(&mut h2(&world, &host).await, builder.body(Full::default()).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (431, "headers-too-large"));
    assert!(world.backend.take().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_end_is_408() {
    let world = world().await;
    let started = std::time::Instant::now();
    // Who has not begun to ask gets no answer.
    let mut silent = tls(&world, &world.host("acme"), &["http/1.1"]).await.unwrap();
    let mut answer = Vec::new();
    let _ = silent.read_to_end(&mut answer).await;
    assert!(answer.is_empty());
    for sent in ["GET / HTT", "GET / HTTP/1.1\r\nHost: acme.connect.localhost\r\n"] {
        let answer = exchange(&world, sent.as_bytes()).await;
        assert!(is(&answer, 408, "request-timeout"), "{sent:?}: {answer:?}");
    }
    assert!(started.elapsed() >= Duration::from_millis(600));
    assert!(world.backend.take().is_empty());
}
