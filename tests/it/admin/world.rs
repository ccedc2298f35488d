//! A running admin API with everything behind it, for one test.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use tenantry::acme::fleet::Fleet;
use tenantry::acme::proof::Proof;
use tenantry::acme::{Acme, Needs};
use tenantry::admin::{
    self, AdminState, ConfigState, Facts, Health, ProcessState, Refused, Reloaded, Services, Succession, UpgradeRefused,
};
use tenantry::certificates::{Certificates, NoAuthority};
use tenantry::clock::{Clock, Timestamp};
use tenantry::config::{Config, Sources};
use tenantry::dns::Dns;
use tenantry::domains::Domains;
use tenantry::metrics::Metrics;
use tenantry::model::{Explanation, PoolStatus, Question, Unclear};
use tenantry::outbound::Guard;
use tenantry::seal::Sealer;
use tenantry::signin::SignIn;
use tenantry::store::Store;
use tenantry::tenancy::{Actor, Applied, NewToken, Tenancy};
use tenantry::traffic::Meters;

pub const MAX_BODY: usize = 4096;
const TENANTRY: &str = r#"
[brand]
base = "connect.localhost"
own_hosts = ["www.arythmatic.cloud"]
[[listener]]
name = "https"
address = "127.0.0.1:0"
[admin]
address = "127.0.0.1:0"
max_body = "4KiB"
max_import = "64KiB"
[store]
url = "sqlite:unused.db"
key = "env:UNUSED"
[dns]
servers = ["127.0.0.1:1"]
timeout = "200ms"
"#;

pub struct World {
    pub base: String,
    pub token: String,
    pub store: Store,
    pub clock: Clock,
    pub config: Arc<ArcSwap<Config>>,
    pub health: Arc<Probe>,
    pub dir: TempDir,
    tenancy: Tenancy,
    http: Client<HttpConnector, Full<Bytes>>,
    shutdown: watch::Sender<bool>,
    server: JoinHandle<()>,
}

pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    pub json: Value,
}

/// A process that was given its configuration.
struct NoFiles;

#[async_trait]
impl admin::Configuration for NoFiles {
    fn state(&self) -> ConfigState {
        ConfigState {
            directory: None,
            revision: 0,
            loaded: Timestamp(0),
            source: "files",
            needs_restart: Vec::new(),
            last_reload: None,
        }
    }

    async fn reload(&self, _dry_run: bool) -> Result<Reloaded, Refused> {
        Err(Refused::NoFiles)
    }

    fn pools(&self) -> Option<Vec<PoolStatus>> {
        None
    }

    async fn explain(&self, _question: &Question) -> Option<Result<Explanation, Unclear>> {
        None
    }
}

/// A process that cannot be replaced.
struct Alone;

#[async_trait]
impl admin::Process for Alone {
    fn state(&self) -> ProcessState {
        ProcessState { pid: 7, version: "0", started: Timestamp(0), succession: Succession::None }
    }

    async fn upgrade(self: Arc<Self>) -> Result<ProcessState, UpgradeRefused> {
        Err(UpgradeRefused::NotReplaceable)
    }
}

/// Health that a test sets.
pub struct Probe {
    pub loaded: AtomicBool,
    pub draining: AtomicBool,
    pub store_up: AtomicBool,
}

impl Health for Probe {
    fn facts(&self) -> Facts {
        Facts {
            loaded: self.loaded.load(Ordering::SeqCst),
            draining: self.draining.load(Ordering::SeqCst),
            store_up: self.store_up.load(Ordering::SeqCst),
            revision: 7,
        }
    }
}

/// There is no listener to make a handshake with.
struct Unproven;

#[async_trait]
impl Proof for Unproven {
    async fn serves(&self, _: &str, _: &str) -> Result<(), String> {
        Err("nothing listens here".into())
    }
}

/// The rooms behind the API. Nobody answers DNS, and no authority is configured.
fn services(
    (tenancy, store, clock): (&Tenancy, &Store, &Clock),
    config: &Arc<ArcSwap<Config>>,
    metrics: &Arc<Metrics>,
) -> Services {
    let guard = Guard::new(&config.load().outbound);
    let dns = Dns::new(&config.load().dns, guard.clone(), Arc::clone(metrics), clock.clone());
    let (config, metrics) = (Arc::clone(config), Arc::clone(metrics));
    let (tenancy, store, clock) = (tenancy.clone(), store.clone(), clock.clone());
    let meters_clock = clock.clone();
    let domains = Domains::new(
        tenancy.clone(),
        store.clone(),
        dns.clone(),
        guard,
        Arc::clone(&config),
        clock.clone(),
        Arc::clone(&metrics),
    );
    let fleet = Fleet::new(store.clone(), clock.clone(), "test", Arc::new(()));
    let certificates = Certificates::new(tenancy.clone(), Arc::new(NoAuthority));
    let signin = SignIn::new(tenancy.clone(), &config.load(), clock.clone()).unwrap();
    let acme = Acme::new(Needs {
        store,
        clock,
        config,
        dns,
        domains: domains.clone(),
        fleet,
        proof: Arc::new(Unproven),
        metrics,
        owner: "test".into(),
        nudge: Arc::default(),
    });
    Services {
        tenancy,
        signin,
        certificates,
        domains,
        acme: acme.unwrap(),
        traffic: Arc::new(Meters::new("test".into(), meters_clock)),
        configuration: Arc::new(NoFiles),
        process: Arc::new(Alone),
    }
}

