//! The keys that sign assertions: read from the store when it starts, and again whenever they change.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::error;

use super::AppError;
use crate::directory::{Source, Subscriber};
use crate::edge::Assertions;
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

const KEYS_RETRY: Duration = Duration::from_secs(5);
