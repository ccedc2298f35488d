//! The audit ledger: lines are added in the transaction that they tell of, numbered without gaps, each hashed onto the one
//! before it in its chain, and never changed. What is personal in a line lives beside it, where it can be erased.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::DerefMut;

use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, query};

use super::feed::feed_row;
use super::links::{
    HEAD_WIDTH, LINE_WIDTH, Links, PERSONAL_WIDTH, chains_of, insert_lines, insert_personal, select_heads,
    upsert_heads, with_line,
};
use super::row::Row;
use super::values::{batches, numbered};
use super::{Aside, AuditFilter, AuditOrder, Page, Store, StoreError, Write};
use crate::clock::Timestamp;
use crate::ledger::{self, Hash, Linked, Personal, Record, Split};
use crate::model::{Grounds, TenantId};

/// One line of the audit ledger, as it is handed in.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct AuditEntry {
    /// Who did it: `operator:<token name>`, `token:<name>`, `person:<id>`, `cli`, `system`.
    pub actor: String,
    /// In whose place.
    pub on_behalf: Option<String>,
    /// The caller's address. Kept as personal data of the actor.
    pub from: Option<IpAddr>,
    /// `tenant.suspend`, `domain.add`, …
    pub action: String,
    pub tenant: Option<TenantId>,
    /// What it was done to: a slug, a domain, a token's name.
    pub subject: String,
    /// What was asked for, as JSON. Never a secret.
    pub detail: Value,
    /// What it was before and after, as JSON. Never a secret.
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub request_id: Option<String>,
    /// The id of the person whom the marked values are about.
    pub person: Option<String>,
    /// Where in the line something names a person, as JSON pointers: `/subject`, `/detail/name`. A text that is an e-mail
    /// address is taken for one without being marked. Not read back.
    pub personal: Vec<String>,
    /// What the actor's right to it stands on, where that can be taken away. Not written: it is looked at again before the
    /// commit.
    pub grounds: Option<Box<Grounds>>,
}

impl AuditEntry {
    /// With what it was before and after: of objects, the members that differ.
    pub fn changed(self, mut before: Value, mut after: Value) -> Self {
        keep_differences(&mut before, &mut after);
        Self { before: Some(before), after: Some(after), ..self }
    }

    /// Of something that there was not before.
    pub fn made(self, after: Value) -> Self {
        Self { after: Some(after), ..self }
    }

    /// Of something that there is no more.
    pub fn gone(self, before: Value) -> Self {
        Self { before: Some(before), ..self }
    }

    /// Says that what stands at these places (`/subject`, `/detail/name`) is personal data of that person.
    pub fn about_person(self, person: impl ToString, places: &[&str]) -> Self {
        let personal = places.iter().map(|place| (*place).to_owned()).collect();
        Self { person: Some(person.to_string()), personal, ..self }
    }
}

/// A line as it is read back.
#[derive(Clone, PartialEq, Debug)]
pub struct AuditLine {
    /// Its number among all lines of the store.
    pub id: i64,
    pub at: Timestamp,
    /// Its chain, its number there and its hash; `None`: it is older than the chains.
    pub link: Option<(String, i64, Hash)>,
    pub entry: AuditEntry,
}

/// The columns of a line, in the order of [`insert_lines`].
macro_rules! columns {
    () => {
        "id, at, revision, actor, action, tenant, subject, detail, request_id, on_behalf, state_before, state_after, \
         chain, number, prev, hash"
    };
}
pub(super) use columns;

impl Store {
    /// The newest lines, with number and time; of one tenant or of all.
    pub async fn audit(
        &self,
        tenant: Option<TenantId>,
        page: &Page,
    ) -> Result<Vec<(i64, Timestamp, AuditEntry)>, StoreError> {
        let filter = AuditFilter { tenant, ..AuditFilter::default() };
        let lines = self.audit_lines(&filter, AuditOrder::NewestFirst, page).await?.rows;
        Ok(lines.into_iter().map(|line| (line.id, line.at, line.entry)).collect())
    }

    /// Puts the personal values beside lines that come without theirs.
    pub(super) async fn put_personal(&self, lines: &mut [(Option<String>, Linked)]) -> Result<(), StoreError> {
        if lines.is_empty() {
            return Ok(());
        }
        let places = numbered(1, lines.len());
        let sql = format!("{PERSONAL} FROM audit_personal WHERE line IN ({places}) ORDER BY line, place");
        let mut statement = query(AssertSqlSafe(sql)).persistent(false);
        for (_, line) in lines.iter() {
            statement = statement.bind(line.record.id);
        }
        let rows = self.all(statement).await?;
        let mut of_line: HashMap<i64, Vec<Personal>> = HashMap::new();
        for row in &rows {
            let (line, personal) = personal_of(row)?;
            of_line.entry(line).or_default().push(personal);
        }
        for (_, line) in lines {
            line.record.personal = of_line.remove(&line.record.id).unwrap_or_default();
        }
        Ok(())
    }
}

impl Write {
    /// Adds a line, with this transaction's time and revision.
    pub async fn audit(&mut self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.audit_all(std::slice::from_ref(entry)).await
    }

    /// Adds many lines at the price of a few statements.
    pub async fn audit_all(&mut self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        self.deref_mut().audit_beside(entries).await
    }
}

