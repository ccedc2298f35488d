//! Pebble, the test authority of Let's Encrypt, and its companion that plays the whole DNS, both from Debian.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;
use tenantry::app;
use tenantry::clock::Clock;
use tenantry::config::{Authority, AuthorityLimits, Rate};
use tenantry::outbound::Https;
use tenantry::tls::LocalCa;

use super::program::{Program, local, port};

/// A running authority.
pub struct Pebble {
    _program: Program,
    dir: TempDir,
    /// Who signed the certificate of its own listener.
    pub ca: LocalCa,
    pub address: SocketAddr,
    management: SocketAddr,
}

/// What it is to be like. By default it refuses one nonce of twenty, waits for nothing, and forgets what it has validated.
pub struct Builder {
    ports: (u16, u16),
    dns: Option<SocketAddr>,
    environment: Vec<(String, String)>,
    eab: Option<(String, String)>,
    validity: u32,
}

impl Pebble {
    pub fn builder() -> Builder {
        let environment = [("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "5"), ("PEBBLE_AUTHZREUSE", "0")];
        let environment = environment.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        Builder { ports: (443, 80), dns: None, environment, eab: None, validity: 90 * 86_400 }
    }

    /// The URL of its directory.
    pub fn directory(&self) -> String {
        format!("https://{}/dir", self.address)
    }

    /// PEM file of the trust anchor for its own HTTPS.
    pub fn roots(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// `[[acme.authority]]` for it, under this name.
    pub fn settings(&self, name: &str) -> String {
        settings(name, &self.directory(), &self.roots())
    }

    /// The same, read.
    pub fn authority(&self, name: &str) -> Authority {
        authority(name, &self.directory(), &self.roots())
    }

    /// PEM of the root that its certificates end in; a fresh one with every start.
    pub async fn root(&self) -> String {
        let https = Https::new(Some(&self.roots()), Duration::from_secs(10), 1 << 20).unwrap();
        let uri = format!("https://{}/roots/0", self.management);
        let answer = https.request(Request::get(uri).body(Bytes::new()).unwrap()).await.unwrap();
        String::from_utf8(answer.into_body().to_vec()).unwrap()
    }
}

/// `[[acme.authority]]`
pub fn settings(name: &str, directory: &str, roots: &Path) -> String {
    format!("[[acme.authority]]\nname = \"{name}\"\ndirectory = \"{directory}\"\nroots = \"{}\"\n", roots.display())
}

/// The same, read; with the limits of Let's Encrypt.
pub fn authority(name: &str, directory: &str, roots: &Path) -> Authority {
    let rate = |number, hours: u64| Rate { number, per: Duration::from_secs(hours * 3600) };
    let limits = AuthorityLimits {
        orders: rate(300, 3),
        per_domain: rate(50, 7 * 24),
        per_set: rate(5, 7 * 24),
        failures: rate(5, 1),
    };
    let (name, directory, roots) = (name.to_owned(), directory.to_owned(), Some(roots.to_owned()));
    Authority { name, directory, roots, profile: None, eab: None, caa: Vec::new(), limits }
}

impl Builder {
    /// Where it validates: tls-alpn-01 and http-01.
    pub fn ports(mut self, https: u16, http: u16) -> Self {
        self.ports = (https, http);
        self
    }

    pub fn dns(mut self, dns: &ChallTest) -> Self {
        self.dns = Some(dns.address);
        self
    }

    /// The same, of whatever server.
    pub fn dns_at(mut self, server: SocketAddr) -> Self {
        self.dns = Some(server);
        self
    }

    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.environment.retain(|(name, _)| name != key);
        self.environment.push((key.into(), value.into()));
        self
    }

    /// Wants an external account, and knows this one; the key in base64url.
    pub fn eab(mut self, key_id: &str, key: &str) -> Self {
        self.eab = Some((key_id.into(), key.into()));
        self
    }

    /// Of its certificates, in seconds. Default 90 days.
    pub fn validity(mut self, seconds: u32) -> Self {
        self.validity = seconds;
        self
    }

    pub async fn start(self) -> Pebble {
        app::install_crypto().unwrap();
        let ca = LocalCa::create(Clock::system()).unwrap();
        let dir = TempDir::new().unwrap();
        let listener = ca.issue(&["127.0.0.1".into(), "localhost".into()], 30).unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("ca.pem"), ca.certificate()).unwrap();
        std::fs::write(path("cert.pem"), &listener.chain).unwrap();
        std::fs::write(path("key.pem"), listener.key.as_bytes()).unwrap();
        loop {
            let (address, management) = (local(port()), local(port()));
            std::fs::write(path("config.json"), self.config(address, management, dir.path()).to_string()).unwrap();
            let config = path("config.json").display().to_string();
            let dns = self.dns.map(|dns| dns.to_string());
            let mut arguments = vec!["-config", config.as_str()];
            if let Some(dns) = &dns {
                arguments.extend(["-dnsserver", dns.as_str()]);
            }
            let program = Program::start("pebble", &arguments, &self.environment);
            if program.listens(&[address, management]).await {
                return Pebble { _program: program, dir, ca, address, management };
            }
        }
    }

    fn config(&self, address: SocketAddr, management: SocketAddr, dir: &Path) -> Value {
        let mut pebble = json!({
            "listenAddress": address,
            "managementListenAddress": management,
            "certificate": dir.join("cert.pem"),
            "privateKey": dir.join("key.pem"),
            "httpPort": self.ports.1,
            "tlsPort": self.ports.0,
            "certificateValidityPeriod": self.validity,
            "retryAfter": { "authz": 1, "order": 1 },
        });
        if let Some((key_id, key)) = &self.eab {
            pebble["externalAccountBindingRequired"] = true.into();
            pebble["externalAccountMACKeys"] = json!({ key_id: key });
        }
        json!({ "pebble": pebble })
    }
}

/// A DNS that answers as it is told. Every name has the address 127.0.0.1 until it is given others.
pub struct ChallTest {
    _program: Program,
    /// UDP and TCP.
    pub address: SocketAddr,
    management: SocketAddr,
}

impl ChallTest {
    pub async fn start() -> Self {
        loop {
            let (address, management) = (local(port()), local(port()));
            let (dns, api) = (address.to_string(), management.to_string());
            let arguments = [
                "-dns01",
                &dns,
                "-management",
                &api,
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
                "-defaultIPv6",
                "",
            ];
            let program = Program::start("pebble-challtestsrv", &arguments, &[]);
            if program.listens(&[address, management]).await {
                return Self { _program: program, address, management };
            }
        }
    }

