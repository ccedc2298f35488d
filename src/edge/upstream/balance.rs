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
        let start = self.turn % all.len().max(1);
        let rotated = all[start..].iter().chain(&all[..start]);
        let load =
            |backend: &Backend, share: u8| (backend.state.in_flight() + 1) * usize::from(FULL) / usize::from(share);
        let shares = rotated.map(|backend| (backend, share(backend))).filter(|(_, share)| *share > 0);
        shares.min_by_key(|(backend, share)| load(backend, *share)).map(|(backend, _)| backend)
    }

    /// The first on the ring behind the key. One that comes back slowly gets some keys before others, always the same.
    fn hashed(&self, key: &Key, share: impl Fn(&Backend) -> u8) -> Option<&'a Backend> {
        let ring = self.members.ring.as_ref()?;
        let draw = (FixedState::with_seed(0).hash_one(key.0) % u64::from(FULL)) as u8;
        let around = || ring.node_iter(&key.0).take(self.members.all.len() * POINTS);
        let find = |good: &dyn Fn(u8) -> bool| {
            around().find_map(|address| self.members.backend(*address).filter(|backend| good(share(backend))))
        };
        find(&|share| draw < share).or_else(|| find(&|share| share > 0))
    }
}

/// A number that turns in a row do not show.
fn lot(turn: usize) -> usize {
    (FixedState::with_seed(1).hash_one(turn) >> 1) as usize
}

/// Points that each backend has on the ring (that of nginx and of pingora-ketama).
const POINTS: usize = 160;
