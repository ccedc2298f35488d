//! What a request costs in heap allocations, counted and not timed: a change that makes it dearer fails here, on a slow
//! or busy machine as on any other. The edge has a thread to itself, client and backend are on others, and nothing runs
//! on its thread but while somebody counts.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use alloc_tracker::{Allocator, Session};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tempfile::TempDir;
use tenantry::config::Config;
use tenantry::telemetry;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio_rustls::client::TlsStream;

use crate::support::client::{request, send_h1, send_h2, tls_trusting_with};
use crate::support::script::{Script, full};
use crate::support::world::{BASE, ROUTING, World};

#[global_allocator]
static ALLOCATOR: Allocator<std::alloc::System> = Allocator::system();

/// Allocations of one request and its answer, as they were counted when this was last changed (unoptimised, as tests are
/// built; growing what is there counts as one). Whoever brings one down lowers it here. Pingora's own are among them: the
/// smallest proxy on it that sets the same headers and writes the same line, `benches/compare/bare.rs`, has 129 (HTTP/1.1)
/// and 97 (HTTP/2).
const FORWARDED_H1: u64 = 90;
const FORWARDED_H2: u64 = 85;
const REFUSED_H2: u64 = 51;

/// What a count may be above its budget: where a request ends in a buffer that is shared by several is not always the same.
const SLACK: u64 = 2;

/// Requests by which the two counts differ whose difference is told.
const REQUESTS: usize = 16;
/// How often each is counted; the middle one is told, so that what comes now and then by itself is not in it.
const COUNTS: usize = 9;

#[test]
fn a_request_costs_no_more_than_its_budget() {
    let house = House::start();
    let mut h1 = house.h1("acme");
    let forwarded_h1 = house.cost(async || {
        assert_eq!(send_h1(&mut h1, page("acme")).await.status, StatusCode::OK);
    });
    let mut h2 = house.h2("acme");
    let forwarded_h2 = house.cost(async || {
        assert_eq!(send_h2(&mut h2, page("acme")).await.status, StatusCode::OK);
    });
    let mut h2 = house.h2("gone");
    let refused_h2 = house.cost(async || {
        assert_eq!(send_h2(&mut h2, page("gone")).await.code(), "tenant-suspended");
    });
    let found = [
        ("forwarded, HTTP/1.1", forwarded_h1, FORWARDED_H1),
        ("forwarded, HTTP/2", forwarded_h2, FORWARDED_H2),
        ("refused, HTTP/2", refused_h2, REFUSED_H2),
    ];
    assert!(found.iter().all(|(_, cost, budget)| *cost <= budget + SLACK), "{}", complaint(&found));
    // A counter that counts nothing would be content with everything.
    assert!(found.iter().all(|(_, cost, budget)| cost * 2 > *budget), "{}", complaint(&found));
}

fn complaint(found: &[(&str, u64, u64)]) -> String {
    let line =
        |(what, cost, budget): &(&str, u64, u64)| format!("{what}: {cost} allocations, the budget is {budget}\n");
    let program = std::env::current_exe().unwrap();
    format!(
        "{}Who allocates, with how often (Debian has heaptrack; the edge's stacks go through `tenantry::`, and each of the \
         three was asked for {} times):\n  heaptrack -o /tmp/allocations {} edge::allocations\n  \
         heaptrack_print /tmp/allocations.* --flamegraph-cost-type allocations -F /tmp/allocations.stacks\n",
        found.iter().map(line).collect::<String>(),
        3 * REQUESTS * COUNTS,
        program.display()
    )
}

/// What a browser sends.
fn page(tenant: &str) -> Request<Full<Bytes>> {
    request(Method::GET, &format!("{tenant}.{BASE}"), "/orders/17?page=2")
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0")
        .header("accept", "application/json, text/plain;q=0.9")
        .header("accept-language", "en-GB,en;q=0.7,de;q=0.3")
        .header("accept-encoding", "gzip, deflate, br, zstd")
        .header("cookie", "theme=dark; sid=31d4d96e407aad42")
        .body(Full::default())
        .unwrap()
}

/// An edge on a thread of its own, with a backend and room for clients on others.
struct House {
    around: Runtime,
    address: SocketAddr,
    root: String,
    counts: Receiver<u64>,
    /// The first to go: without it the edge's thread ends.
    windows: Option<Sender<oneshot::Receiver<()>>>,
    edge: Option<JoinHandle<()>>,
    _backend: Script,
}

