//! The nodes that serve, and how far each has followed the change feed.

use sqlx::query;

use super::row::Row;
use super::{Aside, Store, StoreError};
use crate::clock::Timestamp;

/// A node that has said so lately.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeRow {
    pub id: String,
    pub seen: Timestamp,
    /// The revision that it has applied.
    pub applied: i64,
}

impl Store {
    /// The nodes heard of since `since`, by id.
    pub async fn nodes(&self, since: Timestamp) -> Result<Vec<NodeRow>, StoreError> {
        let rows = self
            .all(query("SELECT id, seen, applied FROM nodes WHERE seen >= $1 ORDER BY id").bind(since.millis()))
            .await?;
        rows.iter()
            .map(|row| {
                let row = Row::new(row, "nodes", "id");
                Ok(NodeRow { id: row.text("id")?.to_owned(), seen: row.time("seen")?, applied: row.int("applied")? })
            })
            .collect()
    }
}

impl Aside {
    /// This node lives, and has applied `applied`. Nodes not heard of since `forget` are forgotten.
    pub async fn report_node(&mut self, id: &str, applied: i64, forget: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO nodes (id, seen, applied) VALUES ($1, $2, $3) \
                   ON CONFLICT (id) DO UPDATE SET seen = excluded.seen, applied = excluded.applied";
        let now = self.now().millis();
        self.execute(query(sql).bind(id).bind(now).bind(applied)).await?;
        self.execute(query("DELETE FROM nodes WHERE seen < $1").bind(forget.millis())).await.map(drop)
    }

    /// This node serves no more.
    pub async fn remove_node(&mut self, id: &str) -> Result<(), StoreError> {
        self.execute(query("DELETE FROM nodes WHERE id = $1").bind(id)).await.map(drop)
    }
}
