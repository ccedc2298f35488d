//! Looks at backends, ejection, the way back, and what a reload leaves as it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use http::Response;
use tokio::net::TcpListener;

use super::{addresses, backend, backends, dead, metric, named, outcome, routing, spread, texts, until, world};
use crate::support::script::{Script, full, read_head};

const LOOKS: &str = "[pool.health]\npath = \"/up\"\nhost = \"health.test\"\nexpect = [204]\ninterval = \"50ms\"\n\
                     timeout = \"50ms\"\nhealthy_after = 1\nunhealthy_after = 2\n";

/// Answers looks with a status that can be changed, and requests with `body`.
async fn looked_at(status: &Arc<AtomicU16>, body: &'static str) -> Script {
    let status = Arc::clone(status);
    Script::http(move |request| {
        let status = status.load(Ordering::SeqCst);
        async move {
            if request.uri().path() == "/up" && request.headers()["host"] == "health.test" {
                return Response::builder().status(status).body(full("")).unwrap();
            }
            Response::new(full(body))
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_fails_looks_gets_nothing_until_it_is_well_again() {
    let (a, b) = (Arc::new(AtomicU16::new(204)), Arc::new(AtomicU16::new(204)));
    let two = [looked_at(&a, "a").await, looked_at(&b, "b").await];
    let world = world(&addresses(&two), LOOKS).await;
    assert_eq!(spread(&world, 10).await, [("a".into(), 5), ("b".into(), 5)].into());
    a.store(500, Ordering::SeqCst);
    until("a is out", || !backend(&world, two[0].address).healthy).await;
    let why = backend(&world, two[0].address).why.unwrap();
    assert_eq!(why, "GET /up was answered 500, expected [204]");
    assert_eq!(spread(&world, 10).await, [("b".into(), 10)].into());
    let series = format!("tenantry_upstream_healthy{{backend=\"{}\",pool=\"app\"}}", two[0].address);
    assert_eq!(metric(&world, &series), Some(0));

    b.store(503, Ordering::SeqCst);
    until("b is out", || !backend(&world, two[1].address).healthy).await;
    assert_eq!(outcome(&world).await, (503, "upstream-unavailable".into()), "looks are believed");
    a.store(204, Ordering::SeqCst);
    until("a is back", || backend(&world, two[0].address).healthy).await;
    assert_eq!(spread(&world, 4).await, [("a".into(), 4)].into());
    assert_eq!(metric(&world, &series), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tcp_look_is_a_connection() {
    let gone = dead().await;
    let one = named(1).await;
    let looks = "[pool.health]\nkind = \"tcp\"\ninterval = \"50ms\"\ntimeout = \"50ms\"\nhealthy_after = 1\n";
    let world = world(&[gone, one[0].address], looks).await;
    until("nothing listens", || !backend(&world, gone).healthy).await;
    assert!(backend(&world, gone).why.unwrap().starts_with("no connection: "));
    assert!(backend(&world, one[0].address).healthy);
    assert_eq!(metric(&world, "tenantry_upstream_retries_total{pool=\"app\"}"), Some(0));
    spread(&world, 6).await;
    assert_eq!(metric(&world, "tenantry_upstream_retries_total{pool=\"app\"}"), Some(0), "nobody was sent there");
    let _back = TcpListener::bind(gone).await.unwrap();
    until("it listens", || backend(&world, gone).healthy).await;
}

/// Hangs up on every request, or answers.
async fn moody(works: &Arc<AtomicBool>) -> Script {
    let works = Arc::clone(works);
    Script::raw(move |mut stream, _| {
        let works = Arc::clone(&works);
        async move {
            match works.load(Ordering::SeqCst) {
                true => crate::support::script::serve(stream, |_| async { Response::new(full("moody")) }).await,
                false => drop(read_head(&mut stream).await),
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_in_a_row_eject_and_the_return_is_slow() {
    let works = Arc::new(AtomicBool::new(false));
    let moody = moody(&works).await;
    let steady = named(1).await;
    let pool = "[pool.ejection]\nfailures = 3\nfor = \"30s\"\nslow_start = \"100s\"\n";
    let world = world(&[moody.address, steady[0].address], pool).await;
    let steady = steady[0].address.to_string();
    // Every failed try is made good by another.
    assert_eq!(spread(&world, 20).await, [(steady.clone(), 20)].into());
    assert_eq!(moody.accepted(), 3);
    assert_eq!(metric(&world, "tenantry_upstream_ejections_total{pool=\"app\"}"), Some(1));
    let seen = backend(&world, moody.address);
    assert!(!seen.healthy && seen.weight == 0 && seen.ejected_until == Some(world.clock.now() + secs(30)), "{seen:?}");

    works.store(true, Ordering::SeqCst);
    world.clock.advance(secs(29));
    assert_eq!(spread(&world, 10).await, [(steady.clone(), 10)].into());
    world.clock.advance(secs(11));
    assert_eq!(backend(&world, moody.address).weight, 10);
    let counts = spread(&world, 200).await;
    assert!((1..60).contains(&counts["moody"]), "a tenth of a share: {counts:?}");
    world.clock.advance(secs(200));
    assert_eq!(spread(&world, 20).await["moody"], 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_one_is_asked_whatever_it_did() {
    let works = Arc::new(AtomicBool::new(false));
    let (one, two) = (moody(&works).await, moody(&works).await);
    let pool = "[pool.ejection]\nfailures = 1\nmost = 100\n";
    let world = world(&[one.address, two.address], pool).await;
    for _ in 0..4 {
        assert_eq!(outcome(&world).await, (502, "upstream-failed".into()));
    }
    assert!(backends(&world).iter().all(|backend| !backend.healthy));
    works.store(true, Ordering::SeqCst);
    assert_eq!(outcome(&world).await.0, 200, "both are out, and one of them is asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_forgets_no_health_and_shows_nobody_who_is_gone() {
    let works = Arc::new(AtomicBool::new(false));
    let moody = moody(&works).await;
    let steady = named(2).await;
    let pool = "[pool.ejection]\nfailures = 1\nfor = \"1h\"\n";
    let three = [moody.address, steady[0].address, steady[1].address];
    let world = world(&three, pool).await;
    spread(&world, 6).await;
    assert!(!backend(&world, moody.address).healthy);

    world.write("routing", &routing(&texts(&three[..2]), &format!("read_timeout = \"7s\"\n{pool}")));
    world.running.reloader().reload(false).await.unwrap();
    assert!(!backend(&world, moody.address).healthy, "still out");
    assert_eq!(spread(&world, 6).await, [(steady[0].address.to_string(), 6)].into());
    assert_eq!(moody.accepted(), 1);
    let shown = world.running.metrics().render();
    let shown: Vec<_> = shown.lines().filter(|line| line.starts_with("tenantry_upstream_healthy{")).collect();
    assert!(shown.len() == 2 && !shown.join(" ").contains(&three[2].to_string()), "{shown:?}");
    let states = |world: &crate::support::world::World| {
        ["healthy", "ejected"].map(|state| {
            metric(world, &format!("tenantry_upstream_backends{{pool=\"app\",state=\"{state}\"}}")).unwrap()
        })
    };
    assert_eq!(states(&world), [1, 1]);
    world.clock.advance(secs(3601));
    assert_eq!(states(&world), [2, 0], "back, also after a reload");

    let other = routing(&texts(&three[1..]), "").replace("\"app\"", "\"next\"");
    world.write("routing", &other);
    world.running.reloader().reload(false).await.unwrap();
    assert!(!world.running.metrics().render().contains("pool=\"app\""), "no series of a pool that is gone");
    assert_eq!(spread(&world, 6).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_looks_said_holds_over_a_reload_and_goes_when_nobody_looks_any_more() {
    let a = Arc::new(AtomicU16::new(500));
    let one = looked_at(&a, "a").await;
    let all = [one.address];
    let world = world(&all, LOOKS).await;
    until("it is out", || !backend(&world, all[0]).healthy).await;
    let reload = async |pool: &str| {
        world.write("routing", &routing(&texts(&all), pool));
        world.running.reloader().reload(false).await.unwrap();
    };
    reload(&format!("read_timeout = \"7s\"\n{LOOKS}")).await;
    assert_eq!(outcome(&world).await, (503, "upstream-unavailable".into()), "still out");
    reload("").await;
    assert_eq!(outcome(&world).await.0, 200, "nobody looks");
    a.store(204, Ordering::SeqCst);
    // Were it known to be down, a hundred good looks would be needed.
    let rarely =
        LOOKS.replace("interval = \"50ms\"", "interval = \"1h\"").replace("healthy_after = 1", "healthy_after = 100");
    reload(&rarely).await;
    assert_eq!(outcome(&world).await.0, 200);
    assert!(backend(&world, all[0]).healthy);
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
