//! Who is next: a backend out of a snapshot, by the pool's policy. Pure but for what it reads of the backends; nothing is
//! locked or allocated.

use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};

use foldhash::fast::FixedState;

use super::backend::Backend;
use super::ejection::FULL;
use super::roster::Members;
use crate::config::Balance;

/// What a choice follows from.
pub(super) struct Choice<'a, W> {
    pub members: &'a Members,
    pub balance: Balance,
    /// What is hashed; `None`: nothing is known that could be.
    pub key: Option<Key>,
    pub turn: usize,
    /// Whoever failed this request already.
    pub avoid: Option<SocketAddr>,
    /// The share of a backend in percent; 0: out after failures; `None`: it must not be asked.
    pub weight: W,
}

/// The bytes that stand for a tenant or a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Key([u8; 16]);

impl Key {
    pub fn tenant(id: uuid::Uuid) -> Self {
        Self(id.into_bytes())
    }

    /// All of an IPv6 /64 is one client (RFC 4291 §2.5.4: the rest is an interface's).
    pub fn client(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(four) => Self(four.to_ipv6_mapped().octets()),
            IpAddr::V6(six) => Self((u128::from(six) & !u128::from(u64::MAX)).to_be_bytes()),
        }
    }
}

impl<'a, W: Fn(&Backend) -> Option<u8>> Choice<'a, W> {
    /// A backend that is well, else one that is out after failures (all of them may be wrongly so), else the one to avoid.
    /// `None`: looks say of every one that it cannot take requests.
    pub fn make(&self) -> Option<&'a Backend> {
        let others = |backend: &Backend| Some(backend.state.address) != self.avoid;
        let weight = |backend: &Backend| (self.weight)(backend);
        self.by(|backend| weight(backend).filter(|_| others(backend)).unwrap_or(0))
            .or_else(|| self.by(|backend| if others(backend) && weight(backend).is_some() { FULL } else { 0 }))
            .or_else(|| self.by(|backend| if weight(backend).is_some() { FULL } else { 0 }))
    }

    /// By the policy among those that have a share.
    fn by(&self, share: impl Fn(&Backend) -> u8) -> Option<&'a Backend> {
        match (self.balance, &self.key) {
            (Balance::LeastConnections, _) => self.least(share),
            (Balance::HashTenant | Balance::HashClient, Some(key)) => self.hashed(key, share),
            _ => self.in_turn(share),
        }
    }

    /// Evenly by turns; where shares differ, by lot.
    fn in_turn(&self, share: impl Fn(&Backend) -> u8) -> Option<&'a Backend> {
        let (mut total, mut some, mut even) = (0_usize, 0_usize, true);
        for share in self.members.all.iter().map(&share).filter(|share| *share > 0) {
            total += usize::from(share);
            some += 1;
            even &= share == FULL;
        }
        if some == 0 {
            return None;
        }
        let mut at = match even {
            true => self.turn % some * usize::from(FULL),
            false => lot(self.turn) % total,
        };
        self.members.all.iter().find(|backend| {
            let share = usize::from(share(backend));
            let hit = at < share;
            at = at.saturating_sub(share);
            hit
        })
    }

    /// The fewest requests under way for its share; among equals by turns.
    fn least(&self, share: impl Fn(&Backend) -> u8) -> Option<&'a Backend> {
        let all = &self.members.all;
        let load = |backend: &Backend| {
            let share = usize::from(share(backend));
            (share > 0).then(|| (backend.state.in_flight() + 1) * usize::from(FULL) / share)
        };
        let least = all.iter().filter_map(load).min()?;
        let equals = || all.iter().filter(|backend| load(backend) == Some(least));
        // Meanwhile all of them may have got another request.
        equals().nth(self.turn % equals().count().max(1)).or_else(|| all.iter().find(|backend| share(backend) > 0))
    }

    /// The first on the ring behind the key. One that comes back slowly gets some keys before others, always the same.
    fn hashed(&self, key: &Key, share: impl Fn(&Backend) -> u8) -> Option<&'a Backend> {
        let ring = self.members.ring.as_ref()?;
        let draw = (FixedState::with_seed(0).hash_one(key.0) % u64::from(FULL)) as u8;
        // The ring has many points for each backend: it is only walked when there is somebody on it to be found.
        let best = self.members.all.iter().map(&share).max().filter(|best| *best > 0)?;
        let least = if best > draw { draw + 1 } else { 1 };
        let mut around = ring.node_iter(&key.0).take(self.members.all.len() * POINTS);
        around.find_map(|address| self.members.backend(*address).filter(|backend| share(backend) >= least))
    }
}

