//! A token bucket on one atomic integer: the generic cell rate algorithm. It takes no lock and asks nobody for the time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::model::Rate;

/// How much of a rate has been used up. The rate itself is told with each question, so it may change at any time: what
/// was used up under the old one counts as at most one whole burst of the new.
#[derive(Debug, Default)]
pub struct Bucket {
    /// The theoretical arrival time of the next unit of a bucket that is always kept full, in nanoseconds since the epoch.
    arrival: AtomicI64,
}

/// What is in a bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Level {
    /// There was one to take.
    pub allowed: bool,
    /// Whole units left.
    pub remaining: u64,
    /// Until there is one again; zero while there is.
    pub wait: Duration,
    /// Until the bucket is full.
    pub full_in: Duration,
}

impl Bucket {
    /// Takes one unit if there is one.
    pub fn take(&self, rate: Rate, now: Timestamp) -> Level {
        let Some(terms) = Terms::of(rate, now) else { return NEVER };
        let next = |old: i64| {
            let next = terms.clamp(old) + terms.interval;
            (next <= terms.latest).then_some(next)
        };
        match self.arrival.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(old) => Level { allowed: true, ..terms.level(terms.clamp(old) + terms.interval) },
            Err(old) => Level { allowed: false, ..terms.level(self.settle(old, &terms)) },
        }
    }

    /// What is there, without taking any.
    pub fn look(&self, rate: Rate, now: Timestamp) -> Level {
        let Some(terms) = Terms::of(rate, now) else { return NEVER };
        terms.level(self.settle(self.arrival.load(Ordering::Relaxed), &terms))
    }

    /// Takes one unit whether or not there is one: at most one more than there was.
    pub fn charge(&self, rate: Rate, now: Timestamp) {
        let Some(terms) = Terms::of(rate, now) else { return };
        let next = |old: i64| Some((old.max(terms.now) + terms.interval).min(terms.latest + terms.interval));
        let _ = self.arrival.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }
}

impl Bucket {
    /// The arrival time under these terms. What a slower rate has put further ahead than this one ever would is cut for
    /// good: were it only cut for the answer, it would stay ahead for as long as the slower rate had meant.
    fn settle(&self, old: i64, terms: &Terms) -> i64 {
        let settled = terms.clamp(old);
        if settled < old {
            // Whoever was quicker has settled it as well.
            let _ = self.arrival.compare_exchange(old, settled, Ordering::Relaxed, Ordering::Relaxed);
        }
        settled
    }
}

/// A rate at a moment, in nanoseconds.
struct Terms {
    now: i64,
    /// What one unit takes to earn; what a division leaves over is the client's gain.
    interval: i64,
    /// Where the arrival time stands when the bucket is empty.
    latest: i64,
}

impl Terms {
    /// `None`: nothing is ever earned.
    fn of(rate: Rate, now: Timestamp) -> Option<Self> {
        let interval = (NANOS / i64::from(rate.per_second.max(1))).max(1);
        let now = now.millis().saturating_mul(1_000_000);
        let latest = now.saturating_add(interval * i64::from(rate.burst.max(1)));
        (rate.per_second > 0).then_some(Self { now, interval, latest })
    }

    fn clamp(&self, arrival: i64) -> i64 {
        // One unit beyond empty is what `charge` may have taken.
        arrival.clamp(self.now, self.latest.saturating_add(self.interval))
    }

    fn level(&self, arrival: i64) -> Level {
        let duration = |nanos: i64| Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
        let remaining = u64::try_from((self.latest - arrival) / self.interval).unwrap_or(0);
        Level {
            allowed: remaining > 0,
            remaining,
            wait: duration(arrival + self.interval - self.latest),
            full_in: duration(arrival - self.now),
        }
    }
}

impl Level {
    /// Whole seconds until it is worth asking again, at least one: `Retry-After`.
    pub fn retry_after(&self) -> Duration {
        Duration::from_secs(whole(self.wait).max(1))
    }
}

