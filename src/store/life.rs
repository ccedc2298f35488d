//! Tenants by what time has in store for them, and by descent.

use sqlx::query;

use super::row::Row;
use super::{Store, StoreError, Write};
use crate::clock::Timestamp;
use crate::model::TenantId;

/// How far down a descent is followed: further than any that this house makes.
const DEEPEST: i64 = 16;

macro_rules! beneath {
    ($rest:literal) => {
        concat!(
            "WITH RECURSIVE beneath (id, depth) AS ( \
               SELECT id, CAST(1 AS BIGINT) FROM tenants WHERE parent = $1 \
               UNION ALL SELECT t.id, b.depth + 1 FROM tenants t JOIN beneath b ON t.parent = b.id WHERE b.depth < $2) ",
            $rest
        )
    };
}

impl Store {
    /// The tenants that are due at `now`, the longest due first.
    pub async fn due_tenants(&self, now: Timestamp, limit: u32) -> Result<Vec<TenantId>, StoreError> {
        let statement = query("SELECT id FROM tenants WHERE due <= $1 ORDER BY due LIMIT $2");
        let rows = self.all(statement.bind(now.millis()).bind(i64::from(limit))).await?;
        rows.iter().map(|row| Row::new(row, "tenants", "id").tenant("id")).collect()
    }
}

impl Write {
    /// When the clock does something to a tenant next. No change of the tenant: it keeps its revision, and no edge is told.
    pub async fn set_due(&mut self, id: TenantId, due: Option<Timestamp>) -> Result<(), StoreError> {
        let statement = query("UPDATE tenants SET due = $2 WHERE id = $1");
        self.execute(statement.bind(id.to_string()).bind(due.map(Timestamp::millis))).await.map(drop)
    }

    /// A tenant's descendants, the most remote first; at most `limit`.
    pub async fn beneath(&mut self, id: TenantId, limit: u32) -> Result<Vec<TenantId>, StoreError> {
        let statement = query(beneath!("SELECT id FROM beneath ORDER BY depth DESC, id LIMIT $3"));
        let statement = statement.bind(id.to_string()).bind(DEEPEST).bind(i64::from(limit));
        let rows = self.all(statement).await?;
        rows.iter().map(|row| Row::new(row, "tenants", "id").tenant("id")).collect()
    }

    /// How many generations there are below a tenant.
    pub async fn generations_beneath(&mut self, id: TenantId) -> Result<usize, StoreError> {
        let statement = query(beneath!("SELECT COALESCE(MAX(depth), 0) AS depth FROM beneath"));
        let row = self.one(statement.bind(id.to_string()).bind(DEEPEST)).await?;
        let depth = row.as_ref().map_or(Ok(0), |row| Row::new(row, "tenants", "depth").int("depth"))?;
        Ok(usize::try_from(depth).unwrap_or(0))
    }
}
