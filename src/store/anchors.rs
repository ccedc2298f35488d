//! What binds the ledger's chains together: the heads that lines of the installation's chain vouch for, how many lines there
//! are in all, and which are in no chain. Whether that is as it should be is not judged here.

use serde::Serialize;
use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, query};

use super::feed::feed_row;
use super::row::Row;
use super::values::batches;
use super::{Aside, AuditEntry, Store, StoreError, Write};
use crate::ledger::{ANCHOR, Anchor, Chain, Hash, INSTALLATION, digest_of_anchors};

/// Which chains are to be anchored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Anchoring {
    /// Those that no anchor tells of yet.
    Begun,
    /// Those that have grown since.
    Grown,
}

/// An anchor, and what the store has of its chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Anchored {
    /// The id of the line that vouches for it.
    pub line: i64,
    pub anchor: Anchor,
    /// Where the chain stands by its own row; nowhere if that is gone. Its head is not read.
    pub chain: Chain,
    /// The hash that is stored with the chain's line of that number; `None`: there is no such line, or no hash.
    pub stored: Option<Hash>,
}

/// How many lines there are, counted in different ways, at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tally {
    /// Lines that were ever written to chains.
    pub written: i64,
    /// Lines that the chains' own rows say that they have had.
    pub chained: i64,
    /// The highest id that was given, and the highest that there is.
    pub last: (i64, i64),
    /// Lines from before there were chains: the last one's id, how many are left by what is noted, how many there are.
    pub through: i64,
    pub left: i64,
    pub old: i64,
    /// Lines that are in no chain or have no place in it, those included.
    pub outside: i64,
}

/// What is noted of the time before there were chains, and before erasures were told of: it never changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Start {
    /// The id of the last line from before there were chains, and how many were written.
    pub through: i64,
    pub written: i64,
    /// The id of the last line of which something was erased before erasures were told of; 0: none was.
    pub erased: i64,
}

/// As the index `audit_unchained` has it (migration 18).
const OUTSIDE: &str = "(chain IS NULL OR number IS NULL)";

