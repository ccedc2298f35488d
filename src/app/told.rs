//! Has the ledger know of what this process was told to do by other ways than the API. Nobody waits for that.

use serde_json::json;

use crate::admin::{Refused, Reloaded};
use crate::audit::events;
use crate::tenancy::{Actor, Tenancy};

/// Clones share it.
#[derive(Clone)]
pub struct Teller(Tenancy);

impl Teller {
    pub(super) fn new(tenancy: Tenancy) -> Self {
        Self(tenancy)
    }

    /// The configuration was read again; `by`: `SIGHUP`, `watch`.
    pub fn reloaded(&self, by: &str, done: &Result<Reloaded, Refused>) {
        let result = if done.is_ok() { "taken" } else { "refused" };
        let detail = json!({ "by": by, "result": result });
        self.0.note(Actor::new("system").entry(events::CONFIG_RELOAD, None, "configuration", detail));
    }

    /// The process is to be replaced; `by`: `SIGUSR2`.
    pub fn upgrading(&self, by: &str) {
        self.0.note(Actor::new("system").entry(events::PROCESS_UPGRADE, None, "process", json!({ "by": by })));
    }
}
