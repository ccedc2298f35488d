//! Everything in which PostgreSQL and SQLite differ for this house, in one place. No other file of the store asks which
//! of the two it is (a test sees to that): the rest is one SQL text, one order of transactions, one kind of error.
//!
//! What they have in common only by care, told here so that it stays so: text keys compare by their bytes on both
//! ([`Engine::localised`]); an error inside a transaction ends it on PostgreSQL, so calls look before they leap on both;
//! PostgreSQL has no NUL in texts, so [`super::row::storable`] replaces it on both; a transaction that writes begins with
//! its write on both, because SQLite could not wait for its lock later.

use std::path::PathBuf;

use super::StoreError;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Engine {
    Sqlite,
    Postgres,
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Reader,
    Writer,
}

/// Begins a part of a migration that only one of them reads; `both` ends it.
const SECTION: &str = "--engine:";

impl Engine {
    /// Which one a URL speaks of, and SQLite's file.
    pub fn of(url: &str) -> Result<(Self, Option<PathBuf>), StoreError> {
        match url.split_once(':') {
            Some(("sqlite", path)) => {
                let path = path.strip_prefix("//").unwrap_or(path);
                Ok((Self::Sqlite, Some(PathBuf::from(path))))
            }
            Some(("postgres" | "postgresql", _)) => Ok((Self::Postgres, None)),
            Some((scheme, _)) => Err(StoreError::Url(format!(
                "it starts with {scheme:?}; it must be sqlite:<path> or postgres://<user>@<host>/<database>"
            ))),
            None => Err(StoreError::Url("it must be sqlite:<path> or postgres://<user>@<host>/<database>".into())),
        }
    }

    /// A migration in this engine's words: `{key}` is the type of text keys (PostgreSQL compares them by their bytes
    /// too, whatever the database's locale says), and the parts for the other engine are left out.
    pub fn localised(self, sql: &str) -> String {
        let (key, own) = match self {
            Self::Sqlite => ("TEXT", "sqlite"),
            Self::Postgres => ("TEXT COLLATE \"C\"", "postgres"),
        };
        let mut wanted = true;
        let mut text = String::with_capacity(sql.len());
        for line in sql.lines() {
            match line.strip_prefix(SECTION).map(str::trim) {
                Some(section) => wanted = section == own || section == "both",
                None if wanted => {
                    text.push_str(line);
                    text.push('\n');
                }
                None => {}
            }
        }
        text.replace("{key}", key)
    }

