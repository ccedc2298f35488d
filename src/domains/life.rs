//! What follows for a claim from what a look has shown. Pure: state, memory, facts and time in; what is to be written out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::schedule;
use crate::clock::Timestamp;
use crate::config;
use crate::model::DomainState;

/// What the looks at one claim have shown so far. Kept as JSON beside the claim; what an older program did not know is as
/// if it had never been seen.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Looks that have not proven it.
    pub looks: u32,
    /// Since when it leads elsewhere.
    pub moved: Option<Timestamp>,
    /// When it was proven against a holder who was not, one for each look that counted.
    pub proofs: Vec<Timestamp>,
    /// Since when its holder has been warned.
    pub contested: Option<Timestamp>,
    /// Since when the tenant's plan has not covered it.
    pub uncovered: Option<Timestamp>,
    /// Looks that were asked for lately.
    pub asked: Vec<Timestamp>,
}

/// What a look has found out; `None` where nobody could be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
    pub proven: Option<bool>,
    pub points_here: Option<bool>,
    /// Another tenant holds the name: whether that one's proof is still there.
    pub holder: Option<Holder>,
    /// Another tenant gave the name up lately: until when it rests.
    pub rests_until: Option<Timestamp>,
    /// There is a certificate to serve it with.
    pub has_certificate: bool,
    /// That certificate was brought by the tenant: no order of ours comes to its end and says that it is served.
    pub brought: bool,
    /// The tenant's plan covers domains of one's own.
    pub covered: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holder {
    pub proven: Option<bool>,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Nothing but remembering the look.
    Stay,
    /// Seen in part: another state, and nobody is told.
    Set(DomainState),
    /// It is this tenant's from now on.
    Verify,
    /// It took longer than is waited for.
    Fail,
    /// It leads elsewhere: the grace begins.
    Move,
    /// It leads here, and is served with a certificate that its tenant brought.
    Live,
    /// It leads here again.
    Return(DomainState),
    /// It is given up.
    Release,
    /// The holder is warned that another tenant proves the name.
    Contest,
    /// The holder loses it to this tenant.
    Transfer,
    /// The tenant's plan does not cover it any more.
    Uncover,
}

/// Looks that a challenger needs, over how long.
const CHALLENGE_PROOFS: usize = 3;
const CHALLENGE_SPAN: Duration = Duration::from_secs(24 * 3600);
/// Looks closer together than this are one.
const CHALLENGE_GAP: Duration = Duration::from_secs(6 * 3600);

/// What follows, what is remembered, and when it is looked at again (`None`: only on demand).
pub fn next(
    state: DomainState,
    mut progress: Progress,
    facts: &Facts,
    name: &str,
    created: Timestamp,
    config: &config::Domains,
    now: Timestamp,
) -> (Step, Progress, Option<Timestamp>) {
    match state {
        DomainState::Pending | DomainState::Verifying | DomainState::Failed | DomainState::Released => {
            let (step, at) = claimed(state, &mut progress, facts, created, config, now);
            (step, progress, at)
        }
        DomainState::Verified | DomainState::Live | DomainState::Moved => {
            let (step, at) = held(state, &mut progress, facts, name, config, now);
            (step, progress, at)
        }
    }
}

fn claimed(
    state: DomainState,
    progress: &mut Progress,
    facts: &Facts,
    created: Timestamp,
    config: &config::Domains,
    now: Timestamp,
) -> (Step, Option<Timestamp>) {
    if facts.proven == Some(true) {
        if let Some(holder) = facts.holder {
            return challenge(progress, holder, config, now);
        }
        return match facts.rests_until.filter(|until| *until > now) {
            Some(until) => (Step::Stay, Some(until)),
            None => {
                *progress = Progress { asked: progress.asked.clone(), ..Progress::default() };
                (Step::Verify, Some(now + schedule::MOVED))
            }
        };
    }
    if facts.proven == Some(false) {
        progress.proofs.clear();
        progress.contested = None;
        progress.looks = progress.looks.saturating_add(1);
        // A claim that has failed, or was given up, is looked at on demand alone.
        if matches!(state, DomainState::Failed | DomainState::Released) {
            return (Step::Stay, None);
        }
        if now.since(created) >= config.pending_for {
            return (Step::Fail, None);
        }
    }
    let pause = match facts.proven {
        None => schedule::unknown(progress.looks, now.since(created), config.pending_for),
        Some(_) => schedule::pending(progress.looks),
    };
    let partly = facts.points_here == Some(true);
    let step = match (state, partly) {
        (DomainState::Pending, true) => Step::Set(DomainState::Verifying),
        (DomainState::Verifying, false) if facts.points_here.is_some() => Step::Set(DomainState::Pending),
        _ => Step::Stay,
    };
    let again = !matches!(state, DomainState::Failed | DomainState::Released);
    (step, again.then_some(now + pause))
}

