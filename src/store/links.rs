//! Puts lines of the ledger into the form in which they are stored: personal data taken out, each hashed onto the head of
//! its chain. Only the texts of statements are made here; who carries them out holds the transaction.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use aws_lc_rs::rand;
use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, query};

use super::StoreError;
use super::audit::{AuditEntry, FROM, columns};
use super::connect::Statement;
use super::row::{Row, storable, to_json};
use super::values::{numbered, places};
use crate::clock::Timestamp;
use crate::ledger::{self, Hash, INSTALLATION, Linked, Personal, Record, Split};

/// Hashes lines onto the heads of their chains.
pub(super) struct Links {
    at: Timestamp,
    revision: i64,
    /// The id of the last line.
    id: i64,
    heads: HashMap<String, (i64, Hash)>,
}

impl Links {
    /// `id`: that of the line before the first.
    pub fn new(at: Timestamp, revision: i64, id: i64) -> Self {
        Self { at, revision, id, heads: HashMap::new() }
    }

    /// Reads what [`select_heads`] found.
    pub fn take(&mut self, rows: &[AnyRow]) -> Result<(), StoreError> {
        for row in rows {
            let row = Row::new(row, "audit_chains", "chain");
            let head = Hash::from_slice(row.bytes("head")?)
                .ok_or_else(|| row.corrupt("head", "it is no SHA-256".to_owned()))?;
            self.heads.insert(row.text("chain")?.to_owned(), (row.int("number")?, head));
        }
        Ok(())
    }

    /// The next line of its chain.
    pub fn link(&mut self, entry: &AuditEntry) -> Result<(Option<String>, Linked), StoreError> {
        self.id += 1;
        let record = record_of(entry, self.id, self.at, self.revision)?;
        let chain = chain_of(entry);
        let head = self.heads.entry(chain.clone()).or_insert_with(|| (0, Hash::genesis(&chain)));
        let (number, prev) = (head.0 + 1, head.1);
        let hash = record.hash(&chain, number, &prev);
        *head = (number, hash);
        Ok((Some(chain), Linked { number, prev: Some(prev), hash: Some(hash), record }))
    }

    pub fn heads(&self) -> Vec<(String, i64, Hash)> {
        self.heads.iter().map(|(chain, (number, head))| (chain.clone(), *number, *head)).collect()
    }

    /// The statements that write one line, personal values and head included.
    pub fn write_one(&self, line: &(Option<String>, Linked)) -> Vec<Statement<'static>> {
        let personal = with_line(line);
        let personal = (!personal.is_empty()).then(|| insert_personal(&personal));
        let line = insert_lines(std::slice::from_ref(line));
        [Some(line), personal, Some(upsert_heads(&self.heads(), self))].into_iter().flatten().collect()
    }
}

/// The chain that the entry is a line of.
pub(super) fn chain_of(entry: &AuditEntry) -> String {
    entry.tenant.map_or_else(|| INSTALLATION.to_owned(), |tenant| tenant.to_string())
}

pub(super) fn chains_of(entries: &[AuditEntry]) -> Vec<String> {
    entries.iter().map(chain_of).collect::<BTreeSet<_>>().into_iter().collect()
}

fn record_of(entry: &AuditEntry, id: i64, at: Timestamp, revision: i64) -> Result<Record, StoreError> {
    let AuditEntry { subject, detail, before, after, .. } = entry.clone();
    let mut split = Split { subject, detail, before, after };
    let mut personal = Vec::new();
    for (place, value) in ledger::split(&mut split, &entry.personal) {
        let email = value.as_str().filter(|text| ledger::is_email(text)).map(str::to_lowercase);
        personal.push(Personal::new(place, email.or_else(|| entry.person.clone()), salt()?, &value));
    }
    if let Some(from) = entry.from {
        let person = entry.actor.strip_prefix("person:").unwrap_or(&entry.actor).to_owned();
        personal.push(Personal::new(FROM.to_owned(), Some(person), salt()?, &from.to_string().into()));
    }
    personal.sort_by(|a, b| a.place.cmp(&b.place));
    let text = |text: &str| storable(text).into_owned();
    let json = |value: Option<&Value>| value.map(to_json).transpose();
    Ok(Record {
        id,
        at,
        revision,
        actor: text(&entry.actor),
        action: text(&entry.action),
        tenant: entry.tenant.map(|tenant| tenant.to_string()),
        subject: text(&split.subject),
        detail: to_json(&split.detail)?,
        before: json(split.before.as_ref())?,
        after: json(split.after.as_ref())?,
        on_behalf: entry.on_behalf.as_deref().map(text),
        request_id: entry.request_id.as_deref().map(text),
        personal,
    })
}

