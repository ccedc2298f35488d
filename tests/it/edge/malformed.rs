//! Malformed and ambiguous requests as raw bytes through the whole edge: one 400, the connection closed, and the backend
//! has seen none of it.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::tls;
use crate::support::world::World;

const HOST: &str = "acme.connect.localhost";

/// `@` stands for the host, `|` for a line end; what stands before is the request line where a row has no other.
const HEADS: &[&str] = &[
    // Two ways to end a body.
    "POST / HTTP/1.1|Host: @|Content-Length: 5|Transfer-Encoding: chunked||0||",
    "POST / HTTP/1.1|Host: @|Transfer-Encoding: chunked|Content-Length: 5||0||",
    "POST / HTTP/1.1|Host: @|Content-Length: 0|Transfer-Encoding: chunked||0||",
    "GET / HTTP/1.1|Host: @|Content-Length: 0|Transfer-Encoding: identity||",
    // Lengths.
    "POST / HTTP/1.1|Host: @|Content-Length: 3|Content-Length: 3||abc",
    "POST / HTTP/1.1|Host: @|Content-Length: 3|Content-Length: 30||abc",
    "POST / HTTP/1.1|Host: @|Content-Length: 3, 3||abc",
    "POST / HTTP/1.1|Host: @|Content-Length: 3;||abc",
    "POST / HTTP/1.1|Host: @|Content-Length: +3||abc",
    "POST / HTTP/1.1|Host: @|Content-Length: -3||abc",
    "POST / HTTP/1.1|Host: @|Content-Length: 0x3||abc",
    "POST / HTTP/1.1|Host: @|Content-Length: 3.0||abc",
    "POST / HTTP/1.1|Host: @|Content-Length: three||abc",
    "POST / HTTP/1.1|Host: @|Content-Length: ||abc",
    "POST / HTTP/1.1|Host: @|Content-Length: 99999999999999999999||abc",
    "POST / HTTP/1.1|Host: @|Content-Length : 3||abc",
    "POST / HTTP/1.1|Host: @| Content-Length: 3||abc",
    // Transfer codings.
    "POST / HTTP/1.1|Host: @|Transfer-Encoding: chunked|Transfer-Encoding: chunked||0||",
    "POST / HTTP/1.1|Host: @|Transfer-Encoding: chunked|Transfer-Encoding: identity||0||",
    "POST / HTTP/1.1|Host: @|Transfer-Encoding: chunked, identity||0||",
    "POST / HTTP/1.1|Host: @|Transfer-Encoding: identity, chunked||0||",
    "POST / HTTP/1.1|Host: @|Transfer-Encoding: gzip, chunked||0||",
    "POST / HTTP/1.1|Host: @|Transfer-Encoding: chunked,||0||",
    "POST / HTTP/1.1|Host: @|Transfer-Encoding: ,chunked||0||",
    "POST / HTTP/1.1|Host: @|Transfer-Encoding: chunked;q=1||0||",
    "POST / HTTP/1.1|Host: @|Transfer-Encoding: \"chunked\"||0||",
    "POST / HTTP/1.1|Host: @|Transfer-Encoding: xchunked||0||",
    "POST / HTTP/1.1|Host: @|Transfer-Encoding: chunke||0||",
    "POST / HTTP/1.1|Host: @|Transfer-Encoding: \x0bchunked||0||",
    "POST / HTTP/1.1|Host: @|Transfer-Encoding : chunked||0||",
    "POST / HTTP/1.1|Host: @|Transfer-Encoding:||0||",
    "POST / HTTP/1.0|Host: @|Transfer-Encoding: chunked||0||",
    // Bytes and line ends.
    "GET / HTTP/1.1|Host: @|X: a\0b||",
    "GET / HTTP/1.1|Host: @|X: a\rb||",
    "GET / HTTP/1.1|Host: @|X: a\r\r\nY: b||",
    "GET / HTTP/1.1|Host: @|X: a\nX-Tenant-Id: forged||",
    "GET / HTTP/1.1|Host: @|X\0: a||",
    "GET / HTTP/1.1|Host: @|X: a\x7f||",
    "GET / HTTP/1.1|Host: @|X: a\x1b[2J||",
    "GET /\0 HTTP/1.1|Host: @||",
    "GET / HTTP/1.1\nHost: @\n\n",
    "GET / HTTP/1.1\nHost: @||",
    "GET / HTTP/1.1|Host: @\n\n",
    "||||GET / HTTP/1.1|Host: @||",
    // Folded, nameless and split fields.
    "GET / HTTP/1.1|Host: @|X: a| b||",
    "GET / HTTP/1.1|Host: @|X: a|\tX-Tenant-Id: forged||",
    "GET / HTTP/1.1|Host: @|: a||",
    "GET / HTTP/1.1|Host: @|X||",
    "GET / HTTP/1.1|Host: @|X Y: a||",
    "GET / HTTP/1.1|Host: @|X(: a||",
    "GET / HTTP/1.1| Host: @||",
    // Whose host is it?
    "GET / HTTP/1.1||",
    "GET / HTTP/1.0||",
    "GET / HTTP/1.1|Host:||",
    "GET / HTTP/1.1|Host: @|Host: @||",
    "GET / HTTP/1.1|Host: @|hOST: other.example||",
    "GET / HTTP/1.1|Host: @, other.example||",
    "GET / HTTP/1.1|Host: @ other.example||",
    "GET / HTTP/1.1|Host: user@@||",
    "GET / HTTP/1.1|Host: @/||",
    "GET / HTTP/1.1|Host: @?||",
    "GET / HTTP/1.1|Host: @#||",
    "GET / HTTP/1.1|Host: @:port||",
    "GET / HTTP/1.1|Host: @:0||",
    "GET / HTTP/1.1|Host: @:65536||",
    "GET / HTTP/1.1|Host: @:80:80||",
    "GET / HTTP/1.1|Host: @..||",
    "GET / HTTP/1.1|Host: .@||",
    "GET / HTTP/1.1|Host: -@||",
    "GET / HTTP/1.1|Host: acme_connect.localhost||",
    "GET / HTTP/1.1|Host: acme%2econnect.localhost||",
    "GET / HTTP/1.1|Host: [::1||",
    "GET / HTTP/1.1|Host: xn--a.example||",
    "GET http://other.example/ HTTP/1.1|Host: @||",
    "GET https://@:1/ HTTP/1.1|Host: @||",
    "GET http://u:p@@/ HTTP/1.1|Host: @||",
    // Targets and request lines.
    "GET index.html HTTP/1.1|Host: @||",
    "GET @ HTTP/1.1|Host: @||",
    "GET * HTTP/1.1|Host: @||",
    "GET /a b HTTP/1.1|Host: @||",
    "GET /a\tb HTTP/1.1|Host: @||",
    "GET /a#b HTTP/1.1|Host: @||",
    "GET /\"a\" HTTP/1.1|Host: @||",
    "GET /<a> HTTP/1.1|Host: @||",
    "GET /ä HTTP/1.1|Host: @||",
    "GET ftp://@/ HTTP/1.1|Host: @||",
    "GET http:///a HTTP/1.1|Host: @||",
    "GET  / HTTP/1.1|Host: @||",
    " GET / HTTP/1.1|Host: @||",
    "G\u{1}T / HTTP/1.1|Host: @||",
    "GET /|Host: @||",
    "GET|Host: @||",
    "CONNECT @:443 HTTP/1.1|Host: @:443||",
    // Versions.
    "GET / HTTP/0.9|Host: @||",
    "GET / HTTP/1.2|Host: @||",
    "GET / HTTP/2|Host: @||",
    "GET / HTTP/3.0|Host: @||",
    "GET / http/1.1|Host: @||",
    "GET / HTTP/1.1x|Host: @||",
    "GET / HTTPS/1.1|Host: @||",
    "PRI * HTTP/2.0||SM||",
];

