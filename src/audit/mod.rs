//! The audit ledger as a service: its keys, its check, its exported checkpoints, its export, its age, and the events that
//! are noted beside any change. Lines are written by whoever changes something, in the same transaction; who may read them
//! is decided elsewhere, and nothing here knows plans or members.

mod anchors;
mod check;
mod compare;
pub mod events;
mod export;
mod keep;
mod notes;
mod proof;

pub use check::{Report, Summary};
pub use compare::{Comparison, Contradiction};
pub use export::{Format, LineView, Unwritable};
pub use keep::{Cut, Exported};
pub use notes::Notes;

use serde_json::json;

use crate::clock::Clock;
use crate::ledger::{Chain, Checkpoint, Hash, KeyError, LedgerKeys, Signed, Statement};
use crate::store::{AuditEntry, ChainRow, Store, StoreError};

/// The ledger of one store. Clones share it.
#[derive(Clone)]
pub struct Ledger {
    store: Store,
    clock: Clock,
}

/// Why the ledger did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the checkpoints cannot be written to {path}: {source}")]
    File { path: String, source: std::io::Error },
}

impl Ledger {
    pub fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// The keys that sign checkpoints and cuts; made when there are none.
    pub async fn keys(&self) -> Result<LedgerKeys, AuditError> {
        if let Some(bytes) = self.store.secret(LedgerKeys::SECRET).await? {
            return Ok(LedgerKeys::from_bytes(&bytes)?);
        }
        let mut write = self.store.write().await?;
        // Read again: another node may have made them while this one waited for its turn.
        if let Some(bytes) = write.secret(LedgerKeys::SECRET).await? {
            return Ok(LedgerKeys::from_bytes(&bytes)?);
        }
        let keys = LedgerKeys::generate()?;
        write.put_secret(LedgerKeys::SECRET, &keys.to_bytes()?).await?;
        let entry = AuditEntry {
            actor: "system".to_owned(),
            action: "ledger-key.create".to_owned(),
            subject: keys.newest().unwrap_or_default().to_owned(),
            detail: json!({}),
            ..AuditEntry::default()
        };
        write.audit(&entry).await?;
        write.commit().await?;
        Ok(keys)
    }

    /// Where a chain stands now, signed. A chain without lines stands at 0.
    pub async fn checkpoint(&self, chain: &str) -> Result<Signed, AuditError> {
        let keys = self.keys().await?;
        let row = self.store.chain(chain).await?.map_or_else(|| empty(chain), |row| row.chain);
        Ok(keys.sign(Statement::Checkpoint, self.standing(&row))?)
    }

    fn standing(&self, chain: &Chain) -> Checkpoint {
        Checkpoint { chain: chain.name.clone(), number: chain.number, hash: chain.head, at: self.clock.now() }
    }
}

/// A chain that has no lines yet.
fn empty(name: &str) -> Chain {
    let genesis = Hash::genesis(name);
    Chain { name: name.to_owned(), number: 0, head: genesis, cut: (0, genesis) }
}

fn empty_row(name: &str) -> ChainRow {
    ChainRow { chain: empty(name), cut: None, told: 0 }
}
