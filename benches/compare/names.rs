//! What everybody is called: the same for those who fill a store, those who serve and those who visit.

pub const BASE: &str = "connect.localhost";

pub fn slug(n: usize) -> String {
    format!("t{n}")
}

/// The host that every tenant has.
pub fn slug_host(n: usize) -> String {
    format!("t{n}.{BASE}")
}

/// Domains that a tenant of the large stores has besides.
pub const DOMAINS: usize = 9;

/// The `k`th domain of tenant `n`. The 0th has a certificate of its own.
pub fn domain(n: usize, k: usize) -> String {
    format!("www{k}.customer-{n}.example")
}

/// Nobody's name.
pub fn stranger(n: u64) -> String {
    format!("www.stranger-{n}.example")
}

/// A cheap sequence without a pattern that a cache could follow.
pub fn scatter(n: usize) -> usize {
    (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29) as usize
}
