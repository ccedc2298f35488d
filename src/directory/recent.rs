//! Whom the hosts lead to that are asked for most: whole answers, in a table of fixed size before the caches. A hit takes no
//! lock and allocates nothing; whether an answer still holds is seen by its epoch.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwapOption;
use foldhash::fast::RandomState;

use super::view::View;
use crate::model::{Hostname, TenantId};

/// What the caches have answered for a host.
pub(super) struct Answer {
    pub host: Hostname,
    pub view: Arc<View>,
    pub tenant: TenantId,
    /// The sum of the epochs of the host, its tenant and the tenant's parents, each of which was read before what it is
    /// the epoch of.
    pub epoch: u64,
    uses: AtomicU32,
}

impl Answer {
    pub fn new(host: Hostname, view: Arc<View>, epoch: u64) -> Self {
        let tenant = view.tenant.id;
        Self { host, view, tenant, epoch, uses: AtomicU32::new(0) }
    }
}

/// The table. A host has its place in one set, and may be in any way of it.
pub(super) struct Recent {
    sets: Box<[Set]>,
    hasher: RandomState,
}

/// One line of the processor's cache, so that a host that is not here costs no more than that.
#[derive(Default)]
#[repr(align(64))]
struct Set {
    answers: [ArcSwapOption<Answer>; WAYS],
    /// Of the hosts of the answers, as a rule: two that write at once may mix them up, and the answer's own host decides.
    tags: [AtomicU32; WAYS],
    /// Of whoever asked last in vain.
    asked: AtomicU32,
}

impl Recent {
    /// With room for about as many as the cache behind it, and for [`MOST`] at the most.
    pub fn new(hosts: u64) -> Self {
        let sets = (hosts.clamp(1, MOST) as usize).div_ceil(WAYS).next_power_of_two();
        Self { sets: (0..sets).map(|_| Set::default()).collect(), hasher: RandomState::default() }
    }

    /// The answer for this host, if there is one of which `holds` is true. Now and then there is none all the same, so that
    /// the caches know who is in use.
    pub fn get(&self, host: &Hostname, holds: impl FnOnce(&Answer) -> bool) -> Option<Arc<View>> {
        let (set, tag) = self.place(host);
        let answer = set.answers[set.way(tag)?].load();
        let answer = answer.as_ref().filter(|answer| answer.host == *host && holds(answer))?;
        (answer.uses.fetch_add(1, Ordering::Relaxed) < MOST_USES).then(|| Arc::clone(&answer.view))
    }

    /// Keeps an answer if its host is here already, or was the last to ask in vain before: hosts without number that are
    /// each asked for once drive nobody out.
    pub fn keep(&self, answer: Answer) {
        let (set, tag) = self.place(&answer.host);
        let way = match set.way(tag) {
            Some(its_own) => its_own,
            None if set.asked.swap(tag, Ordering::Relaxed) != tag => return,
            None => set.way(EMPTY).unwrap_or((tag >> 1) as usize % WAYS),
        };
        set.answers[way].store(Some(Arc::new(answer)));
        set.tags[way].store(tag, Ordering::Release);
    }

    fn place(&self, host: &Hostname) -> (&Set, u32) {
        let hash = self.hasher.hash_one(host);
        // Always a power of two, so that this is no division.
        (&self.sets[hash as usize & (self.sets.len() - 1)], (hash >> 32) as u32 | 1)
    }
}

impl Set {
    fn way(&self, tag: u32) -> Option<usize> {
        self.tags.iter().position(|its| its.load(Ordering::Acquire) == tag)
    }
}

/// Answers at the most: 1 MiB of places, and some 100 bytes for each that is taken. Enough for the hosts that take nearly all
/// of a node's requests; whoever is not among them is looked up in the caches.
const MOST: u64 = 65_536;

/// As many as fit in 64 bytes. With one, every seventh of 10,000 hosts would be in another's way.
const WAYS: usize = 4;

/// No host's tag: those are odd.
const EMPTY: u32 = 0;

/// How often an answer is given before it is looked up anew.
const MOST_USES: u32 = 64;
