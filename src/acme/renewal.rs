//! When a certificate is to be renewed. Pure. The authority's own wish comes first (RFC 9773); without one it is the lifetime
//! that decides, with a jitter by name, so that certificates which were issued together are not renewed together.

use std::time::Duration;

use super::limiter::fraction;
use super::protocol::RenewalWindow;
use crate::clock::Timestamp;

/// Below this lifetime a certificate is renewed at half of it (<https://letsencrypt.org/docs/integration-guide/#when-to-renew>).
const SHORT: Duration = Duration::from_secs(10 * 86_400);

/// When the certificate of `name` is to be renewed: now or in the past, if it is time.
pub fn due(
    name: &str,
    not_before: Timestamp,
    not_after: Timestamp,
    window: Option<RenewalWindow>,
    now: Timestamp,
) -> Timestamp {
    let life = not_after.since(not_before);
    let by_lifetime = by_lifetime(name, not_before, life);
    let Some(window) = window.filter(|window| window.start < window.end) else { return by_lifetime };
    // A window in the past is the authority's way to say: at once, it will be revoked (RFC 9773 §4.2).
    if window.end <= now {
        return now;
    }
    let wished = window.start + window.end.since(window.start).mul_f64(fraction(&name));
    // A wish is not followed to where there would be no time left to try again.
    wished.min(not_after - life / 10)
}

/// At 2/3 of the lifetime, 1/2 of a short one, give or take a twentieth of it.
fn by_lifetime(name: &str, not_before: Timestamp, life: Duration) -> Timestamp {
    let part = if life < SHORT { 0.5 } else { 2.0 / 3.0 };
    not_before + life.mul_f64(part - 0.05 + fraction(&name) / 10.0)
}

/// A part of `over`, always the same for the same name: many that would come back together come spread over it.
pub fn spread(name: &str, over: Duration) -> Duration {
    over.mul_f64(fraction(&("spread", name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn lifetimes_of_all_kinds_leave_time_to_try_again() {
        for (days, from, to) in [(90, 55, 65), (64, 39, 46), (45, 27, 33), (6, 2, 4)] {
            let life = DAY * days;
            for n in 0..200 {
                let at = due(&format!("{n}.example"), NOW, NOW + life, None, NOW);
                assert!(at > NOW + DAY * from && at < NOW + DAY * to, "{days} days: {at}");
            }
        }
    }

    #[test]
    fn a_hundred_thousand_that_were_issued_together_are_not_renewed_together() {
        for days in [90_u32, 45, 6] {
            let life = DAY * days;
            let hours = (life / 10).as_secs() / 3600;
            let mut in_hour = vec![0_u64; hours as usize + 2];
            let first = NOW + life.mul_f64(if days < 10 { 0.45 } else { 2.0 / 3.0 - 0.05 });
            for n in 0..100_000 {
                let at = due(&format!("{n}.customers.example"), NOW, NOW + life, None, NOW);
                in_hour[(at.since(first).as_secs() / 3600) as usize] += 1;
            }
            let fair = 100_000 / hours;
            let most = in_hour.iter().max().copied().unwrap_or(0);
            assert!(most < fair * 3 / 2, "{days} days: {most} in one hour, {fair} would be even");
        }
    }

    #[test]
    fn the_authoritys_wish_comes_first_and_a_past_one_means_now() {
        let window = |start: Timestamp, end: Timestamp| Some(RenewalWindow { start, end, ask_again: NOW });
        let end = NOW + 90 * DAY;
        let wish = due("a.example", NOW, end, window(NOW + 10 * DAY, NOW + 12 * DAY), NOW);
        assert!(wish >= NOW + 10 * DAY && wish <= NOW + 12 * DAY);
        assert_eq!(due("a.example", NOW - 60 * DAY, end, window(NOW - 2 * DAY, NOW - DAY), NOW), NOW);
        let late = due("a.example", NOW, end, window(NOW + 100 * DAY, NOW + 101 * DAY), NOW);
        assert!(late <= NOW + 81 * DAY, "{late}");
        let senseless = due("a.example", NOW, end, window(NOW + 12 * DAY, NOW + 10 * DAY), NOW);
        assert_eq!(senseless, due("a.example", NOW, end, None, NOW));
    }
}
