//! Backends by name.

use std::net::SocketAddr;
use std::time::Duration;

use http::Response;
use tokio::net::TcpListener;

use super::{backends, outcome, routing, spread, until};
use crate::support::dns::Resolver;
use crate::support::script::{full, serve};
use crate::support::world::World;

const DISCOVERY: &str = "[pool.discovery]\nmin_ttl = \"50ms\"\nmax_ttl = \"50ms\"\n[pool.ejection]\nfailures = 0\n";

/// Backends at several addresses of one port, each saying its own.
async fn on_one_port(hosts: &[&str]) -> u16 {
    'ports: for _ in 0..50 {
        let first = TcpListener::bind((hosts[0], 0)).await.unwrap();
        let port = first.local_addr().unwrap().port();
        let mut listeners = vec![first];
        for host in &hosts[1..] {
            match TcpListener::bind((*host, port)).await {
                Ok(listener) => listeners.push(listener),
                Err(_) => continue 'ports,
            }
        }
        for listener in listeners {
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let name = listener.local_addr().unwrap().ip().to_string();
                    tokio::spawn(serve(stream, move |_| {
                        let name = name.clone();
                        async move { Response::new(full(name)) }
                    }));
                }
            });
        }
        return port;
    }
    panic!("no port is free at {hosts:?}");
}

async fn world(resolver: &Resolver, backends: &[String]) -> World {
    let settings = format!("[dns]\nservers = [\"{}\"]\ntimeout = \"300ms\"\nauthoritative = false\n", resolver.address);
    let world = World::builder().settings(&settings).routing(&routing(backends, DISCOVERY)).start().await;
    world.tenant("acme", "growth").await;
    world
}

fn at(world: &World) -> Vec<String> {
    let all = backends(world).into_iter().filter_map(|backend| backend.address);
    all.map(|address| address.parse::<SocketAddr>().unwrap().ip().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_followed_and_a_failure_keeps_the_last_answer() {
    let port = on_one_port(&["127.0.0.2", "127.0.0.3", "127.0.0.4"]).await;
    let dns = Resolver::start().await;
    dns.set("app.test", "A", &["127.0.0.2", "127.0.0.3"]);
    let world = world(&dns, &[format!("app.test:{port}")]).await;
    assert_eq!(spread(&world, 10).await, [("127.0.0.2".into(), 5), ("127.0.0.3".into(), 5)].into());

    dns.set("app.test", "A", &["127.0.0.3", "127.0.0.4"]);
    until("the answer changes", || at(&world) == ["127.0.0.3", "127.0.0.4"]).await;
    assert_eq!(spread(&world, 10).await, [("127.0.0.3".into(), 5), ("127.0.0.4".into(), 5)].into());

    dns.fail("app.test", true);
    let asked = dns.asked("app.test");
    dns.is_asked("app.test", asked + 6).await;
    assert_eq!(spread(&world, 2).await.len(), 2, "the last answer holds");
    dns.fail("app.test", false);
    dns.set("app.test", "A", &[]);
    let asked = dns.asked("app.test");
    dns.is_asked("app.test", asked + 6).await;
    assert_eq!(spread(&world, 2).await.len(), 2, "a name that is gone takes nobody out");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_names_of_one_pool_are_followed_each_by_itself() {
    let port = on_one_port(&["127.0.0.2", "127.0.0.3", "127.0.0.4"]).await;
    let dns = Resolver::start().await;
    dns.set("a.test", "A", &["127.0.0.2"]);
    dns.set("b.test", "A", &["127.0.0.3"]);
    let world = world(&dns, &[format!("a.test:{port}"), format!("b.test:{port}")]).await;
    assert_eq!(spread(&world, 10).await, [("127.0.0.2".into(), 5), ("127.0.0.3".into(), 5)].into());
    dns.set("b.test", "A", &["127.0.0.4"]);
    until("one changes", || at(&world) == ["127.0.0.2", "127.0.0.4"]).await;
    dns.fail("b.test", true);
    dns.set("a.test", "A", &["127.0.0.3"]);
    until("the other changes", || at(&world) == ["127.0.0.3", "127.0.0.4"]).await;
    assert_eq!(spread(&world, 10).await, [("127.0.0.3".into(), 5), ("127.0.0.4".into(), 5)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_without_an_address_is_a_fault_of_that_backend_alone() {
    let port = on_one_port(&["127.0.0.2"]).await;
    let dns = Resolver::start().await;
    dns.fail("late.test", true);
    let world = world(&dns, &[format!("late.test:{port}"), format!("127.0.0.2:{port}")]).await;
    assert_eq!(spread(&world, 4).await, [("127.0.0.2".into(), 4)].into());
    let seen = backends(&world).remove(0);
    assert_eq!((seen.address.as_deref(), seen.healthy), (None, false));
    assert!(seen.why.unwrap().contains("SERVFAIL"));

    // A reload is not kept by it either, and what is known of other names is not asked for again first.
    let only = routing(&[format!("late.test:{port}")], DISCOVERY);
    world.write("routing", &only);
    let began = std::time::Instant::now();
    world.running.reloader().reload(false).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(outcome(&world).await, (503, "upstream-unavailable".into()));
    dns.fail("late.test", false);
    dns.set("late.test", "A", &["127.0.0.2"]);
    until("it resolves", || at(&world) == ["127.0.0.2"]).await;
    assert_eq!(outcome(&world).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_families_of_addresses_are_backends() {
    let port = on_one_port(&["127.0.0.2", "::1"]).await;
    let dns = Resolver::start().await;
    dns.set("both.test", "A", &["127.0.0.2"]);
    dns.set("both.test", "AAAA", &["::1"]);
    let world = world(&dns, &[format!("both.test:{port}")]).await;
    assert_eq!(spread(&world, 10).await, [("127.0.0.2".into(), 5), ("::1".into(), 5)].into());
    // One of them is enough.
    dns.set("both.test", "A", &[]);
    until("it has the newer kind alone", || at(&world) == ["::1"]).await;
    assert_eq!(spread(&world, 4).await, [("::1".into(), 4)].into());
}
