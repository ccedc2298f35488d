//! When a claim is looked at. Pure.

use std::time::Duration;

use crate::clock::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// The pauses between looks at a pending claim: people set records in the first minutes, or the next morning. With the
/// default of seven days that makes 75 looks.
const PENDING: &[(u64, u32)] =
    &[(30, 4), (2 * MINUTE, 9), (10 * MINUTE, 6), (30 * MINUTE, 6), (HOUR, 8), (4 * HOUR, 42)];

/// The pause after so many looks that have not proven it.
pub fn pending(looks: u32) -> Duration {
    let mut before = 0;
    for (seconds, times) in PENDING {
        before += times;
        if looks <= before {
            return Duration::from_secs(*seconds);
        }
    }
    Duration::from_secs(4 * HOUR)
}

/// The pause after a look that had no answer: as soon as it would be looked at anyway. A claim is never failed for that, so
/// one whose DNS has gone for good is looked at for ever; from the day on which it would have failed, seldom.
pub fn unknown(looks: u32, age: Duration, pending_for: Duration) -> Duration {
    if age < pending_for { pending(looks + 1).min(UNKNOWN) } else { CHALLENGE }
}

/// The next look at a held domain: every `recheck`, give or take a tenth by name, so that many are not looked at together.
pub fn held(name: &str, now: Timestamp, recheck: Duration) -> Timestamp {
    let sum = name.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    now + recheck * 9 / 10 + recheck.mul_f64(f64::from(sum % 1000) / 5000.0)
}

/// The next look at a domain that has just moved: it may be a mistake that is mended soon.
pub const MOVED: Duration = Duration::from_secs(HOUR);
/// The next look at a claim that challenges a holder.
pub const CHALLENGE: Duration = Duration::from_secs(12 * HOUR);
/// The next look where nobody could be asked.
pub const UNKNOWN: Duration = Duration::from_secs(10 * MINUTE);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_claim_is_looked_at_seventy_five_times_in_seven_days() {
        let week = Duration::from_secs(7 * 24 * HOUR);
        let (mut passed, mut looks) = (Duration::ZERO, 0);
        let mut first_hour = 0;
        while passed <= week {
            looks += 1;
            first_hour += u32::from(passed < Duration::from_secs(HOUR));
            passed += pending(looks);
        }
        assert!((70..=80).contains(&looks), "{looks}");
        assert!(first_hour >= 15, "{first_hour}");
    }

    #[test]
    fn a_claim_of_which_nobody_can_tell_anything_is_looked_at_less_when_it_is_old() {
        let week = Duration::from_secs(7 * 24 * HOUR);
        assert_eq!(unknown(0, week / 2, week), pending(1));
        assert_eq!(unknown(70, week / 2, week), UNKNOWN);
        assert_eq!(unknown(70, week, week), CHALLENGE);
    }

    #[test]
    fn held_domains_are_looked_at_daily_but_not_together() {
        let day = Duration::from_secs(24 * HOUR);
        let now = Timestamp(0);
        let times: Vec<_> = (0..1000).map(|n| held(&format!("{n}.example"), now, day)).collect();
        assert!(times.iter().all(|time| *time >= now + day * 9 / 10 && *time <= now + day * 11 / 10));
        let distinct: std::collections::BTreeSet<_> = times.iter().collect();
        assert!(distinct.len() > 200, "{}", distinct.len());
    }
}
