//! A reload is whole or nothing: one that is refused late, or that nobody waits for, leaves no half of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use http::Response;
use tenantry::admin::{Configuration, Refused};
use tenantry::clock::Clock;
use tenantry::config::Config;
use tenantry::telemetry;
use tenantry::tls::LocalCa;

use crate::support::client::get;
use crate::support::dns::Resolver;
use crate::support::script::{Script, full};
use crate::support::world::World;

const LOOKS: &str = "[pool.health]\npath = \"/up\"\ninterval = \"50ms\"\ntimeout = \"50ms\"\nhealthy_after = 1\n\
                     unhealthy_after = 1\n";

/// One pool for everything, whose backends are looked at.
fn routing(backends: &[&str], more: &str) -> String {
    let route = "[[route]]\nname = \"all\"\nhost = \"any\"\npool = \"app\"\n";
    format!("[[pool]]\nname = \"app\"\nbackends = {backends:?}\n{LOOKS}{more}{route}")
}

async fn looked_at(status: &Arc<AtomicU16>) -> Script {
    let status = Arc::clone(status);
    Script::http(move |_| {
        let status = status.load(Ordering::SeqCst);
        async move { Response::builder().status(status).body(full("")).unwrap() }
    })
    .await
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "still not: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn is_well(world: &World) -> bool {
    world.running.reloader().pools().unwrap()[0].backends[0].healthy
}

/// Somebody still looks: what changes at the backend is noticed.
async fn is_looked_at(world: &World, status: &Arc<AtomicU16>) {
    for (answer, well) in [(500, false), (200, true)] {
        status.store(answer, Ordering::SeqCst);
        until("the looks go on", || is_well(world) == well).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_is_refused_at_the_last_moment_leaves_looks_and_series_as_they_were() {
    let status = Arc::new(AtomicU16::new(200));
    let backend = looked_at(&status).await;
    let address = backend.address.to_string();
    let world = World::builder().routing(&routing(&[&address], "")).start().await;
    let good = Config::load_with(&world.files, &|_| None).unwrap();
    let (log, _guard) = telemetry::install(&good.log).unwrap();
    world.running.log_with(log);
    is_looked_at(&world, &status).await;

    // Its directory is there, so that nothing speaks against it before it is opened.
    let tenantry = world.read("tenantry");
    world.write("tenantry", &format!("{tenantry}[log]\noutput = \"/proc/tenantry.log\"\n"));
    let spare = "[[pool]]\nname = \"spare\"\nbackends = [\"127.0.0.1:9\"]\ndedicated = true\n";
    world.write("routing", &routing(&[&address, "127.0.0.1:9"], spare));
    let Err(Refused::Build(why)) = world.running.reloader().reload(false).await else { panic!("it was taken") };
    assert!(why.contains("/proc/tenantry.log"), "{why}");
    assert_eq!(world.running.reloader().state().revision, 0);
    is_looked_at(&world, &status).await;
    let scrape = world.running.metrics().render();
    assert!(!scrape.contains("pool=\"spare\""), "{scrape}");
    assert!(scrape.contains("tenantry_upstream_retries_total{pool=\"app\"}"), "{scrape}");
    assert_eq!(world.running.metrics().config_reloads.with_label_values(&["refused"]).get(), 1);

    // The other way round: a pool that goes takes its series along.
    world.write("tenantry", &tenantry);
    assert!(world.running.reloader().reload(false).await.unwrap().applied);
    let scrape = world.running.metrics().render();
    assert!(scrape.contains("tenantry_upstream_retries_total{pool=\"spare\"}"), "{scrape}");
    world.write("routing", &routing(&[&address], ""));
    world.running.reloader().reload(false).await.unwrap();
    assert!(!world.running.metrics().render().contains("pool=\"spare\""));
    is_looked_at(&world, &status).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_nobody_waits_for_goes_on_to_its_end() {
    let status = Arc::new(AtomicU16::new(200));
    let backend = looked_at(&status).await;
    let address = backend.address.to_string();
    let dns = Resolver::start().await;
    let settings = format!("[dns]\nservers = [\"{}\"]\ntimeout = \"2s\"\nauthoritative = false\n", dns.address);
    let world = World::builder().settings(&settings).routing(&routing(&[&address], "")).start().await;
    dns.set("next.test", "A", &["127.0.0.1"]);
    dns.hold("next.test");
    world.write("routing", &routing(&[&address, "next.test:9"], ""));
    let reloader = Arc::clone(world.running.reloader());
    let asking = tokio::spawn(async move { reloader.reload(false).await });
    dns.is_asked("next.test", 1).await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    is_looked_at(&world, &status).await;
    dns.release();
    until("it is in force", || world.running.reloader().state().revision == 1).await;
    assert_eq!(world.running.reloader().pools().unwrap()[0].backends.len(), 2);
    is_looked_at(&world, &status).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authorities_that_were_renewed_are_a_change_and_are_taken() {
    let (old, new) = (LocalCa::create(Clock::system()).unwrap(), LocalCa::create(Clock::system()).unwrap());
    let backend = Script::tls(&new, "backend.internal", &[], |_| async { Response::new(full("verified")) }).await;
    let dir = tempfile::tempdir().unwrap();
    let pem = dir.path().join("ca.pem");
    std::fs::write(&pem, old.certificate()).unwrap();
    let routing = format!(
        "[[pool]]\nname = \"app\"\nbackends = [\"{}\"]\nprotocol = \"tls\"\nserver_name = \"backend.internal\"\n\
         ca = \"{}\"\n[[route]]\nname = \"all\"\nhost = \"any\"\npool = \"app\"\n",
        backend.address,
        pem.display()
    );
    let world = World::builder().routing(&routing).start().await;
    world.tenant("acme", "growth").await;
    assert_ne!(get(&world, super::HOST, "/").await.status, 200, "signed by somebody else");
    assert!(world.running.reloader().reload(false).await.unwrap().changes.is_empty());
    std::fs::write(&pem, new.certificate()).unwrap();
    let reloaded = world.running.reloader().reload(false).await.unwrap();
    assert_eq!((&*reloaded.changes.pools.changed, reloaded.revision), (&["app".to_owned()][..], 1));
    assert_eq!(get(&world, super::HOST, "/").await.body, "verified");
    std::fs::write(&pem, "no certificate").unwrap();
    let Err(Refused::Faults(faults)) = world.running.reloader().reload(false).await else { panic!("it was taken") };
    assert!(faults.to_string().contains("pool[0].ca"), "{faults}");
    assert_eq!(get(&world, super::HOST, "/").await.body, "verified");
}
