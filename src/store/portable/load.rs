//! Fills a store from the lines of another, in one transaction: whoever serves from it sees the old one or the new one,
//! and nothing between.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor, Row as _, query, raw_sql};
use tokio::sync::mpsc;

use super::super::values::{places, rows_at_once};
use super::tables::{FEED, Kind, TABLES, Table};
use super::told::write_line;
use super::{FORMAT, Header, Sum};
use crate::clock::Timestamp;
use crate::seal::Sealer;
use crate::store::StoreError;
use crate::store::connect::Place;
use crate::store::engine::Engine;
use crate::store::feed::CHANNEL;
use crate::store::migrate::{self, SEAL_CHECK};

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Restored {
    pub rows: u64,
    /// The revision of the store that the lines are of.
    pub from: i64,
    /// The revision of the store that was filled, from now on.
    pub revision: i64,
}

/// Farther than any follower of either store can be: each sees that what it knows is not the truth any more.
const JUMP: i64 = 1_000_000_000;

/// Puts what `lines` say into the store at `url`, in place of everything that is there. The store must be empty (no
/// tenants, domains, certificates and tokens) unless `replace`. The lines are checked to their end before anything counts.
///
/// [`StoreError::Conflict`]: it is not empty. [`StoreError::Corrupt`]: the lines are not whole, or of another version.
/// [`StoreError::Seal`]: their secrets, or those of the store, are sealed under another key.
pub async fn restore(
    url: &str,
    sealer: &Sealer,
    now: Timestamp,
    mut lines: mpsc::Receiver<String>,
    replace: bool,
) -> Result<Restored, StoreError> {
    let mut sum = Sum::new();
    let first = lines.recv().await.unwrap_or_default();
    let header = header(&first)?;
    sum.add(&first);
    let place = Place::parse(url)?;
    migrate::migrate(&place, sealer, now).await?;
    let mut connection = place.connect().await?;
    connection.execute(raw_sql(place.engine.begin_refill())).await?;
    // Dropped on the way out of an error, the connection takes the transaction with it.
    let standing = query("UPDATE feed SET revision = revision + 1 WHERE id = 1 RETURNING revision");
    let standing: i64 = standing.fetch_one(&mut connection).await?.try_get("revision")?;
    if !replace {
        must_be_empty(&mut connection).await?;
    }
    clear(&mut connection).await?;
    let revision = standing.max(header.revision) + JUMP;
    let rows = fill(&mut connection, sealer, &mut lines, sum).await?;
    finish(&mut connection, place.engine, revision, now).await?;
    connection.execute(raw_sql("COMMIT")).await?;
    connection.close().await?;
    Ok(Restored { rows, from: header.revision, revision })
}

fn header(line: &str) -> Result<Header, StoreError> {
    let header: Header =
        serde_json::from_str(line).map_err(|_| corrupt("it does not begin like a backup of this program"))?;
    if header.tenantry_backup != FORMAT {
        let form = header.tenantry_backup;
        return Err(corrupt(&format!("it has the form {form}, this program reads {FORMAT}")));
    }
    if header.schema != migrate::LATEST {
        return Err(corrupt(&format!(
            "it is of schema {}, this program's is {}; restore it with the program that made it, which a newer one may \
             follow",
            header.schema,
            migrate::LATEST
        )));
    }
    Ok(header)
}

async fn must_be_empty(connection: &mut AnyConnection) -> Result<(), StoreError> {
    for table in ["tenants", "domains", "certificates", "tokens"] {
        let count = query(AssertSqlSafe(format!("SELECT COUNT(*) AS number FROM {table}")));
        let count: i64 = count.fetch_one(&mut *connection).await?.try_get("number")?;
        if count > 0 {
            let what = format!("the store is not empty ({count} {table}); say --replace to lose what is in it");
            return Err(StoreError::Conflict(what));
        }
    }
    Ok(())
}

