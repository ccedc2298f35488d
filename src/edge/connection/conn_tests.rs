//! Deadlines and order on one connection, in memory and with time that stands still until nothing else happens.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, timeout};

use super::*;
use crate::edge::connection::{CloseReason, Facts, HeadFault};

const HEAD: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(60);
const BODY: Duration = Duration::from_secs(30);
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn open(protocol: Protocol) -> (Conn, Arc<Connection>, DuplexStream) {
    let (near, far) = duplex(100_000);
    let address = "127.0.0.1:1".parse().unwrap();
    let listener =
        crate::config::Listener { name: "test".to_owned(), address, tls: false, proxy_protocol: None, public_port: 1 };
    let facts = Facts {
        id: 1,
        listener: Arc::new(listener),
        peer: address,
        client: address,
        local: address,
        sni: None,
        tls: None,
    };
    let limits = Limits {
        connections: 1,
        connections_per_address: 1,
        new_connections: None,
        unknown_sni: None,
        header_bytes: 1000,
        header_count: 10,
        head_timeout: HEAD,
        idle_timeout: IDLE,
        body_timeout: BODY,
        requests_per_connection: 10,
        h2_streams: 10,
        body_bytes: None,
    };
    let connection = Connection::new(facts);
    (Conn::new(Wire::Memory(near), connection.clone(), protocol, limits), connection, far)
}

/// Everything that can be read now.
async fn now(conn: &mut Conn) -> Vec<u8> {
    let mut bytes = vec![0; 1000];
    // No time passes unless there is nothing to read.
    match timeout(Duration::from_millis(1), conn.read(&mut bytes)).await {
        Ok(read) => bytes.truncate(read.unwrap()),
        Err(_) => bytes.clear(),
    }
    bytes
}

