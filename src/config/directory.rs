//! `[directory]`: what a node remembers of who lives where, and how it bears strangers' questions.

use std::time::Duration;

use super::section::Section;

/// `[directory]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directory {
    /// Hosts remembered, at most 400 bytes each. Default 1,000,000.
    pub hosts: u64,
    /// Tenants remembered. Default 200,000.
    pub tenants: u64,
    /// Unknown names remembered as unknown. Default 65,536.
    pub negatives: u64,
    /// How long an unknown name stays unknown without being asked for again. Default 30 s.
    pub negative_ttl: Duration,
    /// Look-ups of unknown names under way at once. Default 64.
    pub concurrent_misses: usize,
    /// How long a miss may wait for its turn before it is answered 503. Default 500 ms.
    pub miss_wait: Duration,
    /// Misses a second that one client (/24 or /64) may cause, and how many at once. Defaults 50 and 200.
    pub miss_rate: u32,
    pub miss_burst: u32,
}

impl Directory {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let second = Duration::from_secs(1);
        Self {
            hosts: section.number("hosts", 1..=100_000_000, 1_000_000),
            tenants: section.number("tenants", 1..=100_000_000, 200_000),
            negatives: section.number("negatives", 1..=10_000_000, 65_536),
            negative_ttl: section.duration("negative_ttl", second..=3600 * second, 30 * second),
            concurrent_misses: section.number("concurrent_misses", 1..=10_000, 64u32) as usize,
            miss_wait: section.duration("miss_wait", second / 1000..=10 * second, second / 2),
            miss_rate: section.number("miss_rate", 1..=1_000_000, 50),
            miss_burst: section.number("miss_burst", 1..=1_000_000, 200),
        }
    }
}
