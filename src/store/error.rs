//! What can go wrong with the store, in the few kinds that callers treat differently. An error of the database is put
//! into one of them here and nowhere else.

use sqlx::error::DatabaseError;

use crate::seal::SealError;

/// Why the store did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store could not be asked: it is gone, or busy beyond its timeout. The same call may work later. Of a
    /// [`super::Write::commit`] it means that nobody knows whether the write happened.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// What must be unique is there already, or the thing is in use; a whole sentence.
    #[error("{0}")]
    Conflict(String),
    /// What was to be changed is not there; says what.
    #[error("{0} does not exist")]
    Missing(String),
    /// The store answered, and the answer makes no sense: a row that does not parse, a migration that failed.
    #[error("the store is damaged or of another version: {0}")]
    Corrupt(String),
    /// The store's URL cannot be used. Never repeats the URL, which may carry a password.
    #[error("the store's URL is wrong: {0}")]
    Url(String),
    /// What was to be restored cannot be used: it is not whole, or of another version.
    #[error("the backup cannot be used: {0}")]
    Backup(String),
    /// A secret cannot be sealed, or not be opened with the key configured.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error::*;
        match &error {
            Io(_) | Tls(_) | Protocol(_) | PoolTimedOut | PoolClosed | WorkerCrashed | BeginFailed => {
                Self::Unavailable(error.to_string())
            }
            Configuration(why) => Self::Url(why.to_string()),
            Database(database) => of_database(&**database),
            _ => Self::Corrupt(error.to_string()),
        }
    }
}

/// Whether the connection that gave this error may be used again.
pub(super) fn leaves_connection_usable(error: &sqlx::Error) -> bool {
    !matches!(error, sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed)
}

fn of_database(error: &dyn DatabaseError) -> StoreError {
    if error.is_unique_violation() {
        return StoreError::Conflict(format!("it exists already: {}", error.message()));
    }
    if error.is_foreign_key_violation() {
        return StoreError::Missing(format!("what it refers to ({})", error.message()));
    }
    let code = error.code().unwrap_or_default();
    match means_unavailable(&code) {
        true => StoreError::Unavailable(error.to_string()),
        false => StoreError::Corrupt(error.to_string()),
    }
}

/// PostgreSQL's codes have five characters (its manual, appendix A), SQLite's are numbers whose low byte is the
/// primary result code (<https://www.sqlite.org/rescode.html>).
fn means_unavailable(code: &str) -> bool {
    match code.parse::<u32>() {
        Ok(number) if code.len() < 5 => {
            // PERM, BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL
            matches!(number & 0xff, 3 | 5 | 6 | 7 | 8 | 9 | 10 | 13 | 14 | 15)
        }
        // Connection, transaction rollback (serialisation, deadlock), resources, operator intervention, system error,
        // authorisation, a read-only server (a standby), a lock not to be had, a database that is not there.
        _ => {
            ["08", "40", "53", "57", "58", "28"].iter().any(|class| code.starts_with(class))
                || ["25006", "55P03", "3D000", "25P03"].contains(&code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gone_and_damaged_are_told_apart() {
        // SQLITE_BUSY_SNAPSHOT, SQLITE_IOERR_WRITE, SQLITE_FULL; admin shutdown, connection failure, lock timeout.
        for code in ["5", "517", "778", "13", "57P01", "08006", "55P03", "53300", "3D000"] {
            assert!(means_unavailable(code), "{code}");
        }
        // SQLITE_ERROR, SQLITE_CORRUPT, SQLITE_NOTADB; undefined table, data corrupted, syntax error.
        for code in ["1", "11", "26", "42P01", "XX001", "42601", "22021"] {
            assert!(!means_unavailable(code), "{code}");
        }
        assert!(matches!(StoreError::from(sqlx::Error::PoolTimedOut), StoreError::Unavailable(_)));
        assert!(matches!(StoreError::from(sqlx::Error::ColumnNotFound("x".into())), StoreError::Corrupt(_)));
    }
}
