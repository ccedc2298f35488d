//! The life of an order as a state machine. Pure: it is told what has happened, and says what stage that leads to, when
//! something is to be done next, and whether it counts as a failure. The worker carries out what a stage asks for and
//! writes every stage down before it acts on it, so that a process that is killed at any point is taken up where it was.
//!
//! ```text
//! waiting ─ preflight, budget ─▶ placing ─ order placed ─▶ proving ─ all names proven ─▶ finalizing ─ certificate ─▶
//!    ▲                                                                                  installed ─ served ─▶ issued
//!    └───────────────────────── anything that fails, with back-off; and the renewal of what was issued ◀──────┘
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::protocol::{CaError, ChallengeKind, RenewalWindow};
use super::{limiter, renewal};
use crate::clock::Timestamp;

/// How far an order has come, and what it remembers of earlier tries.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Order {
    #[serde(flatten)]
    pub stage: Stage,
    /// The certificate in use: what a renewal replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// When the certificate in use ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Timestamp>,
    /// How often in a row nobody could tell whether it was ready: asked less and less often.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub doubts: i64,
    /// Ways of proving that have failed since the last success: the other one is tried next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<ChallengeKind>,
    /// What stopped it last, as a word and as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "kebab-case")]
pub enum Stage {
    /// In the queue.
    Waiting,
    /// The budget is taken, and the authority is being asked. Whether it has made an order is not known yet.
    Placing { authority: String, since: Timestamp },
    /// The authority has made an order, and its names are being proven.
    Proving { authority: String, url: String, method: ChallengeKind, since: Timestamp },
    /// Proven. The key is kept beside the order; the certificate is asked for, or being made.
    Finalizing { authority: String, url: String, since: Timestamp },
    /// The certificate is in the store, and has to be seen in a handshake.
    Installed {
        authority: String,
        // Not `certificate`: that is, at the same level, the one in use.
        #[serde(rename = "installed")]
        certificate: String,
        tries: u32,
    },
    /// Served. `window`: what the authority said last of its renewal.
    Issued {
        authority: String,
        not_before: Timestamp,
        not_after: Timestamp,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        window: Option<RenewalWindow>,
    },
}

/// What has happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Somebody else worked on it and has gone away.
    Resumed,
    /// The budget is taken; from here on it may be placed.
    Reserved {
        authority: String,
    },
    /// Nothing can be placed before `until`: a limit of the authority's, or the authority is to be left alone.
    Held {
        until: Timestamp,
        why: String,
    },
    /// What must be true before an order is worth its budget is not, or cannot be found out now.
    NotReady {
        code: String,
        why: String,
    },
    CannotTell {
        why: String,
    },
    Placed {
        url: String,
        method: ChallengeKind,
    },
    /// Every name is proven.
    Proven,
    /// The authority has looked and does not believe it. `interrupted`: whoever was to answer it may have been gone.
    Disproven {
        code: String,
        why: String,
        interrupted: bool,
    },
    /// The certificate is in the store.
    Stored {
        certificate: String,
    },
    /// A handshake has shown it.
    Served {
        not_before: Timestamp,
        not_after: Timestamp,
    },
    /// A handshake has shown something else.
    NotServed {
        why: String,
    },
    /// The authority was asked when it would like a renewal.
    Window(Option<RenewalWindow>),
    Refused(CaError),
    /// The same before there was an order, and another authority can be asked now.
    Elsewhere(CaError),
    /// Anything else that stops this try.
    Failed {
        code: String,
        why: String,
    },
}

/// Where an event leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Next {
    pub order: Order,
    /// When something is to be done again; not later than now: at once.
    pub at: Timestamp,
    /// Failures in a row, by now.
    pub failures: i64,
    /// Whether this was one: worth an event and a metric.
    pub failed: bool,
}

/// Handshakes that may show something else before the certificate is taken back.
const MOST_SHOWINGS: u32 = 5;
const BETWEEN_SHOWINGS: Duration = Duration::from_secs(2);
/// Up to 100 minutes between two questions.
const MOST_DOUBTS: i64 = 3;
/// How soon it looks again where nobody is to blame.
const SHORTLY: Duration = Duration::from_secs(30);

impl Stage {
    /// The word in the store's column; the same as in the JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Waiting => crate::store::WAITING,
            Self::Placing { .. } => "placing",
            Self::Proving { .. } => "proving",
            Self::Finalizing { .. } => "finalizing",
            Self::Installed { .. } => "installed",
            Self::Issued { .. } => crate::store::ISSUED,
        }
    }

    pub fn authority(&self) -> Option<&str> {
        match self {
            Self::Waiting => None,
            Self::Placing { authority, .. }
            | Self::Proving { authority, .. }
            | Self::Finalizing { authority, .. }
            | Self::Installed { authority, .. }
            | Self::Issued { authority, .. } => Some(authority),
        }
    }

    /// Nothing is under way.
    pub fn rests(&self) -> bool {
        matches!(self, Self::Waiting | Self::Issued { .. })
    }
}

