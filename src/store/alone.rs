//! Who else is at an SQLite store. A process that was killed leaves leases and a report of itself behind; a fleet has to wait
//! until they end, but whoever is alone with a file knows at once that nobody is left who could have meant them. Nobody is
//! kept out here: any number of processes may be at one store.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sqlx::{AnyConnection, Executor, raw_sql};
use tracing::{info, warn};

use super::StoreError;

/// Says that this process is at the store, for as long as it lives: a shared lock on a file beside the store's.
pub(super) struct Presence(Option<File>);

impl Presence {
    /// Comes to the store; if nobody else is there, first takes away what the last one has left behind. Where the file system
    /// knows no locks, nothing is taken away.
    pub async fn enter(store: &Path, connection: &mut AnyConnection) -> Result<Self, StoreError> {
        let mut path = store.as_os_str().to_owned();
        path.push("-lock");
        let file = match OpenOptions::new().create(true).append(true).mode(0o600).open(&path) {
            Ok(file) => file,
            Err(error) => return Ok(Self::unknown(&error)),
        };
        match file.try_lock() {
            Ok(()) => clear(connection).await?,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Ok(Self::unknown(&error)),
        }
        // Somebody who comes in between finds nothing to take away: nobody works before this is done.
        let shared =
            tokio::task::spawn_blocking(move || file.unlock().and_then(|()| file.lock_shared()).map(|()| file));
        Ok(match shared.await.map_err(std::io::Error::other).flatten() {
            Ok(file) => Self(Some(file)),
            Err(error) => Self::unknown(&error),
        })
    }

    fn unknown(error: &std::io::Error) -> Self {
        warn!(%error, "store.no_locks: what a killed process has left behind is taken up when its leases end");
        Self(None)
    }
}

async fn clear(connection: &mut AnyConnection) -> Result<(), StoreError> {
    let released = connection.execute(raw_sql("UPDATE orders SET lease = 0, owner = NULL WHERE lease > 0")).await?;
    connection.execute(raw_sql("DELETE FROM nodes")).await?;
    if released.rows_affected() > 0 {
        info!(orders = released.rows_affected(), "store.leases_released: nobody else is here");
    }
    Ok(())
}

impl Drop for Presence {
    fn drop(&mut self) {
        if let Some(file) = &self.0 {
            // Closing it does the same, unless a child has it too.
            let _ = file.unlock();
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Row;
    use tempfile::TempDir;

    use super::super::connect::Place;
    use super::*;

    #[tokio::test]
    async fn only_who_is_alone_takes_away_what_others_have_left() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("store.db");
        let place = Place::parse(&format!("sqlite:{}", path.display())).unwrap();
        let mut connection = place.connect().await.unwrap();
        let tables = "CREATE TABLE orders (lease BIGINT, owner TEXT); CREATE TABLE nodes (id TEXT);";
        connection.execute(raw_sql(tables)).await.unwrap();
        let lease = "INSERT INTO orders VALUES (5, 'killed')";
        connection.execute(raw_sql(lease)).await.unwrap();
        let first = Presence::enter(&path, &mut connection).await.unwrap();
        assert_eq!(leased(&mut connection).await, 0);
        connection.execute(raw_sql(lease)).await.unwrap();
        let second = Presence::enter(&path, &mut connection).await.unwrap();
        drop(first);
        let third = Presence::enter(&path, &mut connection).await.unwrap();
        assert_eq!(leased(&mut connection).await, 1, "somebody was there all the time");
        drop((second, third));
        Presence::enter(&path, &mut connection).await.unwrap();
        assert_eq!(leased(&mut connection).await, 0);
    }

    async fn leased(connection: &mut AnyConnection) -> i64 {
        let row = connection.fetch_one(raw_sql("SELECT COUNT(*) FROM orders WHERE lease > 0")).await.unwrap();
        row.get(0)
    }
}
