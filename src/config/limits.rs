//! `[limits]`: what one node takes from strangers.

use std::time::Duration;

use super::section::Section;
use crate::model::Rate;

const KIB: u64 = 1 << 10;
/// Of connections.
const MOST: u32 = 10_000_000;

/// `[limits]`: what one node takes from strangers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Open client connections. Default 20,000.
    pub connections: usize,
    /// Per client address; IPv6 by /64. Default 512, or all of them when those are fewer.
    pub connections_per_address: usize,
    /// New connections of one client address; IPv6 by /64. `None` (the default): no limit.
    pub new_connections: Option<Rate>,
    /// TLS handshakes of one client address for names that nobody knows; IPv6 by /64. Default 20 a second, 100 at once.
    pub unknown_sni: Option<Rate>,
    /// All of a request's head, in bytes. Default 32 KiB.
    pub header_bytes: usize,
    /// Header lines in a request. Default 100, at most 256: the proxy engine reads no more.
    pub header_count: usize,
    /// The whole time that a request's head may take. Default 10 s.
    pub head_timeout: Duration,
    /// How long a connection may rest between requests. Default 60 s.
    pub idle_timeout: Duration,
    /// How long a request's body may stand still. Default 60 s.
    pub body_timeout: Duration,
    /// Requests before a connection is closed in good order. Default 10,000.
    pub requests_per_connection: u32,
    /// Concurrent streams of one HTTP/2 connection. Default 100.
    pub h2_streams: u32,
    /// The largest request body, in bytes; `None` (the default): no limit.
    pub body_bytes: Option<u64>,
}

impl Limits {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let times = Duration::from_millis(100)..=Duration::from_secs(3600);
        let connections = section.number("connections", 1..=MOST, 20_000u32);
        let per_address = section.number("connections_per_address", 1..=MOST, connections.min(512));
        if per_address > connections {
            section.fault(
                "connections_per_address",
                format!("found {per_address}, expected at most `connections`, {connections}"),
            );
        }
        Self {
            connections: connections as usize,
            connections_per_address: per_address as usize,
            new_connections: rate(section, ["new_connections_per_second", "new_connections_burst"], None),
            unknown_sni: rate(section, ["unknown_sni_per_second", "unknown_sni_burst"], Some(20)),
            header_bytes: section.size("header_bytes", KIB..=KIB * KIB, 32 * KIB) as usize,
            header_count: section.number("header_count", 8..=256, 100u32) as usize,
            head_timeout: section.duration("head_timeout", times.clone(), Duration::from_secs(10)),
            idle_timeout: section.duration("idle_timeout", times.clone(), Duration::from_secs(60)),
            body_timeout: section.duration("body_timeout", times, Duration::from_secs(60)),
            requests_per_connection: section.number("requests_per_connection", 1..=1_000_000_000, 10_000),
            h2_streams: section.number("h2_streams", 1..=10_000, 100),
            body_bytes: section.size_or_off("body_bytes", 1..=1 << 50, None),
        }
    }
}

/// A rate that can be off, with how many may come at once: by default those of five seconds.
fn rate(section: &mut Section<'_>, [rate, burst]: [&'static str; 2], default: Option<u32>) -> Option<Rate> {
    let per_second = section.number_or_off(rate, 1..=1_000_000, default);
    let at_once = section.number(burst, 1..=5_000_000, per_second.unwrap_or(1).saturating_mul(5));
    // A rate that is wrong has its fault already.
    let off = per_second.is_none() && section.peek(rate).is_none_or(|value| value.as_str() == Some("off"));
    if off && section.has(burst) {
        section.fault(burst, format!("it means nothing here; expected {rate} beside it"));
    }
    per_second.map(|per_second| Rate { per_second, burst: at_once })
}
