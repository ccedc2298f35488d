//! Time as a dependency. Nothing outside this file asks the operating system what time it is when a decision depends
//! on the answer, so expiry and retention are tested by moving a [`Clock`], never by sleeping.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Where the current time comes from: the operating system, or a hand that a test moves.
#[derive(Clone, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The operating system's wall clock.
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands at `start` until [`Clock::advance`] moves it; clones share the hand.
    pub fn manual(start: Timestamp) -> Self {
        Self(Some(Arc::new(AtomicI64::new(start.0))))
    }

    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Some(hand) => Timestamp(hand.load(Ordering::SeqCst)),
            None => Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)),
        }
    }

    /// Moves a manual clock forward. The system clock is not ours to move: there it does nothing.
    pub fn advance(&self, by: Duration) {
        if let Some(hand) = &self.0 {
            hand.fetch_add(by.as_millis() as i64, Ordering::SeqCst);
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Clock(manual)" } else { "Clock(system)" })
    }
}

/// A point in time: milliseconds since the Unix epoch. RFC 3339 in JSON, BIGINT in SQL.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    pub const MAX: Self = Self(i64::MAX);

    pub fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, as JWTs and HTTP want them.
    pub fn secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// `self - earlier`, or zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    pub fn parse(text: &str) -> Option<Self> {
        let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        Some(Self((at.unix_timestamp_nanos() / 1_000_000) as i64))
    }

    /// The first moment of the next calendar month, UTC. What is beyond the calendar stays as it is.
    pub fn next_month(self) -> Self {
        let first = self.date_time().and_then(|at| {
            let year = if at.month() == time::Month::December { at.year() + 1 } else { at.year() };
            time::Date::from_calendar_date(year, at.month().next(), 1).ok()
        });
        first.map_or(self, |date| Self(date.midnight().assume_utc().unix_timestamp() * 1000))
    }

    fn date_time(self) -> Option<OffsetDateTime> {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000).ok()
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every log line has one: it is written without a string of its own.
        let mut text = [0; 40];
        let mut rest = &mut text[..];
        let written = self.date_time().and_then(|at| at.format_into(&mut rest, &Rfc3339).ok());
        let left = rest.len();
        let written = written.and_then(|_| text.get(..text.len() - left));
        match written.and_then(|written| std::str::from_utf8(written).ok()) {
            Some(text) => f.write_str(text),
            None => write!(f, "{} ms", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not an RFC 3339 time")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_hand_and_clones_share_it() {
        let clock = Clock::manual(Timestamp(1_000));
        let other = clock.clone();
        clock.advance(Duration::from_secs(2));
        assert_eq!(other.now(), Timestamp(3_000));
    }

    #[test]
    fn timestamps_read_and_write_rfc3339() {
        let at = Timestamp::parse("2026-11-21T01:02:03.456Z").unwrap();
        assert_eq!(at.to_string(), "2026-11-21T01:02:03.456Z");
        assert_eq!(Timestamp::parse("2026-11-21T02:02:03.456+01:00"), Some(at));
        assert_eq!(Timestamp::parse("yesterday"), None);
    }
}
