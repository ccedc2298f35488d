//! Configuration: loose files in, one checked [`Config`] out, or a list of every fault. Nothing that is configured is
//! ignored, and nothing here opens a socket or a store.

mod routing;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

pub use routing::{Action, HostMatch, PathMatch, Pool, PoolId, Protocol, Route, Routing};

use crate::model::{Brand, Catalogue, Hostname};

/// Everything configured, checked. One value per load: whoever handles a request loads it once.
#[derive(Clone, Debug)]
pub struct Config {
    pub brand: Brand,
    pub listeners: Vec<Listener>,
    pub admin: Admin,
    pub store: Store,
    pub tls: Tls,
    pub limits: Limits,
    pub tenancy: Tenancy,
    pub headers: Headers,
    pub directory: Directory,
    pub log: Log,
    pub routing: Routing,
    pub catalogue: Arc<Catalogue>,
}

/// One `[[listener]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// Also the name of an inherited socket (LISTEN_FDNAMES).
    pub name: String,
    pub address: SocketAddr,
    pub tls: bool,
    /// PROXY protocol: `None` is off; else required, and only from these sources.
    pub proxy_protocol: Option<Vec<IpNet>>,
    /// The port that visitors see, for redirects and `X-Forwarded-Port`; by default the address's own.
    pub public_port: u16,
}

/// `[admin]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admin {
    pub address: SocketAddr,
    pub max_body: usize,
}

/// `[store]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Store {
    /// `sqlite:<path>` or `postgres://…`.
    pub url: String,
    /// The key-encryption key: 32 bytes, base64.
    pub key: KeySource,
    pub poll_interval: Duration,
    pub max_connections: u32,
}

/// Where the key-encryption key is read from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeySource {
    File(PathBuf),
    Environment(String),
    /// A systemd credential, by name, under `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

/// `[tls]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tls {
    pub min_version_13: bool,
    /// From the first byte to the end of the handshake.
    pub handshake_timeout: Duration,
    /// A certificate for names that nobody knows; without one their handshake is refused.
    pub fallback: Option<FallbackCertificate>,
    /// Certificates kept parsed and ready.
    pub cache: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FallbackCertificate {
    pub chain: PathBuf,
    pub key: PathBuf,
}

/// `[limits]`: what one node takes from strangers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    pub connections: usize,
    /// Per client address; IPv6 by /64.
    pub connections_per_address: usize,
    pub header_bytes: usize,
    pub header_count: usize,
    /// The whole time that a request's head may take.
    pub head_timeout: Duration,
    /// How long a connection may rest between requests.
    pub idle_timeout: Duration,
    /// How long a request's body may stand still.
    pub body_timeout: Duration,
    pub requests_per_connection: u32,
    pub h2_streams: u32,
    /// The largest request body; `None`: no limit.
    pub body_bytes: Option<u64>,
}

/// `[tenancy]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tenancy {
    pub trial_days: u32,
    /// What happens to a trial that is over: `false` stays reachable, `true` is treated as suspended.
    pub suspend_expired_trials: bool,
    /// Tenant from a signed cookie on the main site; `None`: off.
    pub session_cookie: Option<String>,
    /// Send HSTS on tenant hosts and custom domains, with this `max-age`. `None`: off.
    pub hsts: Option<Duration>,
}

/// `[headers]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Headers {
    /// Whose `X-Forwarded-*`, `Forwarded`, `X-Request-Id` and `traceparent` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// `iss` of the assertion.
    pub issuer: String,
}

/// `[directory]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directory {
    pub hosts: u64,
    pub tenants: u64,
    pub negatives: u64,
    pub negative_ttl: Duration,
    /// Look-ups of unknown names under way at once.
    pub concurrent_misses: usize,
    /// How long a miss may wait for its turn before it is answered 503.
    pub miss_wait: Duration,
    /// Misses a second that one client (/24 or /64) may cause, and how many at once.
    pub miss_rate: u32,
    pub miss_burst: u32,
}

/// `[log]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a tracing filter.
    pub filter: String,
    pub format: LogFormat,
    pub access: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    Text,
    Json,
}

impl Config {
    /// The base domain as the edge serves it over TLS on its first TLS listener: `https://<base>[:port]`.
    pub fn https_port(&self) -> Option<u16> {
        self.listeners.iter().find(|listener| listener.tls).map(|listener| listener.public_port)
    }

    pub fn main_host(&self) -> &Hostname {
        &self.brand.base
    }
}
