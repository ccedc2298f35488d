//! `[audit]`: the ledger's checkpoints, and how long lines are kept that belong to no tenant.

use std::path::PathBuf;
use std::time::Duration;

use super::section::Section;

const CHECKPOINTS: &str = "the path of a file that begins with a slash, or \"off\"";
const DAY: Duration = Duration::from_secs(86_400);

/// `[audit]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Audit {
    /// The file that signed checkpoints are appended to. `None` (the default): they are to be had from the API alone.
    pub checkpoints: Option<PathBuf>,
    /// How often. Default 5 minutes.
    pub checkpoint_every: Duration,
    /// How long lines of the installation's own chain are kept; `None`: for ever. Default 365 days. Those of tenants: see
    /// `audit_days` of the plans.
    pub keep: Option<Duration>,
}

impl Audit {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            checkpoints: section.text("checkpoints", CHECKPOINTS, file).flatten(),
            checkpoint_every: section.duration(
                "checkpoint_every",
                Duration::from_secs(1)..=DAY,
                Duration::from_secs(300),
            ),
            keep: section.duration_or_off("keep", 30 * DAY..=3_650 * DAY, Some(365 * DAY)),
        }
    }
}

fn file(text: &str) -> Result<Option<PathBuf>, &'static str> {
    match text {
        "off" => Ok(None),
        path if path.starts_with('/') && !path.ends_with('/') && !path.contains('\0') => Ok(Some(path.into())),
        _ => Err(""),
    }
}
