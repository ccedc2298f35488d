//! The arithmetic of limits and pauses. Pure: rows and times in, rows and times out.
//!
//! A bucket is the generic cell rate algorithm (ITU-T I.371, appendix I): one time, the *theoretical arrival* of the next
//! token if they came evenly, says all. A bucket of `number` per `per` gives `number` at once and then one each
//! `per / number`, which is how Let's Encrypt counts on its side (<https://letsencrypt.org/docs/rate-limits/>).

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::Rate;
use crate::store::BucketRow;

/// The buckets that an order for some names takes from, by id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BucketIds {
    /// New orders of our account.
    pub account: String,
    /// Certificates for each registered domain.
    pub domains: Vec<String>,
    /// Certificates for exactly these names.
    pub set: String,
    /// Renewals of exactly these names that the authority does not count.
    pub renewals: String,
    /// Failed validations of each name.
    pub failures: Vec<String>,
}

/// What a limit that an authority speaks of is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Our account, or everybody: nothing is to be ordered there.
    Authority,
    /// The registered domain of these names: those of others may be ordered.
    Domain,
    /// Exactly these names together.
    Set,
    /// Failed validations of one of these names.
    Failures,
}

/// Takes a token; when there is none, says when there will be, and takes nothing.
pub fn take(row: &mut BucketRow, rate: Rate, now: Timestamp) -> Result<(), Timestamp> {
    let arrival = row.arrival.max(now);
    let room = arrival.since(now) + step(rate);
    if room > depth(rate) {
        // Rounded up to what a time can hold: never "again now".
        return Err(now + (room - depth(rate)) + Duration::from_millis(1));
    }
    row.arrival = arrival + step(rate);
    Ok(())
}

/// How many tokens there are now.
pub fn level(row: &BucketRow, rate: Rate, now: Timestamp) -> u32 {
    let free = depth(rate).saturating_sub(row.arrival.since(now));
    u32::try_from(free.as_millis() / step(rate).as_millis().max(1)).unwrap_or(u32::MAX)
}

/// Until when what this bucket stands for is to be left alone, if it is now.
pub fn blocked(row: &BucketRow, now: Timestamp) -> Option<Timestamp> {
    (row.blocked > now).then_some(row.blocked)
}

/// The pause after so many failures of one name in a row: 1, 10, 100 minutes, then a day
/// (<https://letsencrypt.org/docs/integration-guide/#retrying-failures>), up to a tenth less or more. At one a day it takes
/// three years to the 1,152 failures at which Let's Encrypt pauses a name.
pub fn backoff(failures: i64, name: &str) -> Duration {
    let minutes = match failures {
        ..=1 => 1,
        2 => 10,
        3 => 100,
        _ => 24 * 60,
    };
    let base = Duration::from_secs(minutes * 60);
    base * 9 / 10 + base.mul_f64(fraction(&(name, failures)) / 5.0)
}

/// The pause after so many failures of an authority in a row: 5 s, three times as long each time, up to ten minutes.
pub fn pause(failures: i64) -> Duration {
    let times = 3_u32.saturating_pow(u32::try_from(failures.saturating_sub(1)).unwrap_or(0).min(10));
    Duration::from_secs(5).saturating_mul(times).min(Duration::from_secs(600))
}