    /// What every connection is told first.
    pub fn first_words(self, role: Role) -> &'static str {
        match (self, role) {
            // synchronous=FULL: a commit is on disk before it is answered, so that it survives not only the process
            // (NORMAL would do) but the machine losing power; an acknowledged suspension, or a certificate that the CA
            // counted, must not vanish. Writes are rare here, the extra fsync is not.
            (Self::Sqlite, Role::Writer) => {
                "PRAGMA busy_timeout = 9000; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                 PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -65536;"
            }
            (Self::Sqlite, Role::Reader) => {
                "PRAGMA busy_timeout = 9000; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; \
                 PRAGMA journal_size_limit = 67108864; PRAGMA query_only = ON;"
            }
            // A server that lost sight of us must not keep the revision counter locked, nor work on for nobody.
            (Self::Postgres, _) => {
                "SET application_name = 'tenantry'; SET lock_timeout = '9s'; SET statement_timeout = '15s'; \
                 SET idle_in_transaction_session_timeout = '15s';"
            }
        }
    }

    /// Writing connections, and how many of the allowed ones are not for reading. Revisions are handed out one at a time,
    /// so a second PostgreSQL writer only overlaps its BEGIN with the other's COMMIT (and one listens); SQLite has one
    /// writer at a time anyway.
    pub fn writers(self) -> (u32, u32) {
        match self {
            Self::Sqlite => (1, 1),
            Self::Postgres => (2, 3),
        }
    }

    /// A file does not hang up: no questions asked before use, no connection is ever too old, and readers wait for no
    /// writer only once its journal is told to be one that is written ahead.
    pub fn is_a_file(self) -> bool {
        self == Self::Sqlite
    }

    /// Tells followers of other processes of a revision (`$1`: the channel, `$2`: the revision as text). `None`: there is
    /// no such thing, and they ask by themselves.
    pub fn notification(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT pg_notify($1, $2)"),
        }
    }

    /// Begins the part of a transaction of very many rows in which others write as well: its statements may take their time,
    /// and what they come to is not counted by triggers (migration 14), whose rows every other writer would have to wait for.
    /// `None`: there is one writer at a time, and the part is empty.
    pub fn beside_others(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some(
                "SELECT set_config('statement_timeout', '300s', true), set_config('tenantry.counts', 'later', true)",
            ),
        }
    }

    /// Told a connection that is to write very many rows alone: it may use so much memory (1 GiB) as it takes to keep their
    /// pages until they are whole. With less, each is written, forgotten and read again many times.
    pub fn alone(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => Some("PRAGMA cache_size = -1048576"),
            Self::Postgres => None,
        }
    }

    /// Ends a question about rows that are to stay until this transaction is over, though others write as well. They can be
    /// changed, but not go, and keep their keys.
    pub fn keep(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR KEY SHARE",
        }
    }

    /// After very many rows: how many there are, and of what kind, for whoever plans by it. SQLite plans by the indexes
    /// alone, and is to go on doing so.
    pub fn learn(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("ANALYZE tenants, tenant_words, domains, orders"),
        }
    }

    /// Begins the transaction that migrations run in. It excludes every other process that is opening this store.
    pub fn begin_exclusive(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            // An arbitrary number: "tenantry" in ASCII.
            Self::Postgres => {
                "BEGIN; SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = '60s'; \
                 SELECT pg_advisory_xact_lock(x'74656e616e747279'::bigint)"
            }
        }
    }

    /// Begins reading one state of the database, with no limit on how long that takes.
    pub fn begin_snapshot(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN",
            Self::Postgres => {
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; \
                 SET LOCAL idle_in_transaction_session_timeout = 0"
            }
        }
    }

    /// Begins filling a store from a copy.
    pub fn begin_refill(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => {
                "BEGIN; SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = 0; \
                 SET LOCAL idle_in_transaction_session_timeout = 0"
            }
        }
    }
}

/// Whether an error's code says that the store cannot be asked now, rather than that something is wrong with it.
/// PostgreSQL's codes have five characters (its manual, appendix A), SQLite's are numbers whose low byte is the primary
/// result code (<https://www.sqlite.org/rescode.html>).
pub(super) fn means_unavailable(code: &str) -> bool {
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
    use std::path::Path;

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
    }

    #[test]
    fn each_engine_reads_its_own_part_of_a_migration() {
        let sql = "a {key};\n--engine: sqlite\nb;\n--engine: postgres\nc;\n--engine: both\nd;";
        assert_eq!(Engine::Sqlite.localised(sql), "a TEXT;\nb;\nd;\n");
        assert_eq!(Engine::Postgres.localised(sql), "a TEXT COLLATE \"C\";\nc;\nd;\n");
    }

    #[test]
    fn nothing_else_of_the_store_asks_for_the_engine() {
        let mut rooms = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store")];
        let mut seen = 0;
        while let Some(room) = rooms.pop() {
            for entry in std::fs::read_dir(room).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    rooms.push(path);
                } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("engine.rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    for word in ["Engine::Sqlite", "Engine::Postgres", "Self::Sqlite", "Self::Postgres"] {
                        assert!(!text.contains(word), "{}: {word} belongs into store/engine.rs", path.display());
                    }
                    seen += 1;
                }
            }
        }
        assert!(seen > 20);
    }
}
