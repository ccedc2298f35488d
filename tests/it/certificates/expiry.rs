//! Reminders before the end of a certificate that its owner brought: each once.

use std::sync::Arc;
use std::time::Duration;

use tenantry::certificates::{Certificates, NewCertificate, NoAuthority};
use tenantry::store::Page;
use tenantry::tenancy::Actor;

use super::pki::Pki;
use crate::admin::world::World;

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn each_reminder_comes_once_however_often_and_wherever_one_looks() {
    let world = World::new().await;
    world.tenant_with_domains("acme", &["shop.example", "www.shop.example"]).await;
    let pki = Pki::new(world.clock.now());
    // Two nodes.
    let nodes = [(); 2].map(|()| Certificates::new(world.tenancy(), Arc::new(NoAuthority)));
    let upload = async |days| {
        let (chain, key) = pki.chain(&["shop.example", "www.shop.example"], days);
        let new = NewCertificate { chain, key: key.into(), tenant: None };
        nodes[0].upload(&Actor::new("test"), &new).await.unwrap().value.certificate.row.id
    };
    let look = async || nodes[0].remind().await.unwrap() + nodes[1].remind().await.unwrap();
    let id = upload(40).await;
    assert_eq!(look().await, 0);
    // Days that pass; reminders.
    for (days, told) in [(9, 0), (1, 1), (0, 0), (5, 0), (11, 1), (9, 1), (2, 1), (1, 0), (1, 1), (0, 0)] {
        world.clock.advance(DAY * days);
        assert_eq!(look().await, told, "after {days} more days");
    }
    let events = world
        .store
        .events(
            &tenantry::store::EventFilter { subject: Some("shop.example"), ..Default::default() },
            &Page { limit: 100, after: None },
        )
        .await
        .unwrap();
    let reminders: Vec<_> = events.iter().filter(|e| e.event.kind == "certificate.expiring").collect();
    assert!(reminders.iter().all(|e| e.event.detail["id"] == id.as_str() && e.event.tenant.is_some()));
    let days: Vec<_> = reminders.iter().map(|e| e.event.detail["days"].as_u64().unwrap()).collect();
    assert_eq!(days, [30, 14, 7, 3, 1]);
    // Another that ends before long: only the last reminder that was missed. One that is replaced: none.
    world.clock.advance(DAY * 2);
    let pki = Pki::new(world.clock.now());
    let upload = async |days| {
        let (chain, key) = pki.chain(&["shop.example"], days);
        let new = NewCertificate { chain, key: key.into(), tenant: None };
        nodes[1].upload(&Actor::new("test"), &new).await.unwrap()
    };
    upload(2).await;
    assert_eq!(look().await, 1);
    upload(90).await;
    world.clock.advance(DAY);
    assert_eq!(look().await, 0);
}
