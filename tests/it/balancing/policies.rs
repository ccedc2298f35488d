//! Who gets the next request.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use http::{Method, Response};
use http_body_util::Full;
use tokio::sync::watch;

use super::{HOST, addresses, backend, dead, metric, named, routing, spread, texts, until, world};
use crate::support::client::{get, get_with, h2, request, send_h2};
use crate::support::script::{Script, full};
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn round_robin_is_even_and_skips_nobody() {
    let three = named(3).await;
    let world = world(&addresses(&three), "").await;
    let counts = spread(&world, 30).await;
    assert!(counts.len() == 3 && counts.values().all(|count| *count == 10), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn least_connections_goes_round_a_backend_that_is_busy() {
    let (release, held) = watch::channel(false);
    let slow = Script::http(move |_| {
        let mut held = held.clone();
        async move {
            let _ = held.wait_for(|released| *released).await;
            Response::new(full("slow"))
        }
    })
    .await;
    let quick = named(1).await;
    let world = world(&[slow.address, quick[0].address], "balance = \"least_connections\"").await;
    let mut waiting = Vec::new();
    // Of two requests at a time, one waits at the slow one before long.
    while slow.accepted() == 0 {
        let mut connection = h2(&world, HOST).await;
        let ask = request(Method::GET, HOST, "/").body(Full::default()).unwrap();
        waiting.push(tokio::spawn(async move { send_h2(&mut connection, ask).await }));
        tokio::task::yield_now().await;
    }
    let at = |address| backend(&world, address).in_flight;
    // One that has been sent but not arrived would be at the quick one just when the next is to choose.
    let unanswered = || waiting.iter().filter(|answer| !answer.is_finished()).count();
    until("all have arrived", || at(slow.address) > 0 && at(slow.address) == unanswered()).await;
    for _ in 0..20 {
        // A request is over for its pool a moment after its answer has arrived.
        until("it waits", || at(slow.address) > 0 && at(quick[0].address) == 0).await;
        assert_eq!(spread(&world, 1).await, BTreeMap::from([(quick[0].address.to_string(), 1)]));
    }
    release.send(true).unwrap();
    for answer in waiting {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    until("it is over", || metric(&world, "tenantry_upstream_requests_in_flight{pool=\"app\"}") == Some(0)).await;
}

/// Where each of many clients goes.
async fn clients(world: &World) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for n in 0..60 {
        // The rest of a /64 is the same client's.
        let client = format!("2001:db8:{n:x}::{n:x}");
        let answer = get_with(world, HOST, "/", &[("x-forwarded-for", &client)]).await;
        all.insert(client, String::from_utf8(answer.body.to_vec()).unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_keeps_its_backend_and_only_those_of_one_that_goes_move() {
    let four = named(4).await;
    let pool = "balance = \"hash_client\"";
    let proxies = "[headers]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    let settings = World::builder().settings(proxies);
    let world = settings.routing(&routing(&texts(&addresses(&four)), pool)).start().await;
    world.tenant("acme", "growth").await;
    let before = clients(&world).await;
    assert_eq!(clients(&world).await, before);
    let used: std::collections::BTreeSet<_> = before.values().collect();
    assert_eq!(used.len(), 4, "everyone has some");
    let same = get_with(&world, HOST, "/", &[("x-forwarded-for", "2001:db8:7:0:ffff::9")]).await;
    assert_eq!(same.body, before["2001:db8:7::7"], "one /64 is one client");

    let gone = four[0].address.to_string();
    world.write("routing", &routing(&texts(&addresses(&four[1..])), pool));
    world.running.reloader().reload(false).await.unwrap();
    let after = clients(&world).await;
    for (client, backend) in &before {
        match *backend == gone {
            true => assert_ne!(after[client], gone),
            false => assert_eq!(after[client], *backend, "{client} had no reason to move"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_keeps_its_backend_also_when_another_fails() {
    let two = named(2).await;
    let gone = dead().await;
    let all: Vec<SocketAddr> = vec![two[0].address, gone, two[1].address];
    let world = world(&all, "balance = \"hash_tenant\"").await;
    for n in 0..12 {
        let slug = format!("t{n}");
        world.tenant(&slug, "growth").await;
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..3 {
            // Whoever belongs to the dead one is served by the next on the ring, always the same.
            let answer = get(&world, &world.host(&slug), "/").await;
            assert_eq!(answer.status, 200);
            seen.insert(answer.body);
        }
        assert_eq!(seen.len(), 1, "{slug}");
    }
}
