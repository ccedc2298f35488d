//! What ends with a change and what does not: an answer under way, a domain that goes, a domain that only changes state.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::Method;
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use crate::support::client::{self, get, request};
use crate::support::world::World;

/// Everything open must be gone this soon.
const SOON: Duration = Duration::from_secs(1);

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
            if metrics.contains("tenantry_requests_total{fault=\"none\",protocol=\"h2\",status=\"2xx\"} 1")
                && metrics.contains("tenantry_requests_in_flight 0")
            {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, counted).await.expect("a request that is cut off is counted");
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
    let host = tenantry::model::DomainName::parse("stays.example").unwrap();
    let held = world.running.store().held_domain(&host).await.unwrap().unwrap();
    let mut write = world.running.store().write().await.unwrap();
    write.set_domain_state(&host, held.tenant, tenantry::model::DomainState::Live).await.unwrap();
    let revision = write.commit().await.unwrap();
    assert!(world.running.applied().wait_for(revision, Duration::from_secs(5)).await);
    stays.send(Message::text("here")).await.unwrap();
    assert_eq!(stays.next().await.unwrap().unwrap(), Message::text("here"));
}
