//! A scrape is what Prometheus wants it to be; the shipped rules fire when they should; no rule and no panel asks for a
//! metric that nobody has.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use regex::Regex;
use tempfile::TempDir;
use tenantry::jobs;
use tenantry::metrics::Metrics;
use tokio_util::task::AbortOnDropHandle;

use super::{shipped, until};
use crate::support::client::{get, get_plain_at};
use crate::support::program::{Program, local, port};
use crate::support::world::World;

/// Runs promtool; what it says, when it is not content.
fn promtool(arguments: &[&str], input: &str) -> Result<(), String> {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("promtool (Debian: prometheus): {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    if output.status.success() { Ok(()) } else { Err(said) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_keeps_to_the_conventions() {
    let world = World::start().await;
    world.tenant("acme", "growth").await;
    assert_eq!(get(&world, &world.host("acme"), "/").await.status, 200);
    assert_eq!(get(&world, &world.host("nobody"), "/").await.status, 404);
    // A request is counted when it has ended, which may be after its answer has arrived.
    let both = until("both requests, counted", async || {
        let scrape = world.running.metrics().render();
        scrape.contains("tenantry_edge_duration_seconds_count 2").then_some(scrape)
    });
    let scrape = both.await;
    promtool(&["check", "metrics"], &scrape).unwrap_or_else(|said| panic!("{said}\n{scrape}"));
    let value = |name: &str| {
        let line = scrape.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name}\n{scrape}")).parse::<f64>().unwrap()
    };
    for name in ["process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total", "process_threads"] {
        assert!(value(name) > 0.0, "{name}");
    }
    let lag = world.clock.now().secs() as f64 - value("tenantry_feed_last_read_timestamp_seconds");
    assert!((-1.0..60.0).contains(&lag), "the feed was read just now: {lag}");
    for sample in [
        "tenantry_upstream_backends{pool=\"app\",state=\"healthy\"} 1",
        "tenantry_upgrades_total{result=\"failed\"} 0",
        "tenantry_requests_total{fault=\"none\",protocol=\"h2\",status=\"2xx\"} 1",
        "tenantry_requests_total{fault=\"client\",protocol=\"h2\",status=\"4xx\"} 1",
        "tenantry_route_requests_total{route=\"everything-else\",status=\"2xx\"} 1",
        "tenantry_upstream_duration_seconds_count{pool=\"app\"} 1",
        "tenantry_edge_duration_seconds_count 2",
        "tenantry_config_last_reload_successful 1",
        concat!("tenantry_build_info{revision=\"unknown\",version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
    ] {
        assert!(scrape.lines().any(|line| line == sample), "{sample}\n{scrape}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_whose_certificate_ends_soon_are_counted() {
    let world = World::start().await;
    world.tenant("acme", "growth").await;
    for name in ["a.example", "b.example"] {
        world.claim("acme", name, true).await;
    }
    let soon = world.ca.issue(&["a.example".to_owned(), "b.example".to_owned()], 5).unwrap();
    let mut write = world.running.store().write().await.unwrap();
    write.insert_certificate(&soon).await.unwrap();
    write.commit().await.unwrap();
    let metrics = Arc::new(Metrics::new().unwrap());
    let measuring = jobs::measure(world.running.store().clone(), world.clock.clone(), Arc::clone(&metrics));
    let _measuring = AbortOnDropHandle::new(tokio::spawn(measuring));
    let within = |days: &str| metrics.names_expiring.with_label_values(&[days]).get();
    until("they are measured", async || (within("7d") > 0).then_some(())).await;
    assert_eq!(["1d", "7d", "21d"].map(within), [0, 2, 2]);
}

#[test]
fn the_shipped_rules_are_right_and_fire_when_they_should() {
    let path = |file: &str| shipped(file).display().to_string();
    promtool(&["check", "rules", &path("alerts.yml")], "").unwrap();
    promtool(&["test", "rules", &path("alerts_test.yml")], "").unwrap();
    let (rules, tests) = (read("alerts.yml"), read("alerts_test.yml"));
    for alert in Regex::new(r"alert: (\w+)").unwrap().captures_iter(&rules) {
        let tested = tests.matches(&format!("alertname: {}", &alert[1])).count();
        assert!(tested >= 2, "{} is tested both ways", &alert[1]);
    }
}

#[test]
fn rules_and_dashboard_ask_only_for_what_there_is() {
    let known = declared();
    let dashboard: serde_json::Value = serde_json::from_str(&read("grafana.json")).unwrap();
    assert_eq!(dashboard["uid"], "tenantry");
    let name = Regex::new(r"\b(tenantry_[a-z0-9_]+)").unwrap();
    for text in [read("grafana.json"), read("alerts.yml"), read("alerts_test.yml")] {
        for found in name.captures_iter(&text) {
            let asked = ["_bucket", "_sum", "_count"].iter().find_map(|end| found[1].strip_suffix(end));
            assert!(known.contains(asked.unwrap_or(&found[1])), "{} is no metric", &found[1]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_scrapes_and_answers() {
    let world = World::start().await;
    world.tenant("acme", "growth").await;
    assert_eq!(get(&world, &world.host("acme"), "/").await.status, 200);
    let dir = TempDir::new().unwrap();
    let config = dir.path().join("prometheus.yml");
    std::fs::copy(shipped("alerts.yml"), dir.path().join("alerts.yml")).unwrap();
    let text = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [alerts.yml]\n\
         scrape_configs:\n  - job_name: tenantry\n    static_configs: [{{ targets: ['{}'] }}]\n",
        world.admin()
    );
    std::fs::write(&config, text).unwrap();
    let (address, _prometheus) = prometheus(dir.path(), &config).await;
    let ask = async |what: &str| {
        let answer = get_plain_at(address, "prometheus", &format!("/api/v1/{what}")).await.unwrap();
        // Until it has begun to serve it says so in words.
        if answer.status == 200 { answer.json()["data"].clone() } else { serde_json::Value::Null }
    };
    let count = until("the request, as Prometheus counts it", async || {
        let data = ask("query?query=sum(tenantry_requests_total)").await;
        data["result"][0]["value"][1].as_str().map(str::to_owned)
    });
    assert_eq!(count.await, "1");
    for what in
        ["tenantry_tenant_requests_total{tenant=%22acme%22}", "tenantry_edge_duration_seconds_bucket{le=%22+Inf%22}"]
    {
        let count = until("a series, as Prometheus has it", async || {
            let data = ask(&format!("query?query={}", what.replace('+', "%2B"))).await;
            data["result"][0]["value"][1].as_str().map(str::to_owned)
        });
        assert_eq!(count.await, "1", "{what}");
    }
    let rules = ask("rules").await;
    let rules = rules["groups"][0]["rules"].as_array().unwrap();
    assert!(rules.len() >= 10 && rules.iter().all(|rule| rule["health"] != "err"), "{rules:?}");
}

/// A Prometheus at a port of its own.
async fn prometheus(dir: &Path, config: &Path) -> (std::net::SocketAddr, Program) {
    loop {
        let address = local(port());
        let (config, data) = (config.display(), dir.join("data"));
        let arguments = [
            format!("--config.file={config}"),
            format!("--storage.tsdb.path={}", data.display()),
            format!("--web.listen-address={address}"),
        ];
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let program = Program::start("prometheus", &arguments, &[]);
        if program.listens(&[address]).await {
            until("Prometheus, ready", async || {
                let answer = get_plain_at(address, "prometheus", "/-/ready").await.ok()?;
                answer.status.is_success().then_some(())
            })
            .await;
            return (address, program);
        }
    }
}

fn read(file: &str) -> String {
    std::fs::read_to_string(shipped(file)).unwrap()
}

/// Every metric that the one list declares.
fn declared() -> BTreeSet<String> {
    let list = include_str!("../../../src/metrics.rs");
    Regex::new("\"(tenantry_[a-z0-9_]+)\"").unwrap().captures_iter(list).map(|name| name[1].to_owned()).collect()
}
