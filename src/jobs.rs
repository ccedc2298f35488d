//! What the control plane does by the clock: the signing keys, made on first use and rotated with overlap; and the
//! change feed, cut to what followers can still need.

use std::time::Duration;

use tracing::{error, info};

use crate::clock::Clock;
use crate::keyring::{Keyring, KeyringError};
use crate::store::{AuditEntry, Store, StoreError};

#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Keyring(#[from] KeyringError),
}

/// Makes the signing keys if there are none, and rotates them when they are due. Any number of nodes may call it at
/// once: the writing transaction lets one after the other look.
pub async fn keep_signing_keys(store: &Store, clock: &Clock) -> Result<(), JobError> {
    if let Some(bytes) = store.secret(Keyring::SECRET).await?
        && Keyring::from_bytes(&bytes)?.rotated(clock.now())?.is_none()
    {
        return Ok(());
    }
    let mut write = store.write().await?;
    // Read again: another node may have done it while this one waited for its turn.
    let ring = match write.secret(Keyring::SECRET).await? {
        None => Some(Keyring::generate(clock.now())?),
        Some(bytes) => Keyring::from_bytes(&bytes)?.rotated(clock.now())?,
    };
    let Some(ring) = ring else { return Ok(()) };
    write.put_secret(Keyring::SECRET, &ring.to_bytes()?).await?;
    let newest = ring.newest().map(|key| key.id.clone()).unwrap_or_default();
    write
        .audit(&AuditEntry {
            actor: "system".into(),
            action: "signing-key.rotate".into(),
            tenant: None,
            subject: newest.clone(),
            detail: serde_json::json!({}),
            request_id: None,
        })
        .await?;
    write.commit().await?;
    info!(key.id = newest, "signing_keys.rotated");
    Ok(())
}

/// Runs the jobs until the task is dropped.
pub async fn run(store: Store, clock: Clock) {
    loop {
        tokio::time::sleep(EVERY).await;
        if let Err(error) = keep_signing_keys(&store, &clock).await {
            error!(error = %error, "signing_keys.not_rotated: trying again later");
        }
        if let Err(error) = store.prune_changes(KEPT_CHANGES).await {
            error!(error = %error, "changes.not_pruned: trying again later");
        }
    }
}

/// Revisions whose changes are kept. A follower that is further behind forgets everything and starts afresh.
const KEPT_CHANGES: i64 = 100_000;
const EVERY: Duration = Duration::from_secs(3600);
