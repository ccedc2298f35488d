//! Brings the schema up to date when the store is opened: all migrations in one transaction that excludes every other
//! process doing the same.
//!
//! Migrations expand: they add tables, indexes and columns with defaults, and take nothing away that a program before
//! them asks for, so that the program before serves on the same store while it is being replaced. One that contracts has a
//! line `-- contract: <version>`, which names the oldest version of the schema whose programs can do without what it takes
//! away; older ones are refused from then on, and never guess.

use aws_lc_rs::digest;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use super::StoreError;
use super::connect::{OPENING, Place, commit_exclusive, within};
use super::engine::Engine;
use crate::clock::Timestamp;
use crate::seal::Sealer;

/// In order; the version is the position, counted from 1. Applied ones are never edited: a change is a new one.
const MIGRATIONS: [(&str, &str); 20] = [
    ("foundation", include_str!("migrations/0001_foundation.sql")),
    ("certificates", include_str!("migrations/0002_certificates.sql")),
    ("edge settings", include_str!("migrations/0003_edge.sql")),
    ("oldest program", include_str!("migrations/0004_oldest.sql")),
    ("people", include_str!("migrations/0005_people.sql")),
    ("members", include_str!("migrations/0006_members.sql")),
    ("tenant life", include_str!("migrations/0007_life.sql")),
    ("ledger", include_str!("migrations/0008_ledger.sql")),
    ("listing", include_str!("migrations/0009_listing.sql")),
    ("assets", include_str!("migrations/0010_assets.sql")),
    ("calls", include_str!("migrations/0011_calls.sql")),
    ("plan changes", include_str!("migrations/0012_plan_changes.sql")),
    ("billing", include_str!("migrations/0013_billing.sql")),
    ("scale", include_str!("migrations/0014_scale.sql")),
    ("ledger anchors", include_str!("migrations/0015_ledger_anchors.sql")),
    ("what was before", include_str!("migrations/0016_life2.sql")),
    ("standing", include_str!("migrations/0017_standing.sql")),
    ("ledger lists", include_str!("migrations/0018_ledger_lists.sql")),
    ("directory", include_str!("migrations/0019_directory.sql")),
    ("a tenant that goes", include_str!("migrations/0020_going.sql")),
];

/// The version that this program works with.
pub(super) const LATEST: i64 = MIGRATIONS.len() as i64;

/// The first version that says which programs may still work with it.
const SAYS_OLDEST: usize = 4;

/// Migrates, and checks that `sealer` is the one that this store's secrets are sealed with.
pub(super) async fn migrate(place: &Place, sealer: &Sealer, now: Timestamp) -> Result<(), StoreError> {
    let mut connection = place.connect().await?;
    let migrating = async {
        sqlx::raw_sql(place.engine.begin_exclusive()).execute(&mut connection).await?;
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
        must_be_old_enough(&mut *connection, applied.len()).await?;
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
        sqlx::raw_sql(AssertSqlSafe(engine.localised(sql))).execute(&mut *connection).await.map_err(|error| {
            match StoreError::from(error) {
                StoreError::Corrupt(why) => StoreError::Corrupt(format!("migration {version} ({name}) failed: {why}")),
                other => other,
            }
        })?;
        sqlx::query("INSERT INTO migrations (version, name, checksum, applied) VALUES ($1, $2, $3, $4)")
            .bind(version)
            .bind(name)
            .bind(checksum)
            .bind(now.millis())
            .execute(&mut *connection)
            .await?;
        if version as usize >= SAYS_OLDEST {
            let statement = sqlx::query("UPDATE migrations SET oldest = $1 WHERE version = $2");
            statement.bind(oldest(sql)).bind(version).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// A newer program has been here. This one goes on beside it, or after it, unless something was taken away that it needs.
async fn must_be_old_enough(connection: &mut AnyConnection, version: usize) -> Result<(), StoreError> {
    let sql = "SELECT MAX(oldest) AS oldest FROM migrations WHERE version > $1";
    let row = sqlx::query(sql).bind(LATEST).fetch_one(connection).await?;
    let oldest: i64 = row.try_get("oldest")?;
    if oldest > LATEST {
        return Err(StoreError::Corrupt(format!(
            "its schema has version {version}, which programs of version {oldest} and newer work with; this program knows \
             {LATEST}: run the newer program"
        )));
    }
    tracing::info!(schema.version = version, schema.known = LATEST, "store.newer_schema: it was only expanded");
    Ok(())
}

/// The oldest version of the schema whose programs work after this migration.
fn oldest(sql: &str) -> i64 {
    let marked = sql.lines().find_map(|line| line.strip_prefix(CONTRACT)?.trim().parse().ok());
    marked.unwrap_or(SAYS_OLDEST as i64)
}

const CONTRACT: &str = "-- contract:";

/// The version of the schema that the store has; 0 for a database that has none.
pub(super) async fn version(connection: &mut AnyConnection) -> Result<i64, StoreError> {
    match sqlx::query("SELECT COUNT(*) AS version FROM migrations").fetch_one(connection).await {
        Ok(row) => Ok(row.try_get("version")?),
        Err(sqlx::Error::Database(_)) => Ok(0),
        Err(error) => Err(error.into()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What takes something away that a program of the version before may ask for.
    const TAKES_AWAY: [&str; 7] =
        ["DROP ", "RENAME ", "ALTER COLUMN", "DELETE FROM", "SET NOT NULL", "ADD CONSTRAINT", "CREATE UNIQUE INDEX"];

    #[test]
    fn migrations_expand_or_say_whom_they_leave_behind() {
        for (at, (name, sql)) in MIGRATIONS.into_iter().enumerate().skip(1) {
            let bare: Vec<&str> = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
            let bare = bare.join("\n");
            let takes = TAKES_AWAY.iter().find(|word| bare.to_uppercase().contains(*word));
            assert!(takes.is_none() || sql.contains(CONTRACT), "{name}: {takes:?} needs a line `{CONTRACT} <version>`");
            // A column that an older program's INSERT does not name must have a value of its own.
            for statement in bare.split(';').filter(|statement| statement.contains("ADD COLUMN")) {
                let must = statement.contains("NOT NULL") && !statement.contains("DEFAULT");
                assert!(!must, "{name}: {statement} has no default");
            }
            let oldest = oldest(sql);
            assert!(
                oldest <= at as i64 || at < SAYS_OLDEST,
                "{name}: the program before it serves while it is replaced"
            );
        }
    }

    #[test]
    fn a_contraction_names_the_oldest_that_may_go_on() {
        assert_eq!(oldest("-- contract: 6\nALTER TABLE a DROP COLUMN b;"), 6);
        assert_eq!(oldest("ALTER TABLE a ADD COLUMN b BIGINT;"), SAYS_OLDEST as i64);
    }
}
