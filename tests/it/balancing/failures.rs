//! What becomes of a request whose backend is killed, stopped, slow, talks garbage or leaves in the middle; and that a pool
//! in trouble is not sent more than it would be in health.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Method, Response};
use http_body_util::{BodyExt, Full};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::{HOST, PATIENCE, backend, dead, metric, named, outcome, routing, spread, texts, until, world};
use crate::support::client::{h1, h2, request, send_h1, send_h2};
use crate::support::script::{Script, full, read_head};
use crate::support::world::World;

/// The beginning of an answer.
const PART: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this";

/// A backend that is a process of its own.
struct Process {
    address: SocketAddr,
    child: Child,
    _dir: TempDir,
}

impl Process {
    async fn start() -> Self {
        for _ in 0..10 {
            let (dir, address) = (TempDir::new().unwrap(), dead().await);
            let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|n| format!("{n}_temp_path {n};"));
            let config = format!(
                "daemon off; master_process off; pid nginx.pid; error_log stderr; events {{}}\n\
                 http {{ access_log off; {} server {{ listen {address}; return 200 process; }} }}\n",
                paths.join(" ")
            );
            std::fs::write(dir.path().join("nginx.conf"), config).unwrap();
            let mut child = Command::new("nginx")
                .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
                .args(["-e", "stderr", "-c", "nginx.conf", "-p"])
                .arg(dir.path())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .expect("nginx is installed by scripts/setup");
            let deadline = std::time::Instant::now() + PATIENCE;
            while child.try_wait().unwrap().is_none() && std::time::Instant::now() < deadline {
                if TcpStream::connect(address).await.is_ok() {
                    return Self { address, child, _dir: dir };
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        panic!("nginx does not start");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        let done = std::process::Command::new("kill").args([format!("-{name}"), pid]).status().unwrap();
        assert!(done.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_backend_costs_nobody_a_request() {
    let mut process = Process::start().await;
    let other = named(1).await;
    let world = world(&[process.address, other[0].address], "[pool.ejection]\nfailures = 2\n").await;
    assert_eq!(spread(&world, 10).await["process"], 5);
    process.child.kill().await.unwrap();
    assert_eq!(spread(&world, 10).await, [(other[0].address.to_string(), 10)].into(), "also of what was kept open");
    assert!(!backend(&world, process.address).healthy);
    let retries = metric(&world, "tenantry_upstream_retries_total{pool=\"app\"}").unwrap();
    assert!((2..=3).contains(&retries), "then nobody goes there any more: {retries}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_backend_times_out_is_not_asked_twice_and_comes_back() {
    let process = Process::start().await;
    let other = named(1).await;
    let pool = "read_timeout = \"300ms\"\n[pool.ejection]\nfailures = 2\nfor = \"10s\"\nslow_start = \"0ms\"\n";
    let world = world(&[process.address, other[0].address], pool).await;
    process.signal("STOP");
    let counts = spread(&world, 12).await;
    assert_eq!(counts, [("upstream-timeout".into(), 2), (other[0].address.to_string(), 10)].into());
    assert_eq!(metric(&world, "tenantry_upstream_retries_total{pool=\"app\"}"), Some(0), "it may have acted on it");
    process.signal("CONT");
    world.clock.advance(Duration::from_secs(11));
    assert_eq!(spread(&world, 10).await["process"], 5);
}

/// A world of one backend that says this to every request, and then hangs up or waits.
async fn alone(pool: &str, says: &'static [u8], hangs_up: bool) -> (World, Script) {
    let script = Script::raw(move |mut stream, _| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(says).await;
        if !hangs_up {
            let _ = stream.read_u8().await;
        }
    })
    .await;
    (world(&[script.address], pool).await, script)
}

/// One GET over HTTP/1.1: whether its answer comes whole.
async fn body_comes_whole(world: &World) -> bool {
    let mut connection = h1(world, HOST).await;
    let ask = http::Request::get("/").header("host", HOST).body(Full::default()).unwrap();
    // What comes of the head with the end right behind it may not have left the edge yet when the connection is ended.
    let Ok(answer) = connection.send_request(ask).await else { return false };
    assert_eq!(answer.status(), 200);
    answer.into_body().collect().await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_answers_cut_short_are_named() {
    let (garbage, asked) = alone("", b"\x16\x03\x01 this is no HTTP\r\n\r\n", false).await;
    assert_eq!(outcome(&garbage).await, (502, "upstream-failed".into()));
    assert_eq!(asked.accepted(), 1, "there is nobody else to ask");

    let (cut, _asked) = alone("", PART, true).await;
    assert!(!body_comes_whole(&cut).await, "cut short, and not as if it were whole");

    let (slow_head, asked) = alone("read_timeout = \"150ms\"\n", b"HTTP/1.1 200", false).await;
    assert_eq!(outcome(&slow_head).await, (504, "upstream-timeout".into()));
    assert_eq!(asked.accepted(), 1);

    let (slow_body, _asked) = alone("read_timeout = \"150ms\"\n", PART, false).await;
    assert!(!body_comes_whole(&slow_body).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cuts_answers_short_is_ejected_like_whoever_does_not_answer() {
    let cutting = Script::raw(|mut stream, _| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(PART).await;
    })
    .await;
    let other = named(1).await;
    let world = world(&[cutting.address, other[0].address], "[pool.ejection]\nfailures = 2\n").await;
    let mut whole = 0;
    for _ in 0..10 {
        whole += usize::from(body_comes_whole(&world).await);
    }
    assert_eq!(whole, 8);
    assert!(!backend(&world, cutting.address).healthy);
    // What a backend says is no failure of its, 5xx neither.
    let failing = Script::http(|_| async { Response::builder().status(500).body(full("no")).unwrap() }).await;
    let failing = super::world(&[failing.address, other[0].address], "[pool.ejection]\nfailures = 1\n").await;
    let ask = || request(Method::GET, HOST, "/").body(Full::default()).unwrap();
    let mut connection = h2(&failing, HOST).await;
    let mut own = 0;
    for _ in 0..6 {
        own += usize::from(send_h2(&mut connection, ask()).await.status == 500);
    }
    assert_eq!(own, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_end_with_the_budget() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let dying = Script::raw(move |mut stream, _| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { drop(read_head(&mut stream).await) }
    })
    .await;
    let gone = dead().await;
    // Whoever is asked fails, and is never ejected: without a budget every request would be two.
    let pool = "retry_budget = 20\n[pool.ejection]\nfailures = 0\n";
    let world_of_trouble = world(&[dying.address, gone], pool).await;
    let counts = spread(&world_of_trouble, 300).await;
    assert_eq!(counts.values().sum::<usize>(), 300);
    let retries = metric(&world_of_trouble, "tenantry_upstream_retries_total{pool=\"app\"}").unwrap();
    assert!((30..=60).contains(&retries), "a fifth of what had come by then, or the floor: {retries}");
    let refused = metric(&world_of_trouble, "tenantry_upstream_retry_budget_exhausted_total{pool=\"app\"}").unwrap();
    assert!(refused >= 200, "{refused}");

    let none = world(&[gone, dead().await], "retry_budget = 0\n").await;
    assert_eq!(outcome(&none).await, (503, "upstream-unavailable".into()));
    assert_eq!(metric(&none, "tenantry_upstream_retries_total{pool=\"app\"}"), Some(0));
}

/// A backend whose answers are kept back until it is told to let them go.
async fn holding() -> (Script, watch::Sender<bool>) {
    let (release, held) = watch::channel(false);
    let script = Script::http(move |_| {
        let mut held = held.clone();
        async move {
            let _ = held.wait_for(|released| *released).await;
            Response::new(full("at last"))
        }
    })
    .await;
    (script, release)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_breaker_refuses_at_once_what_would_only_wait() {
    let (slow, release) = holding().await;
    let world = world(&[slow.address], "max_pending = 3\n").await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut connection = h2(&world, HOST).await;
        let ask = request(Method::GET, HOST, "/").body(Full::default()).unwrap();
        waiting.push(tokio::spawn(async move { send_h2(&mut connection, ask).await }));
    }
    until("three wait", || metric(&world, "tenantry_upstream_pending{pool=\"app\"}") == Some(3)).await;
    // They go on waiting, and count, whatever is reloaded meanwhile.
    world.write("routing", &routing(&texts(&[slow.address]), "max_pending = 3\nread_timeout = \"33s\"\n"));
    assert_eq!(world.running.reloader().reload(false).await.unwrap().changes.pools.changed, ["app"]);
    let ask = request(Method::GET, HOST, "/").body(Full::default()).unwrap();
    let answer = send_h1(&mut h1(&world, HOST).await, ask).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "upstream-busy".into()));
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(metric(&world, "tenantry_upstream_breaker_open_total{pool=\"app\"}"), Some(1));
    release.send(true).unwrap();
    for answer in waiting {
        assert_eq!(answer.await.unwrap().body, "at last");
    }
    until("nobody waits", || metric(&world, "tenantry_upstream_pending{pool=\"app\"}") == Some(0)).await;
    assert_eq!(outcome(&world).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_removed_ends_what_it_has_begun() {
    let (slow, release) = holding().await;
    let other = named(1).await;
    let world = world(&[slow.address], "").await;
    let mut connection = h2(&world, HOST).await;
    let ask = request(Method::GET, HOST, "/").body(Full::default()).unwrap();
    let waiting = tokio::spawn(async move { send_h2(&mut connection, ask).await });
    until("it waits", || backend(&world, slow.address).in_flight == 1).await;
    world.write("routing", &routing(&texts(&[other[0].address]), ""));
    world.running.reloader().reload(false).await.unwrap();
    assert_eq!(spread(&world, 4).await, [(other[0].address.to_string(), 4)].into(), "nothing new goes there");
    assert_eq!(metric(&world, "tenantry_upstream_requests_in_flight{pool=\"app\"}"), Some(1));
    release.send(true).unwrap();
    assert_eq!(waiting.await.unwrap().body, "at last");
    until("it is over", || metric(&world, "tenantry_upstream_requests_in_flight{pool=\"app\"}") == Some(0)).await;
}
