//! Webhooks of the billing system that have been taken, each written in the transaction of what it did. What they say is
//! not known here.

use sqlx::query;

use super::row::{Row, to_json};
use super::{Aside, Store, StoreError, Write};
use crate::clock::Timestamp;
use crate::model::TenantId;

/// A webhook that has been taken.
#[derive(Clone, PartialEq, Debug)]
pub struct BillingEventRow {
    /// Its `webhook-id`: visible ASCII.
    pub id: String,
    /// SHA-256 of its body.
    pub fingerprint: [u8; 32],
    /// When it happened, as it says itself.
    pub occurred: Timestamp,
    pub tenant: TenantId,
    /// What it was answered.
    pub answer: serde_json::Value,
}

const BY_ID: &str = "SELECT id, fingerprint, occurred, tenant, answer FROM billing_events WHERE id = $1";

impl Store {
    pub async fn billing_event(&self, id: &str) -> Result<Option<BillingEventRow>, StoreError> {
        self.one(query(BY_ID).bind(id.to_owned())).await?.as_ref().map(row_of).transpose()
    }
}

impl Write {
    pub async fn billing_event(&mut self, id: &str) -> Result<Option<BillingEventRow>, StoreError> {
        self.one(query(BY_ID).bind(id.to_owned())).await?.as_ref().map(row_of).transpose()
    }

    /// Notes a webhook, with this transaction's time. `Conflict` when one of that id is there.
    pub async fn insert_billing_event(&mut self, row: &BillingEventRow) -> Result<(), StoreError> {
        self.require_tenant(row.tenant).await?;
        let sql = "INSERT INTO billing_events (id, fingerprint, at, occurred, tenant, answer) \
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        let statement = query(sql)
            .bind(row.id.clone())
            .bind(row.fingerprint.as_slice())
            .bind(self.now().millis())
            .bind(row.occurred.millis())
            .bind(row.tenant.to_string())
            .bind(to_json(&row.answer)?);
        match self.execute(statement).await? {
            0 => Err(StoreError::Conflict(format!("the webhook {} has been taken", row.id))),
            _ => Ok(()),
        }
    }

    pub(super) async fn delete_billing_events_of(&mut self, tenant: TenantId) -> Result<u64, StoreError> {
        self.execute(query("DELETE FROM billing_events WHERE tenant = $1").bind(tenant.to_string())).await
    }
}

impl Aside {
    /// Forgets webhooks that were taken before.
    pub async fn prune_billing_events(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.execute(query("DELETE FROM billing_events WHERE at < $1").bind(before.millis())).await
    }
}

fn row_of(row: &sqlx::any::AnyRow) -> Result<BillingEventRow, StoreError> {
    let row = Row::new(row, "billing_events", "id");
    let fingerprint = row.bytes("fingerprint")?.try_into();
    Ok(BillingEventRow {
        id: row.text("id")?.to_owned(),
        fingerprint: fingerprint.map_err(|_| row.corrupt("fingerprint", "it has not 32 bytes".into()))?,
        occurred: row.time("occurred")?,
        tenant: row.tenant("tenant")?,
        answer: row.json("answer")?,
    })
}
