//! When the admin API has answered, the next request is refused, and what was open is closed within a second.

use futures_util::SinkExt;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{AT_ONCE, Api, close_code, drip, dripping, ends_at_once, get, get_h1, h1, h2};
use crate::support::client::{self, websocket};
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn the_next_request_is_refused_on_whatever_connection_it_comes() {
    let world = World::start().await;
    world.tenant("acme", "growth").await;
    let (api, host) = (Api::of(&world).await, world.host("acme"));
    for round in 0..10 {
        let ((mut one, _), (mut two, _)) = (h1(&world, &host).await, h2(&world, &host).await);
        let answer = one.send_request(get_h1(&host, "/")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "round {round}");
        answer.into_body().collect().await.unwrap();
        assert_eq!(two.send_request(get(&host, "/")).await.unwrap().status(), StatusCode::OK);
        world.backend.take();

        api.post("acme", "suspend").await;
        // A connection that is there already may be closed before it is asked; what it may not do is serve.
        if let Ok(answer) = one.send_request(get_h1(&host, "/")).await {
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "h1, round {round}");
        }
        if let Ok(answer) = two.send_request(get(&host, "/")).await {
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "h2, round {round}");
        }
        let answer = client::get(&world, &host, "/").await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::FORBIDDEN, "tenant-suspended"));
        assert!(world.backend.take().is_empty(), "round {round}");
        api.post("acme", "activate").await;
        assert_eq!(client::get(&world, &host, "/").await.status, StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_is_closed_within_a_second_and_a_parents_suspension_does_the_same_to_its_children() {
    let world = dripping(drip().await).start().await;
    world.tenant("holding", "growth").await;
    world.child("region", "holding").await;
    world.child("shop", "region").await;
    world.tenant("other", "growth").await;
    world.domain("holding", "holding.example").await;
    let api = Api::of(&world).await;
    let (shop, other) = (world.host("shop"), world.host("other"));
    for host in [world.host("holding"), "holding.example".into(), shop.clone()] {
        let mut socket = websocket(&world, &host).await;
        socket.send(Message::text("hello")).await.unwrap();
        let mut untouched = websocket(&world, &other).await;
        let ((mut idle_1, idle_1_end), (mut idle_2, idle_2_end)) = (h1(&world, &host).await, h2(&world, &host).await);
        let served = idle_1.send_request(get_h1(&host, "/")).await.unwrap();
        served.into_body().collect().await.unwrap();
        let served = idle_2.send_request(get(&host, "/")).await.unwrap();
        served.into_body().collect().await.unwrap();
        let ((mut open_1, open_1_end), (mut open_2, open_2_end)) = (h1(&world, &host).await, h2(&world, &host).await);
        let mut streams = vec![
            open_1.send_request(get_h1(&host, "/drip")).await.unwrap().into_body(),
            open_2.send_request(get(&host, "/drip")).await.unwrap().into_body(),
            open_2.send_request(get(&host, "/drip")).await.unwrap().into_body(),
        ];
        for stream in &mut streams {
            assert_eq!(stream.frame().await.unwrap().unwrap().into_data().unwrap(), "drop");
        }

        api.post("holding", "suspend").await;
        let ended = async {
            let code = tokio::spawn(close_code(socket));
            for end in [idle_1_end, idle_2_end, open_1_end, open_2_end] {
                end.await.unwrap();
            }
            for mut stream in streams {
                assert!(!matches!(stream.frame().await, Some(Ok(_))), "an answer went on");
            }
            code.await.unwrap()
        };
        assert_eq!(ends_at_once(&host, ended).await, Some(CloseCode::Policy), "{host}");
        untouched.send(Message::text("still here")).await.unwrap();
        untouched.close(None).await.unwrap();
        api.post("holding", "activate").await;
        assert_eq!(client::get(&world, &host, "/").await.status, StatusCode::OK, "{host}");
    }
    let policy = world.running.metrics().connections_refused.with_label_values(&["policy"]);
    assert_eq!(policy.get(), 15, "five connections, three times; and nobody else's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_is_removed_takes_its_connections_with_it_and_no_others() {
    let world = World::start().await;
    world.tenant("acme", "growth").await;
    world.domain("acme", "shop.example").await;
    let (api, slug) = (Api::of(&world).await, world.host("acme"));
    let socket = websocket(&world, "shop.example").await;
    let (mut idle, idle_end) = h2(&world, "shop.example").await;
    assert_eq!(idle.send_request(get("shop.example", "/")).await.unwrap().status(), StatusCode::OK);
    let (mut untouched, _) = h2(&world, &slug).await;
    assert_eq!(untouched.send_request(get(&slug, "/")).await.unwrap().status(), StatusCode::OK);

    let removed = api.call(Method::DELETE, "/v1/domains/shop.example", Value::Null).await;
    assert!(removed.status.is_success(), "{removed:?}");
    let ended = async { (close_code(socket).await, idle_end.await.unwrap()) };
    ends_at_once("a connection to the domain", ended).await;
    assert_eq!(untouched.send_request(get(&slug, "/")).await.unwrap().status(), StatusCode::OK);
    let answer = client::get(&world, "shop.example", "/").await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::NOT_FOUND, "domain-not-configured"));

    let body = json!({ "domain": "shop.example", "verified": true });
    let added = api.call(Method::POST, "/v1/tenants/acme/domains", body).await;
    assert_eq!(added.status, StatusCode::CREATED, "{added:?}");
    assert_eq!(client::get(&world, "shop.example", "/").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_tenant_is_closed_too_and_a_renamed_one_is_left_alone() {
    let world = World::start().await;
    world.tenant("acme", "growth").await;
    let (api, host) = (Api::of(&world).await, world.host("acme"));
    let mut socket = websocket(&world, &host).await;
    let renamed = api.call(Method::PATCH, "/v1/tenants/acme", json!({ "name": "Acme & Sons" })).await;
    assert_eq!(renamed.status, StatusCode::OK, "{renamed:?}");
    let planned = api.call(Method::PUT, "/v1/tenants/acme/plan", json!({ "plan": "starter", "when": "now" })).await;
    assert_eq!(planned.status, StatusCode::OK, "{planned:?}");
    socket.send(Message::text("still here")).await.unwrap();
    let echoed = tokio::time::timeout(AT_ONCE * 10, futures_util::StreamExt::next(&mut socket)).await;
    assert_eq!(echoed.unwrap().unwrap().unwrap(), Message::text("still here"));
    api.post("acme", "cancel").await;
    assert_eq!(ends_at_once("the WebSocket", close_code(socket)).await, Some(CloseCode::Policy));
    let answer = client::get(&world, &host, "/").await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::GONE, "tenant-cancelled"));
}
