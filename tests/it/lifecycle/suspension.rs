//! A suspension counts from the moment at which the API has answered: for the next request, and for everything that is
//! open.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use crate::support::client::{self, Answer, get, request, send_h1, send_h2};
use crate::support::world::World;

/// Everything open must be gone this soon.
const SOON: Duration = Duration::from_secs(1);

/// Suspends or activates through the admin API, as an operator's tool does.
async fn api(world: &World, token: &str, slug: &str, action: &str) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = Request::post(format!("http://{}/v1/tenants/{slug}/{action}", world.admin()))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(Full::from("{}"))
        .unwrap();
    let answer = client.request(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{:?}", answer.into_body().collect().await.unwrap().to_bytes());
}

fn refused(answer: &Answer) -> bool {
    answer.status == StatusCode::FORBIDDEN && answer.code() == "tenant-suspended"
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_request_is_refused_and_activation_brings_it_back() {
    let world = World::start().await;
    let token = world.token("ops").await;
    world.tenant("acme", "growth").await;
    let host = world.host("acme");
    for _ in 0..50 {
        let mut h1 = client::h1(&world, &host).await;
        let mut h2 = client::h2(&world, &host).await;
        let ask = || request(Method::GET, &host, "/").body(Full::default()).unwrap();
        assert_eq!(send_h1(&mut h1, ask()).await.status, StatusCode::OK);
        assert_eq!(send_h2(&mut h2, ask()).await.status, StatusCode::OK);
        world.backend.take();
        api(&world, &token, "acme", "suspend").await;
        // On the old connections (if they are still open) and on new ones: nothing gets through any more.
        for _ in 0..2 {
            if let Ok(answer) =
                h1.send_request(Request::get("/").header("host", &host).body(Full::default()).unwrap()).await
            {
                assert_eq!(answer.status(), StatusCode::FORBIDDEN);
            }
        }
        if let Ok(answer) = h2.send_request(ask()).await {
            assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        }
        assert!(refused(&get(&world, &host, "/").await));
        assert!(world.backend.take().is_empty());
        api(&world, &token, "acme", "activate").await;
        assert_eq!(get(&world, &host, "/").await.status, StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_open_ends_within_a_second() {
    let world = World::start().await;
    world.tenant("holding", "growth").await;
    world.child("shop", "holding").await;
    world.tenant("other", "growth").await;
    // The tenant itself, and a child of the one that is suspended.
    for host in [world.host("holding"), world.host("shop")] {
        let mut other = client::websocket(&world, &world.host("other")).await;
        let mut socket = client::websocket(&world, &host).await;
        socket.send(Message::text("hello")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
        let mut h1 = client::tls(&world, &host, &["http/1.1"]).await.unwrap();
        h1.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
        let mut head = [0; 4];
        h1.read_exact(&mut head).await.unwrap();
        let mut h2 = client::h2(&world, &host).await;
        let ask = request(Method::GET, &host, "/").body(Full::default()).unwrap();
        assert_eq!(send_h2(&mut h2, ask).await.status, StatusCode::OK);

        world.suspend("holding").await;
        let frame = tokio::time::timeout(SOON, socket.next()).await.expect("the WebSocket ends soon");
        match frame {
            Some(Ok(Message::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), 1008),
            other => panic!("a close frame, not {other:?}"),
        }
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(SOON, h1.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "an idle HTTP/1 connection ends soon");
        let ended = tokio::time::timeout(SOON, async {
            while h2.ready().await.is_ok() {
                tokio::task::yield_now().await
            }
        })
        .await;
        assert!(ended.is_ok(), "an idle HTTP/2 connection ends soon");

        other.send(Message::text("still here")).await.unwrap();
        assert_eq!(other.next().await.unwrap().unwrap(), Message::text("still here"));
        world.activate("holding").await;
        assert_eq!(get(&world, &host, "/").await.status, StatusCode::OK);
    }
}

/// A backend that begins an answer and never ends it.
async fn endless_backend() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let begun = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n";
                let _ = stream.write_all(begun).await;
                // Until the edge hangs up.
                while stream.read(&mut request).await.is_ok_and(|n| n > 0) {}
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_under_way_on_http2_is_cut_off() {
    let routing = format!(
        "[[pool]]\nname = \"app\"\nbackends = [\"{}\"]\n[[route]]\nname = \"all\"\nhost = \"any\"\npool = \"app\"\n",
        endless_backend().await
    );
    let world = World::builder().routing(&routing).start().await;
    world.tenant("acme", "growth").await;
    let host = world.host("acme");
    let mut h2 = client::h2(&world, &host).await;
    let answer = h2.send_request(request(Method::GET, &host, "/").body(Full::default()).unwrap()).await.unwrap();
    let mut body = answer.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "begun");
    world.suspend("acme").await;
    let next = tokio::time::timeout(SOON, body.frame()).await.expect("the stream ends soon");
    assert!(next.is_none_or(|frame| frame.is_err()), "cut off, not ended as if it were whole");
    // It is counted all the same, and nothing is under way any more.
    let counted = async {
        loop {
            let metrics = world.running.metrics().render();
            if metrics.contains("tenantry_requests_total{fault=\"none\",status=\"2xx\"} 1")
                && metrics.contains("tenantry_requests_in_flight 0")
            {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    let metrics = || world.running.metrics().render();
    assert!(tokio::time::timeout(SOON, counted).await.is_ok(), "a request that is cut off is counted:\n{}", metrics());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_websocket_survives_a_race_with_a_suspension() {
    let world = World::start().await;
    world.tenant("acme", "growth").await;
    let host = world.host("acme");
    for round in 0..50 {
        let opening = async {
            // Spread over the moment at which the suspension takes hold.
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            let stream = client::tls(&world, &host, &["http/1.1"]).await.ok()?;
            tokio_tungstenite::client_async(format!("wss://{host}/ws"), stream).await.ok().map(|(socket, _)| socket)
        };
        let (socket, ()) = tokio::join!(opening, world.suspend("acme"));
        if let Some(mut socket) = socket {
            let ended = async {
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_close() {
                        break;
                    }
                }
            };
            tokio::time::timeout(SOON, ended).await.expect("a WebSocket that slipped in is closed all the same");
        }
        world.activate("acme").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_is_removed_loses_its_connections_and_one_that_stays_keeps_them() {
    let world = World::start().await;
    world.tenant("acme", "growth").await;
    world.domain("acme", "gone.example").await;
    world.domain("acme", "stays.example").await;
    let mut gone = client::websocket(&world, "gone.example").await;
    let mut stays = client::websocket(&world, "stays.example").await;
    let actor = tenantry::tenancy::Actor::new("test");
    world.running.tenancy().remove_domain(&actor, "gone.example", None).await.unwrap();
    let closed = tokio::time::timeout(SOON, gone.next()).await.expect("closed soon");
    assert!(closed.is_none_or(|frame| frame.is_ok_and(|message| message.is_close())), "a close frame");
    assert_eq!(get(&world, "gone.example", "/").await.code(), "domain-not-configured");
    // A change of state alone moves nobody.
    let host = tenantry::model::Hostname::parse("stays.example").unwrap();
    let held = world.running.store().held_domain(&host).await.unwrap().unwrap();
    let mut write = world.running.store().write().await.unwrap();
    write.set_domain_state(&host, held.tenant, tenantry::model::DomainState::Live).await.unwrap();
    let revision = write.commit().await.unwrap();
    assert!(world.running.applied().wait_for(revision, Duration::from_secs(5)).await);
    stays.send(Message::text("here")).await.unwrap();
    assert_eq!(stays.next().await.unwrap().unwrap(), Message::text("here"));
}
