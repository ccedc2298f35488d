//! A gate opens and closes with the plan: when the change is answered, and when one that has waited is made.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use tenantry::clock::Clock;
use tenantry::model::{Slug, When};
use tenantry::tenancy::{Actor, Expect, PlanOrder};

use crate::support::client::{h1, h2, request, send_h1, send_h2};
use crate::support::world::World;

fn ask(host: &str) -> Request<Full<Bytes>> {
    request(Method::POST, host, "/analytics/export").body(Full::new(Bytes::new())).unwrap()
}

async fn export(world: &World) -> StatusCode {
    let host = world.host("acme");
    send_h2(&mut h2(world, &host).await, ask(&host)).await.status
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
    // Before the certificate of this world ends, whatever day of the month it is.
    let mut write = world.running.store().write().await.unwrap();
    let mut row = write.tenant_by_slug(&Slug::parse("acme").unwrap()).await.unwrap().unwrap();
    row.subscription.period_end = Some(clock.now() + Duration::from_secs(2 * 86_400));
    write.update_tenant(&row).await.unwrap();
    write.commit().await.unwrap();
    let waits = set("free", None).await.subscription.next.unwrap();
    assert_eq!(export(&world).await, StatusCode::OK, "until the period ends");
    clock.advance(waits.at.since(clock.now()));
    let deadline = Instant::now() + Duration::from_secs(30);
    while export(&world).await != StatusCode::PAYMENT_REQUIRED {
        assert!(Instant::now() < deadline, "the plan has not changed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let now = world.running.tenancy().show("acme").await.unwrap();
    assert_eq!((now.effective.plan.as_str(), now.tenant.subscription.next), ("free", None));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_kept_follow_the_plan_of_their_tenant_and_of_its_parent() {
    let world = World::start().await;
    world.tenant("acme", "growth").await;
    world.child("branch", "acme").await;
    let hosts = [world.host("acme"), world.host("branch")];
    let (mut old, mut new) = (Vec::new(), Vec::new());
    for host in &hosts {
        old.push(h1(&world, host).await);
        new.push(h2(&world, host).await);
    }
    // Often enough at first that what a connection remembers has also been looked up anew; few enough for the plan's rate.
    for (plan, expected, times) in [("growth", 200, 70), ("free", 402, 3), ("growth", 200, 3), ("free", 402, 3)] {
        let order = PlanOrder { plan: Some(plan.into()), when: Some(When::Now) };
        let (tenancy, actor) = (world.running.tenancy(), Actor::new("test"));
        tenancy.set_plan(&actor, "acme", &Expect::Anything, &order).await.unwrap();
        for (at, host) in hosts.iter().enumerate() {
            for _ in 0..times {
                assert_eq!(send_h1(&mut old[at], ask(host)).await.status, expected, "{host}, {plan}, HTTP/1.1");
                assert_eq!(send_h2(&mut new[at], ask(host)).await.status, expected, "{host}, {plan}, HTTP/2");
            }
        }
    }
}
