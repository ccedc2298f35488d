//! A tenant's life as data: which event leads from which status to which. Pure; who writes the row is elsewhere.

use crate::model::Status;

/// What can happen to a tenant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    Suspend,
    /// Makes it active: out of `pending`, a trial, or a suspension.
    Activate,
    /// Lifts a suspension from a trial that is still running, or brings back a trial that was cancelled.
    ResumeTrial,
    ExtendTrial,
    Cancel,
    /// Brings a cancelled or archived tenant back.
    Restore,
}

impl Event {
    pub const ALL: [Self; 6] =
        [Self::Suspend, Self::Activate, Self::ResumeTrial, Self::ExtendTrial, Self::Cancel, Self::Restore];

    fn verb(self) -> &'static str {
        match self {
            Self::Suspend => "be suspended",
            Self::Activate => "be activated",
            Self::ResumeTrial => "resume its trial",
            Self::ExtendTrial => "have its trial extended",
            Self::Cancel => "be cancelled",
            Self::Restore => "be restored",
        }
    }

    /// The statuses that this event can happen in, and what it leads to.
    fn from(self) -> &'static [(Status, Status)] {
        use Status::{Active, Archived, Cancelled, Pending, Suspended, Trial};
        match self {
            Self::Suspend => &[(Trial, Suspended), (Active, Suspended), (Suspended, Suspended)],
            Self::Activate => &[(Pending, Active), (Trial, Active), (Active, Active), (Suspended, Active)],
            Self::ResumeTrial => &[(Suspended, Trial), (Cancelled, Trial), (Archived, Trial)],
            Self::ExtendTrial => &[(Trial, Trial)],
            Self::Cancel => &[
                (Pending, Cancelled),
                (Trial, Cancelled),
                (Active, Cancelled),
                (Suspended, Cancelled),
                (Cancelled, Cancelled),
            ],
            Self::Restore => &[(Cancelled, Active), (Archived, Active)],
        }
    }
}

/// The event does not happen to tenants of this status.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a tenant that is {status} cannot {}; one that is {} can", .event.verb(), possible(*.event))]
pub struct TransitionError {
    pub status: Status,
    pub event: Event,
}

/// The status that follows.
pub fn next(status: Status, event: Event) -> Result<Status, TransitionError> {
    let found = event.from().iter().find(|(from, _)| *from == status);
    found.map(|(_, to)| *to).ok_or(TransitionError { status, event })
}

fn possible(event: Event) -> String {
    event.from().iter().map(|(from, _)| from.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table: a row a status, a column an event in the order of `Event::ALL`; `-` is refused.
    const TABLE: &str = "
                  suspend    activate  resume  extend  cancel     restore
        pending   -          active    -       -       cancelled  -
        trial     suspended  active    -       trial   cancelled  -
        active    suspended  active    -       -       cancelled  -
        suspended suspended  active    trial   -       cancelled  -
        cancelled -          -         trial   -       cancelled  active
        archived  -          -         trial   -       -          active
    ";

    #[test]
    fn every_status_and_event_has_its_answer() {
        let rows: Vec<Vec<_>> = TABLE.lines().map(|line| line.split_whitespace().collect()).skip(2).collect();
        for (row, status) in rows.iter().zip(Status::ALL) {
            assert_eq!(row[0], status.as_str());
            for (cell, event) in row[1..].iter().zip(Event::ALL) {
                let expected = Status::parse(cell).ok_or(TransitionError { status, event });
                assert_eq!(next(status, event), expected, "{status} {event:?}");
            }
        }
    }

    #[test]
    fn a_refusal_says_what_would_be_possible() {
        let error = next(Status::Active, Event::ExtendTrial).unwrap_err();
        assert_eq!(error.to_string(), "a tenant that is active cannot have its trial extended; one that is trial can");
    }
}
