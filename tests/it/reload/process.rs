//! The program itself: SIGHUP, `tenantry reload`, `tenantry config diff`, and a start with broken files.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tenantry::app;
use tenantry::clock::Clock;
use tenantry::config::Config;

use crate::support::client::get_plain_at;
use crate::support::node::Site;
use crate::support::program::port;

const PATIENCE: Duration = Duration::from_secs(30);
const NEW: &str = "[[route]]\nname = \"new\"\nhost = \"any\"\npath = \"/new\"\n[route.answer]\nbody = \"new\"\n";

/// A running `tenantry serve`, ended with the test.
struct Serving {
    child: Child,
    log: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

impl Serving {
    fn start(site: &Site) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenantry"));
        command.args(["serve", "-c"]).arg(site.path()).arg("--state").arg(site.path().join("state"));
        let mut child = command.stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = std::sync::Arc::<std::sync::Mutex<Vec<String>>>::default();
        let kept = log.clone();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line)));
        Self { child, log }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    async fn said(&self, what: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.log.lock().unwrap().iter().any(|line| line.contains(what)) {
            assert!(Instant::now() < until, "never said {what:?}:\n{}", self.log.lock().unwrap().join("\n"));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A number of its own, from `/proc/<pid>/status`.
    fn status(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log.lock().unwrap().join("\n"));
        }
    }
}

struct Shell {
    admin: String,
    token: String,
}

