//! A gate opens and closes with the plan: when the change is answered, and when one that has waited is made.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::Full;
use tenantry::clock::Clock;
use tenantry::model::When;
use tenantry::tenancy::{Actor, Expect, PlanOrder};

use crate::support::client::{h2, request, send_h2};
use crate::support::world::World;

async fn export(world: &World) -> StatusCode {
    let host = world.host("acme");
    let asked = request(Method::POST, &host, "/analytics/export").body(Full::new(Bytes::new())).unwrap();
    send_h2(&mut h2(world, &host).await, asked).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_follows_the_plan_at_once_and_when_a_change_that_waits_is_made() {
    let clock = Clock::manual(Clock::system().now());
    let world = World::builder().clock(clock.clone()).start().await;
    world.tenant("acme", "growth").await;
    let set = async |plan: &str, when: Option<When>| {
        let order = PlanOrder { plan: Some(plan.into()), when };
        let (tenancy, actor) = (world.running.tenancy(), Actor::new("test"));
        tenancy.set_plan(&actor, "acme", &Expect::Anything, &order).await.unwrap().value.tenant
    };
    assert_eq!(export(&world).await, StatusCode::OK);
    set("free", Some(When::Now)).await;
    assert_eq!(export(&world).await, StatusCode::PAYMENT_REQUIRED);
    set("growth", None).await;
    assert_eq!(export(&world).await, StatusCode::OK);
    let waits = set("free", None).await.subscription.next.unwrap();
    assert_eq!(export(&world).await, StatusCode::OK, "until the period ends");
    clock.advance(waits.at.since(clock.now()));
    let deadline = Instant::now() + Duration::from_secs(20);
    while export(&world).await != StatusCode::PAYMENT_REQUIRED {
        assert!(Instant::now() < deadline, "the plan has not changed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let now = world.running.tenancy().show("acme").await.unwrap();
    assert_eq!((now.effective.plan.as_str(), now.tenant.subscription.next), ("free", None));
}