/// Bodies whose framing breaks after a sound head: what follows must not become a request.
const CHUNKS: &[&str] = &[
    "z||",
    "5|hello0||",
    "5|hello!|0||",
    "5\nhello|0||",
    "5|hello\n0||",
    " 5|hello|0||",
    "5 |hello|0||",
    "+5|hello|0||",
    "0x5|hello|0||",
    "-5|hello|0||",
    "ffffffffffffffff1|hello|0||",
    "5;a\nb|hello|0||",
    "5;a=\0|hello|0||",
    "0|X-Tenant-Id: forged\n|",
    "0| folded||",
    "0|a b: c\0||",
];

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: acme.connect.localhost\r\n\r\n";

fn bytes(row: &str) -> Vec<u8> {
    // `@@` is the one row that wants an `@` of its own.
    let text = row.replace("@@", "\u{1a}@").replace('@', HOST).replace('\u{1a}', "@").replace('|', "\r\n");
    // The row with an umlaut is meant as Latin-1.
    text.chars().map(|c| c as u8).chain(SMUGGLED.bytes()).collect()
}

/// Everything that comes back, until the edge ends the connection in good order.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> String {
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(std::time::Duration::from_secs(20), stream.read_to_end(&mut answer));
    read.await.expect("the edge closes").expect("and does not reset");
    String::from_utf8(answer).unwrap()
}

