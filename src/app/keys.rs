//! What the edge reads from the store when it starts, and again when it changes: the keys that sign assertions and session
//! cookies, and which sessions have ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{error, warn};

use super::AppError;
use crate::directory::{EndedSessions, Source, Subscriber};
use crate::edge::{Assertions, Registry};
use crate::keyring::Keyring;
use crate::model::Change;

pub(super) async fn install_keys(source: &dyn Source, assertions: &Assertions) -> Result<(), AppError> {
    if let Some(bytes) = source.secret(Keyring::SECRET).await? {
        assertions.install(Keyring::from_bytes(&bytes)?);
    }
    Ok(())
}

/// Hears that the signing keys have changed.
pub(super) struct KeysEar(pub mpsc::UnboundedSender<()>);

impl Subscriber for KeysEar {
    fn apply(&self, change: &Change) {
        if matches!(change, Change::Keys | Change::Reset) {
            // The reader lives as long as the process.
            let _ = self.0.send(());
        }
    }
}

pub(super) async fn follow_keys(
    source: Arc<dyn Source>,
    assertions: Arc<Assertions>,
    mut changed: mpsc::UnboundedReceiver<()>,
) {
    while changed.recv().await.is_some() {
        while let Err(error) = install_keys(&*source, &assertions).await {
            error!(error = %error, "signing_keys.not_read: the old ones stay in use");
            tokio::time::sleep(KEYS_RETRY).await;
        }
    }
}

/// Hears that the list of ended sessions has to be read again.
pub(super) struct ResetEar(pub mpsc::UnboundedSender<()>);

impl Subscriber for ResetEar {
    fn apply(&self, change: &Change) {
        if matches!(change, Change::Reset) {
            // As above.
            let _ = self.0.send(());
        }
    }
}

/// Reads the list of ended sessions again when it has to be, and now and then: the store knows best when each expires.
pub(super) async fn follow_sessions(
    source: Arc<dyn Source>,
    ended: Arc<EndedSessions>,
    registry: Arc<Registry>,
    mut reset: mpsc::UnboundedReceiver<()>,
) {
    loop {
        if let Ok(None) = tokio::time::timeout(SESSIONS_AGAIN, reset.recv()).await {
            return;
        }
        while let Err(error) = ended.load(&*source).await {
            warn!(error = %error, "sessions.not_read: what was known stays");
            tokio::time::sleep(KEYS_RETRY).await;
        }
        registry.look_at_sessions();
    }
}

/// How often the list of ended sessions is read although nobody said so.
const SESSIONS_AGAIN: Duration = Duration::from_secs(3600);
const KEYS_RETRY: Duration = Duration::from_secs(5);
