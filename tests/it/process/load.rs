//! Replaced again and again under load: nobody is refused, nobody is cut off.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use super::{House, until};
use crate::support::client::request;
use crate::support::internet::size;

const SETTINGS: &str = "[process]\ndrain_deadline = \"3s\"\n";

/// What the clients have seen.
#[derive(Default)]
struct Tally {
    over: AtomicBool,
    kept: AtomicUsize,
    fresh: AtomicUsize,
    streams: AtomicUsize,
    calls: AtomicUsize,
    wrong: Mutex<Vec<String>>,
}

impl Tally {
    fn over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn note(&self, kind: &AtomicUsize, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => drop(kind.fetch_add(1, Ordering::Relaxed)),
            Err(why) => self.wrong.lock().unwrap().push(why),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_notices_that_the_program_is_replaced() {
    let rounds = size(3, 20);
    let house = Arc::new(House::start(SETTINGS).await);
    let tally = Arc::new(Tally::default());
    let mut clients = JoinSet::new();
    for _ in 0..2 {
        clients.spawn(keeping(Arc::clone(&house), Arc::clone(&tally)));
        clients.spawn(coming_anew(Arc::clone(&house), Arc::clone(&tally)));
        clients.spawn(streaming(Arc::clone(&house), Arc::clone(&tally)));
    }
    clients.spawn(probing(Arc::clone(&house), Arc::clone(&tally)));
    let mut longest = Duration::ZERO;
    for round in 0..rounds {
        let before = house.pid().await;
        let mut socket = house.websocket().await;
        let started = Instant::now();
        house.upgrade().await;
        longest = longest.max(started.elapsed());
        until("another process answers", async || house.pid().await != before).await;
        socket.send(Message::text("still here")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("still here"), "round {round}");
        if round == 0 {
            // Until its time is up.
            let end = socket.next().await.unwrap().unwrap();
            assert!(matches!(&end, Message::Close(Some(frame)) if u16::from(frame.code) == 1001), "{end:?}");
        } else {
            clients.spawn(async move { drop(socket.next().await) });
        }
    }
    tally.over.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    let seen = [&tally.kept, &tally.fresh, &tally.streams, &tally.calls].map(|kind| kind.load(Ordering::Relaxed));
    println!(
        "{rounds} upgrades (the longest took {longest:?}): {} requests on kept connections, {} on new ones, {} streams, {} calls",
        seen[0], seen[1], seen[2], seen[3]
    );
    let wrong = tally.wrong.lock().unwrap();
    assert!(wrong.is_empty(), "{} of {seen:?} failed:\n{}", wrong.len(), wrong.join("\n"));
    assert!(seen.iter().all(|seen| *seen > 10 * rounds), "{seen:?}");
}

/// Keeps its connection until it is told to close it.
async fn keeping(house: Arc<House>, tally: Arc<Tally>) {
    while !tally.over() {
        let outcome = async {
            let mut sender = h1(&house).await?;
            loop {
                let close = exchange(&house, &mut sender).await?;
                tally.note(&tally.kept, Ok(()));
                if close || tally.over() {
                    return Ok::<_, String>(());
                }
            }
        };
        if let Err(why) = outcome.await {
            tally.note(&tally.kept, Err(format!("keep-alive: {why}")));
        }
    }
}

async fn coming_anew(house: Arc<House>, tally: Arc<Tally>) {
    while !tally.over() {
        let outcome = async { exchange(&house, &mut h1(&house).await?).await.map(drop) };
        let outcome = outcome.await.map_err(|why| format!("new connection: {why}"));
        tally.note(&tally.fresh, outcome);
    }
}

/// Streams of one connection, four at a time, until it goes away.
async fn streaming(house: Arc<House>, tally: Arc<Tally>) {
    while !tally.over() {
        let stream = match house.tls("h2").await {
            Ok(stream) => stream,
            Err(error) => {
                tally.note(&tally.streams, Err(format!("h2: {error}")));
                continue;
            }
        };
        let (mut sender, connection) =
            http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        while !tally.over() && sender.ready().await.is_ok() {
            let get = || request(http::Method::GET, &house.host(), "/").body(Full::default()).unwrap();
            let answers =
                futures_util::future::join_all((0..4).map(|_| sender.send_request(get())).collect::<Vec<_>>());
            for answer in answers.await {
                let outcome = match answer {
                    Ok(answer) => {
                        answer.into_body().collect().await.map(drop).map_err(|error| format!("h2: {error:?}"))
                    }
                    Err(error) if never_left(&error) => continue,
                    Err(error) => Err(format!("h2: {error:?}")),
                };
                tally.note(&tally.streams, outcome);
            }
        }
    }
}

/// The connection had been told to end before the request was sent, or before the server took it up: it says so, and a
/// client sends it again elsewhere (RFC 9113, 6.8). One that the server has begun with never ends like this.
fn never_left(error: &hyper::Error) -> bool {
    let reset = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    let told = reset.is_some_and(|reset| reset.is_go_away() && reset.reason() == Some(h2::Reason::NO_ERROR));
    error.is_canceled() || told
}

/// A load balancer that asks whether the node is well.
async fn probing(house: Arc<House>, tally: Arc<Tally>) {
    while !tally.over() {
        let (status, body) = house.ask("/readyz").await;
        let good = status == 200;
        tally.note(&tally.calls, if good { Ok(()) } else { Err(format!("/readyz: {status} {body}")) });
    }
}

async fn h1(house: &House) -> Result<http1::SendRequest<Full<Bytes>>, String> {
    let stream = house.tls("http/1.1").await.map_err(|error| format!("connect: {error}"))?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| format!("{error:?}"))?;
    tokio::spawn(connection);
    Ok(sender)
}

/// One request; whether the connection is to be closed after it.
async fn exchange(house: &House, sender: &mut http1::SendRequest<Full<Bytes>>) -> Result<bool, String> {
    sender.ready().await.map_err(|error| format!("not ready: {error:?}"))?;
    let get = http::Request::get("/").header("host", house.host()).body(Full::default()).unwrap();
    let answer = sender.send_request(get).await.map_err(|error| format!("{error:?}"))?;
    if answer.status() != 200 {
        return Err(format!("status {}", answer.status()));
    }
    let close = answer.headers().get("connection").is_some_and(|value| value == "close");
    answer.into_body().collect().await.map_err(|error| format!("body: {error:?}"))?;
    Ok(close)
}
