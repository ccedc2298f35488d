//! The audit ledger: lines are added in the transaction that they tell of, numbered without gaps, and never changed.

use sqlx::any::AnyRow;
use sqlx::query;

use super::feed::feed_row;
use super::row::{Row, storable, to_json};
use super::{Page, Store, StoreError, Write};
use crate::clock::Timestamp;
use crate::model::TenantId;

/// One line of the audit ledger. (The hash chain comes with the admin service's own issue.)
#[derive(Clone, PartialEq, Debug)]
pub struct AuditEntry {
    /// Who did it: `operator:<token name>`, `cli`, `system`.
    pub actor: String,
    /// `tenant.suspend`, `domain.add`, …
    pub action: String,
    pub tenant: Option<TenantId>,
    /// What it was done to: a slug, a domain, a token's name.
    pub subject: String,
    /// What was asked for or changed, as JSON. Never a secret.
    pub detail: serde_json::Value,
    pub request_id: Option<String>,
}

impl Store {
    /// Lines newest first, with number and time; of one tenant or of all. `page.after` is a line's number.
    pub async fn audit(
        &self,
        tenant: Option<TenantId>,
        page: &Page,
    ) -> Result<Vec<(i64, Timestamp, AuditEntry)>, StoreError> {
        // What is no number comes after the last page.
        let before = page.after.as_deref().map_or(i64::MAX, |after| after.parse().unwrap_or(0));
        macro_rules! select {
            ($condition:literal) => {
                concat!(
                    "SELECT id, at, actor, action, tenant, subject, detail, request_id FROM audit WHERE ",
                    $condition,
                    " ORDER BY id DESC LIMIT $2"
                )
            };
        }
        let statement = match tenant {
            None => query(select!("id < $1")).bind(before).bind(page.limit()),
            Some(tenant) => {
                query(select!("id < $1 AND tenant = $3")).bind(before).bind(page.limit()).bind(tenant.to_string())
            }
        };
        self.all(statement).await?.iter().map(line_of).collect()
    }
}

impl Write {
    /// Adds a line, with this transaction's time and revision.
    pub async fn audit(&mut self, entry: &AuditEntry) -> Result<(), StoreError> {
        let rows = self.all(query("UPDATE feed SET audit = audit + 1 WHERE id = 1 RETURNING audit")).await?;
        let id = feed_row(rows.first())?.int("audit")?;
        let sql = "INSERT INTO audit (id, at, revision, actor, action, tenant, subject, detail, request_id) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let statement = query(sql)
            .bind(id)
            .bind(self.now().millis())
            .bind(self.revision())
            .bind(storable(&entry.actor).into_owned())
            .bind(storable(&entry.action).into_owned())
            .bind(entry.tenant.map(|tenant| tenant.to_string()))
            .bind(storable(&entry.subject).into_owned())
            .bind(to_json(&entry.detail)?)
            .bind(entry.request_id.as_deref().map(|id| storable(id).into_owned()));
        self.execute(statement).await.map(drop)
    }
}

fn line_of(row: &AnyRow) -> Result<(i64, Timestamp, AuditEntry), StoreError> {
    let row = Row::new(row, "audit", "id");
    let entry = AuditEntry {
        actor: row.text("actor")?.to_owned(),
        action: row.text("action")?.to_owned(),
        tenant: row.optional("tenant", "tenant id", TenantId::parse)?,
        subject: row.text("subject")?.to_owned(),
        detail: row.json("detail")?,
        request_id: row.optional_text("request_id")?.map(str::to_owned),
    };
    Ok((row.int("id")?, row.time("at")?, entry))
}
