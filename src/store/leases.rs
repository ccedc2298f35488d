//! Leases on what only one node does at a time. Whoever holds one may write; what it writes must stand by itself all the
//! same, because a lease ends by the clock.

use sqlx::query;

use super::{Aside, StoreError};
use crate::clock::Timestamp;

impl Aside {
    /// Takes the lease of that name, or keeps it: false while somebody else has it.
    pub async fn take_lease(&mut self, name: &str, owner: &str, until: Timestamp) -> Result<bool, StoreError> {
        let sql = "INSERT INTO leases (name, owner, until) VALUES ($1, $2, $3) \
                   ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until \
                   WHERE leases.owner = excluded.owner OR leases.until <= $4";
        let statement = query(sql).bind(name).bind(owner).bind(until.millis()).bind(self.now().millis());
        Ok(self.execute(statement).await? > 0)
    }

    /// This owner does nothing any more: its leases are anybody's.
    pub async fn release_leases(&mut self, owner: &str) -> Result<(), StoreError> {
        self.execute(query("DELETE FROM leases WHERE owner = $1").bind(owner)).await.map(drop)
    }
}
