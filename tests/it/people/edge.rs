//! What a session is at the edge: when it ends, or the membership does, so does everything that was opened under it, and its
//! cookie is worth nothing.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tenantry::keyring::{Keyring, SiteCookie};
use tenantry::model::{PersonId, Role, SessionId, TenantId};
use tenantry::store::SiteSession;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::{PASSWORD, member, person};
use crate::support::client::{get_with, tls};
use crate::support::visitor::Visitor;
use crate::support::world::{BASE, World};

const SETTINGS: &str = "[tenancy]\nsession_cookie = \"sid\"\n";
const AT_MOST: Duration = Duration::from_secs(1);

type Socket = WebSocketStream<tokio_rustls::client::TlsStream<TcpStream>>;

/// The cookie of a session that has picked a tenant, as the store and the keys have it.
async fn picked(world: &World, person: PersonId, tenant: TenantId) -> String {
    let store = world.running.store();
    let when = (world.clock.now(), tenantry::clock::Timestamp(0));
    let session = store.sessions_of(person, when, &Default::default()).await.unwrap().pop().unwrap();
    let (id, expires) = (SessionId::new(), session.expires);
    let mut write = store.write().await.unwrap();
    let site = SiteSession { id, session: session.id, person, tenant, expires };
    let id = write.pick_tenant(&site).await.unwrap();
    write.commit().await.unwrap();
    let ring = store.secret(Keyring::SECRET).await.unwrap().unwrap();
    let ring = Keyring::from_bytes(&ring).unwrap();
    format!("sid={}", SiteCookie::new(id, tenant, expires).sign(&ring, world.clock.now()).unwrap())
}

async fn tenant_of(world: &World, cookie: &str) -> Option<String> {
    let answer = get_with(world, BASE, "/", &[("cookie", cookie)]).await;
    assert_eq!(answer.status, 200);
    // The last of them: WebSockets may have come before.
    world.backend.take().pop().unwrap().header("x-tenant-slug").map(str::to_owned)
}

