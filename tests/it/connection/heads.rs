//! Heads that are refused: as raw bytes, with another request smuggled behind each, on plain and TLS listeners.

use std::time::Duration;

use tenantry::config::Limits;
use tenantry::edge::connection::HeadFault;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::tls::Client;
use super::world::{World, limits};

const MALFORMED: &[&[u8]] = &[
    // Line ends.
    b"GET / HTTP/1.1\nHost: a.test\n\n",
    b"GET / HTTP/1.1\r\nHost: a.test\n\r\n",
    b"GET / HTTP/1.1\nHost: a.test\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.test\r\n\n",
    b"GET / HTTP/1.1\r\nHost: a.test\rX: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.test\r\r\n\r\n",
    b"GET / HTTP/1.1\rHost: a.test\r\r",
    b"\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"\r\n\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    // Bytes that no head has.
    b"GET / HTTP/1.1\r\nHost: a.test\r\nX: a\0b\r\n\r\n",
    b"GET /\0 HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"\0GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.test\r\nX: a\x01\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.test\r\nX: a\x7f\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.test\r\nX: a\x0bb\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.test\r\nX\x1f: a\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    // Request lines.
    b"GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET /  HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b" GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET / HTTP/1.1 \r\nHost: a.test\r\n\r\n",
    b"GET\t/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET / a HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET /\r\nHost: a.test\r\n\r\n",
    b"GET\r\n\r\n",
    b"G(T / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
    // Versions.
    b"GET / HTTP/0.9\r\nHost: a.test\r\n\r\n",
    b"GET / HTTP/1.2\r\nHost: a.test\r\n\r\n",
    b"GET / HTTP/2.0\r\nHost: a.test\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / http/1.1\r\nHost: a.test\r\n\r\n",
    b"GET / HTTP/1.10\r\nHost: a.test\r\n\r\n",
    b"GET / HTTP/01.1\r\nHost: a.test\r\n\r\n",
    // Targets.
    b"GET a HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET ?a HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET * HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET /a#b HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET /\xc3\xbc HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET /<a> HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET /a\tb HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET http://a.test:80/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET http://u@a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET http:/\\a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET http:a.test HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET ftp://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET http:/// HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET a.test:80 HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n",
    b"CONNECT / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    // Fields.
    b"GET / HTTP/1.1\r\nHost : a.test\r\n\r\n",
    b"GET / HTTP/1.1\r\n Host: a.test\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.test\r\nX: a\r\n b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.test\r\nX: a\r\n\tb\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.test\r\nX\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.test\r\n: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.test\r\nX Y: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.test\r\nX\xe9: a\r\n\r\n",
    // Host.
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.test\r\nhost: b.test\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.test b.test\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: u@a.test\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.test/b\r\n\r\n",
    // Framing.
    b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
    b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\ncontent-length: 2\r\n\r\na",
    b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1, 1\r\n\r\na",
    b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: +1\r\n\r\na",
    b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: -1\r\n\r\na",
    b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0x1\r\n\r\na",
    b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1 1\r\n\r\na",
    b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length:\r\n\r\na",
    b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 99999999999999999999\r\n\r\na",
    b"POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: identity\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding:\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
];

const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// Sends the bytes and reads whatever comes until the other side has ended.
pub async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> String {
    stream.write_all(bytes).await.unwrap();
    stream.flush().await.unwrap();
    rest(&mut stream).await
}

pub async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(15), stream.read_to_end(&mut answer)).await;
    read.expect("the connection ends").expect("it ends in good order");
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_heads_get_one_400_and_nothing_reaches_a_backend() {
    let world = World::new().await;
    let client = Client::new(&world.ca).alpn(&["http/1.1"]);
    for head in MALFORMED {
        let bytes = [head, SMUGGLED].concat();
        let shown = String::from_utf8_lossy(head);
        for tls in [false, true] {
            let answer = match tls {
                false => exchange(TcpStream::connect(world.plain).await.unwrap(), &bytes).await,
                true => exchange(client.connect(&world, "a.test").await.unwrap(), &bytes).await,
            };
            assert!(answer.starts_with("HTTP/1.1 400 "), "{shown:?}: {answer:?}");
            assert!(answer.ends_with("\r\n\r\nrefused\n"), "{shown:?}: {answer:?}");
            assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{shown:?}: {answer:?}");
            let fault = world.log.faults.lock().unwrap().pop();
            assert!(matches!(fault, Some(HeadFault::Malformed(_))), "{shown:?}: {fault:?}");
            assert!(world.log.faults.lock().unwrap().is_empty(), "{shown:?}");
        }
    }
    assert_eq!(world.backend_saw(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_over_the_limits_get_431_even_when_the_client_never_ends_them() {
    let world = World::new().await;
    let many = format!("GET / HTTP/1.1\r\nHost: a.test\r\n{}\r\n", "X: y\r\n".repeat(50));
    let long = format!("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "a".repeat(9000));
    let endless = "a".repeat(100_000);
    for (head, fault) in
        [(many, HeadFault::TooManyHeaders), (long, HeadFault::TooLarge), (endless, HeadFault::TooLarge)]
    {
        let answer = exchange(TcpStream::connect(world.plain).await.unwrap(), head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer:?}");
        assert_eq!(world.log.faults.lock().unwrap().pop(), Some(fault));
    }
    assert_eq!(world.backend_saw(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_head_request_is_answered_without_a_body() {
    let world = World::new().await;
    let head = b"HEAD / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n";
    let answer = exchange(TcpStream::connect(world.plain).await.unwrap(), head).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("\r\n\r\n"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_on_a_later_request_leaves_the_answers_before_it_alone() {
    let world = World::new().await;
    let bytes = b"GET /one HTTP/1.1\r\nHost: a.test\r\n\r\nGET /two HTTP/1.1\nHost: a.test\n\n";
    let answer = exchange(TcpStream::connect(world.plain).await.unwrap(), bytes).await;
    let (first, second) = answer.split_once("GET /one ").unwrap();
    assert!(first.starts_with("HTTP/1.1 200 ") && second.starts_with("HTTP/1.1 400 "), "{answer:?}");
    assert_eq!(world.backend_saw(), ["GET /one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_trickles_gets_408_however_alive_the_client_is() {
    let short = Limits { head_timeout: Duration::from_millis(300), ..limits() };
    let world = World::with(short, None).await;
    // Before the connection is there: the deadline runs from then on.
    let started = std::time::Instant::now();
    let (mut read, mut write) = TcpStream::connect(world.plain).await.unwrap().into_split();
    let head = format!("GET / HTTP/1.1\r\nHost: a.test\r\nX: {}", "y".repeat(7000));
    let trickle = tokio::spawn(async move {
        // A byte every 10 ms: each read succeeds, and the head would take 70 s.
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        for byte in head.bytes() {
            tick.tick().await;
            if write.write_all(&[byte]).await.is_err() {
                return;
            }
        }
    });
    let mut start = [0; 13];
    read.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 408 ");
    assert!(started.elapsed() >= Duration::from_millis(300));
    trickle.abort();
    assert_eq!(world.log.faults.lock().unwrap().pop(), Some(HeadFault::Timeout));
    assert_eq!(world.backend_saw(), Vec::<String>::new());
}
