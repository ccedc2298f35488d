//! A line in the ledger of a store that is not served from here: of what was done to it as a whole. The key is not needed.

use serde_json::Value;
use sqlx::{AnyConnection, Connection, Executor, Row as _, query, raw_sql};

use crate::clock::Timestamp;
use crate::ledger::INSTALLATION;
use crate::store::connect::Place;
use crate::store::links::{Links, select_heads};
use crate::store::{AuditEntry, StoreError};

/// Adds the line, in a transaction of its own.
pub async fn tell(url: &str, now: Timestamp, action: &str, detail: Value) -> Result<(), StoreError> {
    let place = Place::parse_existing(url)?;
    let mut connection = place.connect().await?;
    connection.execute(raw_sql("BEGIN")).await?;
    // The counter's row is every writer's first.
    let feed = "UPDATE feed SET audit = audit + 1 WHERE id = 1 RETURNING audit, revision";
    let row = query(feed).fetch_one(&mut connection).await?;
    write_line(&mut connection, now, (row.try_get("revision")?, row.try_get("audit")?), action, detail).await?;
    connection.execute(raw_sql("COMMIT")).await?;
    connection.close().await?;
    Ok(())
}

/// Adds a line of that revision and id to the installation's chain.
pub(super) async fn write_line(
    connection: &mut AnyConnection,
    now: Timestamp,
    (revision, id): (i64, i64),
    action: &str,
    detail: Value,
) -> Result<(), StoreError> {
    let entry = AuditEntry {
        actor: "cli".into(),
        action: action.into(),
        subject: "store".into(),
        detail,
        ..AuditEntry::default()
    };
    let mut links = Links::new(now, revision, id - 1);
    links.take(&select_heads(&[INSTALLATION.to_owned()]).fetch_all(&mut *connection).await?)?;
    let line = links.link(&entry)?;
    for statement in links.write_one(&line) {
        statement.execute(&mut *connection).await?;
    }
    Ok(())
}
