//! Puts every secret under the newest key-encryption key, a batch at a time. Each batch is committed by itself, and each
//! envelope says which key it is under: whoever is interrupted begins again and does what is left. No plaintext leaves
//! this room, and a secret that somebody else writes meanwhile is not overwritten.

use sqlx::query;

use super::migrate::SEAL_CHECK;
use super::row::Row;
use super::{Store, StoreError};
use crate::seal::KeyId;

/// A change of key under way: call [`Reseal::step`] until it says that it is done.
pub struct Reseal {
    store: Store,
    batch: i64,
    /// The table at hand, and the key of the last of its rows that was looked at.
    table: usize,
    after: String,
    done: Resealed,
}

/// How many secrets were put under the newest key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Resealed {
    pub secrets: u64,
    pub certificates: u64,
    /// Keys of orders under way.
    pub orders: u64,
}

impl Resealed {
    pub fn all(self) -> u64 {
        self.secrets + self.certificates + self.orders
    }
}

struct Table {
    name: &'static str,
    select: &'static str,
    update: &'static str,
    count: &'static str,
}

/// A table with its key column and its sealed one. The second to ninth byte of an envelope are its key's id.
macro_rules! table {
    ($name:literal, $key:literal, $sealed:literal) => {
        Table {
            name: $name,
            select: concat!(
                "SELECT ",
                $key,
                " AS id, ",
                $sealed,
                " AS sealed FROM ",
                $name,
                " WHERE ",
                $key,
                " > $1 AND ",
                $sealed,
                " IS NOT NULL AND substr(",
                $sealed,
                ", 2, 8) <> $2 ORDER BY ",
                $key,
                " LIMIT $3"
            ),
            update: concat!("UPDATE ", $name, " SET ", $sealed, " = $3 WHERE ", $key, " = $1 AND ", $sealed, " = $2"),
            count: concat!(
                "SELECT COUNT(*) AS count FROM ",
                $name,
                " WHERE ",
                $sealed,
                " IS NOT NULL AND substr(",
                $sealed,
                ", 2, 8) <> $1"
            ),
        }
    };
}

/// A secret's purpose is `<table>/<key>`, as the files of these tables have it.
const TABLES: [Table; 3] = [
    table!("secrets", "name", "sealed"),
    table!("certificates", "id", "sealed_key"),
    table!("orders", "name", "sealed_key"),
];

impl Store {
    /// Begins to put every secret under the newest key, `batch` of them (1 to 10,000) in one transaction.
    pub fn reseal(&self, batch: u32) -> Reseal {
        let batch = i64::from(batch.clamp(1, 10_000));
        Reseal { store: self.clone(), batch, table: 0, after: String::new(), done: Resealed::default() }
    }

    /// How many secrets are under another key than the newest.
    pub async fn sealed_under_old_keys(&self) -> Result<u64, StoreError> {
        let newest = self.0.sealer.key_id().as_bytes().to_vec();
        let mut sum = 0;
        for table in &TABLES {
            if let Some(row) = self.one(query(table.count).bind(newest.clone())).await? {
                sum += Row::new(&row, table.name, "count").int("count")?.unsigned_abs();
            }
        }
        Ok(sum)
    }

    /// The key that new secrets are sealed under.
    pub fn key_id(&self) -> KeyId {
        self.0.sealer.key_id()
    }

    /// Whether keys of earlier days are at hand.
    pub fn has_old_keys(&self) -> bool {
        self.0.sealer.has_old()
    }
}

impl Reseal {
    /// Does one batch. True: everything is under the newest key, and the store opens with that one alone.
    ///
    /// An envelope under a key that is not at hand is [`StoreError::Seal`], which names that key; what was done before
    /// stays done.
    pub async fn step(&mut self) -> Result<bool, StoreError> {
        let Some(table) = TABLES.get(self.table) else { return self.finish().await };
        let newest = self.store.0.sealer.key_id().as_bytes().to_vec();
        let statement = query(table.select).bind(self.after.clone()).bind(newest).bind(self.batch);
        let rows = self.store.all(statement).await?;
        if rows.is_empty() {
            self.table += 1;
            self.after.clear();
            return Ok(false);
        }
        let mut aside = self.store.aside().await?;
        for row in &rows {
            let row = Row::new(row, table.name, "id");
            let (id, sealed) = (row.text("id")?, row.bytes("sealed")?);
            let Some(again) = self.store.0.sealer.reseal(&format!("{}/{id}", table.name), sealed)? else { continue };
            let statement = query(table.update).bind(id.to_owned()).bind(sealed.to_vec()).bind(again);
            let done = aside.execute(statement).await?;
            match self.table {
                0 => self.done.secrets += done,
                1 => self.done.certificates += done,
                _ => self.done.orders += done,
            }
            id.clone_into(&mut self.after);
        }
        aside.commit().await?;
        Ok(false)
    }

    /// How many have been done by now.
    pub fn done(&self) -> Resealed {
        self.done
    }

    /// The check envelope comes last: until then the store does not open without the old key.
    async fn finish(&mut self) -> Result<bool, StoreError> {
        if self.store.sealed_under_old_keys().await? > 0 {
            // Somebody who has the old key as the newest still writes: once more from the start.
            self.table = 0;
            self.after.clear();
            return Ok(false);
        }
        let sealed = self.store.0.sealer.seal(SEAL_CHECK, b"tenantry")?;
        let mut aside = self.store.aside().await?;
        aside.execute(query("UPDATE feed SET seal_check = $1 WHERE id = 1").bind(sealed)).await?;
        aside.commit().await?;
        Ok(true)
    }
}