impl Store {
    /// Anchors of that chain, or of all, in order of chain, number and line, after that place.
    pub async fn anchors(
        &self,
        after: &(String, i64, i64),
        only: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Anchored>, StoreError> {
        let narrowed = if only.is_some() { "AND chain = $5" } else { "" };
        let sql = format!(
            "SELECT a.line, a.chain, a.number, a.hash, l.hash AS stored, COALESCE(c.number, 0) AS reached, \
             COALESCE(c.cut_number, 0) AS cut_number, c.cut_hash FROM (SELECT line, chain, number, hash FROM \
             audit_anchors WHERE (chain, number, line) > ($1, $2, $3) {narrowed} ORDER BY chain, number, line LIMIT $4) a \
             LEFT JOIN audit_chains c ON c.chain = a.chain LEFT JOIN audit l ON l.chain = a.chain AND l.number = a.number ORDER BY a.chain, a.number, a.line, l.id"
        );
        let statement = query(AssertSqlSafe(sql)).bind(after.0.clone()).bind(after.1).bind(after.2);
        let statement = statement.bind(i64::from(limit));
        let statement = only.into_iter().fold(statement, |statement, only| statement.bind(only.to_owned()));
        self.all(statement).await?.iter().map(anchored).collect()
    }

    /// What is kept with a line that anchors.
    pub async fn anchors_of(&self, line: i64) -> Result<Vec<Anchor>, StoreError> {
        let sql = "SELECT chain, number, hash FROM audit_anchors WHERE line = $1 ORDER BY chain";
        self.all(query(sql).bind(line)).await?.iter().map(anchor).collect()
    }

    pub async fn audit_tally(&self) -> Result<Tally, StoreError> {
        // One statement sees one state of the database.
        let sql = format!(
            "SELECT f.audit AS last, f.audit - s.written AS written, s.through, s.kept, \
             CAST(COALESCE((SELECT SUM(number) FROM audit_chains), 0) AS BIGINT) AS chained, \
             COALESCE((SELECT MAX(id) FROM audit), 0) AS highest, \
             (SELECT COUNT(*) FROM audit WHERE chain IS NULL AND id >= 1 AND id <= s.through) AS old, \
             (SELECT COUNT(*) FROM audit WHERE {OUTSIDE}) AS outside \
             FROM feed f JOIN audit_start s ON s.id = f.id WHERE f.id = 1"
        );
        let rows = self.all(query(AssertSqlSafe(sql))).await?;
        let gone = || StoreError::Corrupt("the table audit_start has no row".to_owned());
        let row = Row::new(rows.first().ok_or_else(gone)?, "audit_start", "through");
        Ok(Tally {
            written: row.int("written")?,
            chained: row.int("chained")?,
            last: (row.int("last")?, row.int("highest")?),
            through: row.int("through")?,
            left: row.int("kept")?,
            old: row.int("old")?,
            outside: row.int("outside")?,
        })
    }

    pub async fn audit_start(&self) -> Result<Start, StoreError> {
        start_of(self.one(query(START)).await?)
    }

    /// Ids of lines that are in no chain, or have no place in theirs, and are not from before there were chains; of that
    /// tenant, or all.
    pub async fn unchained(&self, tenant: Option<&str>, limit: u32) -> Result<Vec<i64>, StoreError> {
        let narrowed = if tenant.is_some() { "AND (tenant = $2 OR chain = $2)" } else { "" };
        let sql = format!(
            "SELECT id FROM audit WHERE {OUTSIDE} AND (chain IS NOT NULL OR id < 1 OR \
             id > (SELECT through FROM audit_start WHERE id = 1)) {narrowed} ORDER BY id LIMIT $1"
        );
        let statement = query(AssertSqlSafe(sql)).bind(i64::from(limit));
        let statement = tenant.into_iter().fold(statement, |statement, tenant| statement.bind(tenant.to_owned()));
        self.all(statement).await?.iter().map(|row| Row::new(row, "audit", "id").int("id")).collect()
    }
}

impl Aside {
    /// Has the installation's chain vouch for the heads of at most `limit` chains. Returns how many those were. The first
    /// that the transaction does.
    pub async fn anchor(&mut self, which: Anchoring, limit: u32) -> Result<u64, StoreError> {
        // The counter's row is every writer's first: chains stand still until the commit.
        self.execute(query("UPDATE feed SET audit = audit WHERE id = 1")).await?;
        let which = match which {
            Anchoring::Begun => "anchored = 0 AND anchored < number",
            Anchoring::Grown => "anchored < number",
        };
        let sql = format!(
            "UPDATE audit_chains SET anchored = number WHERE chain IN (SELECT chain FROM audit_chains WHERE {which} AND \
             chain <> '{INSTALLATION}' ORDER BY anchored, chain LIMIT {limit}) RETURNING chain, number, head AS hash"
        );
        let rows = self.all(query(AssertSqlSafe(sql))).await?;
        let heads = rows.iter().map(anchor).collect::<Result<Vec<_>, _>>()?;
        if heads.is_empty() {
            return Ok(0);
        }
        let start = start_of(self.one(query(START)).await?)?;
        let entry = AuditEntry {
            actor: "system".to_owned(),
            action: ANCHOR.to_owned(),
            subject: "audit".to_owned(),
            detail: json!({ "chains": heads.len(), "digest": digest_of_anchors(&heads), "start": start }),
            ..AuditEntry::default()
        };
        self.audit_beside(&[entry]).await?;
        let rows = self.all(query("SELECT audit FROM feed WHERE id = 1")).await?;
        let line = feed_row(rows.first())?.int("audit")?;
        for heads in batches(&heads, 3) {
            let places = (0..heads.len()).map(|row| 3 * row + 2);
            let places: Vec<_> = places.map(|at| format!("($1, ${at}, ${}, ${})", at + 1, at + 2)).collect();
            let sql = format!("INSERT INTO audit_anchors (line, chain, number, hash) VALUES {}", places.join(", "));
            let statement = query(AssertSqlSafe(sql)).persistent(false).bind(line);
            let statement = heads.iter().fold(statement, |statement, Anchor { chain, number, hash }| {
                statement.bind(chain.clone()).bind(*number).bind(hash.0.to_vec())
            });
            self.execute(statement).await?;
        }
        Ok(heads.len() as u64)
    }
}

impl Write {
    /// Lines of the installation's chain are about to go, up to that one: chains that none but they vouch for are to be
    /// anchored anew.
    pub(super) async fn loosen_anchors(&mut self, number: i64) -> Result<(), StoreError> {
        let sql = "SELECT COALESCE(MAX(id), 0) AS id FROM audit WHERE chain = $1 AND number <= $2";
        let row = self.one(query(sql).bind(INSTALLATION).bind(number)).await?;
        let last = row.as_ref().map_or(Ok(0), |row| Row::new(row, "audit", "id").int("id"))?;
        let sql = "UPDATE audit_chains SET anchored = 0 WHERE chain IN (SELECT chain FROM audit_anchors WHERE line <= $1) \
                   AND NOT EXISTS (SELECT 1 FROM audit_anchors b WHERE b.chain = audit_chains.chain AND b.line > $1)";
        self.execute(query(sql).bind(last)).await?;
        self.execute(query("DELETE FROM audit_anchors WHERE line <= $1").bind(last)).await.map(drop)
    }
}

const START: &str = "SELECT through, written, erased FROM audit_start WHERE id = 1";

fn start_of(row: Option<AnyRow>) -> Result<Start, StoreError> {
    let gone = || StoreError::Corrupt("the table audit_start has no row".to_owned());
    let row = row.ok_or_else(gone)?;
    let row = Row::new(&row, "audit_start", "through");
    Ok(Start { through: row.int("through")?, written: row.int("written")?, erased: row.int("erased")? })
}

fn anchored(row: &AnyRow) -> Result<Anchored, StoreError> {
    let anchor = anchor(row)?;
    let row = Row::new(row, "audit_anchors", "chain");
    let hash = |column| Ok::<_, StoreError>(row.optional_bytes(column)?.and_then(Hash::from_slice));
    let genesis = Hash::genesis(&anchor.chain);
    let chain = Chain {
        name: anchor.chain.clone(),
        number: row.int("reached")?,
        head: genesis,
        cut: (row.int("cut_number")?, hash("cut_hash")?.unwrap_or(genesis)),
    };
    Ok(Anchored { line: row.int("line")?, anchor, chain, stored: hash("stored")? })
}

fn anchor(row: &AnyRow) -> Result<Anchor, StoreError> {
    let row = Row::new(row, "audit_anchors", "chain");
    let hash = row.bytes("hash")?;
    let hash = Hash::from_slice(hash).ok_or_else(|| row.corrupt("hash", "it is no SHA-256".to_owned()))?;
    Ok(Anchor { chain: row.text("chain")?.to_owned(), number: row.int("number")?, hash })
}
