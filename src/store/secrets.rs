//! Named secrets that all nodes share, sealed: the keys that sign assertions and session cookies, and what comes later.

use sqlx::any::AnyRow;
use sqlx::query;
use zeroize::Zeroizing;

use super::connect::Statement;
use super::row::Row;
use super::{Store, StoreError, Write};
use crate::model::Change;
use crate::seal::Sealer;

/// The secrets whose change every edge has to hear of.
const SIGNING_KEYS: [&str; 2] = ["assertion-key", "session-key"];

impl Store {
    /// Reads a sealed secret by name (`assertion-key`, …).
    pub async fn secret(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let row = self.one(by_name(name)).await?;
        self.open_secret(name, row.as_ref())
    }

    fn open_secret(&self, name: &str, row: Option<&AnyRow>) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let Some(row) = row else { return Ok(None) };
        let sealed = Row::new(row, "secrets", "name").bytes("sealed")?;
        Ok(Some(self.0.sealer.open(&purpose(name), sealed)?))
    }

    /// The keys that its secrets are under: all nodes have them, and had them yesterday.
    pub fn sealer(&self) -> &Sealer {
        &self.0.sealer
    }
}

impl Write {
    /// Reads a sealed secret inside the transaction: whoever makes it when it is missing makes it once.
    pub async fn secret(&mut self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let row = self.one(by_name(name)).await?;
        self.store().open_secret(name, row.as_ref())
    }

    /// Seals and puts or replaces a secret. Notes [`Change::Keys`] for the keys that edges sign with.
    pub async fn put_secret(&mut self, name: &str, secret: &[u8]) -> Result<(), StoreError> {
        let sealed = self.store().0.sealer.seal(&purpose(name), secret)?;
        let sql = "INSERT INTO secrets (name, sealed, updated) VALUES ($1, $2, $3) \
                   ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, updated = excluded.updated";
        self.execute(query(sql).bind(name).bind(sealed).bind(self.now().millis())).await?;
        if SIGNING_KEYS.contains(&name) {
            self.change(Change::Keys);
        }
        Ok(())
    }
}

fn by_name(name: &str) -> Statement<'_> {
    query("SELECT name, sealed FROM secrets WHERE name = $1").bind(name)
}

fn purpose(name: &str) -> String {
    format!("secrets/{name}")
}