impl Order {
    pub fn new() -> Self {
        Self {
            stage: Stage::Waiting,
            certificate: None,
            ends: None,
            doubts: 0,
            tried: Vec::new(),
            reason: None,
            failure: None,
            failed_at: None,
        }
    }

    /// The way to prove an ordinary name that is to be tried now: http-01 unless it has just failed.
    pub fn method(&self) -> ChallengeKind {
        match self.tried.last() {
            Some(ChallengeKind::Http01) => ChallengeKind::TlsAlpn01,
            _ => ChallengeKind::Http01,
        }
    }

    /// What follows. `name` jitters; `failures` is how many there were in a row; an order under way at an authority that is
    /// away for longer than `patience` is given up for another authority's.
    pub fn next(&self, event: Event, name: &str, failures: i64, patience: Duration, now: Timestamp) -> Next {
        let step = Step { order: self, name, failures, patience, now };
        match (&self.stage, event) {
            // Nobody knows whether the authority has made that order. Its budget stays spent; another one is made.
            (Stage::Placing { .. }, Event::Resumed) => step.to(Stage::Waiting, now),
            (stage, Event::Resumed) => step.to(stage.clone(), now),
            (Stage::Waiting, Event::Reserved { authority }) => {
                let mut next = step.to(Stage::Placing { authority, since: now }, now);
                next.order.doubts = 0;
                next
            }
            (Stage::Waiting, Event::Held { until, why }) => step.held(until, why),
            (Stage::Waiting, Event::CannotTell { why }) => step.in_doubt(why),
            (Stage::Waiting, Event::NotReady { code, why }) => step.failed(code, why, None),
            (Stage::Placing { authority, since }, Event::Placed { url, method }) => {
                step.to(Stage::Proving { authority: authority.clone(), url, method, since: *since }, now)
            }
            (Stage::Proving { authority, url, .. }, Event::Proven) => {
                step.to(Stage::Finalizing { authority: authority.clone(), url: url.clone(), since: now }, now)
            }
            (Stage::Proving { .. }, Event::Disproven { code, why, interrupted: true }) => step.interrupted(&code, why),
            (Stage::Proving { method, .. }, Event::Disproven { code, why, .. }) => step.disproven(*method, code, why),
            (Stage::Finalizing { authority, .. }, Event::Stored { certificate }) => {
                step.to(Stage::Installed { authority: authority.clone(), certificate, tries: 0 }, now)
            }
            (Stage::Installed { authority, certificate, .. }, Event::Served { not_before, not_after }) => {
                step.issued(authority, certificate, not_before, not_after)
            }
            (Stage::Installed { authority, certificate, tries }, Event::NotServed { why })
                if *tries + 1 < MOST_SHOWINGS =>
            {
                let (authority, certificate) = (authority.clone(), certificate.clone());
                let mut next =
                    step.to(Stage::Installed { authority, certificate, tries: tries + 1 }, now + BETWEEN_SHOWINGS);
                next.order.note("not-served", why, now);
                next
            }
            (Stage::Installed { .. }, Event::NotServed { why }) => step.failed("not-served".into(), why, None),
            (Stage::Issued { .. }, Event::Window(window)) => step.look_at_window(window),
            (Stage::Placing { .. }, Event::Elsewhere(error)) => step.elsewhere(&error),
            (_, Event::Refused(error) | Event::Elsewhere(error)) => step.refused(error),
            (_, Event::Failed { code, why }) => step.failed(code, why, None),
            // INVARIANT: the worker sends each stage only what its own action can bring about; what comes all the same
            // is treated as a failure of this try, never as progress.
            (stage, event) => step.failed("internal".into(), format!("{event:?} while {}", stage.word()), None),
        }
    }

    fn note(&mut self, code: &str, why: String, now: Timestamp) {
        (self.reason, self.failure, self.failed_at) = (Some(code.to_owned()), Some(why), Some(now));
    }
}

impl Default for Order {
    fn default() -> Self {
        Self::new()
    }
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// One event at one order.
struct Step<'o> {
    order: &'o Order,
    name: &'o str,
    failures: i64,
    patience: Duration,
    now: Timestamp,
}

