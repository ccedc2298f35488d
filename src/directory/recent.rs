//! Whom the hosts lead to that are asked for most: whole answers, in a table of fixed size before the caches. A hit takes no
//! lock and allocates nothing; whether an answer still holds is seen by its epoch.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwapOption;
use foldhash::fast::RandomState;

use super::epoch::Place;
use super::view::View;
use crate::model::Hostname;

/// What the caches have answered for a host. It takes 64 bytes with what an `Arc` adds: a line of the processor's cache.
pub(super) struct Answer {
    pub host: Hostname,
    pub view: Arc<View>,
    pub stands_on: Ground,
    uses: AtomicU32,
}

/// What an answer's host and tenant were when it was made.
#[derive(Clone, Copy)]
pub(super) struct Ground {
    pub host: Place,
    pub tenant: Place,
    /// The sum of the epochs of both and of the tenant's parents, each of which was read before what it is the epoch of.
    pub epoch: u64,
}

impl Answer {
    pub fn new(host: Hostname, view: Arc<View>, stands_on: Ground) -> Self {
        Self { host, view, stands_on, uses: AtomicU32::new(0) }
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
    /// With room for about as many as the smaller of the caches behind it, and for [`MOST`] at the most.
    pub fn new(hosts: u64) -> Self {
        let sets = (hosts.clamp(1, MOST) as usize).div_ceil(WAYS).next_power_of_two();
        Self { sets: (0..sets).map(|_| Set::default()).collect(), hasher: RandomState::default() }
    }

    /// The answer for this host, if there is one of which `holds` is true; one of which it is not goes. Now and then there is
    /// none all the same, so that the caches know who is in use.
    pub fn get(&self, host: &Hostname, holds: impl FnOnce(&Answer) -> bool) -> Option<Arc<View>> {
        let (set, tag) = self.place(host);
        let way = &set.answers[set.way(tag)?];
        let answer = way.load();
        let answer = answer.as_ref().filter(|answer| answer.host == *host)?;
        if !holds(answer) {
            way.store(None);
            return None;
        }
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

    /// Lets go of everything, and of the tenants' facts with it.
    pub fn clear(&self) {
        for way in self.sets.iter().flat_map(|set| &set.answers) {
            way.store(None);
        }
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

/// Answers at the most: 1 MiB of places, and for each that is taken some 100 bytes and its tenant's facts. Enough for the
/// hosts that take nearly all of a node's requests; whoever is not among them is looked up in the caches.
const MOST: u64 = 65_536;

/// As many as fit in 64 bytes. With one, every seventh of 10,000 hosts would be in another's way.
const WAYS: usize = 4;

/// No host's tag: those are odd.
const EMPTY: u32 = 0;

/// How often an answer is given before it is looked up anew.
const MOST_USES: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, Timestamp};
    use crate::directory::epoch::Epochs;
    use crate::directory::view::Resident;
    use crate::model::{Catalogue, PlanName, Slug, Tenant};
    use crate::traffic::Meters;

    /// The answer for the host of this name.
    fn answer(name: &str, epoch: u64) -> Answer {
        let default_plan = PlanName::parse("free").unwrap();
        let (plans, features) = (Vec::new(), Default::default());
        let catalogue = Arc::new(Catalogue { plans, default_plan, features, licence: None, upgrade_url: None });
        let meters = Arc::new(Meters::new("test".into(), Clock::system()));
        let tenant = Tenant { name: name.into(), ..Tenant::new(Slug::parse(name).unwrap(), Timestamp(0)) };
        let view = Resident::new(tenant, &meters).view(&[], &catalogue, false, &Clock::system()).unwrap();
        let place = Epochs::new().place(name);
        Answer::new(host(name), view, Ground { host: place, tenant: place, epoch })
    }

    fn host(name: &str) -> Hostname {
        Hostname::parse(&format!("{name}.example")).unwrap()
    }

    fn name_at(recent: &Recent, name: &str) -> Option<String> {
        recent.get(&host(name), |_| true).map(|view| view.tenant.name.clone())
    }

    #[test]
    fn an_answer_is_kept_when_its_host_asks_twice_in_a_row_and_given_so_many_times() {
        let recent = Recent::new(1);
        recent.keep(answer("one", 0));
        assert_eq!(name_at(&recent, "one"), None);
        recent.keep(answer("two", 0));
        recent.keep(answer("one", 0));
        assert_eq!(name_at(&recent, "one"), None, "another came between");
        recent.keep(answer("one", 0));
        for _ in 0..MOST_USES {
            assert_eq!(name_at(&recent, "one"), Some("one".into()));
        }
        assert_eq!(name_at(&recent, "one"), None);
        recent.keep(answer("one", 0));
        assert_eq!(name_at(&recent, "one"), Some("one".into()), "its place is its own now");
        assert!(recent.get(&host("one"), |answer| answer.stands_on.epoch == 1).is_none());
        recent.keep(answer("one", 1));
        assert!(recent.get(&host("one"), |answer| answer.stands_on.epoch == 1).is_some());
    }

    #[test]
    fn a_set_that_is_full_takes_another_in_and_gives_nobody_anothers_answer() {
        let recent = Recent::new(1);
        let names = ["one", "two", "three", "four", "five", "six"];
        for name in names.iter().chain(&names) {
            recent.keep(answer(name, 0));
            recent.keep(answer(name, 0));
            assert_eq!(name_at(&recent, name), Some((*name).into()));
        }
        let kept = names.iter().filter_map(|name| name_at(&recent, name).inspect(|found| assert_eq!(found, name)));
        assert_eq!(kept.count(), WAYS);
    }

    /// Two that write at once can leave the tag of one beside the answer of the other, and so could two hosts of one tag.
    #[test]
    fn an_answer_beside_anothers_tag_is_not_given() {
        let recent = Recent::new(1);
        recent.keep(answer("one", 0));
        recent.keep(answer("one", 0));
        let (set, tag) = recent.place(&host("two"));
        set.tags[0].store(tag, Ordering::Relaxed);
        assert_eq!(name_at(&recent, "two"), None);
        assert_eq!(name_at(&recent, "one"), None);
        recent.keep(answer("two", 0));
        assert_eq!(name_at(&recent, "two"), Some("two".into()));
    }
}
