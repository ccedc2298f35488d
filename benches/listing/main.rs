//! 1,000,000 tenants and 1,000,000 domains in SQLite, and in PostgreSQL where its programs are installed, with 100,000
//! certificates, as many orders and lines of the ledger: imported, listed, searched, filtered and counted through the API,
//! over HTTP on loopback. Prints one table, each figure with its bound, and fails when one is missed.
//!
//! `cargo bench --bench listing`; `TENANTRY_BENCH_TENANTS` takes another size, `TENANTRY_BENCH_ENGINE` (`sqlite` or
//! `postgres`) one of the two, and `TENANTRY_BENCH_KEEP` a directory in which the stores are kept, to be asked again without
//! being filled.

mod api;
mod data;
mod kept;
mod questions;

use std::path::Path;
use std::time::{Duration, Instant};

use tenantry::app::{self, App, Origin, Roles};
use tenantry::clock::Clock;
use tenantry::seal::KeyFile;
use tenantry::tenancy::{Actor, NewToken};
use tokio::runtime::Runtime;

use self::api::Api;
use self::kept::Ground;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often each question is asked, each time about something else.
const ASKED: usize = 200;
/// For the slowest hundredth of each question.
const SLOWEST: Duration = Duration::from_millis(50);
/// Rows of a table that are imported in a second, whole tables in the mean.
const RATE: f64 = 5_000.0;

/// What has been measured, a line of the table each.
#[derive(Default)]
pub struct Report {
    missed: Vec<String>,
}

impl Report {
    fn line(&mut self, what: &str, figures: &str, bound: &str, kept: bool) {
        let verdict = if kept { "" } else { "  MISSED" };
        println!("  {what:<58} {figures:<36} {bound}{verdict}");
        if !kept {
            self.missed.push(what.to_owned());
        }
    }

    /// How fast a table went in.
    pub fn rate(&mut self, what: &str, rows: usize, took: Duration) {
        let rate = rows as f64 / took.as_secs_f64();
        let figures = format!("{rate:.0}/s ({took:.1?})");
        self.line(what, &figures, &format!(">= {RATE:.0}/s"), rate >= RATE);
    }

    /// What is only told.
    pub fn told(&mut self, what: &str, figures: &str) {
        self.line(what, figures, "", true);
    }

    fn question(&mut self, what: &str, took: &mut [Duration]) {
        took.sort();
        let (middle, slow) = (took[took.len() / 2], took[took.len() * 99 / 100]);
        let figures = format!("p50 {:>7.2} ms  p99 {:>7.2} ms", middle.as_secs_f64() * 1e3, slow.as_secs_f64() * 1e3);
        self.line(what, &figures, &format!("<= {} ms", SLOWEST.as_millis()), slow <= SLOWEST);
    }
}

fn main() {
    // `cargo test` builds and starts benchmarks too, to see that they run.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let size = std::env::var("TENANTRY_BENCH_TENANTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let runtime = Runtime::new().expect("a runtime");
    let mut report = Report::default();
    for ground in kept::grounds() {
        runtime.block_on(measure(ground, size, &mut report));
    }
    if !report.missed.is_empty() {
        println!("{} bounds were missed: {}", report.missed.len(), report.missed.join("; "));
        std::process::exit(1);
    }
}

async fn measure(mut ground: Ground, size: usize, report: &mut Report) {
    app::install_crypto().expect("a provider");
    let (url, version) = ground.url().await;
    let origin = configured(ground.directory(), &url);
    let loaded = origin.read().expect("a configuration");
    // The API alone: nobody looks at a million domains meanwhile.
    let app =
        App::open_from(origin, loaded, Clock::system(), Roles { edge: false, admin: true }).await.expect("a store");
    let name = format!("bench-{}", Clock::system().now().millis());
    let issued = app
        .tenancy()
        .create_token(&Actor::new("system"), None, &NewToken { name, ..NewToken::default() })
        .await
        .expect("a token");
    let token = issued.value.secret.to_string();
    let running = app.start(Vec::new()).await.expect("a start");
    let api = Api::new(running.admin_address(), token);
    println!("{version}, tenantry {}: {size} tenants, {size} domains", env!("CARGO_PKG_VERSION"));
    data::fill(&api, running.store(), size, report).await;
    for (name, question) in questions::all() {
        let mut took = Vec::with_capacity(ASKED);
        let mut cursor: Option<String> = None;
        for n in 0..ASKED {
            let mut path = question(n, size);
            // Every other time the next page of the answer before, if there is one.
            if let Some(cursor) = cursor.take().filter(|_| n % 2 == 1) {
                path = question(n - 1, size);
                let more = if path.contains('?') { '&' } else { '?' };
                path = format!("{path}{more}cursor={cursor}");
            }
            let begun = Instant::now();
            let answer = api.get(&path).await;
            took.push(begun.elapsed());
            cursor = answer["next_cursor"].as_str().map(str::to_owned);
        }
        report.question(name, &mut took);
    }
    running.stop(Duration::from_secs(1)).await;
}

/// A configuration of the store at `url` in this directory, with the key that is there or a new one.
fn configured(directory: &Path, url: &str) -> Origin {
    let key = directory.join("store.key");
    if !key.exists() {
        KeyFile::create(&key).expect("a key");
    }
    let tenantry = format!(
        "[brand]\nbase = \"connect.localhost\"\n[[listener]]\nname = \"http\"\naddress = \"127.0.0.1:0\"\ntls = false\n\
         [admin]\naddress = \"127.0.0.1:0\"\n[log]\naccess = false\nfilter = \"off\"\n\
         [dns]\nservers = [\"127.0.0.1:1\"]\ntimeout = \"200ms\"\n\
         [store]\nurl = \"{url}\"\nkey = \"file:{}\"\n",
        key.display()
    );
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).expect("a file");
    write("tenantry.toml", &tenantry);
    write("plans.toml", include_str!("../../config/plans.toml"));
    write(
        "routing.toml",
        "[[pool]]\nname = \"app\"\nbackends = [\"127.0.0.1:1\"]\n\
         [[route]]\nname = \"r\"\nhost = \"any\"\npool = \"app\"\n",
    );
    Origin::new(directory, Some(directory))
}