async fn websocket(world: &World, cookie: &str) -> Socket {
    let stream = tls(world, BASE, &["http/1.1"]).await.unwrap();
    let mut request = format!("wss://{BASE}/ws").into_client_request().unwrap();
    request.headers_mut().insert("cookie", cookie.parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert!(socket.next().await.unwrap().unwrap().is_text());
    socket
}

/// How long it takes until the other side closes.
async fn closed(socket: &mut Socket) -> Duration {
    let started = Instant::now();
    loop {
        match tokio::time::timeout(Duration::from_secs(10), socket.next()).await.expect("it stays open") {
            Some(Ok(Message::Close(frame))) => {
                assert_eq!(u16::from(frame.unwrap().code), 1008);
                return started.elapsed();
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return started.elapsed(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_closes_what_was_opened_under_the_session() {
    let world = World::builder().settings(SETTINGS).start().await;
    let other = World::builder().settings(SETTINGS).beside(&world).start().await;
    world.tenant("acme", "growth").await;
    let acme = world.running.tenancy().show("acme").await.unwrap().tenant.id;
    let (ada, eve) = (person(&world, "ada@example.com").await, person(&world, "eve@example.com").await);
    let mut visitor = Visitor::signed_in(&world, "ada@example.com", PASSWORD).await;
    let _eve = Visitor::signed_in(&world, "eve@example.com", PASSWORD).await;
    let (cookie, others) = (picked(&world, ada.id, acme).await, picked(&world, eve.id, acme).await);
    assert_eq!(tenant_of(&world, &cookie).await.as_deref(), Some("acme"));
    let mut here = websocket(&world, &cookie).await;
    let mut there = websocket(&other, &cookie).await;
    let mut hers = websocket(&world, &others).await;
    assert_eq!(visitor.delete("/v1/session").await.status, 204);
    // When the answer is there, this node knows.
    assert_eq!(tenant_of(&world, &cookie).await, None);
    let (near, far) = tokio::join!(closed(&mut here), closed(&mut there));
    assert!(near < AT_MOST && far < AT_MOST, "{near:?} and {far:?}");
    assert_eq!(tenant_of(&other, &cookie).await, None);
    // Nobody else's.
    hers.send(Message::text("still here")).await.unwrap();
    assert!(hers.next().await.unwrap().unwrap().is_text());
    assert_eq!(tenant_of(&world, &others).await.as_deref(), Some("acme"));
    // A node that starts now knows it too.
    let late = World::builder().settings(SETTINGS).beside(&world).start().await;
    assert_eq!(tenant_of(&late, &cookie).await, None);
    assert_eq!(tenant_of(&late, &others).await.as_deref(), Some("acme"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_membership_that_ends_closes_what_was_opened_by_it() {
    let world = World::builder().settings(SETTINGS).start().await;
    for slug in ["acme", "beta"] {
        world.tenant(slug, "growth").await;
    }
    let acme = world.running.tenancy().show("acme").await.unwrap().tenant.id;
    let beta = world.running.tenancy().show("beta").await.unwrap().tenant.id;
    let ada = person(&world, "ada@example.com").await;
    let mut visitor = Visitor::signed_in(&world, "ada@example.com", PASSWORD).await;
    let (in_acme, in_beta) = (picked(&world, ada.id, acme).await, picked(&world, ada.id, beta).await);
    let mut socket = websocket(&world, &in_acme).await;
    let mut stays = websocket(&world, &in_beta).await;
    let mut write = world.running.store().write().await.unwrap();
    assert_eq!(write.end_site_sessions_of(ada.id, acme).await.unwrap(), 1);
    write.commit().await.unwrap();
    let took = closed(&mut socket).await;
    assert!(took < AT_MOST, "{took:?}");
    assert_eq!(tenant_of(&world, &in_acme).await, None);
    assert_eq!(tenant_of(&world, &in_beta).await.as_deref(), Some("beta"));
    stays.send(Message::text("still here")).await.unwrap();
    assert!(stays.next().await.unwrap().unwrap().is_text());
    assert_eq!(visitor.get("/v1/session").await.status, 200, "they are signed in all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leaves_is_out_at_once_and_the_last_owner_stays() {
    let world = World::builder().settings(SETTINGS).start().await;
    for slug in ["acme", "beta"] {
        world.tenant(slug, "growth").await;
    }
    let (ada, eve) = (person(&world, "ada@example.com").await, person(&world, "eve@example.com").await);
    for (who, slug, role) in [(&ada, "acme", Role::Admin), (&ada, "beta", Role::Owner), (&eve, "acme", Role::Owner)] {
        member(&world, who.id, slug, Some(role)).await;
    }
    let mut visitor = Visitor::signed_in(&world, "ada@example.com", PASSWORD).await;
    let mut pick = async |slug: &str| {
        let said = visitor.post("/v1/session/tenancy", json!({ "tenant": slug })).await;
        format!("sid={}", said.json["value"].as_str().unwrap())
    };
    let (in_beta, in_acme) = (pick("beta").await, pick("acme").await);
    let mut socket = websocket(&world, &in_acme).await;
    let mut leave = async |slug: &str| {
        let said = visitor.delete(&format!("/v1/session/tenancies/{slug}")).await;
        (said.status.as_u16(), said.code().to_owned())
    };
    assert_eq!(leave("beta").await, (409, "last-owner".into()));
    assert_eq!(leave("nobodys").await, (404, "tenant-not-found".into()));
    assert_eq!(leave("acme").await.0, 204);
    let took = closed(&mut socket).await;
    assert!(took < AT_MOST, "{took:?}");
    assert_eq!(leave("acme").await, (404, "tenant-not-found".into()), "as if there were none");
    assert_eq!(tenant_of(&world, &in_acme).await, None);
    assert_eq!(tenant_of(&world, &in_beta).await.as_deref(), Some("beta"));
    assert_eq!(visitor.get("/v1/tenants/acme").await.status, 404);
    assert_eq!(visitor.get("/v1/session").await.status, 200, "they are signed in all the same");
    // Whoever manages the members can bring them back.
    let mut owner = Visitor::signed_in(&world, "eve@example.com", PASSWORD).await;
    let at = "/v1/tenants/acme/members/ada@example.com";
    assert_eq!(owner.post(&format!("{at}/restore"), json!(null)).await.status, 200);
    assert_eq!(visitor.get("/v1/tenants/acme").await.status, 200);
}