    pub async fn a(&self, host: &str, addresses: &[&str]) {
        self.tell("add-a", json!({ "host": dotted(host), "addresses": addresses })).await;
    }

    pub async fn clear_a(&self, host: &str) {
        self.tell("clear-a", json!({ "host": dotted(host) })).await;
    }

    /// What a name has that was told nothing; "" for no address at all.
    pub async fn default_a(&self, address: &str) {
        self.tell("set-default-ipv4", json!({ "ip": address })).await;
    }

    pub async fn cname(&self, host: &str, target: &str) {
        self.tell("set-cname", json!({ "host": dotted(host), "target": dotted(target) })).await;
    }

    pub async fn clear_cname(&self, host: &str) {
        self.tell("clear-cname", json!({ "host": dotted(host) })).await;
    }

    /// One more value.
    pub async fn txt(&self, host: &str, value: &str) {
        self.tell("set-txt", json!({ "host": dotted(host), "value": value })).await;
    }

    /// All values of the name.
    pub async fn clear_txt(&self, host: &str) {
        self.tell("clear-txt", json!({ "host": dotted(host) })).await;
    }

    /// `issue "<who>"`
    pub async fn caa(&self, host: &str, who: &str) {
        let policy = json!({ "tag": "issue", "value": who });
        self.tell("add-caa", json!({ "host": dotted(host), "policies": [policy] })).await;
    }

    pub async fn clear_caa(&self, host: &str) {
        self.tell("clear-caa", json!({ "host": dotted(host) })).await;
    }

    pub async fn servfail(&self, host: &str) {
        self.tell("set-servfail", json!({ "host": dotted(host) })).await;
    }

    pub async fn clear_servfail(&self, host: &str) {
        self.tell("clear-servfail", json!({ "host": dotted(host) })).await;
    }

    /// The questions that were asked for this name, as the program tells them.
    pub async fn questions(&self, host: &str) -> Vec<Value> {
        let answer = self.tell("dns-request-history", json!({ "host": host })).await;
        serde_json::from_slice(&answer).unwrap_or_default()
    }

    async fn tell(&self, what: &str, body: Value) -> Bytes {
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let request = Request::post(format!("http://{}/{what}", self.management));
        let answer = client.request(request.body(Full::from(body.to_string())).unwrap()).await.unwrap();
        assert!(answer.status().is_success(), "{what} {body}: {}", answer.status());
        answer.into_body().collect().await.unwrap().to_bytes()
    }
}

fn dotted(host: &str) -> String {
    format!("{}.", host.trim_end_matches('.'))
}
