//! Maintenance: who is refused and how, who is served all the same, and what becomes of what is open.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::{Method, StatusCode};
use http_body_util::Full;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::ask;
use crate::support::client::{self, get, get_with, request, send_h1, send_h2, websocket};
use crate::support::world::World;

const BROWSER: (&str, &str) = ("accept", "text/html");

#[tokio::test(flavor = "multi_thread")]
async fn visitors_get_a_page_and_programs_a_problem_on_connections_old_and_new() {
    let world = World::start().await;
    world.tenant("acme", "growth").await;
    world.tenant("other", "growth").await;
    let host = world.host("acme");
    let (mut one, mut two) = (client::h1(&world, &host).await, client::h2(&world, &host).await);
    let get_it = || request(Method::GET, &host, "/").body(Full::default()).unwrap();
    assert_eq!(send_h1(&mut one, get_it()).await.status, StatusCode::OK);
    assert_eq!(send_h2(&mut two, get_it()).await.status, StatusCode::OK);
    world.backend.take();

    world.edge("acme", json!({"maintenance": {"message": "Back at <b>noon</b>", "retry_after": 90}})).await;
    for answer in [send_h1(&mut one, get_it()).await, send_h2(&mut two, get_it()).await, get(&world, &host, "/").await]
    {
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "maintenance"));
        assert_eq!((answer.header("retry-after"), answer.header("cache-control")), ("90", "no-store"));
        assert_eq!(answer.json()["detail"], "Back at <b>noon</b>");
    }
    let page = get_with(&world, &host, "/", &[BROWSER]).await;
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    assert_eq!((page.status, page.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "90"));
    assert!(text.contains("<h1>Under maintenance</h1>") && text.contains("noon"), "{text}");
    assert!(!text.contains("<b>noon"), "{text}");
    let grpc = ask(&world, true, Method::POST, &host, "/a.B/C", &[("content-type", "application/grpc")]).await;
    assert_eq!((grpc.status, grpc.header("grpc-status")), (StatusCode::OK, "14"));
    assert_eq!(grpc.header("grpc-message"), "maintenance");
    assert!(world.backend.take().is_empty());

    assert_eq!(get(&world, &world.host("other"), "/").await.status, StatusCode::OK);
    for path in ["/.well-known/tenantry/jwks.json", &format!("/tenants/by-host/{host}")] {
        assert_eq!(get(&world, &host, path).await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(get(&world, &host, "/.well-known/acme-challenge/none").await.code(), "not-found");
    let metrics = world.running.metrics().render();
    assert!(metrics.contains("tenantry_refusals_total{code=\"maintenance\"}"), "{metrics}");
    assert!(metrics.contains("tenantry_requests_total{fault=\"none\",protocol=\"h2\",status=\"5xx\"}"), "{metrics}");

    world.edge("acme", json!({"maintenance": null})).await;
    assert_eq!(send_h1(&mut one, get_it()).await.status, StatusCode::OK);
    assert_eq!(send_h2(&mut two, get_it()).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_look_after_it_are_served_and_a_suspension_says_more() {
    let world = World::builder().settings("[headers]\ntrusted_proxies = [\"127.0.0.1/32\"]\n").start().await;
    world.tenant("holding", "growth").await;
    world.child("shop", "holding").await;
    world.edge("holding", json!({"maintenance": {"allow": ["192.0.2.0/24", "2001:db8::/32"]}})).await;
    let host = world.host("shop");
    for (client, served) in [("192.0.2.9", true), ("2001:db8::9", true), ("198.51.100.1", false)] {
        let answer = get_with(&world, &host, "/", &[("x-forwarded-for", client)]).await;
        let expected = if served { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        assert_eq!(answer.status, expected, "{client}: the parent's word counts for its children");
    }
    world.edge("shop", json!({"maintenance": {"enabled": false}})).await;
    assert_eq!(get(&world, &host, "/").await.status, StatusCode::OK, "the nearest word counts");
    world.edge("shop", json!({"maintenance": null})).await;
    world.suspend("shop").await;
    assert_eq!(get(&world, &host, "/").await.code(), "tenant-suspended");
}

#[tokio::test(flavor = "multi_thread")]
async fn open_websockets_are_told_to_try_again_later() {
    let world = World::start().await;
    world.tenant("acme", "growth").await;
    world.tenant("other", "growth").await;
    let mut socket = websocket(&world, &world.host("acme")).await;
    let mut untouched = websocket(&world, &world.host("other")).await;
    for socket in [&mut socket, &mut untouched] {
        socket.send(Message::text("hello")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    }
    world.edge("acme", json!({"maintenance": {}})).await;
    let code = tokio::time::timeout(Duration::from_secs(5), async {
        let mut code = None;
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Close(Some(frame)) = message {
                code = Some(frame.code);
            }
        }
        code
    });
    assert_eq!(code.await.expect("it is closed"), Some(CloseCode::Again), "1013");
    untouched.send(Message::text("still")).await.unwrap();
    assert_eq!(untouched.next().await.unwrap().unwrap(), Message::text("still"));

    world.edge("acme", json!({"maintenance": {"allow": ["127.0.0.0/8"]}})).await;
    let mut mine = websocket(&world, &world.host("acme")).await;
    world.edge("acme", json!({"maintenance": {"message": "a change that wakes the registry"}})).await;
    world.edge("other", json!({"maintenance": {}})).await;
    assert!(matches!(untouched.next().await, Some(Ok(Message::Close(_)))), "by now the registry has been through");
    mine.send(Message::text("mine")).await.unwrap();
    assert_eq!(mine.next().await.unwrap().unwrap(), Message::text("mine"));
}
