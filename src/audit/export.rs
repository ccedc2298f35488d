//! The ledger as other programs read it: lines as JSON, or as CSV that no spreadsheet takes for formulas.

use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;

use super::{AuditError, Ledger};
use crate::clock::Timestamp;
use crate::ledger::Hash;
use crate::store::{AuditEntry, AuditFilter, AuditLine, AuditOrder, Found, Page, StoreError};

/// How lines are exported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// RFC 4180, with a heading.
    Csv,
    /// A JSON object a line.
    JsonLines,
}

/// A line of the ledger, as it is shown.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct LineView {
    /// Its number among all lines.
    pub id: i64,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// `operator:<token name>`, `token:<name>`, `person:<id>`, `cli`, `system`.
    pub actor: String,
    /// In whose place, where an operator acts within a tenant.
    pub on_behalf: Option<String>,
    /// The caller's address.
    pub from: Option<String>,
    /// `tenant.suspend`, `domain.add-verified`, …
    pub action: String,
    /// The id of the tenant that it is about.
    pub tenant: Option<String>,
    /// What it was done to: a slug, a domain, a token's name. Personal data that was erased is `(erased)`.
    pub subject: String,
    /// What was asked for.
    #[schema(value_type = Object)]
    pub detail: Value,
    /// What it was before; `null` where that is not told.
    #[schema(value_type = Option<Object>)]
    pub before: Option<Value>,
    #[schema(value_type = Option<Object>)]
    pub after: Option<Value>,
    pub request_id: Option<String>,
    /// The tenant's id, or `installation`; `null`: the line is older than the chains.
    pub chain: Option<String>,
    /// Its place in the chain, from 1.
    pub number: Option<i64>,
    /// SHA-256 in hexadecimal.
    #[schema(value_type = Option<String>)]
    pub hash: Option<Hash>,
}

/// A line that has no form in the format.
#[derive(Debug, thiserror::Error)]
#[error("a line of the ledger cannot be exported: {0}")]
pub struct Unwritable(String);

const HEADINGS: [&str; 15] = [
    "id",
    "at",
    "actor",
    "on_behalf",
    "from",
    "action",
    "tenant",
    "subject",
    "detail",
    "before",
    "after",
    "request_id",
    "chain",
    "number",
    "hash",
];

impl Ledger {
    /// Lines that the filter lets through, the newest first.
    pub async fn lines(&self, filter: &AuditFilter, page: &Page) -> Result<Found<AuditLine>, AuditError> {
        Ok(self.store.audit_lines(filter, AuditOrder::NewestFirst, page).await?)
    }

    /// Sends what the filter lets through, the oldest first, page by page. Ends early when nobody takes it any more. Lines
    /// that are written meanwhile may be part of it. Returns how many there were.
    pub async fn export(
        &self,
        filter: &AuditFilter,
        format: Format,
        out: mpsc::Sender<Vec<u8>>,
    ) -> Result<u64, AuditError> {
        let gone = || StoreError::Unavailable("nobody takes the export any more".to_owned());
        let unwritable = |error: Unwritable| StoreError::Corrupt(error.to_string());
        let mut sent = 0;
        let mut page = Page { limit: Page::MOST, after: None };
        out.send(format.heading().map_err(unwritable)?).await.map_err(|_| gone())?;
        loop {
            let Found { rows, next } = self.store.audit_lines(filter, AuditOrder::OldestFirst, &page).await?;
            sent += rows.len() as u64;
            let views: Vec<_> = rows.into_iter().map(LineView::from).collect();
            if !views.is_empty() {
                out.send(format.encode(&views).map_err(unwritable)?).await.map_err(|_| gone())?;
            }
            // A page may be empty and not be the last: whether anybody still listens is asked with each.
            match next {
                Some(_) if out.is_closed() => return Err(gone().into()),
                Some(next) => page.after = Some(next),
                None => return Ok(sent),
            }
        }
    }
}

impl Format {
    /// What comes before all lines.
    pub fn heading(self) -> Result<Vec<u8>, Unwritable> {
        match self {
            Self::Csv => csv(&[HEADINGS.map(str::to_owned)]),
            Self::JsonLines => Ok(Vec::new()),
        }
    }

    pub fn encode(self, lines: &[LineView]) -> Result<Vec<u8>, Unwritable> {
        match self {
            Self::Csv => csv(&lines.iter().map(LineView::cells).collect::<Vec<_>>()),
            Self::JsonLines => {
                let mut bytes = Vec::new();
                for line in lines {
                    serde_json::to_writer(&mut bytes, line).map_err(|error| Unwritable(error.to_string()))?;
                    bytes.push(b'\n');
                }
                Ok(bytes)
            }
        }
    }
}

fn csv(rows: &[[String; 15]]) -> Result<Vec<u8>, Unwritable> {
    // Every cell, so that none is taken apart where semicolons or tabs separate.
    let mut writer = csv::WriterBuilder::new()
        .quote_style(csv::QuoteStyle::Always)
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    for row in rows {
        writer.write_record(row).map_err(|error| Unwritable(error.to_string()))?;
    }
    writer.into_inner().map_err(|error| Unwritable(error.to_string()))
}

/// A cell that begins like a formula is text to a spreadsheet when an apostrophe comes first (OWASP, *CSV Injection*).
fn harmless(cell: String) -> String {
    match cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) {
        true => format!("'{cell}"),
        false => cell,
    }
}

impl LineView {
    fn cells(&self) -> [String; 15] {
        let json = |value: &Option<Value>| value.as_ref().map(Value::to_string).unwrap_or_default();
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        [
            self.id.to_string(),
            self.at.to_string(),
            self.actor.clone(),
            text(&self.on_behalf),
            text(&self.from),
            self.action.clone(),
            text(&self.tenant),
            self.subject.clone(),
            self.detail.to_string(),
            json(&self.before),
            json(&self.after),
            text(&self.request_id),
            text(&self.chain),
            self.number.map(|number| number.to_string()).unwrap_or_default(),
            self.hash.map(|hash| hash.to_string()).unwrap_or_default(),
        ]
        .map(harmless)
    }
}

impl From<AuditLine> for LineView {
    fn from(line: AuditLine) -> Self {
        let AuditLine { id, at, link, entry } = line;
        let (chain, number, hash) = match link {
            Some((chain, number, hash)) => (Some(chain), Some(number), Some(hash)),
            None => (None, None, None),
        };
        let AuditEntry { actor, on_behalf, from, action, tenant, subject, detail, before, after, request_id, .. } =
            entry;
        let (from, tenant) = (from.map(|from| from.to_string()), tenant.map(|tenant| tenant.to_string()));
        Self {
            id,
            at,
            actor,
            on_behalf,
            from,
            action,
            tenant,
            subject,
            detail,
            before,
            after,
            request_id,
            chain,
            number,
            hash,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_cell_is_a_formula_and_quotes_are_kept() {
        for evil in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"] {
            let entry = AuditEntry { subject: evil.into(), detail: json!({"a": "x,\"y\""}), ..AuditEntry::default() };
            let line = AuditLine { id: 1, at: Timestamp(0), link: None, entry };
            let bytes = Format::Csv.encode(&[line.into()]).unwrap();
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes.as_slice());
            let row = reader.records().next().unwrap().unwrap();
            assert_eq!(&row[7], format!("'{evil}"));
            assert_eq!(&row[8], r#"{"a":"x,\"y\""}"#);
            assert_eq!(row.len(), HEADINGS.len());
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.starts_with("\"1\",\"1970-01-01T00:00:00"), "{text}");
        }
    }
}
