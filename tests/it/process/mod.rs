//! The life of a process, seen from outside: how it ends, how it is replaced, and what its service manager is told. The
//! program itself runs here.

mod access_line;
mod backup;
mod drain;
mod killed;
mod load;
mod manager;
mod operator;
mod units;
mod upgrade;

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tenantry::clock::Clock;
use tenantry::model::Status;
use tenantry::tenancy::{Actor, NewTenant, NewToken};
use tenantry::tls::LocalCa;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;

use crate::support::client::tls_trusting_with;
use crate::support::node::Site;
use crate::support::program::{Program, port};
use crate::support::world::BASE;

const PATIENCE: Duration = Duration::from_secs(30);

/// A site with a tenant, a certificate and an operator's token, whose program is a link that a test may point elsewhere.
struct House {
    site: Site,
    ca: LocalCa,
    token: String,
    process: Program,
}

impl House {
    async fn start(settings: &str) -> Self {
        Self::start_with(settings, &[]).await
    }

    async fn start_with(settings: &str, environment: &[(String, String)]) -> Self {
        Self::start_at(None, settings, environment).await
    }

    /// The same with its store at this URL.
    async fn start_at(store: Option<String>, settings: &str, environment: &[(String, String)]) -> Self {
        tenantry::app::install_crypto().unwrap();
        let site = Site::with_store(port(), port(), settings, store).await;
        let ca = LocalCa::create(Clock::system()).unwrap();
        let app = site.open().await;
        let actor = Actor::new("test");
        let new =
            NewTenant { slug: "acme".into(), name: "Acme".into(), plan: Some("growth".into()), ..Default::default() };
        app.tenancy().create(&actor, &NewTenant { status: Some(Status::Active), ..new }).await.unwrap();
        let token = app
            .tenancy()
            .create_token(&actor, None, &NewToken { name: "operator".into(), ..NewToken::default() })
            .await
            .unwrap()
            .value
            .secret
            .to_string();
        let mut write = app.store().write().await.unwrap();
        write.insert_certificate(&ca.issue(&[format!("*.{BASE}"), BASE.to_owned()], 30).unwrap()).await.unwrap();
        write.commit().await.unwrap();
        app.store().close().await;
        drop(app);
        let house = Self { process: Program::start("true", &[], &[]), site, ca, token };
        house.lies_at(Path::new(env!("CARGO_BIN_EXE_tenantry")));
        let process = house.site.start_as(&house.program(), environment);
        assert!(process.listens(&[house.site.admin, house.site.https]).await, "{}", process.log());
        Self { process, ..house }
    }

    fn program(&self) -> String {
        self.site.path().join("program").display().to_string()
    }

    /// From now on the program is what lies there.
    fn lies_at(&self, file: &Path) {
        let next = self.site.path().join("next");
        std::os::unix::fs::symlink(file, &next).unwrap();
        std::fs::rename(next, self.program()).unwrap();
    }

    /// `tenantry …` on the command line: its exit code, and all that it said.
    async fn tenantry(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenantry"));
        command.args(arguments).env("TENANTRY_TOKEN", &self.token);
        let output = command.env("TENANTRY_ADMIN", format!("http://{}", self.site.admin)).output().await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8(text).unwrap())
    }

    async fn upgrade(&self) {
        let (code, said) = self.tenantry(&["upgrade"]).await;
        assert_eq!(code, 0, "{said}\n{}", self.process.log());
    }

    /// GET from the private listener over a connection of its own.
    async fn ask(&self, path: &str) -> (u16, Value) {
        let stream = TcpStream::connect(self.site.admin).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request =
            http::Request::get(path).header("host", "admin").header("authorization", format!("Bearer {}", self.token));
        let response = sender.send_request(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        (status, serde_json::from_slice(&body).unwrap_or(Value::String(text)))
    }

    async fn pid(&self) -> u64 {
        self.ask("/v1/process").await.1["pid"].as_u64().unwrap()
    }

    /// One sample of a metric; 0 when there is none.
    async fn metric(&self, sample: &str) -> f64 {
        let (_, text) = self.ask("/metrics").await;
        let line = text.as_str().unwrap().lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// The status that a visitor of the tenant gets.
    async fn visit(&self) -> u16 {
        self.get("/", &[]).await
    }

    /// The same elsewhere, with more headers.
    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> u16 {
        let stream = TokioIo::new(self.tls("http/1.1").await.unwrap());
        let (mut sender, connection) = http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get(path).header("host", self.host());
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        sender.send_request(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap().status().as_u16()
    }

    fn host(&self) -> String {
        format!("acme.{BASE}")
    }

    async fn tls(&self, alpn: &str) -> std::io::Result<TlsStream<TcpStream>> {
        tls_trusting_with(self.ca.certificate(), self.site.https, &self.host(), &[alpn]).await
    }

    async fn websocket(&self) -> WebSocketStream<TlsStream<TcpStream>> {
        let stream = self.tls("http/1.1").await.unwrap();
        tokio_tungstenite::client_async(format!("wss://{}/ws", self.host()), stream).await.unwrap().0
    }
}

/// Sends a signal to a process of a test's own.
fn signal(name: &str, pid: u64) {
    let done = std::process::Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap();
    assert!(done.success(), "{name} {pid}");
}

fn lives(pid: u64) -> bool {
    // A process that has ended and was not asked for yet has nothing here but its name.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// Looks until it is so.
async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !so().await {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