/// Somebody else holds it. A holder whose own proof is there keeps it; one whose proof is gone, on three looks over a day,
/// is warned, and loses it when the grace is over.
fn challenge(
    progress: &mut Progress,
    holder: Holder,
    config: &config::Domains,
    now: Timestamp,
) -> (Step, Option<Timestamp>) {
    let again = Some(now + schedule::CHALLENGE);
    match holder.proven {
        None => return (Step::Stay, Some(now + schedule::UNKNOWN)),
        Some(true) => {
            progress.proofs.clear();
            progress.contested = None;
            return (Step::Stay, again);
        }
        Some(false) => {}
    }
    if let Some(since) = progress.contested {
        return match now.since(since) >= config.grace {
            true => {
                *progress = Progress { asked: progress.asked.clone(), ..Progress::default() };
                (Step::Transfer, Some(now + schedule::MOVED))
            }
            false => (Step::Stay, again),
        };
    }
    if progress.proofs.last().is_none_or(|last| now.since(*last) >= CHALLENGE_GAP) {
        progress.proofs.push(now);
    }
    let spans = progress.proofs.first().is_some_and(|first| now.since(*first) >= CHALLENGE_SPAN);
    if progress.proofs.len() >= CHALLENGE_PROOFS && spans {
        progress.contested = Some(now);
        return (Step::Contest, again);
    }
    (Step::Stay, again)
}

fn held(
    state: DomainState,
    progress: &mut Progress,
    facts: &Facts,
    name: &str,
    config: &config::Domains,
    now: Timestamp,
) -> (Step, Option<Timestamp>) {
    let daily = Some(schedule::held(name, now, config.recheck));
    match (state, facts.points_here) {
        // Could not ask is not an answer: nothing begins and nothing ends.
        (_, None) => return (Step::Stay, Some(now + schedule::UNKNOWN)),
        (DomainState::Moved, Some(true)) => {
            progress.moved = None;
            let state = if facts.has_certificate { DomainState::Live } else { DomainState::Verified };
            return (Step::Return(state), daily);
        }
        (DomainState::Moved, Some(false)) => {
            let since = *progress.moved.get_or_insert(now);
            return match now.since(since) >= config.grace {
                true => (Step::Release, None),
                false => (Step::Stay, Some(now + schedule::MOVED)),
            };
        }
        (DomainState::Live, Some(false)) => {
            progress.moved = Some(now);
            return (Step::Move, Some(now + schedule::MOVED));
        }
        (DomainState::Verified, Some(true)) if facts.brought => return (Step::Live, daily),
        // Proven, and never led here: it is waited for, as an order is.
        _ => {}
    }
    match (facts.covered, progress.uncovered) {
        (false, None) => {
            progress.uncovered = Some(now);
            (Step::Uncover, daily)
        }
        (true, Some(_)) => {
            progress.uncovered = None;
            (Step::Stay, daily)
        }
        _ if state == DomainState::Verified => (Step::Stay, Some(now + schedule::MOVED)),
        _ => (Step::Stay, daily),
    }
}

/// Whether another look may be asked for now; remembers that it was. An error says when.
pub fn ask(progress: &mut Progress, limit: u32, now: Timestamp) -> Result<(), Duration> {
    const SPAN: Duration = Duration::from_secs(600);
    progress.asked.retain(|at| now.since(*at) < SPAN);
    if progress.asked.len() >= limit as usize {
        let oldest = progress.asked.first().copied().unwrap_or(now);
        return Err(SPAN.saturating_sub(now.since(oldest)));
    }
    progress.asked.push(now);
    Ok(())
}

#[cfg(test)]
#[path = "life_tests.rs"]
mod tests;
