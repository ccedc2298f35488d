//! How often somebody may try: per network of the caller's in this process, and per account, from that network and from
//! everywhere, in the store, so that all nodes count together. Only what fails is counted.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use ipnet::IpNet;
use moka::sync::Cache;

use super::SignInError;
use crate::clock::{Clock, Timestamp};
use crate::store::{BucketRow, Store, StoreError};

/// One more try each `every`, and `burst` at once.
#[derive(Clone, Copy)]
struct Allowance {
    every: Duration,
    burst: u32,
}

/// Whoever guesses at many accounts.
const PER_NETWORK: Allowance = Allowance { every: Duration::from_secs(6), burst: 30 };
/// Whoever guesses at one.
const PER_ACCOUNT_AND_NETWORK: Allowance = Allowance { every: Duration::from_secs(60), burst: 5 };
/// Many who guess at one: wide, because it locks its owner out as well.
const PER_ACCOUNT: Allowance = Allowance { every: Duration::from_secs(120), burst: 100 };

const MOST_NETWORKS: u64 = 65_536;

/// Clones share the counts.
#[derive(Clone)]
pub struct Throttle {
    networks: Cache<Option<IpNet>, Arc<Mutex<Timestamp>>>,
    store: Store,
    clock: Clock,
}

/// A try that was let through and counted. [`Throttle::forgive`] takes it back.
pub struct Try {
    network: Option<IpNet>,
    buckets: [String; 2],
}

impl Throttle {
    pub fn new(store: Store, clock: Clock) -> Self {
        Self { networks: Cache::new(MOST_NETWORKS), store, clock }
    }

    /// Counts a try at `account` from `from` before anything is looked at, so that many at once are counted too.
    pub async fn enter(&self, account: &str, from: Option<IpAddr>) -> Result<Try, SignInError> {
        let network = from.map(network_of);
        self.count_network(network)?;
        let account = hex::encode(&digest::digest(&digest::SHA256, account.as_bytes()).as_ref()[..16]);
        let near = format!("signin:{account}:{}", network.map_or_else(|| "-".to_owned(), |net| net.to_string()));
        // In the order in which they are locked: a colon comes before what follows it.
        let buckets = [format!("signin:{account}"), near];
        let now = self.clock.now();
        let mut aside = self.store.aside().await?;
        let mut rows = Vec::new();
        for (id, allowance) in buckets.iter().zip([PER_ACCOUNT, PER_ACCOUNT_AND_NETWORK]) {
            let row = aside.lock_bucket(id).await?;
            let arrival =
                allowance.take(row.arrival, now).map_err(|retry_after| SignInError::TooOften { retry_after })?;
            rows.push((id, BucketRow { arrival, ..row }));
        }
        for (id, row) in rows {
            aside.save_bucket(id, row).await?;
        }
        aside.commit().await?;
        Ok(Try { network, buckets })
    }

    /// It was the right person: their tries from there are forgotten, and this one counts nowhere.
    pub async fn forgive(&self, tried: &Try) -> Result<(), StoreError> {
        if let Some(arrival) = self.networks.get(&tried.network) {
            let mut arrival = arrival.lock().unwrap_or_else(PoisonError::into_inner);
            *arrival = *arrival - PER_NETWORK.every;
        }
        let mut aside = self.store.aside().await?;
        let [wide, near] = &tried.buckets;
        let row = aside.lock_bucket(wide).await?;
        aside.save_bucket(wide, BucketRow { arrival: row.arrival - PER_ACCOUNT.every, ..row }).await?;
        aside.save_bucket(near, BucketRow::default()).await?;
        aside.commit().await
    }

    /// Counts a try that is about no account.
    pub fn count_from(&self, from: Option<IpAddr>) -> Result<(), SignInError> {
        self.count_network(from.map(network_of))
    }

    fn count_network(&self, network: Option<IpNet>) -> Result<(), SignInError> {
        let arrival = self.networks.get_with(network, Arc::default);
        let mut arrival = arrival.lock().unwrap_or_else(PoisonError::into_inner);
        match PER_NETWORK.take(*arrival, self.clock.now()) {
            Ok(next) => {
                *arrival = next;
                Ok(())
            }
            Err(retry_after) => Err(SignInError::TooOften { retry_after }),
        }
    }
}

impl Allowance {
    /// The generic cell rate algorithm: the next theoretical arrival, or how long to wait.
    fn take(self, arrival: Timestamp, now: Timestamp) -> Result<Timestamp, Duration> {
        let next = arrival.max(now) + self.every;
        let latest = now + self.every * self.burst;
        if next > latest { Err(next.since(latest)) } else { Ok(next) }
    }
}

/// IPv4 by /24, IPv6 by /64: what one hand holds.
fn network_of(address: IpAddr) -> IpNet {
    let prefix = if address.is_ipv4() { 24 } else { 64 };
    IpNet::new(address, prefix).map_or_else(|_| IpNet::from(address), |network| network.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_one_at_a_time() {
        let allowance = Allowance { every: Duration::from_secs(60), burst: 3 };
        let now = Timestamp(1_000_000);
        let mut arrival = Timestamp(0);
        for _ in 0..3 {
            arrival = allowance.take(arrival, now).unwrap();
        }
        assert_eq!(allowance.take(arrival, now), Err(Duration::from_secs(60)));
        let later = now + Duration::from_secs(60);
        arrival = allowance.take(arrival, later).unwrap();
        assert!(allowance.take(arrival, later).is_err());
    }

    #[test]
    fn neighbours_count_as_one() {
        for (one, other) in [("192.0.2.1", "192.0.2.200"), ("2001:db8::1", "2001:db8::ffff:1")] {
            assert_eq!(network_of(one.parse().unwrap()), network_of(other.parse().unwrap()));
        }
        assert_ne!(network_of("192.0.2.1".parse().unwrap()), network_of("192.0.3.1".parse().unwrap()));
    }
}
