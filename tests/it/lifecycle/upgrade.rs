//! A tunnel lives however soon the backend agrees to it, and a backend that does not agree is heard out.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::LONG;
use crate::support::client::tls;
use crate::support::world::World;

/// The key and its answer of RFC 6455 §1.3.
const REQUEST: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const REFUSED: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";

/// A backend that says this to whoever comes, before it has read a word, and echoes what follows the request.
async fn hasty(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move { drop(echo(stream, answer).await) });
        }
    });
    address
}

async fn echo(mut stream: TcpStream, answer: &str) -> std::io::Result<()> {
    stream.write_all(answer.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let (mut from, mut to) = stream.split();
    tokio::io::copy(&mut from, &mut to).await?;
    Ok(())
}

async fn world(backend: SocketAddr) -> World {
    let routing = format!(
        "[[pool]]\nname = \"app\"\nbackends = [\"{backend}\"]\n[[route]]\nname = \"all\"\nhost = \"any\"\npool = \"app\"\n"
    );
    let world = World::builder().routing(&routing).start().await;
    world.tenant("acme", "growth").await;
    world
}

/// Sends the request for an upgrade and reads the head of the answer.
async fn ask(world: &World) -> (tokio_rustls::client::TlsStream<TcpStream>, String) {
    let host = world.host("acme");
    let mut stream = tls(world, &host, &["http/1.1"]).await.unwrap();
    stream.write_all(format!("GET /ws HTTP/1.1\r\nHost: {host}\r\n{REQUEST}").as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    (stream, String::from_utf8(head).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_outlives_an_answer_that_came_at_once() {
    let world = world(hasty(AGREED).await).await;
    for round in 0..40 {
        let (mut stream, head) = ask(&world).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        for message in [b"first", b"again"] {
            stream.write_all(message).await.unwrap();
            let mut echoed = [0; 5];
            let read = tokio::time::timeout(LONG, stream.read_exact(&mut echoed)).await.unwrap();
            read.unwrap_or_else(|error| panic!("round {round}: {error}"));
            assert_eq!(&echoed, message);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_backend_arrives_and_the_next_try_is_a_new_connection() {
    let world = world(hasty(REFUSED).await).await;
    for _ in 0..20 {
        let (mut stream, head) = ask(&world).await;
        assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
        let mut body = [0; 2];
        tokio::time::timeout(LONG, stream.read_exact(&mut body)).await.unwrap().unwrap();
        assert_eq!(&body, b"no");
    }
}
