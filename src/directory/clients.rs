//! Who counts as one client, and how fast one may go: the generic cell rate algorithm over a bounded map.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::Clock;

/// The network that a client is counted by: IPv4 /24, IPv6 /64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Network([u8; 8]);

impl Network {
    pub fn of(address: IpAddr) -> Self {
        let mut bytes = [0; 8];
        match address.to_canonical() {
            // A documentation prefix (RFC 3849) keeps IPv4 networks apart from IPv6 ones.
            IpAddr::V4(v4) => {
                bytes[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
                bytes[4..7].copy_from_slice(&v4.octets()[..3]);
            }
            IpAddr::V6(v6) => bytes.copy_from_slice(&v6.octets()[..8]),
        }
        Self(bytes)
    }
}

/// How much each client has used up lately. The map is bounded: a client that falls out of it starts afresh.
pub struct Allowance {
    /// Theoretical arrival time of each client's next free unit, in nanoseconds: a rate may be far above a thousand a second.
    arrivals: moka::sync::Cache<Network, Arc<AtomicI64>>,
    interval: i64,
    /// What the whole burst takes to earn.
    burst: i64,
    clock: Clock,
}

impl Allowance {
    /// `rate` units a second, `burst` of them at once.
    pub fn new(rate: u32, burst: u32, clock: Clock) -> Self {
        let interval = 1_000_000_000 / i64::from(rate.max(1));
        Self {
            arrivals: moka::sync::Cache::builder()
                .max_capacity(MOST_CLIENTS)
                .time_to_idle(Duration::from_secs(600))
                .build(),
            interval,
            burst: interval * i64::from(burst.max(1)),
            clock,
        }
    }

    /// Whether this client has anything left.
    pub fn has_any(&self, client: Network) -> bool {
        let now = self.now();
        self.arrivals.get(&client).is_none_or(|at| at.load(Ordering::Relaxed) - now <= self.burst - self.interval)
    }

    /// Takes one unit if there is one.
    pub fn take(&self, client: IpAddr) -> bool {
        let client = Network::of(client);
        let any = self.has_any(client);
        if any {
            self.charge(client);
        }
        any
    }

    /// Takes one unit, whether or not there is one.
    pub fn charge(&self, client: Network) {
        let now = self.now();
        let at = self.arrivals.get_with(client, || Arc::new(AtomicI64::new(now)));
        let ceiling = now + self.burst + self.interval;
        let next = |old: i64| Some((old.max(now) + self.interval).min(ceiling));
        let _ = at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    fn now(&self) -> i64 {
        self.clock.now().millis().saturating_mul(1_000_000)
    }
}

const MOST_CLIENTS: u64 = 65_536;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn a_client_spends_its_burst_and_earns_it_back() {
        let clock = Clock::manual(Timestamp(1_000_000));
        let allowance = Allowance::new(10, 3, clock.clone());
        let client = Network::of("192.0.2.7".parse().unwrap());
        for _ in 0..3 {
            assert!(allowance.has_any(client));
            allowance.charge(client);
        }
        assert!(!allowance.has_any(client));
        assert!(allowance.has_any(Network::of("192.0.3.7".parse().unwrap())));
        clock.advance(Duration::from_millis(100));
        assert!(allowance.has_any(client));
    }

    #[test]
    fn any_rate_and_burst_are_kept() {
        for (rate, burst) in [(1, 1), (3, 7), (300, 1_000), (50_000, 20_000), (1_000_000, 1_000_000)] {
            let clock = Clock::manual(Timestamp::parse("2026-11-21T12:00:00Z").unwrap());
            let allowance = Allowance::new(rate, burst, clock.clone());
            let client = "192.0.2.7".parse().unwrap();
            let taken = |most: u32| (0..most).filter(|_| allowance.take(client)).count() as u32;
            assert_eq!(taken(burst + 10), burst, "{rate} a second, {burst} at once");
            clock.advance(Duration::from_secs(1));
            // The division's rest, and whatever was earned beyond the burst, is the client's loss.
            assert!(taken(rate.min(burst) + 10).abs_diff(rate.min(burst)) <= 1, "{rate} a second, {burst} at once");
        }
    }

    #[test]
    fn neighbours_count_as_one_client() {
        let of = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("192.0.2.254"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.9"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
    }
}