impl Aside {
    /// Adds lines that tell of no change: they have the revision of the last, and nobody is woken for them. Of a [`Write`],
    /// its own. Whoever writes waits until this is over.
    pub async fn audit_beside(&mut self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        // The counter's row is every writer's first: chains are as no other writer sees them until the commit.
        let counted = query("UPDATE feed SET audit = audit + $1 WHERE id = 1 RETURNING audit, revision");
        let rows = self.all(counted.bind(entries.len() as i64)).await?;
        let feed = feed_row(rows.first())?;
        let mut links = Links::new(self.now(), feed.int("revision")?, feed.int("audit")? - entries.len() as i64);
        for names in batches(&chains_of(entries), 1) {
            let heads = self.all(select_heads(names)).await?;
            links.take(&heads)?;
        }
        let lines = entries.iter().map(|entry| links.link(entry)).collect::<Result<Vec<_>, _>>()?;
        for lines in batches(&lines, LINE_WIDTH) {
            self.execute(insert_lines(lines)).await?;
        }
        let personal: Vec<_> = lines.iter().flat_map(with_line).collect();
        for personal in batches(&personal, PERSONAL_WIDTH) {
            self.execute(insert_personal(personal)).await?;
        }
        let heads = links.heads();
        for heads in batches(&heads, HEAD_WIDTH) {
            self.execute(upsert_heads(heads, &links)).await?;
        }
        Ok(())
    }
}

/// A line without its personal values, and its chain.
pub(super) fn linked_of(row: &AnyRow) -> Result<(Option<String>, Linked), StoreError> {
    let row = Row::new(row, "audit", "id");
    let text = |column| Ok::<_, StoreError>(row.optional_text(column)?.map(str::to_owned));
    let hash = |column| Ok::<_, StoreError>(row.optional_bytes(column)?.and_then(Hash::from_slice));
    let record = Record {
        id: row.int("id")?,
        at: row.time("at")?,
        revision: row.int("revision")?,
        actor: row.text("actor")?.to_owned(),
        action: row.text("action")?.to_owned(),
        tenant: text("tenant")?,
        subject: row.text("subject")?.to_owned(),
        detail: row.text("detail")?.to_owned(),
        before: text("state_before")?,
        after: text("state_after")?,
        on_behalf: text("on_behalf")?,
        request_id: text("request_id")?,
        personal: Vec::new(),
    };
    let number = row.optional_int("number")?.unwrap_or(0);
    Ok((text("chain")?, Linked { number, prev: hash("prev")?, hash: hash("hash")?, record }))
}

/// A row of [`PERSONAL`]: the line's id, and the value.
pub(super) fn personal_of(row: &AnyRow) -> Result<(i64, Personal), StoreError> {
    let row = Row::new(row, "audit_personal", "line");
    let personal = Personal {
        place: row.text("place")?.to_owned(),
        person: row.optional_text("person")?.map(str::to_owned),
        salt: row.optional_bytes("salt")?.map(<[u8]>::to_vec),
        value: row.optional_text("value")?.map(str::to_owned),
        digest: row.bytes("digest")?.to_vec(),
    };
    Ok((row.int("line")?, personal))
}

pub(super) fn line_of((chain, line): (Option<String>, Linked)) -> Result<AuditLine, StoreError> {
    let Linked { number, hash, record, .. } = line;
    let id = record.id;
    let parsed = |what: &str, text: &str| {
        serde_json::from_str::<Value>(text)
            .map_err(|error| StoreError::Corrupt(format!("table audit, row id = {id}, column {what}: {error}")))
    };
    let mut split = Split {
        subject: record.subject,
        detail: parsed("detail", &record.detail)?,
        before: record.before.map(|text| parsed("state_before", &text)).transpose()?,
        after: record.after.map(|text| parsed("state_after", &text)).transpose()?,
    };
    ledger::merge(&mut split, &record.personal);
    let from = record.personal.iter().find(|personal| personal.place == FROM).and_then(|from| from.value.as_deref());
    let tenant = record.tenant.as_deref().map(|text| {
        let corrupt =
            || StoreError::Corrupt(format!("table audit, row id = {id}, column tenant: {text:?} is no tenant id"));
        TenantId::parse(text).ok_or_else(corrupt)
    });
    let entry = AuditEntry {
        actor: record.actor,
        on_behalf: record.on_behalf,
        from: from.and_then(|json| json.trim_matches('"').parse().ok()),
        action: record.action,
        tenant: tenant.transpose()?,
        subject: split.subject,
        detail: split.detail,
        before: split.before,
        after: split.after,
        request_id: record.request_id,
        ..AuditEntry::default()
    };
    Ok(AuditLine { id, at: record.at, link: chain.zip(hash).map(|(chain, hash)| (chain, number, hash)), entry })
}

/// Takes out of two objects what is the same in both.
fn keep_differences(before: &mut Value, after: &mut Value) {
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return };
    let names: Vec<_> = before.keys().filter(|name| after.contains_key(*name)).cloned().collect();
    for name in names {
        let (Some(was), Some(is)) = (before.get_mut(&name), after.get_mut(&name)) else { continue };
        if was == is {
            before.remove(&name);
            after.remove(&name);
        } else {
            keep_differences(was, is);
        }
    }
}

/// How a statement that reads personal values begins.
pub(super) const PERSONAL: &str = "SELECT line, place, person, salt, value, digest";
/// The place of the caller's address.
pub(super) const FROM: &str = "/from";
