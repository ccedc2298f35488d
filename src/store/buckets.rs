//! Token buckets that all nodes share, and how the thing behind each has answered. The arithmetic is not here.

use sqlx::any::AnyRow;
use sqlx::query;

use super::row::{Row, storable};
use super::{Aside, Store, StoreError};
use crate::clock::Timestamp;

/// A bucket as it is stored. One that was never touched is full, open and without failures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BucketRow {
    /// The theoretical arrival time of the generic cell rate algorithm: in the past, the bucket is full.
    pub arrival: Timestamp,
    /// Told to stay away until then.
    pub blocked: Timestamp,
    /// In a row.
    pub failures: i64,
}

impl Store {
    /// A bucket as it stands, without locking it.
    pub async fn bucket(&self, id: &str) -> Result<BucketRow, StoreError> {
        let sql = "SELECT id, arrival, blocked, failures FROM buckets WHERE id = $1";
        let row = self.one(query(sql).bind(storable(id).into_owned())).await?;
        row.as_ref().map_or(Ok(BucketRow::default()), bucket_of)
    }
}

impl Aside {
    /// A bucket, locked until the end of this transaction. Of several, lock them in the order of their ids.
    pub async fn lock_bucket(&mut self, id: &str) -> Result<BucketRow, StoreError> {
        let sql = "INSERT INTO buckets (id, arrival, blocked, failures) VALUES ($1, 0, 0, 0) \
                   ON CONFLICT (id) DO UPDATE SET arrival = buckets.arrival RETURNING id, arrival, blocked, failures";
        let row = self.one(query(sql).bind(storable(id).into_owned())).await?;
        row.as_ref().map_or(Ok(BucketRow::default()), bucket_of)
    }

    pub async fn save_bucket(&mut self, id: &str, row: BucketRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO buckets (id, arrival, blocked, failures) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (id) DO UPDATE SET arrival = excluded.arrival, blocked = excluded.blocked, \
                   failures = excluded.failures";
        let statement = query(sql)
            .bind(storable(id).into_owned())
            .bind(row.arrival.millis())
            .bind(row.blocked.millis())
            .bind(row.failures);
        self.execute(statement).await.map(drop)
    }

    /// Forgets the buckets that are full and open again; returns how many.
    pub async fn prune_buckets(&mut self) -> Result<u64, StoreError> {
        let sql = "DELETE FROM buckets WHERE arrival <= $1 AND blocked <= $1 AND failures = 0";
        let now = self.now().millis();
        self.execute(query(sql).bind(now)).await
    }
}

fn bucket_of(row: &AnyRow) -> Result<BucketRow, StoreError> {
    let row = Row::new(row, "buckets", "id");
    Ok(BucketRow { arrival: row.time("arrival")?, blocked: row.time("blocked")?, failures: row.int("failures")? })
}
