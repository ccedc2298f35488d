//! Brings the schema up to date when the store is opened: all migrations in one transaction that excludes every other
//! process doing the same. A store that a newer program has migrated is refused, never guessed at.

use aws_lc_rs::digest;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use super::StoreError;
use super::connect::{Engine, OPENING, Place, begin_exclusive, commit_exclusive, within};
use crate::clock::Timestamp;
use crate::seal::Sealer;

/// In order; the version is the position, counted from 1. Applied ones are never edited: a change is a new one.
const MIGRATIONS: [(&str, &str); 3] = [
    ("foundation", include_str!("migrations/0001_foundation.sql")),
    ("certificates", include_str!("migrations/0002_certificates.sql")),
    ("edge settings", include_str!("migrations/0003_edge.sql")),
];

/// The type of text keys, the one thing that differs: PostgreSQL compares by the bytes, as SQLite always does, whatever
/// the database's locale says. Order, prefixes and pages of a listing are then the same on both.
fn key_type(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "TEXT",
        Engine::Postgres => "TEXT COLLATE \"C\"",
    }
}

/// Migrates, and checks that `sealer` is the one that this store's secrets are sealed with.
pub(super) async fn migrate(place: &Place, sealer: &Sealer, now: Timestamp) -> Result<(), StoreError> {
    let mut connection = place.connect().await?;
    let migrating = async {
        begin_exclusive(&mut connection, place.engine).await?;
        apply(&mut connection, place.engine, now).await?;
        check_key(&mut connection, sealer).await?;
        commit_exclusive(connection).await
    };
    within(OPENING, migrating).await?
}

async fn apply(connection: &mut AnyConnection, engine: Engine, now: Timestamp) -> Result<(), StoreError> {
    let table = "CREATE TABLE IF NOT EXISTS migrations (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, \
         checksum TEXT NOT NULL, applied BIGINT NOT NULL)";
    sqlx::raw_sql(table).execute(&mut *connection).await?;
    let applied = sqlx::query("SELECT checksum FROM migrations ORDER BY version").fetch_all(&mut *connection).await?;
    if applied.len() > MIGRATIONS.len() {
        return Err(StoreError::Corrupt(format!(
            "its schema has version {}, this program knows {}; run the newer program",
            applied.len(),
            MIGRATIONS.len()
        )));
    }
    for (at, (name, sql)) in MIGRATIONS.into_iter().enumerate() {
        let version = at as i64 + 1;
        let checksum = hex::encode(digest::digest(&digest::SHA256, sql.as_bytes()));
        if let Some(row) = applied.get(at) {
            if row.try_get::<String, _>("checksum")? != checksum {
                return Err(StoreError::Corrupt(format!(
                    "migration {version} ({name}) was applied in another wording; this database was made by another \
                     build of the program"
                )));
            }
            continue;
        }
        sqlx::raw_sql(AssertSqlSafe(sql.replace("{key}", key_type(engine)))).execute(&mut *connection).await.map_err(
            |error| match StoreError::from(error) {
                StoreError::Corrupt(why) => StoreError::Corrupt(format!("migration {version} ({name}) failed: {why}")),
                other => other,
            },
        )?;
        sqlx::query("INSERT INTO migrations (version, name, checksum, applied) VALUES ($1, $2, $3, $4)")
            .bind(version)
            .bind(name)
            .bind(checksum)
            .bind(now.millis())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// What the check envelope is sealed for.
pub(super) const SEAL_CHECK: &str = "the store's check of its key-encryption key (feed/seal_check)";

/// Opens the store's check envelope, or leaves one in a new store. A wrong key shows here, not at the first handshake.
async fn check_key(connection: &mut AnyConnection, sealer: &Sealer) -> Result<(), StoreError> {
    let row = sqlx::query("SELECT seal_check FROM feed WHERE id = 1").fetch_one(&mut *connection).await?;
    match row.try_get::<Option<Vec<u8>>, _>("seal_check")? {
        Some(envelope) => sealer.open(SEAL_CHECK, &envelope).map(drop)?,
        None => {
            sqlx::query("UPDATE feed SET seal_check = $1 WHERE id = 1")
                .bind(sealer.seal(SEAL_CHECK, b"tenantry")?)
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}
