//! Ejection: a backend that fails requests in a row is left alone for a while, longer each time, and comes back slowly.
//! Pure: what happened and when goes in, what holds comes out.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::Ejection as Rules;

/// What is remembered of one backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Ejection {
    /// Failures since the last success.
    in_a_row: u32,
    /// How often it was ejected without having been good for long enough in between.
    times: u32,
    /// It is out until then; 0: it never was.
    until: Timestamp,
}

impl Ejection {
    /// A request failed. `may`: so few of its pool are out that it may be. Answers until when it is out from now on.
    pub fn failed(&mut self, now: Timestamp, rules: &Rules, may: bool) -> Option<Timestamp> {
        if now < self.until {
            // It had begun before; what it says is known already.
            return None;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        if rules.failures == 0 || self.in_a_row < rules.failures || !may {
            return None;
        }
        self.in_a_row = 0;
        self.times = (self.times + 1).min(LONGEST);
        self.until = now + rules.base * self.times;
        Some(self.until)
    }

    /// A request was answered in full. Forgets earlier ejections when it has been back for as long as the last one took.
    pub fn succeeded(&mut self, now: Timestamp, rules: &Rules) {
        self.in_a_row = 0;
        if now >= self.until + rules.base * self.times {
            self.times = 0;
        }
    }

    /// Nothing is held against it.
    pub fn is_clean(&self) -> bool {
        self.in_a_row == 0 && self.times == 0
    }
}

/// The share of a backend that was out until `until` (0: never), in percent: 0 while it is out, then growing evenly
/// until `slow_start` is over.
pub(super) fn weight(until: Timestamp, now: Timestamp, slow_start: Duration) -> u8 {
    if now < until {
        return 0;
    }
    let back = now.since(until);
    if until == Timestamp::default() || back >= slow_start {
        return FULL;
    }
    let share = back.as_millis() * u128::from(FULL) / slow_start.as_millis().max(1);
    u8::try_from(share).unwrap_or(FULL).max(LEAST)
}

/// How many of `backends` may be out at the same time: of one none, of more at least one.
pub(super) fn most_out(backends: usize, percent: u8) -> usize {
    match backends {
        0 | 1 => 0,
        _ => (backends * usize::from(percent) / 100).max(1),
    }
}

/// The share of a backend that nothing is wrong with.
pub(super) const FULL: u8 = 100;
/// The share that a slow return begins with.
const LEAST: u8 = 5;
/// An ejection is at most so many times the base time.
const LONGEST: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rules() -> Rules {
        Rules { failures: 3, base: 10 * SECOND, most: 50, slow_start: 10 * SECOND }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp(1_000_000) + Duration::from_secs(seconds)
    }

    #[test]
    fn only_failures_in_a_row_count() {
        let mut backend = Ejection::default();
        for _ in 0..10 {
            assert_eq!(backend.failed(at(0), &rules(), true), None);
            assert_eq!(backend.failed(at(0), &rules(), true), None);
            backend.succeeded(at(0), &rules());
            assert!(backend.is_clean());
        }
        backend.failed(at(0), &rules(), true);
        backend.failed(at(0), &rules(), true);
        assert_eq!(backend.failed(at(0), &rules(), true), Some(at(10)));
        assert_eq!(backend.failed(at(9), &rules(), true), None, "it is out already");
    }

    #[test]
    fn each_time_is_longer_up_to_ten_times_and_forgotten_after_good_conduct() {
        let mut backend = Ejection::default();
        let mut now = at(0);
        for time in 1..=12 {
            backend.failed(now, &rules(), true);
            backend.failed(now, &rules(), true);
            let until = backend.failed(now, &rules(), true).unwrap();
            assert_eq!(until.since(now), 10 * SECOND * time.min(10), "time {time}");
            now = until;
        }
        backend.succeeded(now + 99 * SECOND, &rules());
        assert!(!backend.is_clean());
        backend.succeeded(now + 100 * SECOND, &rules());
        assert!(backend.is_clean());
    }

    #[test]
    fn who_may_not_be_ejected_is_as_soon_as_it_may() {
        let mut backend = Ejection::default();
        for _ in 0..5 {
            assert_eq!(backend.failed(at(0), &rules(), false), None);
        }
        assert_eq!(backend.failed(at(0), &rules(), true), Some(at(10)));
        let mut never = Ejection::default();
        let off = Rules { failures: 0, ..rules() };
        assert!((0..100).all(|_| never.failed(at(0), &off, true).is_none()));
    }

    #[test]
    fn the_return_is_slow() {
        let share = |now| weight(at(10), at(now), 10 * SECOND);
        assert_eq!([0, 9, 10, 11, 15, 19, 20, 99].map(share), [0, 0, 5, 10, 50, 90, 100, 100]);
        assert_eq!(weight(Timestamp::default(), at(0), 10 * SECOND), 100, "it never was out");
        assert_eq!(weight(at(10), at(10), Duration::ZERO), 100);
    }

    #[test]
    fn a_part_of_the_pool_stays() {
        let cases = [(0, 50, 0), (1, 100, 0), (2, 50, 1), (2, 10, 1), (3, 50, 1), (4, 50, 2), (4, 100, 4), (10, 33, 3)];
        for (backends, percent, most) in cases {
            assert_eq!(most_out(backends, percent), most, "{percent}% of {backends}");
        }
    }
}
