//! What is agreed about a tenant's plan beyond the one that it has: a change that waits, and when billing periods end.

use serde::{Deserialize, Serialize};

use super::{OwnCaps, PlanName, SetBy};
use crate::clock::Timestamp;

/// What is agreed about a tenant's plan, and what the billing system has told of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Subscription {
    /// The plan that it gets when its time comes.
    pub next: Option<PlanChange>,
    /// When the billing period under way ends, as the billing system tells it; see [`Subscription::period_ends`].
    pub period_end: Option<Timestamp>,
    /// When it began, as the billing system tells it.
    pub period_start: Option<Timestamp>,
    /// What the billing system calls the tenant; no two tenants have the same.
    pub billing_ref: Option<String>,
    /// When the newest thing happened that the billing system has told of it; what is older changes nothing any more.
    pub told: Option<Timestamp>,
    /// Caps that count before its plan's.
    pub caps: OwnCaps,
    /// Who has suspended or cancelled it. While it is neither, who changed its status last.
    pub status_by: SetBy,
}

/// A change of plan that waits for its time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlanChange {
    /// `None`: from then on it has no plan of its own, and its parent's holds.
    pub plan: Option<PlanName>,
    pub at: Timestamp,
}

/// When a change of plan is to take effect, where whoever asks has a word about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    Now,
    /// At the end of the billing period.
    PeriodEnd,
}

impl Subscription {
    /// When the billing period that is under way at `now` ends, always after `now`: as the billing system has told, or with
    /// the calendar month (UTC) where it has told nothing, or nothing of this period.
    pub fn period_ends(&self, now: Timestamp) -> Timestamp {
        self.period_end.filter(|end| *end > now).unwrap_or_else(|| now.next_month())
    }

    /// Takes a period as the billing system tells it; true where a change of plan waits for another time by that. Nobody
    /// loses within a period what they have paid for to its end: a change that would come amid the one under way comes
    /// with its end. What waits for the end of the period before stays.
    pub fn tell_period(&mut self, start: Timestamp, end: Timestamp, now: Timestamp) -> bool {
        (self.period_start, self.period_end) = (Some(start), Some(end));
        let to_come = |next: &&mut PlanChange| end > now && next.at > now && start < next.at && next.at != end;
        self.next.as_mut().filter(to_come).map(|next| next.at = end).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_ends_as_it_was_told_or_with_the_month() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        for (told, now, end) in [
            (None, "2026-11-21T14:48:36Z", "2026-12-01T00:00:00Z"),
            (None, "2026-12-31T23:59:59.999Z", "2027-01-01T00:00:00Z"),
            (None, "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            (None, "2028-02-29T12:00:00Z", "2028-03-01T00:00:00Z"),
            (Some("2026-11-25T10:00:00Z"), "2026-11-21T14:48:36Z", "2026-11-25T10:00:00Z"),
            (Some("2027-11-25T10:00:00Z"), "2026-11-21T14:48:36Z", "2027-11-25T10:00:00Z"),
            // What was told is over, and nothing has been told since.
            (Some("2026-11-20T10:00:00Z"), "2026-11-21T14:48:36Z", "2026-12-01T00:00:00Z"),
            (Some("2026-11-21T14:48:36Z"), "2026-11-21T14:48:36Z", "2026-12-01T00:00:00Z"),
        ] {
            let subscription = Subscription { period_end: told.map(at), ..Subscription::default() };
            assert_eq!(subscription.period_ends(at(now)), at(end), "{told:?} {now}");
        }
    }

    #[test]
    fn a_change_that_waits_comes_with_the_end_of_the_period_under_way() {
        let now = Timestamp(100);
        for (waits, start, end, then) in [
            // Of the calendar, and now it is known better; longer or shorter than it was.
            (150, 90, 180, 180),
            (150, 90, 120, 120),
            (150, 90, 150, 150),
            // The next period, told before this one is over.
            (150, 150, 200, 150),
            // One that is over, and a change that is overdue.
            (150, 10, 90, 150),
            (100, 90, 180, 100),
        ] {
            let next = Some(PlanChange { plan: None, at: Timestamp(waits) });
            let mut subscription = Subscription { next, ..Subscription::default() };
            let moved = subscription.tell_period(Timestamp(start), Timestamp(end), now);
            assert_eq!(subscription.next.map(|next| next.at), Some(Timestamp(then)), "{waits} {start}..{end}");
            assert_eq!(moved, waits != then);
        }
    }
}
