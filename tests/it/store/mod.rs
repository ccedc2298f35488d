//! The contract of the store: every test of `contract!` runs on SQLite and on PostgreSQL.

mod assets;
mod backup;
mod bulk;
mod certificate_listing;
mod domains;
mod engines;
mod feed;
pub mod ledger;
mod ledger_full;
mod ledger_whole;
mod listing;
mod members;
mod opening;
mod orders;
mod people;
mod reseal;
mod tenants;
pub mod vault;
mod writers;

use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use std::time::Duration;
use tenantry::clock::{Clock, Timestamp};
use tenantry::model::{Change, Domain, DomainState, Hostname, Slug, Tenant, TenantId};
use tenantry::seal::Sealer;
use tenantry::store::{News, Page, Store, StoreError};

use crate::support::postgres::Server;

/// Makes of each `async fn name(ground: Ground)` two tests.
macro_rules! contract {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $( #[tokio::test] async fn $name() { super::$name(crate::store::Ground::sqlite()).await } )+
        }
        mod postgres {
            $( #[tokio::test] async fn $name() { super::$name(crate::store::Ground::postgres().await).await } )+
        }
    };
}
pub(crate) use contract;

/// A fresh, empty database, and what it takes to open it.
pub struct Ground {
    pub url: String,
    pub clock: Clock,
    /// The SQLite file's home.
    pub directory: Option<tempfile::TempDir>,
}

impl Ground {
    pub fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Characters that mean something in a URL must be nothing special in a path.
        let url = format!("sqlite:{}/a store #1 100%.db", directory.path().display());
        Self { url, clock: Self::noon(), directory: Some(directory) }
    }

    pub async fn postgres() -> Self {
        Self { url: Server::shared().database().await, clock: Self::noon(), directory: None }
    }

    fn noon() -> Clock {
        Clock::manual(Timestamp::parse("2026-11-21T12:00:00Z").unwrap())
    }

    pub fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres:")
    }

    pub async fn open(&self) -> Store {
        self.try_open(1).await.unwrap()
    }

    /// Opens with a key-encryption key made of this byte.
    pub async fn try_open(&self, key: u8) -> Result<Store, StoreError> {
        Store::open(&self.url, 8, sealer(key), self.clock.clone()).await
    }

    /// Numbers and texts of the database, past the store: the first two columns, the first a text.
    pub async fn ask(&self, sql: &str) -> Vec<(String, i64)> {
        let url = self.url.replace('%', "%25").replace('#', "%23").replace(' ', "%20");
        let mut connection = AnyConnection::connect(&url).await.unwrap();
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// Does something to the database behind the store's back.
    pub async fn raw(&self, sql: &str) {
        let url = self.url.replace('%', "%25").replace('#', "%23").replace(' ', "%20");
        let mut connection = AnyConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

pub fn sealer(key: u8) -> Sealer {
    Sealer::from_key_bytes(&[key; 32]).unwrap()
}

pub fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

pub fn host(text: &str) -> Hostname {
    Hostname::parse(text).unwrap()
}

pub fn page(limit: u32, after: Option<&str>) -> Page {
    Page { limit, after: after.map(str::to_owned) }
}

/// An active tenant with no frills.
pub fn tenant(name: &str) -> Tenant {
    Tenant::new(slug(name), Timestamp(1_000))
}

pub fn claim(name: &str, tenant: TenantId, state: DomainState) -> Domain {
    Domain {
        name: host(name).into(),
        tenant,
        state,
        token: "proof".into(),
        created: Timestamp(1_000),
        updated: Timestamp(1_000),
        revision: 0,
    }
}

/// Inserts tenants in one write.
pub async fn insert(store: &Store, tenants: &[&Tenant]) -> i64 {
    let mut write = store.write().await.unwrap();
    for tenant in tenants {
        write.insert_tenant(tenant).await.unwrap();
    }
    write.commit().await.unwrap()
}

/// Everything after the cursor, in as many answers as it takes.
pub async fn all_news(store: &Store, mut cursor: i64) -> (Vec<Change>, i64) {
    let mut all = Vec::new();
    loop {
        match store.news(cursor).await.unwrap() {
            News::Changes { changes, revision } => {
                let done = revision == cursor;
                all.extend(changes);
                cursor = revision;
                if done {
                    return (all, cursor);
                }
            }
            News::TooOld { revision } => panic!("too old at {cursor}, store at {revision}"),
        }
    }
}

/// For what must happen without waiting for a poll: far longer than any machine takes.
pub const LONG: Duration = Duration::from_secs(60);
