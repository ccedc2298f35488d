//! `[reload]`: how a running process hears that its files have changed.

use std::time::Duration;

use super::section::Section;

/// `[reload]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reload {
    /// How often to look whether the files have changed; `None` (the default): only when told (SIGHUP, the admin API).
    pub watch: Option<Duration>,
}

impl Reload {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let second = Duration::from_secs(1);
        Self { watch: section.duration_or_off("watch", second / 10..=3600 * second, None) }
    }
}
