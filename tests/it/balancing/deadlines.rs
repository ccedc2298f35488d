//! Deadlines and retries, of pools and of routes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::Full;
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{HOST, backend, dead, metric, named, routing, texts, until, world};
use crate::support::client::{Answer, collect, get, h1, h1_streaming, h2_streaming, request, send_h1};
use crate::support::script::{Script, full, read_head, streamed};
use crate::support::world::World;

/// Says a head, then a byte now and then, for as long as anybody listens.
async fn trickling() -> Script {
    Script::raw(|mut stream, _| async move {
        read_head(&mut stream).await;
        let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
        while sent.is_ok() {
            tokio::time::sleep(Duration::from_millis(30)).await;
            sent = stream.write_all(b"x").await;
        }
    })
    .await
}

const TOTAL: &str = "connect_timeout = \"100ms\"\nread_timeout = \"10s\"\ntotal_timeout = \"300ms\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_trickles_past_the_total_is_to_blame_for_it() {
    let (slow, other) = (trickling().await, named(1).await);
    let all = [slow.address, other[0].address];
    let world = world(&all, &format!("{TOTAL}[pool.ejection]\nfailures = 1\n")).await;
    let mut whole = 0;
    for _ in 0..2 {
        let ask = http::Request::get("/").header("host", HOST).body(Full::<Bytes>::default()).unwrap();
        let Ok(answer) = h1(&world, HOST).await.send_request(ask).await else { continue };
        whole += usize::from(http_body_util::BodyExt::collect(answer.into_body()).await.is_ok());
    }
    assert_eq!(whole, 1);
    assert!(!backend(&world, slow.address).healthy, "it counts as a failure of the backend");
    let series = "tenantry_requests_total{fault=\"upstream\",protocol=\"http/1.1\",status=\"2xx\"}";
    until("whose fault it was", || metric(&world, series) == Some(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_trickles_past_the_total_is_ended_and_is_no_fault_of_the_backend() {
    let takes = Script::http(|request| async move {
        let _ = http_body_util::BodyExt::collect(request.into_body()).await;
        Response::new(full("taken"))
    })
    .await;
    let world = world(&[takes.address, dead().await], &format!("{TOTAL}[pool.ejection]\nfailures = 1\n")).await;
    for h2 in [false, true] {
        let (sender, body) = streamed();
        let trickle = tokio::spawn(async move {
            while sender.send(Frame::data(Bytes::from_static(b"x"))).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        });
        let began = Instant::now();
        let answer = match h2 {
            true => {
                h2_streaming(&world, HOST)
                    .await
                    .send_request(request(Method::POST, HOST, "/").body(body).unwrap())
                    .await
            }
            false => {
                let ask = http::Request::post("/").header("host", HOST).body(body).unwrap();
                h1_streaming(&world, HOST).await.send_request(ask).await
            }
        };
        let answer = collect(answer.unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (408, "request-timeout".into()), "h2: {h2}");
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        trickle.abort();
    }
    assert!(backend(&world, takes.address).healthy);
}

/// Never answers, and counts who asks.
async fn silent(asked: &Arc<AtomicUsize>) -> Script {
    let asked = Arc::clone(asked);
    Script::raw(move |mut stream, _| {
        asked.fetch_add(1, Ordering::SeqCst);
        async move {
            read_head(&mut stream).await;
            let _ = stream.read_u8().await;
        }
    })
    .await
}

/// Routes of their own deadlines before the one that takes everything.
async fn routed(backends: &[SocketAddr], routes: &[(&str, &str)], pool: &str) -> World {
    let mut text = String::new();
    for (path, settings) in routes {
        let name = &path[1..];
        text.push_str(&format!(
            "[[route]]\nname = \"{name}\"\nhost = \"any\"\npath = \"{path}\"\npool = \"app\"\n{settings}\n"
        ));
    }
    let routing = routing(&texts(backends), pool).replacen("[[route]]", &format!("{text}[[route]]"), 1);
    let world = World::builder().routing(&routing).start().await;
    world.tenant("acme", "growth").await;
    world
}

async fn timed(world: &World, path: &str) -> (Answer, Duration) {
    let began = Instant::now();
    (get(world, HOST, path).await, began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_route_says_of_time_counts_before_what_its_pool_says() {
    let asked = Arc::default();
    let silent = silent(&asked).await;
    let routes = [("/read", "read_timeout = \"150ms\""), ("/total", "total_timeout = \"200ms\"")];
    let world = routed(&[silent.address], &routes, "read_timeout = \"30s\"\n").await;
    for path in ["/read", "/total"] {
        let (answer, took) = timed(&world, path).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (504, "upstream-timeout".into()), "{path}");
        assert!((Duration::from_millis(100)..Duration::from_secs(5)).contains(&took), "{path}: {took:?}");
    }
    // An address of a block that is for documentation alone (RFC 5737): nobody answers, or nobody is there.
    let nowhere = "192.0.2.1:80".parse().unwrap();
    let world = routed(&[nowhere], &[("/connect", "connect_timeout = \"150ms\"")], "connect_timeout = \"30s\"\n").await;
    let (answer, took) = timed(&world, "/connect").await;
    assert!(matches!(answer.status.as_u16(), 502..=504) && took < Duration::from_secs(5), "{} {took:?}", answer.status);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_says_how_often_is_tried_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let mut dying = Vec::new();
    for _ in 0..4 {
        let asked = Arc::clone(&asked);
        dying.push(
            Script::raw(move |mut stream, _| {
                asked.fetch_add(1, Ordering::SeqCst);
                async move { drop(read_head(&mut stream).await) }
            })
            .await,
        );
    }
    let all: Vec<_> = dying.iter().map(|script| script.address).collect();
    let routes = [("/never", "retries = 0"), ("/thrice", "retries = 3")];
    let world = routed(&all, &routes, "retry_budget = 100\n[pool.ejection]\nfailures = 0\n").await;
    for (path, tries) in [("/never", 1), ("/thrice", 4), ("/else", 2)] {
        asked.store(0, Ordering::SeqCst);
        let ask = request(Method::GET, HOST, path).body(Full::default()).unwrap();
        let answer = send_h1(&mut h1(&world, HOST).await, ask).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (502, "upstream-failed".into()), "{path}");
        assert_eq!(asked.load(Ordering::SeqCst), tries, "{path}");
    }
}
