//! Who counts as one client, and how fast one may go: token buckets in a bounded map.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::model::Rate;
use crate::traffic::Bucket;

/// The network that a client is counted by: an IPv6 /64, and of IPv4 a /24 or an address alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Network([u8; 8]);

impl Network {
    /// IPv4 /24, IPv6 /64.
    pub fn of(address: IpAddr) -> Self {
        let mut network = Self::address(address);
        if address.to_canonical().is_ipv4() {
            network.0[7] = 0;
        }
        network
    }

    /// The IPv4 address alone; of IPv6 the /64 all the same, which is what one client has to itself.
    pub fn address(address: IpAddr) -> Self {
        let mut bytes = [0; 8];
        match address.to_canonical() {
            // A documentation prefix (RFC 3849) keeps IPv4 networks apart from IPv6 ones.
            IpAddr::V4(v4) => {
                bytes[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
                bytes[4..].copy_from_slice(&v4.octets());
            }
            IpAddr::V6(v6) => bytes.copy_from_slice(&v6.octets()[..8]),
        }
        Self(bytes)
    }
}

/// How much each client has used up lately. The map is bounded: a client that falls out of it starts afresh.
pub struct Allowance {
    buckets: moka::sync::Cache<Network, Arc<Bucket>>,
    rate: Rate,
    clock: Clock,
}

impl Allowance {
    /// `rate` units a second, `burst` of them at once.
    pub fn new(rate: u32, burst: u32, clock: Clock) -> Self {
        Self {
            buckets: moka::sync::Cache::builder()
                .max_capacity(MOST_CLIENTS)
                .time_to_idle(Duration::from_secs(600))
                .build(),
            rate: Rate { per_second: rate.max(1), burst: burst.max(1) },
            clock,
        }
    }

    /// Whether this client has anything left.
    pub fn has_any(&self, client: Network) -> bool {
        self.has_any_of(client, self.rate)
    }

    /// Takes one unit if there is one.
    pub fn take(&self, client: Network) -> bool {
        self.take_of(client, self.rate)
    }

    /// Takes one unit, whether or not there is one.
    pub fn charge(&self, client: Network) {
        self.charge_of(client, self.rate);
    }

    /// [`Allowance::has_any`] under a rate that may change from one question to the next.
    pub fn has_any_of(&self, client: Network, rate: Rate) -> bool {
        self.buckets.get(&client).is_none_or(|bucket| bucket.look(rate, self.clock.now()).allowed)
    }

    /// [`Allowance::take`] under a rate that may change.
    pub fn take_of(&self, client: Network, rate: Rate) -> bool {
        self.bucket(client).take(rate, self.clock.now()).allowed
    }

    /// [`Allowance::charge`] under a rate that may change.
    pub fn charge_of(&self, client: Network, rate: Rate) {
        self.bucket(client).charge(rate, self.clock.now());
    }

    fn bucket(&self, client: Network) -> Arc<Bucket> {
        self.buckets.get_with(client, Arc::default)
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
            let client = Network::of("192.0.2.7".parse().unwrap());
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
        let alone = |text: &str| Network::address(text.parse().unwrap());
        assert_ne!(alone("192.0.2.1"), alone("192.0.2.2"));
        assert_eq!(alone("192.0.2.1"), alone("::ffff:192.0.2.1"));
        assert_eq!(alone("2001:db8:0:1::1"), alone("2001:db8:0:1:ffff::"));
    }
}
