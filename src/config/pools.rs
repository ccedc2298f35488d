//! `[[pool]]`: groups of backends.

use std::time::Duration;

use http::HeaderValue;

use super::balancing::Balancing;
use super::beside::{self, PemFile};
use super::parsers::{self, HOSTNAME, NAME, PATH};
use super::section::{Section, Spot};
use crate::model::Hostname;

/// One `[[pool]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pool {
    pub name: String,
    /// `host:port` or `ip:port`, at least one.
    pub backends: Vec<String>,
    pub protocol: Protocol,
    /// SNI and verified name for TLS backends; never empty there.
    pub server_name: Option<Hostname>,
    /// The authorities that a TLS backend's certificate is checked against; `None`: the system's.
    pub ca: Option<PemFile>,
    /// The `Host` that backends get instead of the visitor's.
    pub host_header: Option<HeaderValue>,
    pub connect_timeout: Duration,
    /// Between two bytes of the backend's answer.
    pub read_timeout: Duration,
    pub write_timeout: Duration,
    /// From the request's head to the end of the answer, looked at whenever some of either passes and at the read timeout,
    /// which is cut to what is left of it; a WebSocket has none. `None`: no limit.
    pub total_timeout: Option<Duration>,
    /// How long an idle connection to a backend is kept.
    pub idle_timeout: Duration,
    /// No route need lead here: tenants are given it, for their own or as a canary. Default false.
    pub dedicated: bool,
    pub balancing: Balancing,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Protocol {
    /// HTTP/1.1 in the clear.
    H1,
    /// HTTP/2 in the clear with prior knowledge (gRPC).
    H2c,
    /// TLS, HTTP/2 or HTTP/1.1 by ALPN; always verified.
    Tls,
}

const BACKEND: &str = "a host or IP address with a port, such as \"10.0.0.1:8080\"";
const AUTHORITY: &str = "a host name, with a port if need be";

/// A pool as far as it could be read: a faulty one still has its name, so that its routes are not faulted too.
pub(super) struct ReadPool {
    pub name: Option<String>,
    pub spot: Spot,
    pub pool: Option<Pool>,
}

pub(super) fn read(section: &mut Section<'_>) -> ReadPool {
    let name = section.required("name", NAME, parsers::name);
    let spot = section.spot("name");
    let backends = section.texts("backends", BACKEND, parsers::backend);
    section.require("backends", &format!("a list, each {BACKEND}"));
    if section.is_empty_list("backends") {
        section.fault("backends", format!("found none, expected at least one, each {BACKEND}"));
    }
    let protocols = [("h1", Protocol::H1), ("h2c", Protocol::H2c), ("tls", Protocol::Tls)];
    let protocol = section.choice("protocol", &protocols, Protocol::H1);
    let server_name = section.text("server_name", HOSTNAME, parsers::hostname);
    let ca = section.text("ca", PATH, parsers::path);
    let ca = ca.filter(|_| protocol == Protocol::Tls).and_then(|path| beside::certificates(section, "ca", path));
    check_tls(section, protocol);
    let host_header = section.text("host_header", AUTHORITY, authority);
    let dedicated = section.flag("dedicated", false);
    let pool = Timeouts::read(section);
    let balancing = Balancing::read(section);
    let pool = name.clone().map(|name| Pool {
        name,
        backends,
        protocol,
        server_name,
        ca,
        host_header,
        connect_timeout: pool.connect,
        read_timeout: pool.read,
        write_timeout: pool.write,
        total_timeout: pool.total,
        idle_timeout: pool.idle,
        dedicated,
        balancing,
    });
    ReadPool { name, spot, pool }
}

struct Timeouts {
    connect: Duration,
    read: Duration,
    write: Duration,
    total: Option<Duration>,
    idle: Duration,
}

impl Timeouts {
    fn read(section: &mut Section<'_>) -> Self {
        let second = Duration::from_secs(1);
        let range = second / 100..=86_400 * second;
        let timeouts = Self {
            connect: section.duration("connect_timeout", second / 100..=60 * second, 5 * second),
            read: section.duration("read_timeout", range.clone(), 60 * second),
            write: section.duration("write_timeout", range.clone(), 60 * second),
            total: section.duration_or_off("total_timeout", range.clone(), None),
            idle: section.duration("idle_timeout", range, 60 * second),
        };
        if timeouts.total.is_some_and(|total| total < timeouts.connect) {
            section.fault("total_timeout", "it is shorter than connect_timeout, which it includes");
        }
        timeouts
    }
}

/// A TLS backend is always verified, so its name must be known; in the clear, there is nothing to verify.
fn check_tls(section: &Section<'_>, protocol: Protocol) {
    if protocol == Protocol::Tls {
        section.require("server_name", "the name in the backends' certificate: TLS backends are always verified");
        return;
    }
    for key in ["server_name", "ca"].into_iter().filter(|key| section.has(key)) {
        section.fault(key, "it means nothing here; expected protocol = \"tls\" beside it");
    }
}

/// A `Host` value: lowercase, with the port as it is written.
pub(super) fn authority(text: &str) -> Result<HeaderValue, String> {
    let host = Hostname::parse_authority(text.as_bytes()).map_err(|error| error.to_string())?;
    let port = text.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.is_empty());
    let value = port.map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
    HeaderValue::try_from(value).map_err(|error| error.to_string())
}
