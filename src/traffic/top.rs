//! Which tenants are named in metrics: the busiest, with leases, so that two who are about as busy do not take turns.
//! Pure: who is how busy and what time it is are told.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::model::TenantId;

/// The tenants that are named, each until when at least.
#[derive(Debug, Default)]
pub struct Top {
    leases: HashMap<TenantId, Timestamp>,
}

/// Who comes and who goes.
#[derive(PartialEq, Eq, Debug, Default)]
pub struct Moves {
    pub enter: Vec<TenantId>,
    pub leave: Vec<TenantId>,
}

impl Top {
    pub fn names(&self, tenant: TenantId) -> bool {
        self.leases.contains_key(&tenant)
    }

    pub fn len(&self) -> usize {
        self.leases.len()
    }

    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// Chooses at most `most` by their scores (requests lately; one below 1 is idle). Those whose lease runs stay unless
    /// they are idle; the other places go to the busiest; whoever is idle keeps its place until somebody wants it.
    pub fn choose(&mut self, now: Timestamp, most: usize, scores: &[(TenantId, f64)]) -> Moves {
        let mut order: Vec<(u8, f64, TenantId)> =
            scores.iter().map(|(tenant, score)| (self.rank(*tenant, *score, now), *score, *tenant)).collect();
        order.retain(|(rank, ..)| *rank < STRANGER_AND_IDLE);
        order.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal)).then(a.2.cmp(&b.2)));
        order.truncate(most);
        let chosen: HashSet<TenantId> = order.iter().map(|(.., tenant)| *tenant).collect();
        let leave: Vec<TenantId> = self.leases.keys().filter(|tenant| !chosen.contains(tenant)).copied().collect();
        for tenant in &leave {
            self.leases.remove(tenant);
        }
        let mut enter = Vec::new();
        for (.., tenant) in order {
            let until = self.leases.entry(tenant).or_insert_with(|| {
                enter.push(tenant);
                now
            });
            if *until <= now {
                *until = now + LEASE;
            }
        }
        Moves { enter, leave }
    }

    /// The lower, the sooner it gets a place.
    fn rank(&self, tenant: TenantId, score: f64, now: Timestamp) -> u8 {
        match (self.leases.get(&tenant), score >= IDLE_BELOW) {
            (Some(until), true) if *until > now => LEASED,
            (_, true) => BUSY,
            (Some(_), false) => IDLE,
            (None, false) => STRANGER_AND_IDLE,
        }
    }
}

/// How long whoever is named stays named, however busy others become.
pub const LEASE: Duration = Duration::from_secs(600);

const IDLE_BELOW: f64 = 1.0;
const LEASED: u8 = 0;
const BUSY: u8 = 1;
const IDLE: u8 = 2;
const STRANGER_AND_IDLE: u8 = 3;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn id(n: u128) -> TenantId {
        TenantId(Uuid::from_u128(n))
    }

    fn named(top: &Top) -> Vec<u128> {
        let mut all: Vec<_> = top.leases.keys().map(|tenant| tenant.0.as_u128()).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn names_come_stay_and_go() {
        let mut top = Top::default();
        let start = Timestamp(1_000_000);
        /// After so many seconds: who is how busy, who is named then, and why.
        type Step = (u64, &'static [(u128, f64)], &'static [u128], &'static str);
        let steps: &[Step] = &[
            (0, &[(1, 50.0), (2, 40.0)], &[1, 2], "there is room for all"),
            (60, &[(1, 50.0), (2, 40.0), (3, 45.0), (4, 1.0)], &[1, 2, 3], "the busiest takes the last place"),
            (120, &[(1, 1.0), (2, 40.0), (3, 45.0), (4, 900.0)], &[1, 2, 3], "leases hold"),
            (
                600,
                &[(1, 1.0), (2, 40.0), (3, 45.0), (4, 900.0)],
                &[2, 3, 4],
                "the first leases are over: 2 has won its own anew",
            ),
            (660, &[(1, 800.0), (2, 40.0), (3, 0.2), (4, 900.0)], &[1, 2, 4], "3 is idle, and its place is wanted"),
            (720, &[(1, 0.0), (2, 0.0), (4, 0.0)], &[1, 2, 4], "all are idle: nobody wants their places"),
            (1199, &[(1, 0.0), (2, 41.0), (4, 43.0), (5, 42.0)], &[2, 4, 5], "2's second lease still runs"),
            (
                1200,
                &[(2, 1.0), (4, 2.0), (5, 42.0), (6, 9.0)],
                &[4, 5, 6],
                "and now does not; 4's neither, but it is busier",
            ),
        ];
        for (after, scores, expected, why) in steps {
            let scores: Vec<_> = scores.iter().map(|(n, score)| (id(*n), *score)).collect();
            top.choose(start + Duration::from_secs(*after), 3, &scores);
            assert_eq!(named(&top), *expected, "after {after} s: {why}");
        }
    }

    #[test]
    fn two_who_are_about_as_busy_do_not_take_turns() {
        let mut top = Top::default();
        let mut moves = 0;
        for minute in 0..60u64 {
            let (one, other) = if minute % 2 == 0 { (10.0, 11.0) } else { (11.0, 10.0) };
            let now = Timestamp(0) + Duration::from_secs(60 * minute);
            moves += top.choose(now, 1, &[(id(1), one), (id(2), other)]).enter.len();
        }
        assert!(moves <= 6, "{moves} in an hour");
    }

    #[test]
    fn fewer_places_leave_the_busiest() {
        let mut top = Top::default();
        let scores: Vec<_> = (1..=5).map(|n| (id(n), n as f64 * 10.0)).collect();
        assert_eq!(top.choose(Timestamp(0), 5, &scores).enter.len(), 5);
        assert_eq!(top.choose(Timestamp(1), 2, &scores).leave.len(), 3);
        assert_eq!(named(&top), [4, 5]);
        assert_eq!(top.choose(Timestamp(2), 0, &scores).leave.len(), 2);
        assert!(top.is_empty());
    }
}