pub fn config(tenantry: &str) -> Config {
    let sources = Sources::new(
        tenantry,
        include_str!("../../../config/dev/routing.toml"),
        include_str!("../../../config/plans.toml"),
    );
    Config::parse(&sources, &|_| None).unwrap_or_else(|faults| panic!("{faults}"))
}

impl World {
    pub async fn new() -> Self {
        Self::with(Arc::new(())).await
    }

    pub async fn with(applied: Arc<dyn Applied>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::parse("2026-11-21T12:00:00Z").unwrap());
        let url = format!("sqlite:{}", dir.path().join("tenantry.db").display());
        let sealer = Sealer::from_key_bytes(&[7; 32]).unwrap();
        let store = Store::open(&url, 4, sealer, clock.clone()).await.unwrap();
        let config = Arc::new(ArcSwap::from_pointee(config(TENANTRY)));
        let tenancy = Tenancy::new(store.clone(), config.clone(), clock.clone(), applied);
        // Nobody need apply the token that the test itself uses.
        let unobserved = Tenancy::new(store.clone(), config.clone(), clock.clone(), Arc::new(()));
        let issued = unobserved
            .create_token(&Actor::new("system"), None, &NewToken { name: "test".into(), ..NewToken::default() })
            .await
            .unwrap();
        let token = issued.value.secret.to_string();
        let health = Arc::new(Probe {
            loaded: AtomicBool::new(true),
            draining: AtomicBool::new(false),
            store_up: AtomicBool::new(true),
        });
        let metrics = Arc::new(Metrics::new().unwrap());
        let services = services((&tenancy, &store, &clock), &config, &metrics);
        let state = AdminState::new(services, health.clone(), metrics);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (shutdown, stop) = watch::channel(false);
        let server = tokio::spawn(admin::serve(listener, admin::router(state), stop));
        let http = Client::builder(TokioExecutor::new()).build_http();
        Self { base, token, store, clock, config, health, dir, tenancy, http, shutdown, server }
    }

    /// The rules behind the API.
    pub fn tenancy(&self) -> Tenancy {
        self.tenancy.clone()
    }

    /// An active tenant with verified domains.
    pub async fn tenant_with_domains(&self, slug: &str, domains: &[&str]) {
        let new = json!({"slug": slug, "name": slug, "plan": "growth", "status": "active"});
        self.post("/v1/tenants", new).await.expect(201);
        for domain in domains {
            let new = json!({"domain": domain, "verified": true});
            self.post(&format!("/v1/tenants/{slug}/domains"), new).await.expect(201);
        }
    }

    /// Puts a configuration in force that has these lines in `[tenancy]`.
    pub fn tenancy_lines(&self, lines: &str) {
        self.config.store(Arc::new(config(&format!("{TENANTRY}[tenancy]\n{lines}\n"))));
    }

    /// Puts a configuration in force that has these sections as well.
    pub fn sections(&self, lines: &str) {
        self.config.store(Arc::new(config(&format!("{TENANTRY}{lines}\n"))));
    }

    /// Puts a configuration in force that has these lines in `[brand]` as well.
    pub fn brand(&self, lines: &str) {
        self.config.store(Arc::new(config(&TENANTRY.replace("[brand]\n", &format!("[brand]\n{lines}")))));
    }

    /// A call with the operator's token, and JSON when there is a body.
    pub async fn call(&self, method: &str, path: &str, body: Value) -> Reply {
        match body {
            Value::Null => self.raw(method, path, &[], "").await,
            body => self.raw(method, path, &[("content-type", "application/json")], &body.to_string()).await,
        }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, Value::Null).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.call("POST", path, body).await
    }

    /// A call with the operator's token (unless `headers` names another `authorization`, `-` for none at all).
    pub async fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        self.raw_bytes(method, path, headers, body.as_bytes()).await
    }

    /// The same with a body that is no text. The text of an answer that is none has replacement characters.
    pub async fn raw_bytes(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let bearer = format!("Bearer {}", self.token);
        let method = Method::try_from(method).unwrap();
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header("authorization", bearer);
        }
        for (name, value) in headers.iter().filter(|(_, value)| *value != "-") {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
        let (head, body) = self.http.request(request).await.unwrap().into_parts();
        let text = String::from_utf8_lossy(&body.collect().await.unwrap().to_bytes()).into_owned();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Reply { status: head.status, headers: head.headers, text, json }
    }

    /// Does something to the store behind everybody's back.
    pub async fn sql(&self, sql: &'static str) {
        use sqlx::{Connection, Executor};
        let url = format!("sqlite:{}", self.dir.path().join("tenantry.db").display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        connection.execute(sql).await.unwrap();
    }

    pub async fn revision(&self) -> i64 {
        self.store.revision().await.unwrap()
    }

    /// What the ledger says was done, newest first.
    pub async fn ledger(&self) -> Vec<Value> {
        self.get("/v1/audit").await.expect(200)["items"].as_array().unwrap().clone()
    }

    /// Stops the server as a signal would, and waits for its end.
    pub async fn stop(self) {
        self.shutdown.send(true).unwrap();
        drop(self.http);
        self.server.await.unwrap();
    }
}

impl Reply {
    /// The body, if the status is as expected.
    #[track_caller]
    pub fn expect(&self, status: u16) -> &Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        &self.json
    }

    /// Checks that this is a problem document in every respect.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> &Value {
        assert_eq!((self.status.as_u16(), self.json["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.json["status"], status);
        assert!(self.json["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{}", self.text);
        assert!(!self.header("x-request-id").is_empty());
        assert_eq!(self.header("cache-control"), "no-store");
        &self.json
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}
