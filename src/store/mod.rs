//! The system of record. SQL lives here and nowhere else; every write takes a revision, and what it changed leaves
//! through the change feed.

use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::model::{Certificate, Change, Domain, DomainState, Hostname, Slug, Status, Tenant, TenantId};
use crate::seal::Sealer;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store could not be asked: it is gone, or busy beyond its timeout. The same call may work later.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// A row that must be unique is there already; says which.
    #[error("{0} exists already")]
    Conflict(String),
    /// The store answered, and the answer makes no sense: a row that does not parse, a migration that failed.
    #[error("the store is damaged or of another version: {0}")]
    Corrupt(String),
}

/// A handle on the store; clones share its connections.
#[derive(Clone)]
pub struct Store;

/// A writing transaction. It holds the revision counter's row, so revisions commit in order. Dropped without
/// [`Write::commit`], it leaves nothing behind.
pub struct Write;

/// What a follower learns when it asks for news.
pub enum News {
    /// Changes after the cursor, oldest first, and the revision they reach. May be empty.
    Changes { changes: Vec<Change>, revision: i64 },
    /// The cursor is older than the oldest kept change: forget everything, go on from here.
    TooOld { revision: i64 },
}

/// One line of the audit ledger. (The hash chain comes with the admin service's own issue.)
#[derive(Clone, Debug)]
pub struct AuditEntry {
    /// Who did it: `operator:<token name>`, `cli`, `system`.
    pub actor: String,
    /// `tenant.suspend`, `domain.add`, …
    pub action: String,
    pub tenant: Option<TenantId>,
    /// What it was done to: a slug, a domain, a token's name.
    pub subject: String,
    /// What was asked for or changed, as JSON. Never a secret.
    pub detail: serde_json::Value,
    pub request_id: Option<String>,
}

/// A page of a listing: `after` is the last key of the page before.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub limit: u32,
    pub after: Option<String>,
}

/// An API token as stored: SHA-256 of the secret, never the secret.
#[derive(Clone, Debug)]
pub struct TokenRow {
    pub name: String,
    pub hash: [u8; 32],
    pub created: Timestamp,
    pub expires: Option<Timestamp>,
}

impl Store {
    /// Opens (and migrates) `sqlite:<path>` or `postgres://…`.
    pub async fn open(_url: &str, _max_connections: u32, _sealer: Sealer, _clock: Clock) -> Result<Self, StoreError> {
        todo!()
    }
    /// Starts a writing transaction: takes the next revision.
    pub async fn write(&self) -> Result<Write, StoreError> {
        todo!()
    }
    pub async fn tenant(&self, _id: TenantId) -> Result<Option<Tenant>, StoreError> {
        todo!()
    }
    pub async fn tenant_by_slug(&self, _slug: &Slug) -> Result<Option<Tenant>, StoreError> {
        todo!()
    }
    /// Tenants by slug order, optionally of one status, optionally with a slug prefix.
    pub async fn tenants(
        &self,
        _status: Option<Status>,
        _prefix: Option<&str>,
        _page: &Page,
    ) -> Result<Vec<Tenant>, StoreError> {
        todo!()
    }
    /// The claim that holds this name (state `is_held`), if any.
    pub async fn held_domain(&self, _name: &Hostname) -> Result<Option<Domain>, StoreError> {
        todo!()
    }
    /// All claims to this name, held or not.
    pub async fn claims(&self, _name: &Hostname) -> Result<Vec<Domain>, StoreError> {
        todo!()
    }
    pub async fn domains(&self, _tenant: TenantId, _page: &Page) -> Result<Vec<Domain>, StoreError> {
        todo!()
    }
    /// The newest unexpired certificate that carries exactly this name (wildcards are names of their own).
    pub async fn certificate(&self, _name: &str) -> Result<Option<Certificate>, StoreError> {
        todo!()
    }
    /// The key authorization for an http-01 token or a tls-alpn-01 name, while its challenge is pending.
    pub async fn challenge(&self, _key: &str) -> Result<Option<String>, StoreError> {
        todo!()
    }
    pub async fn token_by_hash(&self, _hash: &[u8; 32]) -> Result<Option<TokenRow>, StoreError> {
        todo!()
    }
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        todo!()
    }
    /// The revision of the last committed write.
    pub async fn revision(&self) -> Result<i64, StoreError> {
        todo!()
    }
    /// What happened after `cursor`.
    pub async fn news(&self, _cursor: i64) -> Result<News, StoreError> {
        todo!()
    }
    /// Returns when something was probably written (here, or announced by PostgreSQL), or after `at_most`.
    pub async fn wait_for_news(&self, _at_most: Duration) {
        todo!()
    }
    /// Reads a sealed secret by name (`assertion-key`, …).
    pub async fn secret(&self, _name: &str) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, StoreError> {
        todo!()
    }
    pub async fn audit(
        &self,
        _tenant: Option<TenantId>,
        _page: &Page,
    ) -> Result<Vec<(i64, Timestamp, AuditEntry)>, StoreError> {
        todo!()
    }
}

impl Write {
    /// The revision that this transaction will have.
    pub fn revision(&self) -> i64 {
        todo!()
    }
    pub async fn tenant(&mut self, _id: TenantId) -> Result<Option<Tenant>, StoreError> {
        todo!()
    }
    /// `Conflict` when the slug is taken or retired.
    pub async fn insert_tenant(&mut self, _tenant: &Tenant) -> Result<(), StoreError> {
        todo!()
    }
    /// Writes every field but id, slug and created; sets `updated` and `revision`; notes `Change::Tenant`.
    pub async fn update_tenant(&mut self, _tenant: &Tenant) -> Result<(), StoreError> {
        todo!()
    }
    pub async fn claims(&mut self, _name: &Hostname) -> Result<Vec<Domain>, StoreError> {
        todo!()
    }
    /// `Conflict` when this tenant claims the name already, or when the claim is held and another holds it.
    pub async fn insert_domain(&mut self, _domain: &Domain) -> Result<(), StoreError> {
        todo!()
    }
    pub async fn set_domain_state(
        &mut self,
        _name: &Hostname,
        _tenant: TenantId,
        _state: DomainState,
    ) -> Result<(), StoreError> {
        todo!()
    }
    pub async fn delete_domain(&mut self, _name: &Hostname, _tenant: TenantId) -> Result<(), StoreError> {
        todo!()
    }
    pub async fn insert_certificate(&mut self, _certificate: &Certificate) -> Result<(), StoreError> {
        todo!()
    }
    pub async fn put_challenge(&mut self, _key: &str, _answer: &str, _expires: Timestamp) -> Result<(), StoreError> {
        todo!()
    }
    pub async fn delete_challenge(&mut self, _key: &str) -> Result<(), StoreError> {
        todo!()
    }
    pub async fn insert_token(&mut self, _token: &TokenRow) -> Result<(), StoreError> {
        todo!()
    }
    /// False when there is none of that name.
    pub async fn delete_token(&mut self, _name: &str) -> Result<bool, StoreError> {
        todo!()
    }
    pub async fn put_secret(&mut self, _name: &str, _secret: &[u8]) -> Result<(), StoreError> {
        todo!()
    }
    pub async fn audit(&mut self, _entry: &AuditEntry) -> Result<(), StoreError> {
        todo!()
    }
    /// Adds a change beyond those that the calls above note by themselves.
    pub async fn change(&mut self, _change: Change) -> Result<(), StoreError> {
        todo!()
    }
    /// Commits, wakes followers, and returns the revision.
    pub async fn commit(self) -> Result<i64, StoreError> {
        todo!()
    }
}
