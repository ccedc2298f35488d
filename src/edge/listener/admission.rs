//! How many connections may be open: in all, and from one address. A place is given back when its guard is dropped.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The counters of one process. Addresses are spread over shards so that accepting does not queue at one lock.
#[derive(Debug, Default)]
pub(super) struct Admission {
    total: AtomicUsize,
    shards: [Mutex<HashMap<IpAddr, usize>>; 16],
}

/// One of all places.
#[derive(Debug)]
pub(super) struct Place(Arc<Admission>);

/// One of an address's places.
#[derive(Debug)]
pub(super) struct AddressPlace(Arc<Admission>, IpAddr);

impl Admission {
    /// A place among `most` in all.
    pub fn enter(self: &Arc<Self>, most: usize) -> Option<Place> {
        let more = |open: usize| (open < most).then_some(open + 1);
        self.total.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok().map(|_| Place(self.clone()))
    }

    /// A place among the `most` of this address; an IPv6 client has a /64 to itself, and counts as one.
    pub fn enter_address(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<AddressPlace> {
        let key = key(address);
        let mut shard = self.shard(&key);
        let open = shard.entry(key).or_insert(0);
        if *open >= most {
            if *open == 0 {
                shard.remove(&key);
            }
            return None;
        }
        *open += 1;
        Some(AddressPlace(self.clone(), key))
    }

    fn shard(&self, key: &IpAddr) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        let last = match key {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => address.octets()[7],
        };
        self.shards[usize::from(last) % self.shards.len()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.total.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        if let Entry::Occupied(mut open) = self.0.shard(&self.1).entry(self.1) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
            }
        }
    }
}

fn key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back_and_nothing_is_left_behind() {
        let admission = Arc::new(Admission::default());
        let (a, b) = (admission.enter(2).unwrap(), admission.enter(2).unwrap());
        assert!(admission.enter(2).is_none());
        drop(a);
        assert!(admission.enter(2).is_some());
        drop(b);
        assert_eq!(admission.total.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn an_ipv6_network_is_one_client_and_a_mapped_address_is_its_ipv4_self() {
        let admission = Arc::new(Admission::default());
        let enter = |address: &str| admission.enter_address(address.parse().unwrap(), 1);
        let places = [enter("192.0.2.1"), enter("192.0.2.2"), enter("2001:db8::1"), enter("2001:db8:0:1::1")];
        assert!(places.iter().all(Option::is_some));
        for taken in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::ffff:2", "2001:db8:0:1:a::"] {
            assert!(enter(taken).is_none(), "{taken}");
        }
        drop(places);
        assert!(admission.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
        assert!(admission.enter_address("192.0.2.1".parse().unwrap(), 0).is_none());
        assert!(admission.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }
}
