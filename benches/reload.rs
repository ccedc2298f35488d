//! A reload of 10,000 routes over 1,000 pools under 2,000 requests a second: how long it takes, what is lost, and how
//! late the slowest hundredth of the requests is while it runs and while it does not; fails when that is not what is
//! promised (200 ms, none, twice). Visitors, edge and backend share
//! this process and its cores. `cargo bench --bench reload`

use std::convert::Infallible;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tenantry::app::{self, App, Origin, Roles};
use tenantry::clock::Clock;
use tenantry::seal::KeyFile;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::{MissedTickBehavior, interval};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLIENTS: usize = 20;
const A_SECOND: u64 = 2_000;
const RELOADS: usize = 10;

/// When a request was due, and how long after that its answer was there; `None`: there was none, or another than 200.
type Seen = Arc<Mutex<Vec<(Instant, Option<Duration>)>>>;

fn main() {
    // `cargo test` builds and starts benchmarks too, to see that they run.
    if std::env::args().any(|argument| argument == "--bench") {
        Runtime::new().expect("a runtime").block_on(measure());
    }
}

async fn measure() {
    app::install_crypto().expect("a provider");
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    KeyFile::create(&path("store.key")).expect("a key");
    let backend = backend().await;
    let tenantry = format!(
        "[brand]\nbase = \"connect.localhost\"\n[[listener]]\nname = \"http\"\naddress = \"127.0.0.1:0\"\ntls = false\n\
         [admin]\naddress = \"127.0.0.1:0\"\n[log]\naccess = false\nfilter = \"off\"\n\
         [store]\nurl = \"sqlite:{}\"\nkey = \"file:{}\"\n",
        path("t.db").display(),
        path("store.key").display()
    );
    std::fs::write(path("tenantry.toml"), tenantry).expect("a file");
    std::fs::write(path("plans.toml"), include_str!("../config/plans.toml")).expect("a file");
    std::fs::write(path("routing.toml"), routing(backend, 0)).expect("a file");
    let origin = Origin::new(dir.path(), Some(dir.path()));
    let loaded = origin.read().expect("a configuration");
    let app = App::open_from(origin, loaded, Clock::system(), Roles::ALL).await.expect("a store");
    let running = app.start(Vec::new()).await.expect("a start");
    let edge = running.address("http").expect("a listener");

    let seen = Seen::default();
    let clients: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(visit(edge, Arc::clone(&seen)))).collect();
    tokio::time::sleep(Duration::from_secs(6)).await;
    let quiet_until = Instant::now();
    let mut windows = Vec::new();
    for round in 1..=RELOADS {
        std::fs::write(path("routing.toml"), routing(backend, round)).expect("a file");
        tokio::time::sleep(Duration::from_millis(500)).await;
        let begun = Instant::now();
        let reloaded = running.reloader().reload(false).await.expect("it is in order");
        windows.push((begun, Instant::now(), reloaded.took_ms));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    clients.iter().for_each(tokio::task::JoinHandle::abort);
    report(&seen.lock().expect("nobody panicked"), quiet_until, &windows);
    running.stop(Duration::from_secs(1)).await;
}

fn report(seen: &[(Instant, Option<Duration>)], quiet_until: Instant, windows: &[(Instant, Instant, f64)]) {
    let warm = seen.first().expect("some").0 + Duration::from_secs(1);
    let p99 = |during: &dyn Fn(Instant) -> bool| {
        let mut all: Vec<Duration> = seen.iter().filter(|(at, _)| during(*at)).filter_map(|(_, took)| *took).collect();
        all.sort();
        (all.len(), all.get(all.len() * 99 / 100).copied().unwrap_or_default())
    };
    let lost = seen.iter().filter(|(_, took)| took.is_none()).count();
    let (before, quiet) = p99(&|at| at > warm && at < quiet_until);
    let (during, busy) = p99(&|at| windows.iter().any(|(from, to, _)| at >= *from && at <= *to));
    let mut took: Vec<f64> = windows.iter().map(|(_, _, ms)| *ms).collect();
    took.sort_by(f64::total_cmp);
    println!("10,000 routes, 1,000 pools, reloads: {took:.0?} ms");
    println!("requests: {} in all, {lost} lost", seen.len());
    println!("p99 before: {quiet:.2?} of {before}; while a reload runs: {busy:.2?} of {during}");
    assert_eq!(lost, 0, "requests were lost");
    let median = took[took.len() / 2];
    assert!(median <= 200.0, "a reload takes longer than 200 ms: {took:.0?}");
    assert!(during < 100 || busy <= quiet * 2, "too late while a reload runs: {busy:.2?}, before it {quiet:.2?}");
}

/// One connection that asks at even times, whether the answer before was late or not.
async fn visit(edge: SocketAddr, seen: Seen) {
    let stream = TcpStream::connect(edge).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("h1");
    tokio::spawn(connection);
    let mut times = interval(Duration::from_nanos(1_000_000_000 / A_SECOND * CLIENTS as u64));
    times.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        let due = times.tick().await.into_std();
        let ask = http::Request::get("/").header("host", "ops.connect.localhost").body(Full::<Bytes>::default());
        let answer = sender.send_request(ask.expect("a request")).await;
        let mut took = None;
        if let Ok(answer) = answer
            && answer.status() == 200
            && answer.into_body().collect().await.is_ok()
        {
            took = Some(due.elapsed());
        }
        seen.lock().expect("nobody panicked").push((due, took));
    }
}

async fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = service_fn(async |_| Ok::<_, Infallible>(http::Response::new(Full::<Bytes>::from("hello"))));
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
            tokio::spawn(async move { drop(connection.await) });
        }
    });
    address
}

/// Every pool is another one in each round.
fn routing(backend: SocketAddr, round: usize) -> String {
    let mut text = format!("[[pool]]\nname = \"app\"\nbackends = [\"{backend}\"]\n");
    for pool in 0..1_000 {
        let _ = writeln!(text, "[[pool]]\nname = \"p{pool}\"\nbackends = [\"127.0.{round}.1:{}\"]", 1 + pool);
    }
    for route in 0..10_000 {
        let host = if route % 2 == 0 { "tenant" } else { "any" };
        let pool = route % 1_000;
        let _ = writeln!(
            text,
            "[[route]]\nname = \"r{route}\"\nhost = \"{host}\"\npath_prefix = \"/area-{route}\"\npool = \"p{pool}\""
        );
    }
    text.push_str("[[route]]\nname = \"rest\"\nhost = \"any\"\npool = \"app\"\n");
    text
}