fn salt() -> Result<[u8; 16], StoreError> {
    let mut salt = [0; 16];
    rand::fill(&mut salt).map_err(|_| StoreError::Unavailable("the system gives no random bytes".to_owned()))?;
    Ok(salt)
}

/// Chains with their heads, as they are before.
pub(super) fn select_heads(names: &[String]) -> Statement<'static> {
    let places = numbered(1, names.len());
    let sql = format!("SELECT chain, number, head FROM audit_chains WHERE chain IN ({places})");
    let statement = query(AssertSqlSafe(sql)).persistent(names.len() == 1);
    names.iter().fold(statement, |statement, name| statement.bind(name.clone()))
}

pub(super) fn insert_lines(lines: &[(Option<String>, Linked)]) -> Statement<'static> {
    let sql = format!("INSERT INTO audit ({}) VALUES {}", columns!(), places(lines.len(), LINE_WIDTH));
    let mut statement = query(AssertSqlSafe(sql)).persistent(lines.len() == 1);
    for (chain, Linked { number, prev, hash, record }) in lines {
        statement = statement
            .bind(record.id)
            .bind(record.at.millis())
            .bind(record.revision)
            .bind(record.actor.clone())
            .bind(record.action.clone())
            .bind(record.tenant.clone())
            .bind(record.subject.clone())
            .bind(record.detail.clone())
            .bind(record.request_id.clone())
            .bind(record.on_behalf.clone())
            .bind(record.before.clone())
            .bind(record.after.clone())
            .bind(chain.clone())
            .bind(*number)
            .bind(prev.map(|hash| hash.0.to_vec()))
            .bind(hash.map(|hash| hash.0.to_vec()));
    }
    statement
}

/// What is kept beside a line, each value with the line's chain and id.
pub(super) fn with_line((chain, line): &(Option<String>, Linked)) -> Vec<(String, i64, Personal)> {
    let (chain, record) = (chain.clone().unwrap_or_default(), &line.record);
    record.personal.iter().map(|personal| (chain.clone(), record.id, personal.clone())).collect()
}

pub(super) fn insert_personal(all: &[(String, i64, Personal)]) -> Statement<'static> {
    let sql = "INSERT INTO audit_personal (chain, line, place, person, salt, value, digest) VALUES ";
    let sql = format!("{sql}{}", places(all.len(), PERSONAL_WIDTH));
    let statement = query(AssertSqlSafe(sql)).persistent(all.len() == 1);
    all.iter().fold(statement, |statement, (chain, line, Personal { place, person, salt, value, digest })| {
        let statement = statement.bind(chain.clone()).bind(*line).bind(place.clone()).bind(person.clone());
        statement.bind(salt.clone()).bind(value.clone()).bind(digest.clone())
    })
}

pub(super) fn upsert_heads(heads: &[(String, i64, Hash)], links: &Links) -> Statement<'static> {
    let sql = format!(
        "INSERT INTO audit_chains (chain, number, head, due, revision) VALUES {} ON CONFLICT (chain) DO UPDATE SET \
         number = excluded.number, head = excluded.head, revision = excluded.revision",
        places(heads.len(), HEAD_WIDTH)
    );
    let statement = query(AssertSqlSafe(sql)).persistent(heads.len() == 1);
    let due = (links.at + LEAST_AGE).millis();
    heads.iter().fold(statement, |statement, (chain, number, head)| {
        statement.bind(chain.clone()).bind(*number).bind(head.0.to_vec()).bind(due).bind(links.revision)
    })
}

/// Parameters of a row of each table.
pub(super) const LINE_WIDTH: usize = 16;
pub(super) const PERSONAL_WIDTH: usize = 7;
pub(super) const HEAD_WIDTH: usize = 5;
/// No plan keeps lines for less: a new chain is looked at no sooner.
const LEAST_AGE: Duration = Duration::from_secs(30 * 86_400);
