//! The first visitor of a domain whose certificate is on its way waits a moment for it; nobody else waits for anything.

use std::time::{Duration, Instant};

use tenantry::clock::{Clock, Timestamp};
use tenantry::tls::{ProbeError, probe};

use crate::support::client;
use crate::support::world::World;

/// A world with a domain that is verified and has no certificate: its order waits, and nobody works on it.
async fn world(wait: &str) -> World {
    let world = World::builder().settings(&format!("[tls]\ncertificate_wait = \"{wait}\"\n")).start().await;
    world.tenant("acme", "growth").await;
    world.claim("acme", "shop.example", true).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_visitor_waits_for_the_certificate_and_gets_it() {
    let world = world("30s").await;
    let address = world.https();
    let certificate = world.ca.issue(&["shop.example".into()], 30).unwrap();
    let chain = certificate.chain.clone();
    let visitors: Vec<_> = (0..20)
        .map(|_| {
            let chain = chain.clone();
            tokio::spawn(async move { probe(address, "shop.example", &chain, Duration::from_secs(30)).await })
        })
        .collect();
    let all_wait = async {
        while world.running.metrics().certificate_waiters.get() < 20 {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all_wait).await.unwrap();
    assert!(visitors.iter().all(|visitor| !visitor.is_finished()));
    world.certificate(&["other.example"]).await;
    assert!(visitors.iter().all(|visitor| !visitor.is_finished()), "another's certificate is not theirs");
    let mut write = world.running.store().write().await.unwrap();
    write.insert_certificate(&certificate).await.unwrap();
    write.commit().await.unwrap();
    for visitor in visitors {
        visitor.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_has_an_end_and_what_has_failed_is_not_waited_for() {
    let world = world("300ms").await;
    let refused = client::tls(&world, "shop.example", &[]).await.unwrap_err();
    assert!(refused.to_string().to_lowercase().contains("unrecogni"), "{refused}");

    let world = self::world("30s").await;
    let store = world.running.store();
    let mut row = store.order("shop.example").await.unwrap().unwrap();
    (row.failures, row.not_before) = (1, Timestamp(i64::MAX / 2));
    let mut aside = store.aside().await.unwrap();
    assert!(aside.save_order(&row).await.unwrap());
    aside.commit().await.unwrap();
    let asked = Instant::now();
    client::tls(&world, "shop.example", &[]).await.unwrap_err();
    client::tls(&world, "nobody.example", &[]).await.unwrap_err();
    assert!(asked.elapsed() < Duration::from_secs(10), "nobody waited thirty seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcards_certificate_serves_the_hosts_beneath_it_and_their_own_goes_first() {
    let dns = "[acme.dns]\nprovider = \"command\"\ncommand = \"/bin/true\"\ndelegation = \"acme.connect.localhost\"\n";
    let world = World::builder().settings(dns).start().await;
    world.tenant("acme", "growth").await;
    world.claim("acme", "*.community.example", true).await;
    world.certificate(&["*.community.example"]).await;
    let wild = world.running.store().certificate("*.community.example").await.unwrap().unwrap().chain;
    let shown =
        async |host: &str, chain: &str| probe(world.https(), host, chain, Duration::from_secs(10)).await.is_ok();
    assert!(shown("a.community.example", &wild).await);
    assert!(!shown("community.example", &wild).await, "the wildcard does not cover its own name");
    assert!(!shown("a.b.community.example", &wild).await, "nor two labels");
    assert_eq!(client::get(&world, "a.community.example", "/").await.status, 200);
    world.certificate(&["b.community.example"]).await;
    let own = world.running.store().certificate("b.community.example").await.unwrap().unwrap().chain;
    assert!(shown("b.community.example", &own).await);
    assert!(shown("a.community.example", &wild).await);
}

/// Bots with made-up names: nothing is ordered, asked or written for them.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_random_names_cost_no_order_no_question_and_no_write() {
    let handshakes = if std::env::var_os("TENANTRY_TEST_FULL").is_some() { 10_000 } else { 2_000 };
    let clock = Clock::manual(Timestamp::parse("2026-11-21T12:00:00Z").unwrap());
    let settings = "[limits]\nconnections_per_address = 10000\nunknown_sni_per_second = \"off\"\n[directory]\nmiss_rate = 100000\nmiss_burst = 100000\n\
         [dns]\nservers = [\"127.0.0.1:1\"]\n\
         [[acme.authority]]\nname = \"nobody\"\ndirectory = \"https://127.0.0.1:1/dir\"\n";
    let world = World::builder().settings(settings).clock(clock).start().await;
    world.tenant("acme", "growth").await;
    let store = world.running.store();
    let before = (store.revision().await.unwrap(), store.orders(&Default::default()).await.unwrap().len());
    let address = world.https();
    let chain = world.ca.certificate().to_owned();
    let mut under_way = tokio::task::JoinSet::new();
    let mut refused = 0;
    for n in 0..handshakes {
        let name = match n % 3 {
            0 => format!("bot{n}.example"),
            1 => format!("{n}.deep.bot.example"),
            _ => format!("bot{n}.{}", crate::support::world::BASE),
        };
        let chain = chain.clone();
        under_way.spawn(async move {
            let refused = probe(address, &name, &chain, Duration::from_secs(60)).await.unwrap_err();
            // Those of slug hosts are answered with the base domain's wildcard, which is not the chain expected.
            matches!(refused, ProbeError::Handshake(_) | ProbeError::Another)
        });
        if under_way.len() >= 64 {
            refused += usize::from(under_way.join_next().await.unwrap().unwrap());
        }
    }
    while let Some(done) = under_way.join_next().await {
        refused += usize::from(done.unwrap());
    }
    assert_eq!(refused, handshakes);
    let metrics = world.running.metrics();
    let unknown = metrics.handshakes_failed.with_label_values(&["unknown-name"]).get();
    assert!(unknown >= (handshakes / 2) as u64, "{unknown} of {handshakes} were refused for their names");
    let after = (store.revision().await.unwrap(), store.orders(&Default::default()).await.unwrap().len());
    assert_eq!(after, before);
    let questions = world.running.metrics().dns_queries.with_label_values(&["answered"]).get()
        + world.running.metrics().dns_queries.with_label_values(&["no-records"]).get()
        + world.running.metrics().dns_queries.with_label_values(&["failed"]).get();
    assert_eq!(questions, 0);
}
