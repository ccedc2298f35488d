//! `[audit]`: the ledger's checkpoints, and how long lines are kept that belong to no tenant.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::section::Section;

const CHECKPOINTS: &str = "the path of a file that begins with a slash, \"state\" or \"off\"";
/// The file's name in a process's own directory.
const IN_STATE: &str = "audit-checkpoints.jsonl";
const DAY: Duration = Duration::from_secs(86_400);

/// `[audit]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Audit {
    /// The file that signed checkpoints are appended to. `None`: they are to be had from the API alone.
    pub checkpoints: Option<PathBuf>,
    /// The file is to be in the directory of the process's own, if it has one (the default); see [`Audit::settle`].
    pub in_state: bool,
    /// How often. Default 5 minutes.
    pub checkpoint_every: Duration,
    /// How long lines of the installation's own chain are kept; `None`: for ever. Default 365 days. Those of tenants: see
    /// `audit_days` of the plans.
    pub keep: Option<Duration>,
}

impl Audit {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let place = section.text("checkpoints", CHECKPOINTS, place).unwrap_or(Place::State);
        Self {
            in_state: place == Place::State,
            checkpoints: if let Place::File(path) = place { Some(path) } else { None },
            checkpoint_every: section.duration(
                "checkpoint_every",
                Duration::from_secs(1)..=DAY,
                Duration::from_secs(300),
            ),
            keep: section.duration_or_off("keep", 30 * DAY..=3_650 * DAY, Some(365 * DAY)),
        }
    }

    /// What only the process knows: the directory of its own.
    pub fn settle(&mut self, state: &Path) {
        if self.in_state {
            self.checkpoints = Some(state.join(IN_STATE));
        }
    }
}

#[derive(PartialEq, Eq)]
enum Place {
    State,
    Off,
    File(PathBuf),
}

fn place(text: &str) -> Result<Place, &'static str> {
    match text {
        "state" => Ok(Place::State),
        "off" => Ok(Place::Off),
        path if path.starts_with('/') && !path.ends_with('/') && !path.contains('\0') => Ok(Place::File(path.into())),
        _ => Err(""),
    }
}
