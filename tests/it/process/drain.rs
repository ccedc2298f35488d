//! SIGTERM: readiness goes first, what is under way ends in good order, the rest at the deadline; a second signal does not
//! wait.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use super::{House, lives, signal, until};
use crate::support::client::{request, send_h1, send_h2};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_ends_in_good_order() {
    let house = House::start("[process]\ndrain_deadline = \"3s\"\n").await;
    let pid = house.pid().await;
    let mut socket = house.websocket().await;
    let (mut kept, connection) =
        http1::handshake::<_, Full<Bytes>>(TokioIo::new(house.tls("http/1.1").await.unwrap())).await.unwrap();
    tokio::spawn(connection);
    let (mut streams, connection) =
        http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(house.tls("h2").await.unwrap()))
            .await
            .unwrap();
    let gone = tokio::spawn(connection);
    let get = || request(http::Method::GET, &house.host(), "/").body(Full::default()).unwrap();
    assert_ne!(send_h1(&mut kept, get()).await.header("connection"), "close");
    assert_eq!(send_h2(&mut streams, get()).await.status, 200);
    let started = Instant::now();
    signal("TERM", pid);
    until("/readyz says so", async || house.ask("/readyz").await.0 == 503).await;
    // GOAWAY: the client's own library ends the connection, without an error.
    tokio::time::timeout(Duration::from_secs(1), gone).await.expect("GOAWAY").unwrap().unwrap();
    until("nobody new is taken", async || TcpStream::connect(house.site.https).await.is_err()).await;
    let last = send_h1(&mut kept, get()).await;
    assert_eq!((last.status.as_u16(), last.header("connection")), (200, "close"));
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    let end = socket.next().await.unwrap().unwrap();
    assert!(matches!(&end, Message::Close(Some(frame)) if u16::from(frame.code) == 1001), "{end:?}");
    assert!(started.elapsed() >= Duration::from_secs(3), "not before the deadline: {:?}", started.elapsed());
    until("the process has ended", async || !lives(pid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_notice_before_anybody_is_refused_and_a_second_signal_does_not_wait() {
    let house = House::start("[process]\nnotice = \"60s\"\ndrain_deadline = \"60s\"\n").await;
    let pid = house.pid().await;
    let _socket = house.websocket().await;
    signal("TERM", pid);
    until("/readyz says so", async || house.ask("/readyz").await.0 == 503).await;
    assert!(house.tls("h2").await.is_ok(), "newcomers are still served");
    signal("TERM", pid);
    until("it ends at once", async || !lives(pid)).await;
}
