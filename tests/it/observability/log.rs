//! The log of a real process: its access lines in a file of their own, opened again when asked, changed by a reload.

use std::path::Path;

use serde_json::Value;

use super::until;
use crate::support::client::get_plain_at;
use crate::support::node::Site;
use crate::support::program::{Program, local, port};

/// A process whose access lines go to `access.log` beside its configuration.
async fn start(log: &str) -> (Site, Program) {
    tenantry::app::install_crypto().unwrap();
    let site = Site::new(port(), port(), "").await;
    let file = site.path().join("tenantry.toml");
    let access = site.path().join("access.log");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}[log]\naccess_output = \"{}\"\n{log}", access.display())).unwrap();
    let process = site.start();
    assert!(process.listens(&[site.admin, site.http]).await, "{}", process.log());
    (site, process)
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Waits for the line of one request.
async fn line(path: &Path, holds: &str) -> String {
    until(holds, async || lines(path).into_iter().find(|line| line.contains(holds))).await
}

async fn ask(site: &Site, path: &str) {
    get_plain_at(site.http, "nobody.connect.localhost", path).await.unwrap();
}

/// The process, as the system knows it: the only one with this configuration.
fn pid(site: &Site) -> String {
    let config = site.path().display().to_string();
    let found = std::process::Command::new("pgrep").args(["-f", &format!("tenantry serve -c {config}")]).output();
    let found = String::from_utf8(found.unwrap().stdout).unwrap();
    // The guard that watches over it names it too; the program itself is the youngest.
    found.lines().next_back().unwrap().to_owned()
}

fn signal(name: &str, site: &Site) {
    let done = std::process::Command::new("kill").args([format!("-{name}"), pid(site)]).status().unwrap();
    assert!(done.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_line_says_what_became_of_a_request_and_no_secret() {
    let log = "query = true\nredact_paths = ['^/invite/([^/]+)']\n";
    let (site, process) = start(log).await;
    ask(&site, "/invite/s3cret?token=s3cret&page=2").await;
    let text = line(&site.path().join("access.log"), "/invite/").await;
    assert!(!text.contains("s3cret"), "{text}");
    let said: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(said["http.path"], "/invite/***");
    assert_eq!(said["http.query"], "token=***&page=2");
    assert_eq!(said["http.status"], 404, "{text}");
    assert_eq!(said["fault"], "client");
    assert_eq!(said["refusal"], "tenant-not-found");
    assert_eq!(said["target"], "access");
    assert!(said["edge_us"].as_u64().unwrap() <= said["duration_us"].as_u64().unwrap());
    assert!(!process.log().contains("/invite/"), "access lines have a file of their own: {}", process.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_line_has_a_query_however_much_is_logged_and_whatever_fails() {
    tenantry::app::install_crypto().unwrap();
    let (site, dead) = (Site::new(port(), port(), "[log]\nfilter = \"trace\"\n").await, local(port()));
    let file = site.path().join("routing.toml");
    let routing = std::fs::read_to_string(&file).unwrap().replace("backends = [", &format!("backends = [\"{dead}\", "));
    std::fs::write(&file, routing).unwrap();
    let process = site.start();
    assert!(process.listens(&[site.admin, site.http]).await, "{}", process.log());
    for _ in 0..4 {
        let answer = get_plain_at(site.http, "connect.localhost", "/?token=s3cret").await.unwrap();
        assert_eq!(answer.status, 200);
    }
    until("a line of a request that was tried again", async || process.said("\"upstream.tries\":2").then_some(()))
        .await;
    let log = process.log();
    let told: Vec<_> = log.lines().filter(|line| line.contains("s3cret")).collect();
    assert!(told.is_empty(), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_opened_again_when_asked_and_a_reload_changes_the_format() {
    let (site, process) = start("").await;
    let (access, moved) = (site.path().join("access.log"), site.path().join("access.log.1"));
    ask(&site, "/before").await;
    line(&access, "/before").await;
    std::fs::rename(&access, &moved).unwrap();
    signal("USR1", &site);
    until("a new file", async || access.exists().then_some(())).await;
    ask(&site, "/after").await;
    line(&access, "/after").await;
    assert!(!lines(&moved).iter().any(|line| line.contains("/after")));

    let file = site.path().join("tenantry.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}format = \"logfmt\"\n")).unwrap();
    signal("HUP", &site);
    until("the reload", async || process.said("config.reloaded").then_some(())).await;
    ask(&site, "/shape").await;
    let text = line(&access, "/shape").await;
    assert!(text.contains(" http.status=404 ") && text.starts_with("time="), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_a_reload_opens_is_written_as_eagerly_as_any() {
    let (site, process) = start("").await;
    let (file, other) = (site.path().join("tenantry.toml"), site.path().join("other.log"));
    let text = std::fs::read_to_string(&file).unwrap();
    let before = format!("access_output = \"{}\"", site.path().join("access.log").display());
    std::fs::write(&file, text.replace(&before, &format!("access_output = \"{}\"", other.display()))).unwrap();
    signal("HUP", &site);
    until("the reload", async || process.said("config.reloaded").then_some(())).await;
    ask(&site, "/other").await;
    line(&other, "/other").await;
    let pid = pid(&site);
    // proc_pid_stat(5): the nineteenth field; the second, a name in brackets, may hold blanks.
    let nice = |path: &Path| {
        let stat = std::fs::read_to_string(path.join("stat")).unwrap();
        stat.rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap().to_owned()
    };
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(|task| task.unwrap().path());
    let named =
        |task: &std::path::PathBuf| std::fs::read_to_string(task.join("comm")).unwrap().trim() == "access-writer";
    let writers: Vec<_> = tasks.filter(named).collect();
    assert!(!writers.is_empty());
    let own = nice(Path::new(&format!("/proc/{pid}")));
    assert!(writers.iter().all(|writer| nice(writer) == own), "{writers:?}");
}
