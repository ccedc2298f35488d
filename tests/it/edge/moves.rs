//! A host that another tenant is given: who holds a connection to it is led there by the very next request.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use tenantry::model::{Change, DomainState, PlanName, Tenant};
use tenantry::store::{MOST_NEWS, Write};

use crate::store::{claim, host};
use crate::support::client::{collect, h1, h1_plain, h2, request, send_h1, send_h2};
use crate::support::world::World;

const DOMAIN: &str = "shop.acme.example";

/// How its edges are told of the move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    ByItself,
    /// With so much else that all of it is one reset.
    ByReset,
}

/// Connections to the domain.
struct Kept {
    /// As a proxy keeps them that stands before the edge: they are nobody's, so no move ends them.
    plain: http1::SendRequest<Full<Bytes>>,
    h1: http1::SendRequest<Full<Bytes>>,
    h2: http2::SendRequest<Full<Bytes>>,
}

impl Kept {
    async fn new(world: &World) -> Self {
        Self { plain: h1_plain(world).await, h1: h1(world, DOMAIN).await, h2: h2(world, DOMAIN).await }
    }

    /// A request on each: it leads to this tenant, or the connection has been ended because of the move.
    async fn lead_to(&mut self, world: &World, slug: &str, may_have_ended: bool) {
        self.plain.ready().await.expect("nothing has ended it");
        let asked = self.plain.send_request(ask_h1()).await.unwrap();
        assert_eq!((collect(asked).await.status.as_u16(), led(world)), (200, Some(slug.into())), "behind a proxy");
        let over_h1 = match self.h1.ready().await {
            Ok(()) => self.h1.send_request(ask_h1()).await,
            Err(ended) => Err(ended),
        };
        let over_h2 = match self.h2.ready().await {
            Ok(()) => self.h2.send_request(request(Method::GET, DOMAIN, "/").body(Full::default()).unwrap()).await,
            Err(ended) => Err(ended),
        };
        for (protocol, answer) in [("HTTP/1.1", over_h1), ("HTTP/2", over_h2)] {
            let (head, body) = match answer {
                Ok(answer) => answer.into_parts(),
                Err(ended) => {
                    assert!(may_have_ended, "{protocol}: {ended}");
                    continue;
                }
            };
            assert_eq!(head.status, 200, "{protocol}");
            assert!(body.collect().await.is_ok() || may_have_ended, "{protocol}");
        }
        let led: Vec<_> =
            world.backend.take().iter().map(|seen| seen.header("x-tenant-slug").unwrap().to_owned()).collect();
        assert!(led.iter().all(|led| led == slug), "{led:?} instead of {slug}");
        assert!(may_have_ended || led.len() == 2, "{led:?}");
    }
}

fn ask_h1() -> Request<Full<Bytes>> {
    let ask = Request::builder().uri("/").header("host", DOMAIN).header("x-forwarded-proto", "https");
    ask.header("x-forwarded-for", "192.0.2.7").body(Full::default()).unwrap()
}

fn led(world: &World) -> Option<String> {
    world.backend.take().pop()?.header("x-tenant-slug").map(str::to_owned)
}

/// Gives the domain to another in one step, so that it is always somebody's.
async fn give(world: &World, from: &Tenant, to: &Tenant, told: Told) {
    let mut write = world.running.store().write().await.unwrap();
    write.delete_domain(&host(DOMAIN).into(), from.id).await.unwrap();
    write.insert_domain(&claim(DOMAIN, to.id, DomainState::Verified)).await.unwrap();
    commit(world, write, told).await;
}

/// Returns when the edge has been told.
async fn commit(world: &World, mut write: Write, told: Told) {
    if told == Told::ByReset {
        (0..=MOST_NEWS).for_each(|number| write.change(Change::Challenge(format!("filler-{number}"))));
    }
    let revision = write.commit().await.unwrap();
    assert!(world.running.applied().wait_for(revision, Duration::from_secs(10)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_request_of_a_connection_that_is_kept_follows_its_host() {
    let world = World::builder().settings("[headers]\ntrusted_proxies = [\"127.0.0.0/8\"]\n").start().await;
    for slug in ["acme", "beta"] {
        world.tenant(slug, "growth").await;
    }
    world.domain("acme", DOMAIN).await;
    let acme = world.running.tenancy().show("acme").await.unwrap().tenant;
    let beta = world.running.tenancy().show("beta").await.unwrap().tenant;
    let mut plain = h1_plain(&world).await;
    for round in 0..12 {
        let told = if round % 3 == 2 { Told::ByReset } else { Told::ByItself };
        let (from, to) = if round % 2 == 0 { (&acme, &beta) } else { (&beta, &acme) };
        // The proxy's connection is the same all the time.
        let mut kept = Kept { plain, ..Kept::new(&world).await };
        for _ in 0..5 {
            kept.lead_to(&world, from.slug.as_str(), false).await;
        }
        give(&world, from, to, told).await;
        for _ in 0..3 {
            kept.lead_to(&world, to.slug.as_str(), true).await;
        }
        plain = kept.plain;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_seen_by_connections_that_are_kept() {
    let world = World::start().await;
    world.tenant("acme", "growth").await;
    let host = world.host("acme");
    let (mut old, mut new) = (h1(&world, &host).await, h2(&world, &host).await);
    let ask = || request(Method::POST, &host, "/analytics/export").body(Full::default()).unwrap();
    for (plan, expected) in [("growth", 200), ("free", 402), ("growth", 200), ("free", 402)] {
        let row = world.running.tenancy().show("acme").await.unwrap().tenant;
        let mut write = world.running.store().write().await.unwrap();
        write.update_tenant(&Tenant { plan: Some(PlanName::parse(plan).unwrap()), ..row }).await.unwrap();
        commit(&world, write, Told::ByReset).await;
        for _ in 0..5 {
            assert_eq!(send_h1(&mut old, ask()).await.status, expected, "{plan}, HTTP/1.1");
            assert_eq!(send_h2(&mut new, ask()).await.status, expected, "{plan}, HTTP/2");
        }
    }
}