impl Shell {
    async fn new(site: &Site) -> Self {
        app::install_crypto().unwrap();
        let config = Config::load(site.path()).unwrap();
        let admin = config.admin.address.to_string();
        let token = app::create_token(config, Clock::system(), "test").await.unwrap();
        Self { admin, token }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenantry"));
        command.args(arguments).args(["--admin", &format!("http://{}", self.admin)]).env("TENANTRY_TOKEN", &self.token);
        command.output().unwrap()
    }
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until `/new` at the plain listener answers so.
async fn answers(site: &Site, path: &str, status: u16) {
    let until = Instant::now() + PATIENCE;
    loop {
        match get_plain_at(site.http, "ops.connect.localhost", path).await {
            Ok(answer) if answer.status.as_u16() == status => return,
            other => assert!(Instant::now() < until, "{path} never answered {status}: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_and_the_command_line_reload_and_a_refusal_names_its_place() {
    let site = Site::new(port(), port(), "").await;
    let shell = Shell::new(&site).await;
    let serving = Serving::start(&site);
    answers(&site, "/elsewhere", 200).await;
    let routing = std::fs::read_to_string(site.path().join("routing.toml")).unwrap();
    let write = |text: &str| std::fs::write(site.path().join("routing.toml"), text).unwrap();

    write(&routing.replacen("[[route]]", &format!("{NEW}[[route]]"), 1));
    let diff = shell.run(&["config", "diff"]);
    assert!(out(&diff).contains("a reload would change:\nroutes added: new\n"), "{diff:?}");
    serving.signal("HUP");
    serving.said("config.reloaded").await;
    let unchanged = shell.run(&["reload"]);
    assert_eq!(out(&unchanged), "nothing has changed\n", "{unchanged:?}");

    write("[[pool]]\nname = \"app\"\nbackend = []\n");
    let refused = shell.run(&["reload"]);
    assert_eq!(refused.status.code(), Some(1));
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(why.contains("refused, everything stays as it was"), "{why}");
    assert!(
        why.contains("routing.toml:3:1: pool[0].backend: unknown key `backend`; did you mean `backends`?"),
        "{why}"
    );
    serving.signal("HUP");
    serving.said("config.refused").await;
    assert!(out(&shell.run(&["config", "show"])).contains("refused"));
    answers(&site, "/new", 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_files_at_the_start_are_passed_over_loudly_for_what_was_right_last() {
    let site = Site::new(port(), port(), "").await;
    let shell = Shell::new(&site).await;
    let good = std::fs::read_to_string(site.path().join("routing.toml")).unwrap();
    std::fs::write(site.path().join("routing.toml"), "pool = 7\n").unwrap();
    let mut first = Serving::start(&site);
    assert_eq!(first.child.wait().unwrap().code(), Some(1), "there is nothing to fall back on");
    std::fs::write(site.path().join("routing.toml"), &good).unwrap();
    let second = Serving::start(&site);
    answers(&site, "/", 200).await;
    // What a reload has put into force is what was right last.
    std::fs::write(site.path().join("routing.toml"), good.replacen("[[route]]", &format!("{NEW}[[route]]"), 1))
        .unwrap();
    assert!(shell.run(&["reload"]).status.success());
    answers(&site, "/new", 200).await;
    drop(second);
    std::fs::write(site.path().join("routing.toml"), "pool = 7\n").unwrap();
    let third = Serving::start(&site);
    answers(&site, "/new", 200).await;
    third.said("config.last_good").await;
    third.said("config.broken").await;
    assert!(out(&shell.run(&["config", "show"])).contains("last-good"));
    std::fs::write(site.path().join("routing.toml"), &good).unwrap();
    assert!(shell.run(&["reload"]).status.success());
    let shown = out(&shell.run(&["config", "show"]));
    assert!(shown.contains("files"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_reloads_leave_nothing_behind() {
    let site = Site::new(port(), port(), "").await;
    let shell = Shell::new(&site).await;
    let serving = Serving::start(&site);
    answers(&site, "/", 200).await;
    let routing = std::fs::read_to_string(site.path().join("routing.toml")).unwrap();
    let visitors = visitors(&site);
    let reloads = if std::env::var_os("TENANTRY_TEST_FULL").is_some() { 1_000 } else { 60 };
    let (mut before, mut series) = ((0, 0, 0), 0);
    for round in 0..reloads {
        // Another route, another pool and another backend each time, and somebody who takes the route.
        let new = NEW.replace("\"new\"", &format!("\"new{round}\""));
        let pool =
            format!("[[pool]]\nname = \"p{round}\"\nbackends = [\"127.0.0.1:9\"]\n[pool.health]\nkind = \"tcp\"\n");
        let to = format!("[[route]]\nname = \"to{round}\"\nhost = \"any\"\npath = \"/pool\"\npool = \"p{round}\"\n");
        let text = routing.replacen("[[route]]", &format!("{pool}{to}{new}[[route]]"), 1);
        let text =
            text.replacen("name = \"app\"\n", &format!("name = \"app\"\nread_timeout = \"{}s\"\n", 10 + round % 7), 1);
        std::fs::write(site.path().join("routing.toml"), text).unwrap();
        let reloaded = reload_by_api(&shell).await;
        assert!(reloaded, "round {round}");
        for (path, status) in [("/new", 200), ("/pool", 503)] {
            let answer = get_plain_at(site.http, "ops.connect.localhost", path).await.unwrap();
            assert_eq!(answer.status.as_u16(), status, "round {round}: {path}");
        }
        if round == reloads / 3 {
            before = (serving.status("VmRSS:"), serving.status("Threads:"), serving.descriptors());
            series = count_series(&shell).await;
        }
    }
    let after = count_series(&shell).await;
    assert!(after <= series + 12, "series grow with reloads: {series} → {after}");
    assert_eq!(visitors.lost().await, 0, "requests were lost");
    let after = (serving.status("VmRSS:"), serving.status("Threads:"), serving.descriptors());
    println!("resident KiB, threads, descriptors: {before:?} → {after:?} after {reloads} reloads");
    assert!(after.0 < before.0 + before.0 / 10 + 2048, "memory grows: {before:?} → {after:?}");
    assert!(after.1 <= before.1 + 4 && after.2 <= before.2 + 4, "{before:?} → {after:?}");
}

/// Visitors come until the task is ended by its flag; answers how many were not answered as they should be.
fn visitors(site: &Site) -> Visitors {
    let (http, stop) = (site.http, std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let stopped = stop.clone();
    let task = tokio::spawn(async move {
        let mut lost = 0;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            let answer = get_plain_at(http, "ops.connect.localhost", "/elsewhere").await;
            lost += usize::from(!answer.is_ok_and(|answer| answer.status == 200));
        }
        lost
    });
    Visitors { stop, task }
}

struct Visitors {
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    task: tokio::task::JoinHandle<usize>,
}

impl Visitors {
    /// Sends them home.
    async fn lost(self) -> usize {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

/// How many series Prometheus would see.
async fn count_series(shell: &Shell) -> usize {
    let scrape = get_plain_at(shell.admin.parse().unwrap(), "admin", "/metrics").await.unwrap();
    String::from_utf8_lossy(&scrape.body).lines().filter(|line| line.starts_with("tenantry_")).count()
}

/// One call of the admin API, without the start of a program.
async fn reload_by_api(shell: &Shell) -> bool {
    use http_body_util::Full;
    use hyper_util::rt::TokioIo;
    let stream = tokio::net::TcpStream::connect(&shell.admin).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post("/v1/config/reload").header("host", "admin");
    let request = request.header("authorization", format!("Bearer {}", shell.token));
    let answer = sender.send_request(request.body(Full::<bytes::Bytes>::default()).unwrap()).await.unwrap();
    answer.status().is_success()
}
