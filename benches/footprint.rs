//! What a million hosts weigh, and how long a node with a million of them and a hundred thousand certificates takes to
//! serve. Not a timing loop: it builds the data set (minutes), measures once, and prints. `cargo bench --bench footprint`

mod common;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tenantry::app::{self, App, Roles};
use tenantry::clock::Clock;
use tenantry::config::{Config, Sources};
use tenantry::model::{Certificate, Hostname};
use tenantry::seal::KeyFile;
use tenantry::tls::{LocalCa, probe};
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HOSTS: usize = 1_000_000;
const CERTIFICATES: usize = 100_000;
/// Handshakes of each kind that are timed.
const SEEN: usize = 1_000;
const DEADLINE: Duration = Duration::from_secs(10);

fn main() {
    // `cargo test` builds and starts benchmarks too, to see that they run; this one would take minutes.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(weigh());
    runtime.block_on(start());
}

/// Hosts that all lead to one tenant, so that what is weighed is hosts alone.
async fn weigh() {
    let catalogue = common::config(include_str!("../config/dev/routing.toml")).catalogue;
    let directory = common::directory(Arc::new(common::Memory));
    let brand = common::brand();
    let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let ask = async |n: usize| {
        let host = Hostname::parse(&format!("community-{n:07}.customer.shop.example")).expect("a host name");
        let class = brand.classify(&host);
        directory.resolve(&host, &class, client, &catalogue, false).await.expect("the source answers");
    };
    ask(0).await;
    let before = resident();
    for n in 1..=HOSTS {
        ask(n).await;
    }
    directory.stats();
    let bytes = resident().saturating_sub(before);
    println!("cached hosts: {HOSTS} of 42 bytes, {} bytes each ({} MiB)", bytes / HOSTS, bytes >> 20);
}

/// From `App::open` to listening sockets, on a SQLite file with everything in it.
async fn start() {
    app::install_crypto().expect("a provider");
    let dir = tempfile::tempdir().expect("a directory");
    KeyFile::create(&dir.path().join("store.key")).expect("a key");
    let state = dir.path().display().to_string();
    let config = || -> Config {
        let sources = Sources::new(
            include_str!("../config/dev/tenantry.toml"),
            include_str!("../config/dev/routing.toml"),
            include_str!("../config/plans.toml"),
        );
        let lookup = |name: &str| match name {
            "STATE" => Some(state.clone()),
            "HTTPS_PORT" | "HTTP_PORT" | "ADMIN_PORT" => Some("0".into()),
            _ => None,
        };
        Config::parse(&sources, &lookup).expect("the configuration")
    };
    let app = App::open(config(), Clock::system(), Roles::ALL).await.expect("a store");
    let filled = Instant::now();
    let chain = fill(&app).await;
    println!("data set: {HOSTS} tenants and {CERTIFICATES} certificates in {:.0?}", filled.elapsed());
    app.store().close().await;
    drop(app);
    let begun = Instant::now();
    let app = App::open(config(), Clock::system(), Roles::ALL).await.expect("a store");
    let running = app.start(Vec::new()).await.expect("a start");
    println!("start with them: listening after {:.0?}, resident {} MiB", begun.elapsed(), resident() >> 20);
    visit(&running, &chain).await;
    running.stop(Duration::from_secs(1)).await;
}

async fn fill(app: &App) -> String {
    let ca = LocalCa::create(Clock::system()).expect("an authority");
    let model = ca.issue(&["bench.example".into()], 90).expect("a certificate");
    for chunk in 0..HOSTS / 20_000 {
        let mut write = app.store().write().await.expect("a write");
        for n in 0..20_000 {
            write.insert_tenant(&common::tenant((chunk * 20_000 + n) as u128)).await.expect("a tenant");
        }
        write.commit().await.expect("a commit");
    }
    for chunk in 0..CERTIFICATES / 10_000 {
        let mut write = app.store().write().await.expect("a write");
        for n in 0..10_000 {
            let name = format!("c{}.customer.example", chunk * 10_000 + n);
            let certificate = Certificate { id: uuid::Uuid::now_v7().to_string(), names: vec![name], ..model.clone() };
            write.insert_certificate(&certificate).await.expect("a certificate");
        }
        write.commit().await.expect("a commit");
    }
    model.chain
}

/// The first handshake with a certificate that was never served against the next ones; and what a node keeps when it has
/// served more certificates than its cache holds.
async fn visit(running: &app::Running, chain: &str) {
    let address = running.address("https").expect("a listener");
    let name = |n: usize| format!("c{n}.customer.example");
    let round = async |names: std::ops::Range<usize>| {
        let mut times = Vec::with_capacity(names.len());
        for n in names {
            let begun = Instant::now();
            probe(address, &name(n), chain, DEADLINE).await.expect("a handshake");
            times.push(begun.elapsed());
        }
        times.sort();
        (times[times.len() / 2], times[times.len() * 99 / 100])
    };
    round(0..SEEN.min(100)).await;
    let (cold, hot) = (round(100..SEEN + 100).await, round(100..SEEN + 100).await);
    println!(
        "handshakes, the client's half included: cold {:.2?} (p99 {:.2?}), hot {:.2?} (p99 {:.2?}), so {:.2?} for the first",
        cold.0,
        cold.1,
        hot.0,
        hot.1,
        cold.0.saturating_sub(hot.0)
    );
    let kept = usize::try_from(running.config().tls.cache).unwrap_or(usize::MAX);
    for (what, upto) in [("as many as are kept", kept), ("half as many again", kept * 3 / 2)] {
        let upto = upto.min(CERTIFICATES);
        round(SEEN..upto.max(SEEN + 1)).await;
        println!("{upto} certificates served ({what}): resident {} MiB", resident() >> 20);
    }
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}
