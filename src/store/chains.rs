//! The chains of the audit ledger: where each stands, its lines in order, and what is cut off when it is old enough. What
//! is right about a chain is not judged here.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, query};

use super::audit::{columns, linked_of};
use super::row::Row;
use super::values::numbered;
use super::{Aside, Store, StoreError, Write};
use crate::clock::Timestamp;
use crate::ledger::{Chain, Checkpoint, Hash, INSTALLATION, Linked, Signed};

/// A chain's row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChainRow {
    pub chain: Chain,
    /// The signed word of where it was cut; `None`: it was not, or the word is gone.
    pub cut: Option<Signed>,
    /// The count that the last exported checkpoint told.
    pub told: i64,
}

/// A place in all chains' lines, in order of chain, number and id. The default is before all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ChainCursor {
    pub chain: String,
    pub number: i64,
    pub id: i64,
}

impl ChainCursor {
    /// Before the first line of that chain.
    pub fn before(chain: &str) -> Self {
        Self { chain: chain.to_owned(), number: i64::MIN, id: 0 }
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT chain, number, head, cut_number, cut_hash, cut_at, cut_key, cut_signature, told FROM audit_chains ",
            $rest
        )
    };
}

impl Store {
    pub async fn chain(&self, name: &str) -> Result<Option<ChainRow>, StoreError> {
        self.one(query(select!("WHERE chain = $1")).bind(name)).await?.as_ref().map(chain_of).transpose()
    }

    /// By name, those after `after`.
    pub async fn chains(&self, after: &str, limit: u32) -> Result<Vec<ChainRow>, StoreError> {
        let statement = query(select!("WHERE chain > $1 ORDER BY chain LIMIT $2")).bind(after).bind(i64::from(limit));
        self.all(statement).await?.iter().map(chain_of).collect()
    }

    /// Chains that have grown since the last checkpoint that told of them, the longest ago first.
    pub async fn untold_chains(&self, limit: u32) -> Result<Vec<ChainRow>, StoreError> {
        let statement = query(select!("WHERE told < number ORDER BY revision, chain LIMIT $1")).bind(i64::from(limit));
        self.all(statement).await?.iter().map(chain_of).collect()
    }

    /// Chains whose age is to be looked at.
    pub async fn due_chains(&self, now: Timestamp, limit: u32) -> Result<Vec<ChainRow>, StoreError> {
        let statement = query(select!("WHERE due <= $1 ORDER BY due, chain LIMIT $2"));
        self.all(statement.bind(now.millis()).bind(i64::from(limit))).await?.iter().map(chain_of).collect()
    }

    /// Lines of the chains up to `last` (`None`: to the end), in order, with all that their hashes cover.
    pub async fn chain_lines(
        &self,
        after: &ChainCursor,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(String, Linked)>, StoreError> {
        let sql = match last {
            Some(_) => concat!(
                "SELECT ",
                columns!(),
                " FROM audit WHERE (chain, number, id) > ($1, $2, $3) AND chain <= $5 ORDER BY chain, number, id LIMIT $4"
            ),
            None => concat!(
                "SELECT ",
                columns!(),
                " FROM audit WHERE (chain, number, id) > ($1, $2, $3) ORDER BY chain, number, id LIMIT $4"
            ),
        };
        let statement = query(sql).bind(after.chain.clone()).bind(after.number).bind(after.id).bind(i64::from(limit));
        let statement = last.into_iter().fold(statement, |statement, last| statement.bind(last.to_owned()));
        let mut lines = self.all(statement).await?.iter().map(linked_of).collect::<Result<Vec<_>, _>>()?;
        self.put_personal(&mut lines).await?;
        Ok(lines.into_iter().filter_map(|(chain, line)| Some((chain?, line))).collect())
    }
}

impl Store {
    /// The hashes that are stored with these lines of a chain; `None`: what is stored is none.
    pub async fn line_hashes(&self, chain: &str, numbers: &[i64]) -> Result<BTreeMap<i64, Option<Hash>>, StoreError> {
        let mut hashes = BTreeMap::new();
        for numbers in numbers.chunks(500) {
            let places = numbered(2, numbers.len());
            let sql = format!("SELECT number, hash FROM audit WHERE chain = $1 AND number IN ({places})");
            let statement = query(AssertSqlSafe(sql)).persistent(false).bind(chain);
            let statement = numbers.iter().fold(statement, |statement, number| statement.bind(*number));
            for row in &self.all(statement).await? {
                let row = Row::new(row, "audit", "number");
                hashes.insert(row.int("number")?, row.optional_bytes("hash")?.and_then(Hash::from_slice));
            }
        }
        Ok(hashes)
    }
}

impl Aside {
    /// A checkpoint that tells of so many lines of the chain is written down elsewhere.
    pub async fn told(&mut self, chain: &str, number: i64) -> Result<(), StoreError> {
        let sql = "UPDATE audit_chains SET told = $2 WHERE chain = $1 AND told < $2";
        self.execute(query(sql).bind(chain).bind(number)).await.map(drop)
    }

