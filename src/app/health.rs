//! How this process is: what its probes say, and when its directory has caught up with a write.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use crate::admin;
use crate::directory::Applied;
use crate::tenancy;

/// The directory of this process, as those who write wait for it.
pub(super) struct Local(pub Applied);

#[async_trait]
impl tenancy::Applied for Local {
    async fn applied(&self, revision: i64) -> bool {
        self.0.wait_for(revision, APPLY_PATIENCE).await
    }
}

pub(super) struct Health {
    pub draining: AtomicBool,
    pub applied: Applied,
}

impl admin::Health for Health {
    fn facts(&self) -> admin::Facts {
        admin::Facts {
            // Nothing is served before the revision is known and the signing keys are there.
            loaded: true,
            draining: self.draining.load(Ordering::Acquire),
            store_up: self.applied.store_up(),
            revision: self.applied.revision(),
        }
    }
}

const APPLY_PATIENCE: Duration = Duration::from_secs(5);