/// Takes out what is there, whoever refers to others first.
async fn clear(connection: &mut AnyConnection) -> Result<(), StoreError> {
    connection.execute(raw_sql("UPDATE tenants SET parent = NULL")).await?;
    let tables = TABLES.iter().rev().map(|table| table.name).filter(|table| *table != FEED);
    for table in ["changes", "nodes"].into_iter().chain(tables) {
        connection.execute(raw_sql(AssertSqlSafe(format!("DELETE FROM {table}")))).await?;
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    Row(Vec<Value>),
    Table { table: String, columns: Vec<String> },
    End { rows: u64, sha256: String },
}

/// Reads to the end, which has to be there and right.
async fn fill(
    connection: &mut AnyConnection,
    sealer: &Sealer,
    lines: &mut mpsc::Receiver<String>,
    mut sum: Sum,
) -> Result<u64, StoreError> {
    let mut table: Option<&Table> = None;
    let mut batch: Vec<Vec<Value>> = Vec::new();
    let mut parents = HashMap::new();
    while let Some(line) = lines.recv().await {
        match serde_json::from_str(&line).map_err(|_| corrupt("a line of it makes no sense"))? {
            Line::Row(row) => {
                let table = table.ok_or_else(|| corrupt("a row comes before its table"))?;
                batch.push(taken(table, row, sealer, &mut parents)?);
                sum.rows += 1;
                if batch.len() == rows_at_once(table.columns.len()) {
                    insert(connection, table, &mut batch).await?;
                }
            }
            Line::Table { table: name, columns } => {
                if let Some(table) = table {
                    insert(connection, table, &mut batch).await?;
                }
                let known = TABLES.iter().find(|known| known.name == name);
                let same = |known: &&Table| known.columns.iter().map(|(name, _)| *name).eq(columns.iter());
                table = Some(known.filter(same).ok_or_else(|| corrupt(&format!("its table {name} is another")))?);
            }
            Line::End { rows, sha256 } => {
                if let Some(table) = table {
                    insert(connection, table, &mut batch).await?;
                }
                let counted = sum.rows;
                if rows != counted || sha256 != hex::encode(sum.digest.finish()) {
                    return Err(corrupt("it was changed after it was made: its sum is another"));
                }
                adopt(connection, &parents).await?;
                return Ok(counted);
            }
        }
        sum.add(&line);
    }
    Err(corrupt("it breaks off before its end"))
}

/// A row as it is put in: the key is checked, and parents come when all tenants are there.
fn taken(
    table: &Table,
    mut row: Vec<Value>,
    sealer: &Sealer,
    parents: &mut HashMap<String, String>,
) -> Result<Vec<Value>, StoreError> {
    if row.len() != table.columns.len() {
        return Err(corrupt(&format!("a row of {} has {} columns", table.name, row.len())));
    }
    let place = |column: &str| table.columns.iter().position(|(name, _)| *name == column);
    if table.name == FEED
        && let Some(text) = place("seal_check").and_then(|at| row[at].as_str())
    {
        let envelope = STANDARD.decode(text).map_err(|_| corrupt("its check of the key makes no sense"))?;
        sealer.open(SEAL_CHECK, &envelope)?;
    }
    if table.name == "tenants"
        && let (Some(id), Some(parent)) = (place("id"), place("parent"))
        && let (Some(id), Value::String(parent)) = (row[id].as_str().map(str::to_owned), row[parent].take())
    {
        parents.insert(id, parent);
    }
    Ok(row)
}

async fn insert(connection: &mut AnyConnection, table: &Table, batch: &mut Vec<Vec<Value>>) -> Result<(), StoreError> {
    let rows = std::mem::take(batch);
    if rows.is_empty() {
        return Ok(());
    }
    let columns: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    let sql = if table.name == FEED {
        "UPDATE feed SET revision = $2, pruned = $3, audit = $4, seal_check = $5 WHERE id = $1".to_owned()
    } else {
        let places = places(rows.len(), columns.len());
        format!("INSERT INTO {} ({}) VALUES {places}", table.name, columns.join(", "))
    };
    let mut statement = query(AssertSqlSafe(sql)).persistent(false);
    for row in rows {
        for (value, (column, kind)) in row.into_iter().zip(table.columns) {
            let wrong = || corrupt(&format!("a value of {}.{column} makes no sense", table.name));
            statement = match (kind, value) {
                (Kind::Int, Value::Null) => statement.bind(None::<i64>),
                (Kind::Text, Value::Null) => statement.bind(None::<String>),
                (Kind::Bytes, Value::Null) => statement.bind(None::<Vec<u8>>),
                (Kind::Int, Value::Number(number)) => statement.bind(number.as_i64().ok_or_else(wrong)?),
                (Kind::Text, Value::String(text)) => statement.bind(text),
                (Kind::Bytes, Value::String(text)) => statement.bind(STANDARD.decode(text).map_err(|_| wrong())?),
                _ => return Err(wrong()),
            };
        }
    }
    statement.execute(connection).await?;
    Ok(())
}

async fn adopt(connection: &mut AnyConnection, parents: &HashMap<String, String>) -> Result<(), StoreError> {
    for (id, parent) in parents {
        let sql = "UPDATE tenants SET parent = $2 WHERE id = $1";
        query(sql).bind(id.clone()).bind(parent.clone()).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Tells whoever followed, takes what was worked on from whoever worked on it, and writes it into the ledger.
async fn finish(
    connection: &mut AnyConnection,
    engine: Engine,
    revision: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    let feed = "UPDATE feed SET revision = $1, pruned = $2, audit = audit + 1 WHERE id = 1 RETURNING audit";
    let row = query(feed).bind(revision).bind(revision - 1).fetch_one(&mut *connection).await?;
    let line: i64 = row.try_get("audit")?;
    let change = "INSERT INTO changes (revision, seq, kind, subject) VALUES ($1, 0, 'reset', '')";
    query(change).bind(revision).execute(&mut *connection).await?;
    let orders = "UPDATE orders SET owner = NULL, lease = 0, fence = fence + 1";
    connection.execute(raw_sql(orders)).await?;
    write_line(connection, now, (revision, line), "store.restore", json!({})).await?;
    if let Some(sql) = engine.notification() {
        query(sql).bind(CHANNEL).bind(revision.to_string()).execute(connection).await?;
    }
    Ok(())
}

fn corrupt(why: &str) -> StoreError {
    StoreError::Backup(why.to_owned())
}
