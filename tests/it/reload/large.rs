//! A large configuration under load: nothing is lost while it is swapped, and nothing is left behind.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use http::Method;
use http_body_util::Full;

use super::{HOST, reload, world};
use crate::support::client::{get, h1, request, send_h1};
use crate::support::world::World;

/// As many routes over as many pools, before the one that takes everything.
fn large(routes: usize, pools: usize, mark: usize) -> String {
    let mut text = String::from("[[pool]]\nname = \"app\"\nbackends = [\"${BACKEND}\"]\n");
    for pool in 0..pools {
        let _ = write!(text, "[[pool]]\nname = \"p{pool}\"\nbackends = [\"127.0.0.1:{}\"]\n", 1 + pool + mark);
    }
    for route in 0..routes {
        let _ = write!(
            text,
            "[[route]]\nname = \"r{route}\"\nhost = \"tenant\"\npath_prefix = \"/area-{route}\"\npool = \"p{}\"\n",
            route % pools
        );
    }
    let _ = write!(
        text,
        "[[route]]\nname = \"mark\"\nhost = \"any\"\npath = \"/mark\"\n[route.answer]\nbody = \"{mark}\"\n"
    );
    text.push_str("[[route]]\nname = \"rest\"\nhost = \"any\"\npool = \"app\"\n");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_while_ten_thousand_routes_are_swapped() {
    let world = Arc::new(world().await);
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut clients = Vec::new();
    for _ in 0..4 {
        let (world, stop, served) = (Arc::clone(&world), Arc::clone(&stop), Arc::clone(&served));
        clients.push(tokio::spawn(async move {
            let mut client = h1(&world, HOST).await;
            for asked in 1.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                // After 10,000 requests a connection is closed, as `limits.requests_per_connection` has it by default.
                if asked % 5_000 == 0 {
                    client = h1(&world, HOST).await;
                }
                let ask = request(Method::GET, HOST, "/").body(Full::default()).unwrap();
                assert_eq!(send_h1(&mut client, ask).await.status.as_u16(), 200);
                served.fetch_add(1, Ordering::Relaxed);
                world.backend.take();
            }
        }));
    }
    for mark in [1, 2, 3] {
        world.write("routing", &large(10_000, 1_000, mark));
        let before = served.load(Ordering::Relaxed);
        let reloaded = reload(&world).await.unwrap();
        println!("{:.0} ms, {} requests meanwhile", reloaded.took_ms, served.load(Ordering::Relaxed) - before);
        assert_eq!(get(&world, HOST, "/mark").await.body, mark.to_string());
    }
    assert_eq!(world.running.reloader().reload(true).await.unwrap().changes, Default::default());
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert!(served.load(Ordering::Relaxed) > 100);
}

/// Resident memory, threads and open files of this very process would say what other tests do: the program itself is
/// looked at instead, from outside, by `process.rs`.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_force_is_dropped_with_the_last_request_that_uses_it() {
    let world: World = world().await;
    let before = Arc::downgrade(&world.running.reloader().config());
    assert!(before.upgrade().is_some());
    world.write("routing", &large(10, 2, 1));
    reload(&world).await.unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while before.upgrade().is_some() {
        assert!(std::time::Instant::now() < until, "somebody keeps the old configuration");
        tokio::task::yield_now().await;
    }
}
