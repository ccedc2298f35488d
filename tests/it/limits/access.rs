//! Who may come, by address; the visitor's, not the proxy's.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tenantry::keyring::{Keyring, SiteCookie};
use tenantry::model::SessionId;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::{HOST, meter, set, still};
use crate::support::client::{get, get_with, tls};
use crate::support::world::{BASE, World};

async fn from(world: &World, client: &str) -> (u16, String) {
    let answer = get_with(world, HOST, "/", &[("x-forwarded-for", client)]).await;
    let code = if answer.status == 200 { String::new() } else { answer.code() };
    (answer.status.as_u16(), code)
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_of_visitors_addresses_and_in_force_at_once() {
    let world = still(World::builder().settings("[headers]\ntrusted_proxies = [\"127.0.0.0/8\"]\n")).await;
    let ok = (200, String::new());
    let no = (403, "access-denied".to_owned());
    assert_eq!(from(&world, "192.0.2.1").await, ok);
    set(&world, "acme", json!({"access": {"deny": ["192.0.2.0/24", "2001:db8::/32"]}})).await;
    for (client, expected) in [
        ("192.0.2.1", &no),
        ("::ffff:192.0.2.1", &no),
        ("2001:db8:7::1", &no),
        ("198.51.100.1", &ok),
        ("2001:db9::1", &ok),
    ] {
        assert_eq!(from(&world, client).await, *expected, "{client}");
    }
    set(&world, "acme", json!({"access": {"allow": ["198.51.100.0/24"], "deny": ["198.51.100.7/32"]}})).await;
    for (client, expected) in [("198.51.100.1", &ok), ("198.51.100.7", &no), ("203.0.113.1", &no)] {
        assert_eq!(from(&world, client).await, *expected, "{client}");
    }
    // Neither the challenge of an authority nor the edge's own keys depend on who asks.
    let headers = [("x-forwarded-for", "203.0.113.1")];
    assert_eq!(get_with(&world, HOST, "/.well-known/tenantry/jwks.json", &headers).await.status, 200);
    let challenge = get_with(&world, HOST, "/.well-known/acme-challenge/unknown", &headers).await;
    assert_eq!((challenge.status.as_u16(), challenge.code().as_str()), (404, "not-found"));
    assert_eq!(meter(&world, "acme").await.counts().limited, [0, 0, 0, 0, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sessions_tenant_closes_nobody_out_of_the_main_site_and_pays_for_its_requests_there() {
    let world = still(World::builder().settings("[tenancy]\nsession_cookie = \"sid\"\n")).await;
    set(&world, "acme", json!({"access": {"deny": ["127.0.0.0/8"]}, "limits": {"requests_per_second": 1}})).await;
    let ring = world.running.store().secret(Keyring::SECRET).await.unwrap().unwrap();
    let ring = Keyring::from_bytes(&ring).unwrap();
    let id = world.running.tenancy().show("acme").await.unwrap().tenant.id;
    let cookie = SiteCookie::new(SessionId::new(), id, world.clock.now() + Duration::from_secs(600))
        .sign(&ring, world.clock.now())
        .unwrap();
    let cookie = format!("sid={cookie}");
    assert_eq!(get(&world, HOST, "/").await.status, 403);
    assert_eq!(get_with(&world, BASE, "/", &[("cookie", &cookie)]).await.status, 200);
    assert_eq!(get_with(&world, BASE, "/", &[("cookie", &cookie)]).await.status, 429);
    assert_eq!(get(&world, BASE, "/").await.status, 200, "whoever has no session is nobody's");
}

#[tokio::test(flavor = "multi_thread")]
async fn children_inherit_a_list_and_other_tenants_do_not_notice() {
    let world = still(World::builder()).await;
    world.child("shop", "acme").await;
    world.tenant("beta", "free").await;
    set(&world, "acme", json!({"access": {"deny": ["127.0.0.0/8"]}})).await;
    for (slug, status) in [("acme", 403), ("shop", 403), ("beta", 200)] {
        assert_eq!(get(&world, &world.host(slug), "/").await.status, status, "{slug}");
    }
    set(&world, "shop", json!({"access": {}})).await;
    assert_eq!(get(&world, &world.host("shop"), "/").await.status, 200, "its own word counts");
}

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// A WebSocket of a visitor behind a trusted proxy.
async fn websocket_from(world: &World, client: &str) -> Socket {
    let mut request = format!("wss://{HOST}/ws").into_client_request().unwrap();
    request.headers_mut().insert("x-forwarded-for", client.parse().unwrap());
    let stream = tls(world, HOST, &["http/1.1"]).await.unwrap();
    tokio_tungstenite::client_async(request, stream).await.unwrap().0
}

/// The code that it is closed with.
async fn end(socket: &mut Socket) -> u16 {
    match tokio::time::timeout(Duration::from_secs(10), socket.next()).await.expect("it is closed").unwrap().unwrap() {
        Message::Close(Some(frame)) => frame.code.into(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_websocket_is_judged_by_its_visitors_address_when_lists_and_maintenance_change() {
    let world = still(World::builder().settings("[headers]\ntrusted_proxies = [\"127.0.0.0/8\"]\n")).await;
    let mut denied = websocket_from(&world, "192.0.2.1").await;
    let mut kept = websocket_from(&world, "198.51.100.1").await;
    let mut stranger = websocket_from(&world, "203.0.113.1").await;
    set(&world, "acme", json!({"access": {"deny": ["192.0.2.0/24"]}})).await;
    assert_eq!(end(&mut denied).await, 1008);
    // The proxy's own address is of no account, neither for nor against anybody.
    set(&world, "acme", json!({"maintenance": {"allow": ["198.51.100.0/24", "127.0.0.0/8"]}})).await;
    assert_eq!(end(&mut stranger).await, 1013);
    kept.send(Message::text("still here")).await.unwrap();
    assert_eq!(kept.next().await.unwrap().unwrap(), Message::text("still here"));
}