/// A number from 0 to 1 that is always the same for the same thing, and evenly spread over many.
pub fn fraction(thing: &impl Hash) -> f64 {
    // The standard library's hasher with its fixed keys: nobody gains by steering a jitter.
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    thing.hash(&mut hasher);
    (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64
}

pub fn bucket_ids(authority: &str, names: &[String]) -> BucketIds {
    let registered: BTreeSet<&str> = names.iter().map(|name| registered(name)).collect();
    let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    BucketIds {
        account: format!("orders/{authority}"),
        domains: registered.iter().map(|domain| format!("domain/{authority}/{domain}")).collect(),
        set: format!("set/{authority}/{}", sorted.join(",")),
        renewals: format!("renewals/{authority}/{}", sorted.join(",")),
        failures: names.iter().map(|name| format!("failures/{authority}/{name}")).collect(),
    }
}

/// What a `rateLimited` problem is about. Authorities say so in prose alone: Boulder's texts name the domain in quotes, or
/// "this exact set of identifiers" (<https://github.com/letsencrypt/boulder>, `ratelimits/transaction.go`). Whatever is not
/// understood is about everything.
pub fn scope(detail: &str, names: &[String]) -> Scope {
    let quoted = |text: &str| detail.contains(&format!("\"{text}\""));
    let named =
        names.iter().any(|name| quoted(name) || quoted(name.trim_start_matches("*.")) || quoted(registered(name)));
    match named {
        _ if detail.contains("exact set of") => Scope::Set,
        true if detail.contains("failed authorizations") => Scope::Failures,
        true => Scope::Domain,
        false => Scope::Authority,
    }
}

/// The domain that was registered: one label beneath the public suffix.
fn registered(name: &str) -> &str {
    let host = name.trim_start_matches("*.");
    psl::domain_str(host).unwrap_or(host)
}

/// Between two tokens.
fn step(rate: Rate) -> Duration {
    (rate.per / rate.number.max(1)).max(Duration::from_millis(1))
}

/// How much may be taken at once, as the time that it takes to come back.
fn depth(rate: Rate) -> Duration {
    step(rate) * rate.number.max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_bucket_gives_all_at_once_and_then_one_at_a_time() {
        let rate = Rate { number: 5, per: HOUR };
        let mut row = BucketRow::default();
        assert_eq!(level(&row, rate, NOW), 5);
        for left in (0..5).rev() {
            assert_eq!(take(&mut row, rate, NOW), Ok(()));
            assert_eq!(level(&row, rate, NOW), left);
        }
        let until = NOW + HOUR / 5 + Duration::from_millis(1);
        assert_eq!(take(&mut row, rate, NOW), Err(until));
        assert_eq!(take(&mut row, rate, until), Ok(()));
        assert!(take(&mut row, rate, until).is_err_and(|next| next.since(until) <= HOUR / 5));
    }

    #[test]
    fn pauses_grow_and_end_growing() {
        for (failures, minutes) in [(1, 1), (2, 10), (3, 100), (4, 1440), (1000, 1440)] {
            let base = Duration::from_secs(minutes * 60);
            let pause = backoff(failures, "a.example");
            assert!(pause >= base * 9 / 10 && pause <= base * 11 / 10, "{failures}: {pause:?}");
        }
        let year: Vec<Duration> = (1..1152).map(|n| backoff(n, "a.example")).collect();
        assert!(year.iter().sum::<Duration>() > Duration::from_secs(2 * 366 * 86_400));
        for (failures, seconds) in [(0, 5), (1, 5), (2, 15), (3, 45), (5, 405), (6, 600), (99, 600)] {
            assert_eq!(pause(failures), Duration::from_secs(seconds), "{failures}");
        }
    }

    #[test]
    fn what_a_limit_is_about_is_read_off_its_text() {
        let names = ["shop.acme.example".to_owned()];
        for (detail, expected) in [
            ("too many new orders (300) from this account in the last 3h0m0s, retry after", Scope::Authority),
            ("too many certificates (50) already issued for \"acme.example\" in the last 168h0m0s", Scope::Domain),
            ("too many certificates (5) already issued for this exact set of identifiers in the last", Scope::Set),
            ("too many failed authorizations (5) for \"shop.acme.example\" in the last 1h0m0s", Scope::Failures),
            ("too many certificates (50) already issued for \"other.example\"", Scope::Authority),
            ("Service busy; retry later.", Scope::Authority),
            ("", Scope::Authority),
        ] {
            assert_eq!(scope(detail, &names), expected, "{detail}");
        }
    }

    #[test]
    fn names_of_one_registered_domain_share_its_bucket() {
        let ids = |names: &[&str]| bucket_ids("one", &names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        let both = ids(&["*.acme.co.uk", "acme.co.uk"]);
        assert_eq!(both.domains, ["domain/one/acme.co.uk"]);
        assert_eq!(both.set, ids(&["acme.co.uk", "*.acme.co.uk"]).set);
        assert_eq!(both.account, "orders/one");
        assert_eq!(ids(&["a.acme.co.uk", "b.other.example"]).domains.len(), 2);
    }

    proptest! {
        /// In any window of `per`, never more than what was there and what comes in.
        #[test]
        fn a_bucket_never_gives_too_much(number in 1_u32..50, gaps in proptest::collection::vec(0_u64..400_000, 1..400)) {
            let rate = Rate { number, per: HOUR };
            let (mut row, mut now, mut given) = (BucketRow::default(), NOW, Vec::new());
            for gap in gaps {
                now = now + Duration::from_millis(gap);
                match take(&mut row, rate, now) {
                    Ok(()) => given.push(now),
                    Err(until) => prop_assert!(until > now),
                }
            }
            for (at, start) in given.iter().enumerate() {
                let within = given[at..].iter().filter(|time| time.since(*start) < HOUR).count();
                prop_assert!(within as u32 <= 2 * number, "{within} of {number}");
            }
        }
    }
}
