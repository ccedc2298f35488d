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
    /// Brings a cancelled or archived tenant back, as an active one.
    Restore,
    /// Brings back one that was suspended when it was cancelled: it still is.
    RestoreSuspended,
    /// Brings back one that had not begun.
    RestorePending,
    /// Puts a cancelled tenant away, where it can still be restored.
    Archive,
    /// Removes an archived tenant for ever. What follows is no status.
    Purge,
}

/// What a tenant is after an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum After {
    Is(Status),
    Gone,
}

impl Event {
    pub const ALL: [Self; 10] = [
        Self::Suspend,
        Self::Activate,
        Self::ResumeTrial,
        Self::ExtendTrial,
        Self::Cancel,
        Self::Restore,
        Self::RestoreSuspended,
        Self::RestorePending,
        Self::Archive,
        Self::Purge,
    ];

    fn verb(self) -> &'static str {
        match self {
            Self::Suspend => "be suspended",
            Self::Activate => "be activated",
            Self::ResumeTrial => "resume its trial",
            Self::ExtendTrial => "have its trial extended",
            Self::Cancel => "be cancelled",
            Self::Restore | Self::RestoreSuspended | Self::RestorePending => "be restored",
            Self::Archive => "be archived",
            Self::Purge => "be purged",
        }
    }

    /// The statuses that this event can happen in, and what it leads to.
    fn from(self) -> &'static [(Status, After)] {
        use After::{Gone, Is};
        use Status::{Active, Archived, Cancelled, Pending, Suspended, Trial};
        match self {
            Self::Suspend => &[(Trial, Is(Suspended)), (Active, Is(Suspended)), (Suspended, Is(Suspended))],
            Self::Activate => {
                &[(Pending, Is(Active)), (Trial, Is(Active)), (Active, Is(Active)), (Suspended, Is(Active))]
            }
            Self::ResumeTrial => &[(Suspended, Is(Trial)), (Cancelled, Is(Trial)), (Archived, Is(Trial))],
            Self::ExtendTrial => &[(Trial, Is(Trial))],
            Self::Cancel => &[
                (Pending, Is(Cancelled)),
                (Trial, Is(Cancelled)),
                (Active, Is(Cancelled)),
                (Suspended, Is(Cancelled)),
                (Cancelled, Is(Cancelled)),
            ],
            Self::Restore => &[(Cancelled, Is(Active)), (Archived, Is(Active))],
            Self::RestoreSuspended => &[(Cancelled, Is(Suspended)), (Archived, Is(Suspended))],
            Self::RestorePending => &[(Cancelled, Is(Pending)), (Archived, Is(Pending))],
            Self::Archive => &[(Cancelled, Is(Archived))],
            Self::Purge => &[(Archived, Gone)],
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

/// The status that follows. After a purge there is none: asked for one, it is as if it could not happen.
pub fn next(status: Status, event: Event) -> Result<Status, TransitionError> {
    match after(status, event) {
        Some(After::Is(status)) => Ok(status),
        Some(After::Gone) | None => Err(TransitionError { status, event }),
    }
}

/// Whether a tenant of this status can be purged.
pub fn can_be_purged(status: Status) -> bool {
    after(status, Event::Purge) == Some(After::Gone)
}

fn after(status: Status, event: Event) -> Option<After> {
    event.from().iter().find(|(from, _)| *from == status).map(|(_, to)| *to)
}

fn possible(event: Event) -> String {
    event.from().iter().map(|(from, _)| from.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table: a row a status, a column an event in the order of `Event::ALL`; `-` is refused.
    const TABLE: &str = "
                  suspend    activate  resume  extend  cancel     restore  suspended  pending  archive   purge
        pending   -          active    -       -       cancelled  -        -          -        -         -
        trial     suspended  active    -       trial   cancelled  -        -          -        -         -
        active    suspended  active    -       -       cancelled  -        -          -        -         -
        suspended suspended  active    trial   -       cancelled  -        -          -        -         -
        cancelled -          -         trial   -       cancelled  active   suspended  pending  archived  -
        archived  -          -         trial   -       -          active   suspended  pending  -         gone
    ";

    #[test]
    fn every_status_and_event_has_its_answer() {
        let rows: Vec<Vec<_>> = TABLE.lines().map(|line| line.split_whitespace().collect()).skip(2).collect();
        for (row, status) in rows.iter().zip(Status::ALL) {
            assert_eq!(row[0], status.as_str());
            for (cell, event) in row[1..].iter().zip(Event::ALL) {
                let expected = Status::parse(cell).map(After::Is).or((*cell == "gone").then_some(After::Gone));
                assert_eq!(after(status, event), expected, "{status} {event:?}");
                assert_eq!(next(status, event).ok(), Status::parse(cell), "{status} {event:?}");
            }
        }
    }

    #[test]
    fn a_refusal_says_what_would_be_possible() {
        let error = next(Status::Active, Event::ExtendTrial).unwrap_err();
        assert_eq!(error.to_string(), "a tenant that is active cannot have its trial extended; one that is trial can");
    }
}
