//! The retry budget: tries beyond the first are a bounded share of a pool's requests, so that a pool in trouble is not
//! sent a multiple of what it cannot take. No lock is taken, and what races may miss is a request, not a window.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::clock::Timestamp;

/// Requests and retries of the last ten to twenty seconds.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// The number of the window that is counted in.
    window: AtomicI64,
    requests: AtomicU64,
    retries: AtomicU64,
}

impl Budget {
    /// A request has come, its first try.
    pub fn request(&self, now: Timestamp) {
        self.roll(now);
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether one more retry is within `percent` of the requests, or within the floor that holds for pools with few.
    /// At 0 percent there is none at all.
    pub fn retry(&self, now: Timestamp, percent: u8) -> bool {
        self.roll(now);
        let share = self.requests.load(Ordering::Relaxed).saturating_mul(u64::from(percent)) / 100;
        let most = if percent == 0 { 0 } else { share.max(FLOOR) };
        self.retries
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < most).then_some(count + 1))
            .is_ok()
    }

    /// In a new window half of the last one's counts are kept, so that a burst is not followed by a blank cheque.
    fn roll(&self, now: Timestamp) {
        let window = now.millis().div_euclid(WINDOW_MS);
        let before = self.window.load(Ordering::Relaxed);
        if window == before
            || self.window.compare_exchange(before, window, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return;
        }
        let kept = if window == before + 1 { 2 } else { u64::MAX };
        for count in [&self.requests, &self.retries] {
            let old = count.load(Ordering::Relaxed);
            count.fetch_sub(old - old / kept, Ordering::Relaxed);
        }
    }
}

const WINDOW_MS: i64 = 10_000;
/// Three per second.
const FLOOR: u64 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(budget: &Budget, now: i64, percent: u8) -> usize {
        (0..10_000).take_while(|_| budget.retry(Timestamp(now), percent)).count()
    }

    #[test]
    fn retries_are_a_share_of_requests_above_a_floor() {
        for (requests, percent, most) in [(0, 20, 30), (100, 20, 30), (1000, 20, 200), (1000, 100, 1000), (1000, 0, 0)]
        {
            let budget = Budget::default();
            (0..requests).for_each(|_| budget.request(Timestamp(5)));
            assert_eq!(allowed(&budget, 5, percent), most, "{percent}% of {requests}");
        }
    }

    #[test]
    fn what_was_spent_is_forgotten_by_halves() {
        let budget = Budget::default();
        (0..1000).for_each(|_| budget.request(Timestamp(0)));
        assert_eq!(allowed(&budget, 9_999, 20), 200);
        assert_eq!(allowed(&budget, 10_000, 20), 0, "500 requests are kept, and 100 retries");
        assert_eq!(allowed(&budget, 30_000, 20), 30, "nothing is kept, but the floor holds");
    }
}
