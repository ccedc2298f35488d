//! A tenant whose plan covers custom domains no more: served for a grace, then led to its slug host.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;
use tenantry::clock::Clock;
use tenantry::model::Hostname;
use tenantry::tenancy::{Actor, Expect, PlanOrder, Visit};

use super::{ask, origin};
use crate::support::client::get;
use crate::support::world::World;

const DAY: Duration = Duration::from_secs(86_400);

async fn plan(world: &World, slug: &str, plan: &str) {
    let actor = Actor::new("test");
    world.running.tenancy().set_plan(&actor, slug, &Expect::Anything, &PlanOrder::at_once(plan)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn domains_are_served_for_the_grace_then_lead_to_the_slug_host_and_come_back_with_the_feature() {
    let clock = Clock::manual(Clock::system().now());
    let settings = "[tenancy]\nfeature_grace = \"2d\"\n";
    let world = World::builder().settings(settings).clock(clock.clone()).start().await;
    world.tenant("acme", "growth").await;
    world.domain("acme", "shop.acme.example").await;
    world.edge("acme", json!({"primary_domain": "shop.acme.example"})).await;
    let (slug, own) = (world.host("acme"), "shop.acme.example");
    let status = async |host: &str| get(&world, host, "/").await.status;
    assert_eq!((status(own).await, status(&slug).await), (StatusCode::OK, StatusCode::PERMANENT_REDIRECT));

    plan(&world, "acme", "free").await;
    clock.advance(DAY);
    assert_eq!((status(own).await, status(&slug).await), (StatusCode::OK, StatusCode::PERMANENT_REDIRECT));

    // Nobody writes anything: the time alone does it.
    clock.advance(DAY);
    let there = format!("{}/a?b=c", origin(&world, &slug));
    for h2 in [false, true] {
        let answer = ask(&world, h2, Method::GET, own, "/a?b=c", &[]).await;
        assert_eq!((answer.status, answer.header("location")), (StatusCode::PERMANENT_REDIRECT, there.as_str()));
        assert_eq!(answer.header("cache-control"), "max-age=60");
        let call = ask(&world, h2, Method::GET, own, "/", &[("origin", "https://other.example")]).await;
        assert_eq!(call.status, StatusCode::PERMANENT_REDIRECT);
    }
    assert_eq!(status(&slug).await, StatusCode::OK, "and is not sent back");
    let to = Visit::Redirected { status: 308, to: Hostname::parse(&slug).unwrap(), reason: "domains-lapsed" };
    assert_eq!(world.running.tenancy().host(own).await.unwrap().visit, to, "an operator is told the same");
    assert_eq!(world.running.tenancy().host(&slug).await.unwrap().visit, Visit::Forwarded);
    let grpc = ask(&world, true, Method::POST, own, "/a.B/C", &[("content-type", "application/grpc")]).await;
    assert_ne!(grpc.header("grpc-status"), "0", "what follows no redirect is refused");
    assert_eq!(world.backend.take().iter().filter(|seen| seen.target == "/a.B/C").count(), 0);

    plan(&world, "acme", "creators").await;
    assert_eq!((status(own).await, status(&slug).await), (StatusCode::OK, StatusCode::PERMANENT_REDIRECT));
}