impl Step<'_> {
    fn to(&self, stage: Stage, at: Timestamp) -> Next {
        Next { order: Order { stage, ..self.order.clone() }, at, failures: self.failures, failed: false }
    }

    /// Nobody's failure: again later, with a word about why. A renewal that has time left does not come back in the moment
    /// in which all the others do.
    fn held(&self, until: Timestamp, why: String) -> Next {
        let spread =
            self.order.ends.map_or(Duration::ZERO, |ends| renewal::spread(self.name, ends.since(self.now) / 10));
        let mut next = self.to(Stage::Waiting, until.max(self.now + Duration::from_millis(1)) + spread);
        next.order.note("held", why, self.now);
        next
    }

    /// Nobody could be asked: no failure of the domain's, but a server that is dead for good is not asked twice a minute.
    fn in_doubt(&self, why: String) -> Next {
        let doubts = self.order.doubts + 1;
        let mut next = self.held(self.now + limiter::backoff(doubts.min(MOST_DOUBTS), self.name), why);
        next.order.doubts = doubts;
        next
    }

    /// Back into the queue, later each time; never before `no_sooner`.
    fn failed(&self, code: String, why: String, no_sooner: Option<Timestamp>) -> Next {
        let failures = self.failures + 1;
        let at = self.now + limiter::backoff(failures, self.name);
        let mut next = self.to(Stage::Waiting, no_sooner.map_or(at, |no_sooner| at.max(no_sooner)));
        next.order.note(&code, why, self.now);
        Next { failures, failed: true, ..next }
    }

    /// The first time, the other way of proving is tried soon; when both have failed, the order backs off and starts with
    /// the first again.
    fn disproven(&self, method: ChallengeKind, code: String, why: String) -> Next {
        let mut next = self.failed(code, why, None);
        let other_is_left = method == ChallengeKind::Http01 && self.order.tried.is_empty();
        if other_is_left {
            next.order.tried.push(method);
            next.at = self.now + SHORTLY;
        } else {
            next.order.tried.clear();
        }
        next
    }

    /// The domain is not to blame when our answer was missing; its limit of failures at the authority bounds this.
    fn interrupted(&self, code: &str, why: String) -> Next {
        let mut next = self.to(Stage::Waiting, self.now + SHORTLY);
        next.order.note(code, why, self.now);
        next
    }

    fn issued(&self, authority: &str, certificate: &str, not_before: Timestamp, not_after: Timestamp) -> Next {
        let stage = Stage::Issued { authority: authority.to_owned(), not_before, not_after, window: None };
        let mut order = Order::new();
        (order.stage, order.certificate, order.ends) = (stage, Some(certificate.to_owned()), Some(not_after));
        // At once for the authority's own wish; without one, `look_at_window` decides by the lifetime.
        Next { order, at: self.now, failures: 0, failed: false }
    }

    /// Renews when it is time, else looks again when it will be, or when the authority is to be asked again.
    fn look_at_window(&self, window: Option<RenewalWindow>) -> Next {
        let Stage::Issued { authority, not_before, not_after, .. } = &self.order.stage else {
            return self.to(self.order.stage.clone(), self.now);
        };
        let due = renewal::due(self.name, *not_before, *not_after, window, self.now);
        if due <= self.now {
            return self.to(Stage::Waiting, self.now);
        }
        let (authority, not_before, not_after) = (authority.clone(), *not_before, *not_after);
        let at = window.map_or(due, |window| due.min(window.ask_again.max(self.now + SHORTLY)));
        self.to(Stage::Issued { authority, not_before, not_after, window }, at)
    }

    fn refused(&self, error: CaError) -> Next {
        let why = error.to_string();
        match error {
            CaError::RateLimited { retry_after, .. } => self.stay_or_queue(why, retry_after),
            CaError::Unavailable { retry_after, .. } => self.stay_or_queue(why, retry_after),
            CaError::AlreadyReplaced => {
                let mut next = self.to(Stage::Waiting, self.now);
                next.order.certificate = None;
                next
            }
            CaError::Gone(problem) => self.failed("gone".into(), problem.to_string(), None),
            CaError::Refused(problem) => self.failed(problem.kind.clone(), problem.to_string(), None),
            CaError::Broken(why) => self.failed("internal".into(), why, None),
        }
    }

    fn elsewhere(&self, error: &CaError) -> Next {
        let mut next = self.to(Stage::Waiting, self.now);
        next.order.note("authority", error.to_string(), self.now);
        next
    }

    /// An authority that is away is nobody's failure. What is under way there waits for it, but not for ever.
    fn stay_or_queue(&self, why: String, retry_after: Option<Timestamp>) -> Next {
        let at = retry_after.unwrap_or(self.now + SHORTLY).max(self.now + Duration::from_secs(1));
        let (since, stage) = match &self.order.stage {
            stage @ (Stage::Proving { since, .. } | Stage::Finalizing { since, .. }) => (*since, stage.clone()),
            // Without an answer it is renewed by its lifetime; the question is asked again before.
            Stage::Issued { .. } => {
                let next = self.look_at_window(None);
                return Next { at: next.at.min(at + renewal::spread(self.name, Duration::from_secs(3600))), ..next };
            }
            _ => return self.held(at, why),
        };
        if at.since(since) > self.patience {
            return self.held(self.now, why);
        }
        let mut next = self.to(stage, at);
        next.order.note("authority", why, self.now);
        next
    }
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
