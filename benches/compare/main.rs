//! Tenantry beside what people use today, in one run: with 10, 100,000 and 1,000,000 hosts, beside a bare pingora that does the
//! same to a request, and beside nginx, HAProxy and Caddy where they are installed. Each server has one core, the load and the
//! backend the other; servers take turns within every round, so that a machine that drifts is fair to all. What is compared is
//! the CPU time that the system says a server has used. A table is printed and written to `benches/results/`, with JSON and a
//! picture.
//!
//! `make bench`, or `cargo bench --profile plain --bench compare`. `TENANTRY_BENCH_QUICK=1`: a small run of about a minute that shows
//! that it works; `TENANTRY_BENCH_KEEP`: a directory in which the large stores are kept; `TENANTRY_BENCH_PROGRAM`: another
//! program than the one that cargo has built; `TENANTRY_BENCH_FULL_BUILD`: the program of `make release`, which takes part beside
//! the others; `TENANTRY_BENCH_RESULTS`: where the results go;
//! `TENANTRY_BENCH_ROUNDS`: another number of rounds; `TENANTRY_BENCH_UNTIL`: when all has to be over, in seconds since 1970, for
//! which rounds are left out, down to three.

#[path = "../listing/api.rs"]
#[allow(dead_code)]
mod api;
mod backend;
mod bare;
mod changes;
mod client;
#[path = "../common/mod.rs"]
mod common;
mod generated;
mod loads;
mod machine;
mod memory;
mod names;
mod picture;
#[allow(dead_code)]
#[path = "../../tests/support/program.rs"]
mod program;
mod report;
mod scale;
mod servers;
mod site;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::loads::{Load, measure};
use self::report::{Fact, Report, Series, count};
use self::scale::Scale;
use self::servers::{Ground, Server};
use self::site::Site;
use tenantry::clock::Clock;
use tenantry::tls::LocalCa;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|word| word == bare::WORD) {
        bare::run(&arguments[1..]);
    }
    // `cargo test` builds and starts benchmarks too, to see that they run.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    // One thread: the load has one core.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(compare(&Scale::from_environment()));
}

async fn compare(scale: &Scale) {
    let begun = Instant::now();
    tenantry::app::install_crypto().expect("a provider");
    let temporary = tempfile::tempdir().expect("a directory");
    let descriptors = machine::raise_descriptors();
    let ca = LocalCa::create(Clock::system()).expect("an authority");
    let certificate = ca.issue(&[format!("*.{}", names::BASE)], 30).expect("a certificate");
    let backend = backend::start().await;
    let ground = Ground::new(temporary.path(), backend, &certificate);
    let kept = std::env::var_os("TENANTRY_BENCH_KEEP").map(PathBuf::from);
    let stores = kept.unwrap_or_else(|| temporary.path().to_owned());
    let mut sites = Vec::new();
    for (tenants, domains) in scale.sites {
        sites.push(Site::new(&stores, tenants, domains, backend, &certificate).await);
    }
    if !machine::bind_to_load_core() {
        return println!(
            "two cores and taskset are needed to keep the load apart from the servers: nothing is measured"
        );
    }
    let (servers, mut facts) = start(scale, &sites, &ground).await;
    progress(begun, "all serve");
    facts.extend(weigh(&servers, scale.idle.min(descriptors.saturating_sub(2_000))).await);
    progress(begun, "idle connections are weighed");
    let series = rounds(scale, &servers, begun).await;
    facts.extend(change(scale, &sites, &servers, &ground).await);
    // The same question to all, one beneath the other, where it was asked first.
    let asked: Vec<String> = facts.iter().map(|fact| fact.what.clone()).collect();
    facts.sort_by_key(|fact| asked.iter().position(|what| *what == fact.what));
    progress(begun, "changes are made");
    let report = Report {
        taken: serde_json::json!(Clock::system().now()),
        machine: machine::describe(),
        quick: scale.quick,
        servers: servers.iter().map(|server| (server.name.clone(), server.version.clone())).collect(),
        series,
        facts,
    };
    println!("\n{}", report.table());
    progress(begun, "done");
    write(&report);
}

/// All servers, in the order of the table, and what their starts have shown. The last site's store is the large one.
async fn start(scale: &Scale, sites: &[Site], ground: &Ground) -> (Vec<Server>, Vec<Fact>) {
    let (mut servers, mut facts) = (Vec::new(), Vec::new());
    let built = std::env::var_os("TENANTRY_BENCH_PROGRAM").map(PathBuf::from);
    let program = built.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_tenantry")));
    let (large, small) = sites.split_last().expect("sites");
    // Before the large one is opened: whoever copies a store must be alone with it.
    let full = std::env::var_os("TENANTRY_BENCH_FULL_BUILD").map(|program| (large.twin(), PathBuf::from(program)));
    for site in small {
        servers.extend(site.start(&format!("Tenantry, {} hosts", count(site.hosts())), &program));
    }
    let name = format!("Tenantry, {} hosts", count(large.hosts()));
    let mut filled = vec![(large, name.clone(), program)];
    if let Some((twin, program)) = &full {
        filled.push((twin, format!("{name}, full build"), program.clone()));
    }
    for (site, name, program) in filled {
        let (server, started) = changes::starts(site, &name, &program, scale.starts).await.expect("it starts");
        facts.push(started);
        facts.extend(weigh_known(scale, site, &server).await);
        servers.push(Server { visited: true, ..server });
    }
    servers.extend([ground.bare(), ground.nginx(), ground.haproxy(), ground.caddy()].into_iter().flatten());
    let mut ready = Vec::new();
    for server in servers {
        if server.is_ready().await {
            ready.push(server);
        }
    }
    (ready, facts)
}