/// How many answers there are.
fn answers(text: &str) -> usize {
    text.matches("HTTP/1.1 4").count() + text.matches("HTTP/1.1 2").count()
}

async fn world() -> World {
    let world = World::start().await;
    world.tenant("acme", "growth").await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_heads_are_400_and_reach_nobody() {
    let world = world().await;
    assert!(HEADS.len() >= 60);
    for row in HEADS {
        let bytes = bytes(row);
        for encrypted in [true, false] {
            let answer = match encrypted {
                true => exchange(tls(&world, HOST, &["http/1.1"]).await.unwrap(), &bytes).await,
                false => exchange(TcpStream::connect(world.http()).await.unwrap(), &bytes).await,
            };
            assert!(answer.starts_with("HTTP/1.1 400 "), "{row:?}: {answer:?}");
            assert_eq!(answers(&answer), 1, "{row:?}: {answer:?}");
            let lower = answer.to_lowercase();
            assert!(lower.contains("\r\nconnection: close\r\n"), "{row:?}: {answer:?}");
            assert!(
                lower.contains("\"code\":\"bad-request\"") && lower.contains("cache-control: no-store"),
                "{answer:?}"
            );
        }
    }
    let seen: Vec<_> = world.backend.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(seen, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_chunks_end_the_connection() {
    let world = world().await;
    for row in CHUNKS {
        let head = format!("POST / HTTP/1.1|Host: {HOST}|Transfer-Encoding: chunked||");
        let bytes = [bytes_of(&head), bytes(row)].concat();
        let mut stream = tls(&world, HOST, &["http/1.1"]).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{row:?}: {answer:?}");
        assert_eq!(answers(&answer), 1, "{row:?}: {answer:?}");
    }
    let seen: Vec<_> = world.backend.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(seen, Vec::<String>::new(), "half a body is no request, and what follows it neither");
}

fn bytes_of(text: &str) -> Vec<u8> {
    text.replace('|', "\r\n").into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_odd_but_sound_passes() {
    let world = world().await;
    for row in [
        "GET / HTTP/1.1|Host: @|Connection: close||",
        "|GET / HTTP/1.1|Host: @|Connection: close||",
        "GET / HTTP/1.1|host:\t@\t|Connection: close||",
        "GET https://@/ HTTP/1.1|Host: @|Connection: close||",
        "GET /%00?%0d%0a=%2f HTTP/1.1|Host: @|Connection: close||",
        "POST / HTTP/1.1|Host: @|Connection: close|transfer-encoding: Chunked||5;a=\"b\"|hello|0|Digest: x||",
        "POST / HTTP/1.1|Host: @|Connection: close|Content-Length: 005||hello",
        "OPTIONS * HTTP/1.1|Host: @|Connection: close||",
        "GET / HTTP/1.0|Host: @||",
    ] {
        let bytes = bytes_of(&row.replace('@', HOST));
        let answer = exchange(tls(&world, HOST, &["http/1.1"]).await.unwrap(), &bytes).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{row:?}: {answer:?}");
        let seen = world.backend.take();
        assert_eq!(seen.len(), 1, "{row:?}");
        assert_eq!(seen[0].body, if row.starts_with("POST") { "hello" } else { "" }, "{row:?}");
    }
}
