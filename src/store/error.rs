//! What can go wrong with the store, in the few kinds that callers treat differently. An error of the database is put
//! into one of them here and nowhere else.

use sqlx::error::DatabaseError;

use super::engine::means_unavailable;
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
    /// A page was to begin where no page of this list ends.
    #[error("this is no cursor of this list")]
    Cursor,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_answered_is_unavailable() {
        assert!(matches!(StoreError::from(sqlx::Error::PoolTimedOut), StoreError::Unavailable(_)));
        assert!(matches!(StoreError::from(sqlx::Error::ColumnNotFound("x".into())), StoreError::Corrupt(_)));
    }
}
