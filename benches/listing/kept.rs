//! Where the stores are: in a temporary directory, or in one that is kept.

use std::path::{Path, PathBuf};

use sqlx::{Connection, Row};

#[allow(dead_code)]
#[path = "../../tests/support/postgres.rs"]
mod postgres;

/// PostgreSQL as Debian sets it up, commits on the disk included.
const AS_INSTALLED: &str = "-c fsync=on -c shared_buffers=128MB";

pub struct Ground {
    directory: PathBuf,
    _temporary: Option<tempfile::TempDir>,
    is_postgres: bool,
    server: Option<postgres::Server>,
}

/// One for each engine that is there and asked for.
pub fn grounds() -> Vec<Ground> {
    let wanted = std::env::var("TENANTRY_BENCH_ENGINE").unwrap_or_default();
    let keep = std::env::var_os("TENANTRY_BENCH_KEEP").map(PathBuf::from);
    let ground = |is_postgres: bool| {
        let temporary = keep.is_none().then(|| tempfile::tempdir().expect("a directory"));
        let name = if is_postgres { "postgres" } else { "sqlite" };
        let directory = match (&temporary, &keep) {
            (None, Some(keep)) => keep.join(name),
            (temporary, _) => temporary.as_ref().map(|dir| dir.path().to_owned()).unwrap_or_default(),
        };
        std::fs::create_dir_all(&directory).expect("a directory");
        Ground { directory, _temporary: temporary, is_postgres, server: None }
    };
    let mut grounds = Vec::new();
    if wanted != "postgres" {
        grounds.push(ground(false));
    }
    match std::fs::exists("/usr/lib/postgresql") {
        _ if wanted == "sqlite" => {}
        Ok(true) => grounds.push(ground(true)),
        _ => println!("PostgreSQL is not installed: not measured"),
    }
    grounds
}

impl Ground {
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The URL of the store, and what runs there. A PostgreSQL server whose store is to be kept is the caller's own: its URL
    /// is in the file `url` of the directory.
    pub async fn url(&mut self) -> (String, String) {
        if !self.is_postgres {
            let mut connection = sqlx::SqliteConnection::connect("sqlite::memory:").await.expect("SQLite");
            let row = sqlx::query("SELECT sqlite_version()").fetch_one(&mut connection).await.expect("a version");
            let url = format!("sqlite:{}", self.directory.join("t.db").display());
            return (url, format!("SQLite {}", row.get::<String, _>(0)));
        }
        let url = match std::fs::read_to_string(self.directory.join("url")) {
            Ok(url) => url.trim().to_owned(),
            Err(_) => self.server.insert(postgres::Server::start_with(AS_INSTALLED)).database().await,
        };
        let mut connection = sqlx::PgConnection::connect(&url).await.expect("PostgreSQL");
        let row = sqlx::query("SHOW server_version").fetch_one(&mut connection).await.expect("a version");
        (url, format!("PostgreSQL {}", row.get::<String, _>(0)))
    }
}
