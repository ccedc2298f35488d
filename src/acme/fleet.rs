//! Whether every node that serves knows of a revision. One that lags would fail a validation, or show an old certificate.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use crate::clock::Clock;
use crate::store::{Store, StoreError};
use crate::tenancy::Applied;

/// The nodes, as this one sees them. Clones share it.
#[derive(Clone)]
pub struct Fleet {
    store: Store,
    clock: Clock,
    /// This node, which is not asked over the store.
    own: Arc<str>,
    applied: Arc<dyn Applied>,
}

/// A node that has not been heard of for so long serves nobody, or reads the store as little as it writes there.
pub const LIVE: Duration = Duration::from_secs(15);
/// How often the other nodes' reports are looked at.
const LOOK: Duration = Duration::from_millis(50);

impl Fleet {
    /// `own`: the id under which this node reports; `applied`: how far its own directory is.
    pub fn new(store: Store, clock: Clock, own: &str, applied: Arc<dyn Applied>) -> Self {
        Self { store, clock, own: own.into(), applied }
    }

    /// Returns `true` when every live node has applied `revision`, or `false` after `within`.
    pub async fn acknowledged(&self, revision: i64, within: Duration) -> bool {
        let started = Instant::now();
        if !timeout(within, self.applied.applied(revision)).await.unwrap_or(false) {
            return false;
        }
        loop {
            match self.lagging(revision).await {
                Ok(false) => return true,
                Ok(true) => {}
                Err(error) => warn!(%error, "fleet.not_read: trying again"),
            }
            if started.elapsed() + LOOK > within {
                return false;
            }
            sleep(LOOK).await;
        }
    }

    async fn lagging(&self, revision: i64) -> Result<bool, StoreError> {
        let nodes = self.store.nodes(self.clock.now() - LIVE).await?;
        Ok(nodes.iter().any(|node| node.id != *self.own && node.applied < revision))
    }
}