impl House {
    fn start() -> Self {
        let around = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let backend = around.block_on(Script::http(|_| async {
            let answer = Response::builder().header("content-type", "application/json").header("etag", "\"17\"");
            answer.body(full(r#"{"order":17}"#)).unwrap()
        }));
        let ((windows, to_count), (counted, counts)) = (channel(), channel());
        let (told, doors) = channel();
        let behind = backend.address;
        let edge = std::thread::spawn(move || serve(behind, &told, &to_count, &counted));
        let (address, root) = doors.recv().unwrap();
        Self { around, address, root, counts, windows: Some(windows), edge: Some(edge), _backend: backend }
    }

    /// What one of these costs on a connection that is warm.
    fn cost(&self, mut visit: impl AsyncFnMut()) -> u64 {
        let mut middle = |requests: usize| {
            let mut counts: Vec<u64> = (0..COUNTS).map(|_| self.count(requests, &mut visit)).collect();
            counts.sort_unstable();
            counts[COUNTS / 2]
        };
        // The first comes from a cold connection; it is not the middle one.
        let (once, twice) = (middle(REQUESTS), middle(2 * REQUESTS));
        (twice - once + REQUESTS as u64 / 2) / REQUESTS as u64
    }

    /// What the edge allocates for so many.
    fn count(&self, requests: usize, visit: &mut impl AsyncFnMut()) -> u64 {
        self.while_it_serves(async {
            for _ in 0..requests {
                visit().await;
            }
        })
        .1
    }

    /// Has the edge run until this is done, and says what it has allocated.
    fn while_it_serves<T>(&self, work: impl Future<Output = T>) -> (T, u64) {
        let (done, window) = oneshot::channel();
        self.windows.as_ref().unwrap().send(window).unwrap();
        let result = self.around.block_on(work);
        done.send(()).unwrap();
        (result, self.counts.recv().unwrap())
    }

    fn h1(&self, tenant: &str) -> http1::SendRequest<Full<Bytes>> {
        let connect = async {
            let io = TokioIo::new(self.connect(tenant, "http/1.1").await);
            let (sender, connection) = http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            sender
        };
        self.while_it_serves(connect).0
    }

    fn h2(&self, tenant: &str) -> http2::SendRequest<Full<Bytes>> {
        let connect = async {
            let io = TokioIo::new(self.connect(tenant, "h2").await);
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            sender
        };
        self.while_it_serves(connect).0
    }

    async fn connect(&self, tenant: &str, protocol: &str) -> TlsStream<TcpStream> {
        let host = format!("{tenant}.{BASE}");
        tls_trusting_with(&self.root, self.address, &host, &[protocol]).await.unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.windows = None;
        let ended = self.edge.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}

/// The edge's thread: tells where its door is and whom to trust there, then serves while a window is open, and says what it
/// allocated meanwhile.
fn serve(
    backend: SocketAddr,
    doors: &Sender<(SocketAddr, String)>,
    windows: &Receiver<oneshot::Receiver<()>>,
    counted: &Sender<u64>,
) {
    let dir = TempDir::new().unwrap();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(world(backend, dir.path()));
    let log = Config::load_with(&world.files, &|_| None).unwrap().log;
    // Another test may have been first; what a line costs is the same wherever it goes.
    let (_, _guard) = telemetry::install(&log).unwrap();
    assert!(tracing::enabled!(target: "access", tracing::Level::INFO), "there would be no access lines");
    doors.send((world.https(), world.ca.certificate().to_owned())).unwrap();
    for window in windows {
        counted.send(allocations(|| runtime.block_on(until(window)))).unwrap();
    }
    runtime.block_on(async { drop(world) });
}

/// With everything that a node has unless it is told otherwise, a plan with limits and a log in a file.
async fn world(backend: SocketAddr, dir: &Path) -> World {
    let log = format!("[log]\noutput = \"{}\"\n", dir.join("log").display());
    let routing = ROUTING.replace("${BACKEND}", &backend.to_string());
    let world = World::builder().settings(&log).routing(&routing).start().await;
    for tenant in ["acme", "gone"] {
        world.tenant(tenant, "free").await;
        // The plan's rate would refuse most of them; theirs is told to visitors, too.
        world.edge(tenant, json!({ "limits": { "requests_per_second": 1_000_000 } })).await;
    }
    world.suspend("gone").await;
    world
}

/// Until this is done, and whatever is ready by then: a request's end comes after its answer.
async fn until(done: oneshot::Receiver<()>) {
    let _ = done.await;
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}

/// How often this thread allocates meanwhile.
fn allocations(work: impl FnOnce()) -> u64 {
    let session = Session::new().no_stdout().no_file();
    let operation = session.operation("window");
    let span = operation.measure_thread().iterations(1);
    work();
    drop(span);
    session.to_report().operations().map(|(_, operation)| operation.total_allocations_count()).sum()
}
