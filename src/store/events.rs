//! Events: what happened to a tenant's things, each written in the transaction in which it happened. Who is told of them,
//! and how, is decided elsewhere.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, query};

use super::row::{Row, storable, to_json};
use super::{Aside, Page, Store, StoreError, Write};
use crate::clock::Timestamp;
use crate::model::TenantId;

/// Something that happened.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// `domain.verified`, `certificate.issued`, …
    pub kind: String,
    pub tenant: Option<TenantId>,
    /// What it happened to: a domain, a certificate's first name.
    pub subject: String,
    /// JSON; never a secret.
    pub detail: serde_json::Value,
}

/// An event with its place and time. The cursor is `<revision>.<seq>`.
#[derive(Clone, PartialEq, Debug)]
pub struct EventRow {
    pub revision: i64,
    pub seq: i64,
    pub at: Timestamp,
    pub event: Event,
}

/// Which events to list.
#[derive(Clone, Copy, Default, Debug)]
pub struct EventFilter<'a> {
    /// Of one tenant.
    pub tenant: Option<TenantId>,
    /// About one subject.
    pub subject: Option<&'a str>,
    /// None whose kind begins with one of these words and a dot.
    pub without: &'a [&'a str],
}

impl EventRow {
    pub fn cursor(&self) -> String {
        format!("{}.{}", self.revision, self.seq)
    }
}

impl Store {
    /// Events oldest first. `page.after` is a cursor.
    pub async fn events(&self, filter: &EventFilter<'_>, page: &Page) -> Result<Vec<EventRow>, StoreError> {
        let (revision, seq) = page
            .after
            .as_deref()
            .and_then(|after| after.split_once('.'))
            .and_then(|(revision, seq)| Some((revision.parse::<i64>().ok()?, seq.parse::<i64>().ok()?)))
            .unwrap_or((0, -1));
        // Pieces of this file and numbers; nothing of anybody's input.
        let mut sql = "SELECT revision, seq, at, kind, tenant, subject, detail FROM events \
                       WHERE (revision, seq) > ($1, $2)"
            .to_owned();
        let mut parts = Vec::new();
        if let Some(tenant) = filter.tenant {
            parts.push(tenant.to_string());
            sql.push_str(&format!(" AND tenant = ${}", parts.len() + 3));
        }
        if let Some(subject) = filter.subject {
            parts.push(storable(subject).into_owned());
            sql.push_str(&format!(" AND subject = ${}", parts.len() + 3));
        }
        for kind in filter.without {
            parts.push(format!("{kind}.%"));
            sql.push_str(&format!(" AND kind NOT LIKE ${}", parts.len() + 3));
        }
        sql.push_str(" ORDER BY revision, seq LIMIT $3");
        let mut statement = query(AssertSqlSafe(sql)).bind(revision).bind(seq).bind(page.limit());
        for part in parts {
            statement = statement.bind(part);
        }
        self.all(statement).await?.iter().map(event_of).collect()
    }
}

impl Write {
    /// Adds an event, with this transaction's time and revision.
    pub async fn event(&mut self, event: &Event) -> Result<(), StoreError> {
        let sql = "INSERT INTO events (revision, seq, at, kind, tenant, subject, detail) \
                   SELECT $1, COUNT(*), $2, $3, $4, $5, $6 FROM events WHERE revision = $1";
        let statement = query(sql)
            .bind(self.revision())
            .bind(self.now().millis())
            .bind(event.kind.as_str())
            .bind(event.tenant.map(|tenant| tenant.to_string()))
            .bind(storable(&event.subject).into_owned())
            .bind(to_json(&event.detail)?);
        self.execute(statement).await.map(drop)
    }
}

impl Write {
    /// Forgets a tenant's events.
    pub(super) async fn delete_events_of(&mut self, tenant: TenantId) -> Result<u64, StoreError> {
        self.execute(query("DELETE FROM events WHERE tenant = $1").bind(tenant.to_string())).await
    }
}

impl Aside {
    /// Forgets the events before `before`; returns how many.
    pub async fn prune_events(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.execute(query("DELETE FROM events WHERE at < $1").bind(before.millis())).await
    }
}

pub(super) fn event_of(row: &AnyRow) -> Result<EventRow, StoreError> {
    let row = Row::new(row, "events", "revision");
    Ok(EventRow {
        revision: row.int("revision")?,
        seq: row.int("seq")?,
        at: row.time("at")?,
        event: Event {
            kind: row.text("kind")?.to_owned(),
            tenant: row.optional("tenant", "tenant id", TenantId::parse)?,
            subject: row.text("subject")?.to_owned(),
            detail: row.json("detail")?,
        },
    })
}
