//! How often what an answer was made of has changed: numbers that only grow, by which an answer that is kept is seen to be
//! the answer still.

use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;

/// A count of changes for each key. Keys share counts by their hashes: a change of one ends what is kept of a few others,
/// which costs them one look-up.
pub(super) struct Epochs {
    shared: Box<[AtomicU64]>,
    /// Changes of keys that were not named one by one. They count for every key, also for those that a cache has dropped
    /// and that somebody else still keeps.
    all: AtomicU64,
    hasher: RandomState,
}

/// Where a key's count is; to be remembered instead of the key.
#[derive(Clone, Copy)]
pub struct Place(u16);

impl Epochs {
    pub fn new() -> Self {
        let shared = (0..COUNTS).map(|_| AtomicU64::new(0)).collect();
        Self { shared, all: AtomicU64::new(0), hasher: RandomState::default() }
    }

    /// Which count a key has.
    pub fn place<Q: Hash + ?Sized>(&self, key: &Q) -> Place {
        // Less than COUNTS, so nothing is cut off.
        Place((self.hasher.hash_one(key) % COUNTS as u64) as u16)
    }

    /// Moves with every change of the keys that have this place. Epochs of several keys can be added up: as none ever goes
    /// back, the sum is the same only while each is.
    pub fn at(&self, place: Place) -> u64 {
        self.all.load(Ordering::Acquire) + self.shared[usize::from(place.0)].load(Ordering::Acquire)
    }

    /// To be called when the change can be seen: who reads an epoch before a value knows by it whether the value may be older.
    pub fn changed<Q: Hash + ?Sized>(&self, key: &Q) {
        self.shared[usize::from(self.place(key).0)].fetch_add(1, Ordering::AcqRel);
    }

    /// The same for every key.
    pub fn all_changed(&self) {
        self.all.fetch_add(1, Ordering::AcqRel);
    }
}

/// 32 KiB of them. A thousand changes a second, of a key each, end a quarter of what is kept each second.
const COUNTS: usize = 4_096;
