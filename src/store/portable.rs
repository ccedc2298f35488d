//! The whole store as lines of text that either engine gives and takes: what backups and copies are made of. Secrets stay
//! sealed as they are. What only the processes of the moment know (change feed, leases, live nodes) is left out; whoever
//! followed the store that is filled is told to forget everything.
//!
//! The first line is a [`Header`]; then, for each table, its name and columns, and a line for each row; at last how many
//! rows there were, and the SHA-256 of all lines before. Bytes are base64.

mod load;
mod tables;
mod told;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor, Row as _, raw_sql};
use tokio::sync::mpsc;

pub use load::{Restored, restore};
pub use told::tell;

use self::tables::{Kind, TABLES, Table};
use super::StoreError;
use super::connect::Place;
use super::migrate;

/// The form of the lines.
const FORMAT: u32 = 1;

/// What the first line says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// The form of the lines: 1.
    tenantry_backup: u32,
    /// The version of the schema.
    pub schema: i64,
    /// The store's revision when it was read.
    pub revision: i64,
}

/// The sum of all lines, as the last one states it.
struct Sum {
    rows: u64,
    digest: Context,
}

impl Sum {
    fn new() -> Self {
        Self { rows: 0, digest: Context::new(&SHA256) }
    }

    fn add(&mut self, line: &str) {
        self.digest.update(line.as_bytes());
        self.digest.update(b"\n");
    }

    fn last_line(self) -> String {
        json!({ "rows": self.rows, "sha256": hex::encode(self.digest.finish()) }).to_string()
    }
}

/// Sends all of the store at `url`, as it is at one moment, line by line; nobody who writes meanwhile waits. Returns how
/// many rows there are. The key is not needed.
///
/// [`StoreError::Unavailable`] also when nobody takes the lines any more.
pub async fn dump(url: &str, lines: mpsc::Sender<String>) -> Result<u64, StoreError> {
    let place = Place::parse_existing(url)?;
    let mut connection = place.connect().await?;
    connection.execute(raw_sql(place.engine.begin_snapshot())).await?;
    let schema = migrate::version(&mut connection).await?;
    if schema != migrate::LATEST {
        return Err(StoreError::Corrupt(format!(
            "its schema has version {schema}, this program works with {}; use the program that serves from it",
            migrate::LATEST
        )));
    }
    let row = sqlx::query("SELECT revision FROM feed WHERE id = 1").fetch_one(&mut connection).await?;
    let header = Header { tenantry_backup: FORMAT, schema, revision: row.try_get("revision")? };
    let mut sum = Sum::new();
    send(&lines, &mut sum, to_line(&header)).await?;
    for table in TABLES {
        dump_table(&mut connection, table, &lines, &mut sum).await?;
    }
    let rows = sum.rows;
    lines.send(sum.last_line()).await.map_err(|_| nobody())?;
    connection.execute(raw_sql("ROLLBACK")).await?;
    connection.close().await?;
    Ok(rows)
}

async fn dump_table(
    connection: &mut AnyConnection,
    table: &Table,
    lines: &mpsc::Sender<String>,
    sum: &mut Sum,
) -> Result<(), StoreError> {
    let columns: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    send(lines, sum, json!({ "table": table.name, "columns": columns }).to_string()).await?;
    let sql = format!("SELECT {} FROM {} ORDER BY {}", columns.join(", "), table.name, table.key);
    let mut rows = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let cells: Result<Vec<Value>, _> = table.columns.iter().map(|(name, kind)| cell(&row, name, *kind)).collect();
        sum.rows += 1;
        send(lines, sum, Value::Array(cells?).to_string()).await?;
    }
    Ok(())
}

fn cell(row: &AnyRow, column: &str, kind: Kind) -> Result<Value, StoreError> {
    Ok(match kind {
        Kind::Int => row.try_get::<Option<i64>, _>(column)?.into(),
        Kind::Text => row.try_get::<Option<String>, _>(column)?.into(),
        Kind::Bytes => row.try_get::<Option<Vec<u8>>, _>(column)?.map(|bytes| STANDARD.encode(bytes)).into(),
    })
}

async fn send(lines: &mpsc::Sender<String>, sum: &mut Sum, line: String) -> Result<(), StoreError> {
    sum.add(&line);
    lines.send(line).await.map_err(|_| nobody())
}

fn nobody() -> StoreError {
    StoreError::Unavailable("nobody takes what is read from it".into())
}

fn to_line(header: &Header) -> String {
    serde_json::to_string(header).unwrap_or_default()
}
