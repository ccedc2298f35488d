//! What a node that serves tells the others: that it lives, and how far it has followed the change feed. Whoever works on an
//! order waits for that before an authority is told to look.

use std::time::Duration;

use tokio::sync::watch;
use tracing::warn;

use crate::clock::Clock;
use crate::store::{Store, StoreError};

/// How often a node says that it lives. It counts as gone after three times as long.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Revisions that are applied within this time are reported together.
const COALESCE: Duration = Duration::from_millis(20);
/// A node that was not heard of for so long counts no more, and is forgotten after an hour.
const LIVE: Duration = Duration::from_secs(15);
const FORGET: Duration = Duration::from_secs(3600);

/// Reports until the task is dropped. `applied`: the revision that this node's directory has applied. Where another node
/// lives, each revision is reported as soon as it is applied; a node that is alone only says that it lives.
pub async fn report_node(store: Store, clock: Clock, id: String, mut applied: watch::Receiver<i64>) {
    let mut alone = true;
    loop {
        let revision = *applied.borrow_and_update();
        match report(&store, &clock, &id, revision).await {
            Ok(answer) => alone = answer,
            Err(error) => warn!(%error, "node.not_reported: trying again"),
        }
        let next = tokio::time::sleep(HEARTBEAT);
        match alone {
            true => next.await,
            false => {
                tokio::select! {
                    () = next => {}
                    changed = applied.changed() => match changed {
                        Ok(()) => tokio::time::sleep(COALESCE).await,
                        // The follower has ended, and with it the process's part as an edge.
                        Err(_) => return,
                    }
                }
            }
        }
    }
}

/// Says so; whether no other node lives.
async fn report(store: &Store, clock: &Clock, id: &str, revision: i64) -> Result<bool, StoreError> {
    let now = clock.now();
    let mut aside = store.aside().await?;
    aside.report_node(id, revision, now - FORGET).await?;
    aside.commit().await?;
    let live = store.nodes(now - LIVE).await?;
    Ok(live.iter().all(|node| node.id == id))
}
