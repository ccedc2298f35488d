//! Connections: how they are opened, how long anybody waits for one, and what happens to one whose answer never came.
//! No query is asked here, and nothing outside waits without a limit.

use std::fs::OpenOptions;
use std::future::Future;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::any::{AnyArguments, AnyConnectOptions, AnyPoolOptions, AnyRow};
use sqlx::pool::PoolConnection;
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AnyPool, ConnectOptions, Connection, Executor, Row as _, raw_sql};
use tokio::runtime::Handle;

use super::StoreError;
use super::engine::{Engine, Role};
use super::error::leaves_connection_usable;

/// A statement with its arguments.
pub(super) type Statement<'q> = Query<'q, Any, AnyArguments>;

/// For a connection to read with. Short: whoever serves a request waits behind it.
const READ_WAIT: Duration = Duration::from_secs(2);
/// For a connection to write with, and then for the revision counter: other writers come first.
pub(super) const WRITE_WAIT: Duration = Duration::from_secs(10);
/// For opening the store: migrations, and another process's that come first.
pub(super) const OPENING: Duration = Duration::from_secs(90);
/// For the answer to any other statement.
const ANSWER: Duration = Duration::from_secs(5);
/// For the answer to a statement of an import.
const BULK: Duration = Duration::from_secs(300);

/// Where the store is, checked.
pub(super) struct Place {
    pub engine: Engine,
    /// Of SQLite.
    pub file: Option<PathBuf>,
    pub options: AnyConnectOptions,
}

/// Readers never queue behind writers: each have connections of their own.
pub(super) struct Pools {
    pub readers: AnyPool,
    pub writers: AnyPool,
}

impl Place {
    /// Reads `sqlite:<path>` or `postgres://…`. An SQLite file is made when missing, for its owner's eyes only.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let (engine, file) = Engine::of(url)?;
        let url = match &file {
            Some(path) => sqlite_url(path)?,
            None => url.to_owned(),
        };
        Ok(Self { engine, file, options: AnyConnectOptions::from_str(&url)?.disable_statement_logging() })
    }

    /// The same, where a file that is not there is a mistake.
    pub fn parse_existing(url: &str) -> Result<Self, StoreError> {
        if let (_, Some(path)) = Engine::of(url)? {
            let there = path.try_exists();
            if !there.is_ok_and(|there| there) {
                return Err(StoreError::Unavailable(format!("there is no file {}", path.display())));
            }
        }
        Self::parse(url)
    }

    /// One connection outside the pools. It says at once what is wrong; a pool would try again until its time is up.
    pub async fn connect(&self) -> Result<AnyConnection, StoreError> {
        let opening = async {
            let mut connection = self.options.connect().await?;
            prepare(&mut connection, self.engine, Role::Writer).await?;
            if self.engine.is_a_file() {
                enter_wal(&mut connection).await?;
            }
            Ok::<_, sqlx::Error>(connection)
        };
        Ok(within(WRITE_WAIT, opening).await??)
    }

    /// `most` connections in all, the change feed's listener included; at least one to read and one to write.
    pub fn pools(&self, most: u32) -> Pools {
        let (writers, aside) = self.engine.writers();
        Pools {
            readers: self.pool(most.saturating_sub(aside).max(1), READ_WAIT, Role::Reader),
            writers: self.pool(writers, WRITE_WAIT, Role::Writer),
        }
    }

    fn pool(&self, most: u32, wait: Duration, role: Role) -> AnyPool {
        let engine = self.engine;
        let mut options = AnyPoolOptions::new()
            .max_connections(most)
            .acquire_timeout(wait)
            .after_connect(move |connection, _| Box::pin(prepare(connection, engine, role)));
        if engine.is_a_file() {
            options = options.test_before_acquire(false).max_lifetime(None).idle_timeout(None);
        }
        options.connect_lazy_with(self.options.clone())
    }
}

fn sqlite_url(path: &Path) -> Result<String, StoreError> {
    let path = path.to_str().unwrap_or_default();
    if path.is_empty() || path.contains(":memory:") || path.contains('?') {
        return Err(StoreError::Url("after sqlite: comes the path of a file, without parameters".into()));
    }
    // The database holds sealed keys and hashed tokens; SQLite gives its -wal and -shm files the same mode.
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(Path::new(path))
        .map_err(|error| StoreError::Unavailable(format!("the file {path} cannot be opened for writing: {error}")))?;
    let mut url = String::from("sqlite:");
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => url.push(char::from(byte)),
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(url)
}

/// What every connection is told first.
async fn prepare(connection: &mut AnyConnection, engine: Engine, role: Role) -> Result<(), sqlx::Error> {
    connection.execute(raw_sql(engine.first_words(role))).await.map(drop)
}

