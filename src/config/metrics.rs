//! `[metrics]`: what is told to Prometheus.

use super::section::Section;

/// `[metrics]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metrics {
    /// How many tenants have series of their own; the others are `_other`. Default 100.
    pub tenants: usize,
}

impl Metrics {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self { tenants: section.number("tenants", 0..=10_000, 100u32) as usize }
    }
}
