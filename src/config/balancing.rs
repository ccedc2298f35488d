//! How a pool spreads requests, and when a backend gets none: `balance` and the tables below a `[[pool]]`. What it means for
//! a request is decided in the edge.

use std::time::Duration;

use http::HeaderValue;
use toml::de::DeValue;

use super::section::{Section, describe};
use super::values::integer;
use crate::model::Hostname;

/// Which backend the next request goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with the fewest requests under way.
    LeastConnections,
    /// The same for a tenant as long as it is there; a request without a tenant counts by its client.
    HashTenant,
    /// The same for a client's address (IPv6: its /64) as long as it is there.
    HashClient,
}

/// What holds for a whole pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Balancing {
    pub balance: Balance,
    /// The breaker: this many requests may wait for an answer's head, the next is refused. `None` (default): any number.
    pub max_pending: Option<u64>,
    /// Tries beyond the first, in percent of requests, 0–100. Default 20.
    pub retry_budget: u8,
    /// Default: nobody looks.
    pub health: Option<HealthCheck>,
    pub ejection: Ejection,
    pub discovery: Discovery,
}

/// `[pool.health]`: looks at each backend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HealthCheck {
    pub kind: CheckKind,
    /// Between two looks. Default 10 s.
    pub interval: Duration,
    /// For all of one look. Default 2 s.
    pub timeout: Duration,
    /// Good looks in a row that bring a backend back. Default 2.
    pub healthy_after: u32,
    /// Failed looks in a row that take it out. Default 3.
    pub unhealthy_after: u32,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CheckKind {
    /// A connection can be made.
    Tcp,
    /// `GET path` is answered as expected.
    Http {
        /// Default `/`.
        path: String,
        /// Its `Host`. Default: the pool's `host_header`, else its `server_name`, else the backend's address.
        host: Option<HeaderValue>,
        /// Default: 200.
        expect: Vec<u16>,
    },
}

/// `[pool.ejection]`: what is seen of the requests themselves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ejection {
    /// Failures in a row that take a backend out; 0: none ever do. Default 5.
    pub failures: u32,
    /// For how long the first time; the n-th time in a row n times as long, up to ten times. Default 10 s.
    pub base: Duration,
    /// The most percent of the pool's backends that may be out so; of two or more, one always may. Default 50.
    pub most: u8,
    /// For how long a backend that comes back gets less than its share. Default 10 s.
    pub slow_start: Duration,
}

/// `[pool.discovery]`: how backends that have a name are followed in DNS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Discovery {
    /// However short the records' TTL, and after a failure. Default 5 s.
    pub min_ttl: Duration,
    /// However long the records' TTL. Default 5 min.
    pub max_ttl: Duration,
}

impl Balancing {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let balances = [
            ("round_robin", Balance::RoundRobin),
            ("least_connections", Balance::LeastConnections),
            ("hash_tenant", Balance::HashTenant),
            ("hash_client", Balance::HashClient),
        ];
        Self {
            balance: section.choice("balance", &balances, Balance::RoundRobin),
            max_pending: section.number_or_none("max_pending", 1..=1_000_000),
            retry_budget: section.number("retry_budget", 0..=100, 20),
            health: section.optional_section("health", HealthCheck::read),
            ejection: section.section("ejection", Ejection::read),
            discovery: section.section("discovery", Discovery::read),
        }
    }
}

impl HealthCheck {
    /// The `Host` of a look; `None`: the backend's address.
    pub fn host<'a>(
        &'a self,
        host_header: Option<&'a HeaderValue>,
        server_name: Option<&Hostname>,
    ) -> Option<HeaderValue> {
        let CheckKind::Http { host, .. } = &self.kind else { return None };
        let named = || server_name.and_then(|name| HeaderValue::try_from(name.to_string()).ok());
        host.as_ref().or(host_header).cloned().or_else(named)
    }

    fn read(section: &mut Section<'_>) -> Self {
        let http = section.choice("kind", &[("http", true), ("tcp", false)], true);
        let path = section.text("path", "a path such as \"/healthz\"", path);
        let host = section.text("host", "a host name, with a port if need be", super::pools::authority);
        let expect = statuses(section);
        if !http {
            for key in ["path", "host", "expect"].into_iter().filter(|key| section.has(key)) {
                section.fault(key, "it means nothing here; expected kind = \"http\" beside it");
            }
        }
        let second = Duration::from_secs(1);
        let check = Self {
            kind: match http {
                true => CheckKind::Http { path: path.unwrap_or_else(|| "/".into()), host, expect },
                false => CheckKind::Tcp,
            },
            interval: section.duration("interval", second / 20..=3600 * second, 10 * second),
            timeout: section.duration("timeout", second / 100..=60 * second, 2 * second),
            healthy_after: section.number("healthy_after", 1..=100, 2),
            unhealthy_after: section.number("unhealthy_after", 1..=100, 3),
        };
        if check.timeout > check.interval {
            section.fault("timeout", "it is longer than interval; expected that a look ends before the next one");
        }
        check
    }
}

impl Ejection {
    fn read(section: &mut Section<'_>) -> Self {
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
        Self {
            failures: section.number("failures", 0..=1000, 5),
            base: section.duration("for", second / 10..=day, 10 * second),
            most: section.number("most", 1..=100, 50),
            slow_start: section.duration("slow_start", Duration::ZERO..=day, 10 * second),
        }
    }
}

impl Discovery {
    fn read(section: &mut Section<'_>) -> Self {
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
        let discovery = Self {
            min_ttl: section.duration("min_ttl", second / 20..=day, 5 * second),
            max_ttl: section.duration("max_ttl", second / 20..=day, 300 * second),
        };
        if discovery.max_ttl < discovery.min_ttl {
            section.fault("max_ttl", "it is shorter than min_ttl; expected at least as long");
        }
        discovery
    }
}

fn path(text: &str) -> Result<String, &'static str> {
    let good = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if good { Ok(text.to_owned()) } else { Err("it starts with a slash and has no spaces") }
}

/// A list of statuses; one is enough where only one is good.
fn statuses(section: &mut Section<'_>) -> Vec<u16> {
    const EXPECTED: &str = "statuses from 200 to 599, such as [200, 204]";
    let Some(value) = section.value("expect") else { return vec![200] };
    let items = match value.get_ref() {
        DeValue::Array(items) if !items.is_empty() => items,
        other => {
            section.fault("expect", format!("found {}, expected {EXPECTED}", describe(other)));
            return vec![200];
        }
    };
    let mut all = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let status = integer(item.get_ref()).and_then(|status| u16::try_from(status).ok());
        match status.filter(|status| (200..=599).contains(status)) {
            Some(status) => all.push(status),
            None => {
                let spot = section.spot_of_element("expect", index, item);
                section.fault_at(&spot, format!("found {}, expected {EXPECTED}", describe(item.get_ref())));
            }
        }
    }
    all
}