/// A number that turns in a row do not show.
fn lot(turn: usize) -> usize {
    (FixedState::with_seed(1).hash_one(turn) >> 1) as usize
}

/// Points that each backend has on the ring (that of nginx and of pingora-ketama).
const POINTS: usize = 160;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use pingora_core::upstreams::peer::HttpPeer;
    use pingora_ketama::{Bucket, Continuum};

    use super::super::backend::State;
    use super::*;

    fn members(backends: std::ops::Range<u16>) -> Members {
        let address = |n: u16| SocketAddr::from(([10, 0, 0, n as u8], 80));
        let all: Vec<_> = backends.clone().map(address).collect();
        let buckets: Vec<_> = all.iter().map(|address| Bucket::new(*address, 1)).collect();
        let places = all.iter().enumerate().map(|(place, address)| (*address, place)).collect();
        let backend = |address: &SocketAddr| Backend {
            peer: HttpPeer::new(*address, false, String::new()),
            state: Arc::new(State::new(*address)),
        };
        Members { all: all.iter().map(backend).collect(), places, ring: Some(Continuum::new(&buckets)) }
    }

    fn last(backend: &Backend) -> u8 {
        match backend.state.address.ip() {
            IpAddr::V4(four) => four.octets()[3],
            IpAddr::V6(_) => 0,
        }
    }

    /// How often each is chosen of so many times, `weight` being their share by the last byte of their address.
    fn counts(members: &Members, balance: Balance, weight: impl Fn(u8) -> Option<u8>) -> HashMap<u8, usize> {
        let mut counts = HashMap::new();
        for turn in 0..10_000 {
            let key = Some(Key::tenant(uuid::Uuid::from_u128(turn as u128)));
            let weight = |backend: &Backend| weight(last(backend));
            let choice = Choice { members, balance, key, turn, avoid: None, weight };
            *counts.entry(choice.make().map_or(0, last)).or_default() += 1;
        }
        counts
    }

    const ALL: [Balance; 3] = [Balance::RoundRobin, Balance::LeastConnections, Balance::HashTenant];

    #[test]
    fn who_is_down_or_out_gets_nothing_while_there_is_another() {
        for balance in ALL {
            let counts = counts(&members(1..5), balance, |n| [None, Some(0), Some(100), Some(100)][usize::from(n) - 1]);
            assert_eq!(counts.len(), 2, "{balance:?} {counts:?}");
            assert!(counts[&3] > 3_000 && counts[&4] > 3_000, "{balance:?} {counts:?}");
        }
    }

    #[test]
    fn when_all_are_out_they_are_asked_and_when_all_are_down_nobody_is() {
        for balance in ALL {
            let counts_out = counts(&members(1..4), balance, |n| (n > 1).then_some(0));
            assert_eq!(counts_out.len(), 2, "{balance:?} {counts_out:?}");
            assert_eq!(counts(&members(1..4), balance, |_| None), HashMap::from([(0, 10_000)]));
            assert_eq!(counts(&members(1..1), balance, |_| Some(100)), HashMap::from([(0, 10_000)]));
        }
    }

    #[test]
    fn a_slow_return_is_a_share() {
        for balance in [Balance::RoundRobin, Balance::HashTenant] {
            let counts = counts(&members(1..5), balance, |n| Some(if n == 1 { 20 } else { 100 }));
            let full = (counts[&2] + counts[&3] + counts[&4]) / 3;
            assert!((full / 10..full * 2 / 5).contains(&counts[&1]), "{balance:?} {counts:?}");
        }
    }

    #[test]
    fn only_the_keys_of_a_backend_that_goes_move() {
        let (ten, nine) = (members(1..11), members(2..11));
        let at = |members: &Members, n: u128, down: u8| {
            let weight = |backend: &Backend| (last(backend) != down).then_some(100);
            let key = Some(Key::tenant(uuid::Uuid::from_u128(n)));
            Choice { members, balance: Balance::HashTenant, key, turn: 0, avoid: None, weight }.make().map(last)
        };
        let mut moved = 0;
        for n in 0..10_000 {
            let before = at(&ten, n, 0);
            moved += usize::from(before == Some(1));
            for after in [at(&nine, n, 0), at(&ten, n, 1)] {
                assert!(after == before || before == Some(1), "{n}");
            }
        }
        assert!((500..2_000).contains(&moved), "about a tenth: {moved}");
    }

    #[test]
    fn a_client_is_an_address_or_a_64() {
        let key = |text: &str| Key::client(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }
}
