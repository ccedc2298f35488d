//! What is done by the clock: the signing keys, made on first use and rotated with overlap; the change feed, cut to what
//! followers can still need; what has ended, forgotten; gauges, kept current; and each node's word that it lives.

mod report;

use std::sync::Arc;
use std::time::Duration;

pub use report::report_node;

use tracing::{debug, error, info};

use crate::clock::Clock;
use crate::keyring::{Keyring, KeyringError};
use crate::metrics::Metrics;
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
            subject: newest.clone(),
            detail: serde_json::json!({}),
            ..AuditEntry::default()
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
        // A program of an earlier schema may have written beside this one while it was replaced.
        if let Err(error) = store.mend_keys().await {
            error!(error = %error, "store.keys_not_mended: trying again later");
        }
        if let Err(error) = tidy(&store, &clock).await {
            error!(error = %error, "store.not_tidied: trying again later");
        }
    }
}

/// Forgets what nobody asks for any more: certificates and tokens that ended long ago, old events, buckets that are full
/// again. Any number of nodes may do it at once.
pub async fn tidy(store: &Store, clock: &Clock) -> Result<(), StoreError> {
    let now = clock.now();
    loop {
        let mut aside = store.aside().await?;
        let gone = aside.prune_certificates(now - KEPT_CERTIFICATES, BATCH).await?;
        aside.commit().await?;
        if gone < u64::from(BATCH) {
            break;
        }
    }
    let mut aside = store.aside().await?;
    aside.prune_buckets().await?;
    aside.prune_events(now - KEPT_EVENTS).await?;
    aside.prune_calls(now - KEPT_CALLS).await?;
    aside.prune_billing_events(now - KEPT_BILLING_EVENTS).await?;
    aside.prune_tokens(now - KEPT_TOKENS).await?;
    aside.prune_password_tokens().await?;
    aside.commit().await
}

/// Keeps the gauges current that tell of certificates and orders, until the task is dropped.
pub async fn measure(store: Store, clock: Clock, metrics: Arc<Metrics>) {
    loop {
        if let Err(error) = measure_once(&store, &clock, &metrics).await {
            debug!(error = %error, "certificates.not_measured");
        }
        tokio::time::sleep(MEASURE_EVERY).await;
    }
}

async fn measure_once(store: &Store, clock: &Clock, metrics: &Metrics) -> Result<(), StoreError> {
    let counts = store.order_counts().await?;
    let soonest = store.soonest_expiry(clock.now()).await?;
    metrics.order_queue.reset();
    for stage in counts {
        metrics.order_queue.with_label_values(&[&stage.stage]).set(stage.count);
    }
    metrics.soonest_expiry.set(soonest.map_or(0, |at| at.secs()));
    for (within, days) in EXPIRING {
        let now = clock.now();
        let count = store.names_ending(now, now + Duration::from_secs(days * 86_400)).await?;
        metrics.names_expiring.with_label_values(&[within]).set(count);
    }
    Ok(())
}

/// Ended certificates are kept for those who look at what was.
const KEPT_CERTIFICATES: Duration = Duration::from_secs(30 * 86_400);
/// How long a call with an idempotency key is known again.
const KEPT_CALLS: Duration = Duration::from_secs(86_400);
/// How long a webhook of the billing system is known again. Far longer than an old one is believed, and than anybody tries to
/// deliver one.
const KEPT_BILLING_EVENTS: Duration = Duration::from_secs(7 * 86_400);
/// Tokens that have ended are listed for those who wonder why something works no more; their names are free again after.
const KEPT_TOKENS: Duration = Duration::from_secs(30 * 86_400);
const KEPT_EVENTS: Duration = Duration::from_secs(90 * 86_400);
/// Rows that one transaction removes.
const BATCH: u32 = 500;
/// What the gauge of names whose certificate ends soon distinguishes, in days.
const EXPIRING: [(&str, u64); 3] = [("1d", 1), ("7d", 7), ("21d", 21)];
const MEASURE_EVERY: Duration = Duration::from_secs(15);

/// Revisions whose changes are kept. A follower that is further behind forgets everything and starts afresh.
const KEPT_CHANGES: i64 = 100_000;
const EVERY: Duration = Duration::from_secs(3600);
