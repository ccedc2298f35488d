//! `[process]`: how a process ends, and how long the one that replaces it may take to start.

use std::time::Duration;

use super::section::Section;

/// `[process]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Process {
    /// How long connections are still taken after `/readyz` has turned to 503, so that load balancers notice first.
    /// Default 0 s. Not waited for when another process has taken over.
    pub notice: Duration,
    /// How long requests, streams and WebSockets under way may take to end. Default 30 s.
    pub drain_deadline: Duration,
    /// How long the program that is to take over may take until it serves. Default 60 s.
    pub upgrade_deadline: Duration,
}

impl Process {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        const SECOND: Duration = Duration::from_secs(1);
        const HOUR: Duration = Duration::from_secs(3600);
        Self {
            notice: section.duration("notice", Duration::ZERO..=HOUR, Duration::ZERO),
            drain_deadline: section.duration("drain_deadline", Duration::ZERO..=24 * HOUR, 30 * SECOND),
            upgrade_deadline: section.duration("upgrade_deadline", SECOND..=HOUR, 60 * SECOND),
        }
    }
}