/// Seconds, rounded up.
pub fn whole(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

const NANOS: i64 = 1_000_000_000;
/// A rate of nothing.
const NEVER: Level =
    Level { allowed: false, remaining: 0, wait: Duration::from_secs(60), full_in: Duration::from_secs(60) };

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOON: Timestamp = Timestamp(1_795_000_000_000);

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate { per_second, burst }
    }

    #[test]
    fn a_burst_is_spent_and_earned_back_with_exact_levels() {
        let bucket = Bucket::default();
        let of = rate(2, 3);
        let steps = [
            // after (ms), allowed, remaining, wait (ms), full in (ms)
            (0, true, 2, 0, 500),
            (0, true, 1, 0, 1000),
            (0, true, 0, 500, 1500),
            (0, false, 0, 500, 1500),
            (499, false, 0, 1, 1001),
            (500, true, 0, 500, 1500),
            (1500, true, 1, 0, 1000),
            (60_000, true, 2, 0, 500),
        ];
        for (after, allowed, remaining, wait, full) in steps {
            let level = bucket.take(of, NOON + Duration::from_millis(after));
            let wanted =
                Level { allowed, remaining, wait: Duration::from_millis(wait), full_in: Duration::from_millis(full) };
            assert_eq!(level, wanted, "after {after} ms");
        }
    }

    #[test]
    fn another_rate_counts_at_once() {
        let bucket = Bucket::default();
        for _ in 0..100 {
            assert!(bucket.take(rate(1, 100), NOON).allowed);
        }
        assert!(!bucket.take(rate(1, 100), NOON).allowed);
        // A hundred seconds of the old rate are not waited for under the new one.
        let faster = rate(100, 100);
        assert!(!bucket.take(faster, NOON).allowed);
        assert!(bucket.take(faster, NOON + Duration::from_millis(21)).allowed);
        let looked_at = Bucket::default();
        looked_at.charge(rate(1, 100), NOON + Duration::from_secs(100));
        assert!(!looked_at.look(faster, NOON).allowed);
        assert!(looked_at.look(faster, NOON + Duration::from_millis(21)).allowed);
        assert!(!bucket.take(rate(0, 5), NOON + Duration::from_secs(999)).allowed, "a rate of nothing");
        assert_eq!(Bucket::default().take(rate(0, 1), NOON).retry_after(), Duration::from_secs(60));
    }

    #[test]
    fn however_many_take_at_once_there_are_no_more_than_the_burst() {
        let (bucket, of) = (Bucket::default(), rate(10, 1_000));
        let take = || (0..500).filter(|_| bucket.take(of, NOON).allowed).count();
        let taken: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 1_000);
    }

    #[test]
    fn waits_are_told_in_whole_seconds_and_never_as_none() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_999, 60)] {
            let level = Level { wait: Duration::from_millis(millis), ..NEVER };
            assert_eq!(level.retry_after().as_secs(), seconds, "{millis} ms");
        }
    }

    proptest! {
        /// Whatever is asked when: never more than the burst and what was earned since, and never less than that.
        #[test]
        fn what_is_given_is_the_burst_and_what_was_earned(
            per_second in 1u32..5_000, burst in 1u32..200, gaps in prop::collection::vec(0u64..400, 1..300),
        ) {
            let (bucket, of) = (Bucket::default(), rate(per_second, burst));
            let (mut at, mut given) = (NOON, 0u64);
            for gap in gaps {
                at = at + Duration::from_millis(gap);
                let before = bucket.look(of, at);
                let level = bucket.take(of, at);
                prop_assert_eq!(before.allowed, level.allowed);
                prop_assert_eq!(level.remaining, before.remaining.saturating_sub(1));
                prop_assert!(level.remaining < u64::from(burst));
                prop_assert_eq!(level.wait.is_zero(), level.remaining > 0);
                given += u64::from(level.allowed);
                let interval = u128::from(1_000_000_000 / per_second);
                let earned = at.since(NOON).as_nanos() / interval;
                prop_assert!(u128::from(given) <= u128::from(burst) + earned);
            }
        }

        /// What a refusal says about the wait is exact: a nanosecond's worth of rounding aside, then there is one.
        #[test]
        fn after_the_wait_there_is_one(per_second in 1u32..1_000, burst in 1u32..50) {
            let (bucket, of) = (Bucket::default(), rate(per_second, burst));
            while bucket.take(of, NOON).allowed {}
            let wait = bucket.look(of, NOON).wait;
            let millis = wait.as_nanos().div_ceil(1_000_000) as u64;
            prop_assert!(bucket.take(of, NOON + Duration::from_millis(millis)).allowed);
            prop_assert!(!bucket.look(of, NOON).allowed);
        }
    }
}