/// Makes hosts and certificates of the large store known, and weighs them.
async fn weigh_known(scale: &Scale, site: &Site, server: &Server) -> Vec<Fact> {
    let name = &server.name;
    // The 0th of a tenant's domains has a certificate: in the clear it is only redirected.
    let (first, took_first) = memory::known_hosts(site, server, site.tenants, 1..2, scale.known).await;
    // Of tenants that are known by now.
    let (others, took) = memory::known_hosts(site, server, first.count, 2..site.domains, scale.known).await;
    let known = count(first.count + others.count);
    println!("{name}: {known} hosts made known in {:.0?}", took_first + took);
    let certificates = memory::served_certificates(site, server, scale.certificates).await;
    let tenants = format!("memory of a tenant and its first host, made known, of {}", count(first.count));
    let hosts = format!("memory of each further host, made known, of {}", count(others.count));
    let served = format!("memory of a certificate that was served, of {}", count(certificates.count));
    vec![
        Fact::number("memory right after the start", name, mebibytes(first.alone), "MiB"),
        Fact::number(&tenants, name, first.each, "bytes"),
        Fact::number(&hosts, name, others.each, "bytes"),
        Fact::number(&served, name, certificates.each, "bytes"),
    ]
}

/// What connections weigh that rest. Only where nothing has been given back yet, which would be taken again.
async fn weigh(servers: &[Server], count: usize) -> Vec<Fact> {
    let mut facts = Vec::new();
    for server in servers.iter().filter(|server| !server.visited) {
        match memory::idle_connections(server, count).await {
            Ok(weight) => facts.push((server, weight)),
            Err(why) => println!("{}: idle connections are not measured: {why}", server.name),
        }
    }
    let what = format!("memory of an idle TLS connection, of {}", report::count(count));
    let alone = facts.iter().map(|(server, weight)| {
        Fact::number("memory before the first visitor", &server.name, mebibytes(weight.alone), "MiB")
    });
    let each = facts.iter().map(|(server, weight)| Fact::number(&what, &server.name, weight.each / 1024.0, "KiB"));
    alone.chain(each).collect()
}

/// Every server under every load, and that again: whoever was first in one round is second in the next.
async fn rounds(scale: &Scale, servers: &[Server], begun: Instant) -> Vec<Series> {
    let both = |load| (0..servers.len()).map(move |server| (load, server));
    let mut series: Vec<Series> = Load::ALL
        .into_iter()
        .flat_map(both)
        .map(|(load, server)| Series { load, server, rounds: Vec::new(), without: None })
        .collect();
    let (mut round, mut last) = (0, Duration::ZERO);
    while scale.goes_on(round, last) {
        let started = Instant::now();
        for of_load in series.chunks_mut(servers.len()) {
            of_load.rotate_left(usize::from(round > 0));
            for one in of_load {
                let sample = measure(one.load, &servers[one.server], scale.warm, scale.lasting).await;
                one.without = one.without.take().or(sample.as_ref().err().cloned());
                one.rounds.push(sample.ok());
            }
        }
        (round, last) = (round + 1, started.elapsed());
        progress(begun, &format!("round {round} of at most {}", scale.rounds.1));
    }
    series.sort_by_key(|one| (Load::ALL.iter().position(|load| *load == one.load), one.server));
    series
}

/// What only some can do, and how long it takes.
async fn change(scale: &Scale, sites: &[Site], servers: &[Server], ground: &Ground) -> Vec<Fact> {
    let mut facts = Vec::new();
    let large = sites.last().and_then(|site| Some((site, servers.iter().find(|server| server.https == site.https)?)));
    if let Some((site, server)) = large {
        facts.extend(changes::of_tenantry(site, server, scale.times, scale.routes).await);
    }
    facts.extend(generated::of_peers(ground, scale.hosts, scale.routes, scale.times).await);
    // Of the stores the large one stands for all.
    let is_small = |server: &&Server| sites[..sites.len() - 1].iter().any(|site| site.https == server.https);
    for server in servers.iter().filter(|server| server.refuses_strangers && !is_small(server)) {
        facts.extend(changes::under_flood(server, scale.flood, scale.beside).await);
    }
    facts
}

fn write(report: &Report) {
    let checked_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results");
    // A quick run is no result.
    let usual = if report.quick { Path::new(env!("CARGO_TARGET_TMPDIR")).join("compare-quick") } else { checked_in };
    let directory = std::env::var_os("TENANTRY_BENCH_RESULTS").map_or(usual, PathBuf::from);
    std::fs::create_dir_all(&directory).expect("a directory");
    let json = serde_json::to_string_pretty(&report.json()).expect("JSON") + "\n";
    for (name, text) in
        [("compare.txt", report.table()), ("compare.json", json), ("compare.svg", picture::draw(report))]
    {
        std::fs::write(directory.join(name), text).expect("a file");
    }
    println!("written to {}", directory.display());
}

fn progress(begun: Instant, what: &str) {
    println!("{:>6.0?}  {what}", begun.elapsed());
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}