/// Write-ahead logging: readers never wait for the writer. The file remembers it. Two processes that switch a new file
/// at once get "busy" without SQLite's own waiting, so the wait is here; the caller limits it.
async fn enter_wal(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    // SQLITE_BUSY and its extended forms, by the low byte.
    let busy = |error: &sqlx::Error| {
        let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
        code.is_some_and(|code| code & 0xff == 5)
    };
    loop {
        match connection.fetch_one(raw_sql("PRAGMA journal_mode = WAL")).await {
            Ok(row) if row.try_get::<String, _>(0)? == "wal" => return Ok(()),
            Ok(_) => {
                let why = "this file system does not let SQLite keep a write-ahead log; use a local one";
                return Err(sqlx::Error::Configuration(why.into()));
            }
            Err(error) if busy(&error) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => return Err(error),
        }
    }
}

pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, StoreError> {
    tokio::time::timeout(limit, work)
        .await
        .map_err(|_| StoreError::Unavailable(format!("no answer within {} s", limit.as_secs())))
}

/// A connection out of a pool, and perhaps a transaction on it. Dropped in the middle of a question, or after one that
/// was never answered, the connection is closed instead of reused; dropped in a transaction, that is rolled back.
pub(super) struct Lease {
    /// Always there, until `drop`.
    connection: Option<PoolConnection<Any>>,
    in_doubt: bool,
    in_transaction: bool,
    /// How long it waits for any answer but those that say otherwise.
    patience: Duration,
    /// The connection is closed behind it, whatever comes of it.
    last: bool,
}

impl Lease {
    pub async fn of(pool: &AnyPool) -> Result<Self, StoreError> {
        let connection = Some(pool.acquire().await?);
        Ok(Self { connection, in_doubt: false, in_transaction: false, patience: ANSWER, last: false })
    }

    /// For what is much at once: statements of thousands of rows, and a commit that writes all of them to the disk.
    pub fn be_patient(&mut self) {
        self.patience = BULK;
    }

    /// Nobody uses the connection after this: what it was told for one purpose, and the memory it took, goes with it.
    pub fn be_last(&mut self) {
        self.last = true;
    }

    pub async fn one(&mut self, statement: Statement<'_>) -> Result<Option<AnyRow>, StoreError> {
        let statement = seen(statement);
        self.ask(self.patience, async move |connection: &mut AnyConnection| statement.fetch_optional(connection).await)
            .await
    }

    pub async fn all(&mut self, statement: Statement<'_>) -> Result<Vec<AnyRow>, StoreError> {
        self.all_within(self.patience, statement).await
    }

    pub async fn all_within(&mut self, limit: Duration, statement: Statement<'_>) -> Result<Vec<AnyRow>, StoreError> {
        let statement = seen(statement);
        self.ask(limit, async move |connection: &mut AnyConnection| statement.fetch_all(connection).await).await
    }

    /// How many rows it touched.
    pub async fn execute(&mut self, statement: Statement<'_>) -> Result<u64, StoreError> {
        let statement = seen(statement);
        self.ask(self.patience, async move |connection: &mut AnyConnection| statement.execute(connection).await)
            .await
            .map(|done| done.rows_affected())
    }

    pub async fn begin(&mut self) -> Result<(), StoreError> {
        // Set before the answer: a BEGIN that was cut short is undone too.
        self.in_transaction = true;
        self.ask(self.patience, async |connection: &mut AnyConnection| connection.execute(raw_sql("BEGIN")).await)
            .await
            .map(drop)
    }

    pub async fn commit(&mut self) -> Result<(), StoreError> {
        self.ask(self.patience, async |connection: &mut AnyConnection| connection.execute(raw_sql("COMMIT")).await)
            .await?;
        self.in_transaction = false;
        Ok(())
    }

    async fn ask<T>(
        &mut self,
        limit: Duration,
        question: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let connection =
            self.connection.as_deref_mut().ok_or_else(|| StoreError::Unavailable("the connection is gone".into()))?;
        self.in_doubt = true;
        let answer = within(limit, question(connection)).await?;
        self.in_doubt = answer.as_ref().is_err_and(|error| !leaves_connection_usable(error));
        Ok(answer?)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if self.in_doubt {
            drop(connection.detach());
        } else if self.in_transaction {
            // The connection goes back to its pool when the server has let go of the transaction's locks.
            let (patience, last) = (self.patience, self.last);
            let mut lease =
                Self { connection: Some(connection), in_doubt: true, in_transaction: false, patience, last };
            match Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(async move {
                    let undo = async |connection: &mut AnyConnection| connection.execute(raw_sql("ROLLBACK")).await;
                    lease.ask(patience, undo).await.map(drop)
                })),
                Err(_) => drop(lease),
            }
        } else if self.last {
            drop(connection.detach());
        }
    }
}

/// A statement as it is about to be asked. Where access paths are tested, they are looked at here.
#[cfg(not(test))]
fn seen(statement: Statement<'_>) -> Statement<'_> {
    statement
}
#[cfg(test)]
use super::access_tests::seen;

pub(super) async fn commit_exclusive(mut connection: AnyConnection) -> Result<(), StoreError> {
    connection.execute(raw_sql("COMMIT")).await?;
    connection.close().await?;
    Ok(())
}