    /// The chain's age is to be looked at then.
    pub async fn chain_due(&mut self, chain: &str, due: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE audit_chains SET due = $2 WHERE chain = $1";
        self.execute(query(sql).bind(chain).bind(due.millis())).await.map(drop)
    }
}

impl Write {
    /// A chain, while nobody else can write to it.
    pub async fn chain(&mut self, name: &str) -> Result<Option<ChainRow>, StoreError> {
        self.one(query(select!("WHERE chain = $1")).bind(name)).await?.as_ref().map(chain_of).transpose()
    }

    /// Removes the lines of a chain up to the one that the signed word names, and keeps the word. Returns how many went.
    pub async fn cut_chain(&mut self, cut: &Signed) -> Result<u64, StoreError> {
        let Checkpoint { chain, number, hash, at } = &cut.checkpoint;
        if chain == INSTALLATION {
            self.loosen_anchors(*number).await?;
        }
        let sql = "DELETE FROM audit_personal WHERE line IN (SELECT id FROM audit WHERE chain = $1 AND number <= $2)";
        self.execute(query(sql).bind(chain.as_str()).bind(*number)).await?;
        let sql = "DELETE FROM audit WHERE chain = $1 AND number <= $2";
        let gone = self.execute(query(sql).bind(chain.as_str()).bind(*number)).await?;
        let sql = "UPDATE audit_chains SET cut_number = $2, cut_hash = $3, cut_at = $4, cut_key = $5, cut_signature = $6 \
                   WHERE chain = $1";
        let statement = query(sql).bind(chain.as_str()).bind(*number).bind(hash.0.to_vec()).bind(at.millis());
        self.execute(statement.bind(cut.key.as_str()).bind(cut.signature.as_str())).await?;
        Ok(gone)
    }

    /// Removes the lines from before the chains that are older than that; at most `limit`. Returns how many went.
    pub async fn cut_unchained(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let sql = "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < $1 AND chain IS NULL LIMIT {})";
        let sql = sql.replace("{}", &limit.to_string());
        let gone = self.execute(query(AssertSqlSafe(sql)).bind(before.millis())).await?;
        let sql = "UPDATE audit_start SET kept = kept - $1 WHERE id = 1";
        self.execute(query(sql).bind(i64::try_from(gone).unwrap_or(i64::MAX))).await?;
        Ok(gone)
    }
}

fn chain_of(row: &AnyRow) -> Result<ChainRow, StoreError> {
    let row = Row::new(row, "audit_chains", "chain");
    let name = row.text("chain")?.to_owned();
    let number = row.int("cut_number")?;
    let cut_hash = row.optional_bytes("cut_hash")?.and_then(Hash::from_slice);
    let cut = match (cut_hash, row.optional_time("cut_at")?, row.optional_text("cut_key")?) {
        (Some(hash), Some(at), Some(key)) => Some(Signed {
            checkpoint: Checkpoint { chain: name.clone(), number, hash, at },
            key: key.to_owned(),
            signature: row.optional_text("cut_signature")?.unwrap_or_default().to_owned(),
        }),
        _ => None,
    };
    let genesis = Hash::genesis(&name);
    Ok(ChainRow {
        chain: Chain {
            number: row.int("number")?,
            // What is no hash is none that a line has.
            head: Hash::from_slice(row.bytes("head")?).unwrap_or(genesis),
            cut: (number, cut_hash.unwrap_or(genesis)),
            name,
        },
        cut,
        told: row.int("told")?,
    })
}