#[tokio::test(start_paused = true)]
async fn the_next_head_waits_for_its_turn() {
    let (mut conn, connection, mut far) = open(Protocol::H1);
    far.write_all(&[GET, GET].concat()).await.unwrap();
    assert_eq!(now(&mut conn).await, GET);
    assert_eq!(now(&mut conn).await, b"");
    connection.request_done();
    assert_eq!(now(&mut conn).await, GET);
    // Held without being told twice, and a client that leaves is noticed.
    drop(far);
    assert_eq!(conn.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_follows_an_upgrade_waits_for_the_101() {
    let (mut conn, _connection, mut far) = open(Protocol::H1);
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    far.write_all(&[head, &b"early"[..]].concat()).await.unwrap();
    assert_eq!(now(&mut conn).await, head);
    assert_eq!(now(&mut conn).await, b"");
    conn.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").await.unwrap();
    assert_eq!(now(&mut conn).await, b"");
    conn.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x02h").await.unwrap();
    assert_eq!(now(&mut conn).await, b"early");
    far.write_all(b"more").await.unwrap();
    assert_eq!(now(&mut conn).await, b"more");
    // Our close frame waits for the end of the frame that began with the response.
    conn.connection.close(CloseReason::Policy);
    assert_eq!(now(&mut conn).await, b"");
    conn.write_all(b"i\x81\x01x").await.unwrap();
    let mut sent = Vec::new();
    far.read_to_end(&mut sent).await.unwrap();
    assert!(sent.ends_with(b"\r\n\r\n\x81\x02hi\x88\x02\x03\xf0"), "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_upgrade_is_an_ordinary_answer() {
    let (mut conn, connection, mut far) = open(Protocol::H1);
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    far.write_all(&[head, GET].concat()).await.unwrap();
    assert_eq!(now(&mut conn).await, head);
    conn.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    conn.write_all(b"HTTP/1.1 101 is only text here").await.unwrap();
    assert_eq!(now(&mut conn).await, b"");
    connection.request_done();
    assert_eq!(now(&mut conn).await, GET);
}

#[tokio::test(start_paused = true)]
async fn a_head_has_its_time_from_the_first_byte_and_the_first_head_from_the_start() {
    let (mut conn, connection, mut far) = open(Protocol::H1);
    let started = Instant::now();
    assert_eq!(conn.read(&mut [0; 100]).await.unwrap(), 0);
    assert_eq!(started.elapsed().as_secs(), HEAD.as_secs());
    assert_eq!((connection.take_head_fault(), connection.ended_because()), (None, Some("idle")));
    drop(far);

    let (mut conn, connection, other) = open(Protocol::H1);
    far = other;
    far.write_all(GET).await.unwrap();
    assert_eq!(now(&mut conn).await, GET);
    connection.request_done();
    let started = Instant::now();
    let later = tokio::spawn(async move {
        tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
        far.write_all(b"GET").await.unwrap();
        far
    });
    let mut refused = vec![0; 100];
    let read = conn.read(&mut refused).await.unwrap();
    assert!(refused[..read].starts_with(b"GET / HTTP/1.1\r\nHost: refused.invalid\r\n"));
    assert_eq!(started.elapsed().as_secs(), (IDLE + HEAD).as_secs() - 1);
    assert_eq!(connection.take_head_fault(), Some(HeadFault::Timeout));
    drop(later.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_body_may_be_slow_but_not_silent() {
    let (mut conn, connection, mut far) = open(Protocol::H1);
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";
    far.write_all(head).await.unwrap();
    assert_eq!(now(&mut conn).await, head);
    let slow = tokio::spawn(async move {
        for _ in 0..4 {
            tokio::time::sleep(BODY - Duration::from_secs(1)).await;
            far.write_all(b"x").await.unwrap();
        }
        far
    });
    let mut byte = [0; 1];
    for _ in 0..4 {
        conn.read_exact(&mut byte).await.unwrap();
    }
    let started = Instant::now();
    assert_eq!(conn.read(&mut byte).await.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(started.elapsed().as_secs(), BODY.as_secs());
    assert_eq!(connection.ended_because(), Some("body-timeout"));
    drop(slow.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn http_2_has_the_same_deadlines() {
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    let request = [&preface[..], &[0, 0, 1, 1, 5, 0, 0, 0, 1, 0x82]].concat();
    let open_block = [&request[..], &[0, 0, 1, 1, 0, 0, 0, 0, 3, 0x82]].concat();
    let half_data = [&request[..], &[0, 0, 5, 0, 0, 0, 0, 0, 1, b'x']].concat();
    // What was sent, whether a body is awaited, and how long the connection then lives.
    for (sent, body, lives) in [
        (preface, false, Some((HEAD, "head-timeout"))),
        (request.clone(), false, None),
        (request, true, Some((BODY, "body-timeout"))),
        (open_block, false, Some((HEAD, "head-timeout"))),
        (half_data, false, Some((BODY, "body-timeout"))),
    ] {
        let (mut conn, connection, mut far) = open(Protocol::H2);
        far.write_all(&sent).await.unwrap();
        let mut bytes = vec![0; sent.len()];
        conn.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes, sent);
        if body {
            connection.body_started();
        }
        let started = Instant::now();
        let end = timeout(Duration::from_secs(1000), conn.read(&mut [0; 1])).await.ok();
        match lives {
            Some((time, why)) => {
                assert_eq!(end.unwrap().unwrap_err().kind(), std::io::ErrorKind::TimedOut);
                assert_eq!((started.elapsed().as_secs(), connection.ended_because()), (time.as_secs(), Some(why)));
            }
            None => assert!(end.is_none()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_answer_goes_out_in_one_piece_and_a_large_one_is_not_held() {
    let (mut conn, _connection, mut far) = open(Protocol::H1);
    conn.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    conn.write_all(b"small").await.unwrap();
    assert!(timeout(Duration::from_millis(1), far.read(&mut [0; 1])).await.is_err(), "waits for more, or for a flush");
    conn.flush().await.unwrap();
    let mut bytes = vec![0; 100];
    assert_eq!(far.read(&mut bytes).await.unwrap(), 24);
    conn.write_all(b"head").await.unwrap();
    conn.write_all(&[b'x'; 5000]).await.unwrap();
    let mut bytes = vec![0; 5004];
    far.read_exact(&mut bytes).await.unwrap();
    assert!(bytes.starts_with(b"headx"));
}
