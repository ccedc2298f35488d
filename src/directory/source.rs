//! Where the directory reads: the store, seen only as look-ups and news. The trait is the seam at which tests put a
//! store that stalls or fails.

use std::time::Duration;

use async_trait::async_trait;

use super::cache::LoadFailed;
use crate::clock::Timestamp;
use crate::model::{Asset, Certificate, DirectoryStretch, Hostname, Listed, SessionId, Slug, Tenant, TenantId};
use crate::store::{News, Store, StoreError};

/// What to ask about a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Lookup {
    /// `<slug>.<base>`
    Slug(Slug),
    /// A custom domain: only a held claim counts, to this name or to the wildcard above it.
    Domain(Hostname),
}

/// The reads that the edge depends on. Errors mean "could not ask", never "no".
#[async_trait]
pub trait Source: Send + Sync + 'static {
    async fn place(&self, lookup: &Lookup) -> Result<Option<TenantId>, StoreError>;
    async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>, StoreError>;
    async fn certificate(&self, name: &str) -> Result<Option<Certificate>, StoreError>;
    async fn challenge(&self, key: &str) -> Result<Option<String>, StoreError>;
    /// Whether a certificate for this host, or for the wildcard above it, is being ordered now.
    async fn issuing(&self, host: &Hostname) -> Result<bool, StoreError>;
    /// The picture with this hash.
    async fn asset(&self, hash: &str) -> Result<Option<Asset>, StoreError>;
    /// Listed tenants that are active by their own status, in the directory's order: from the first on, or behind the one of
    /// this slug. `None`: nobody of that slug is listed.
    async fn directory(&self, after: Option<&Slug>, limit: u32) -> Result<Option<DirectoryStretch>, StoreError>;
    /// The same tenants by id.
    async fn listed(&self, after: Option<TenantId>, limit: u32) -> Result<Vec<Listed>, StoreError>;
    /// Where, by id, each `every` of them end, and more come.
    async fn listed_ends(&self, every: u32) -> Result<Vec<TenantId>, StoreError>;
    async fn secret(&self, name: &str) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, StoreError>;
    /// The sessions at the edge that were ended and have not expired at `now`: at most `most`, those that last longest.
    async fn ended_sessions(&self, now: Timestamp, most: usize) -> Result<Vec<(SessionId, Timestamp)>, StoreError>;
    async fn revision(&self) -> Result<i64, StoreError>;
    async fn news(&self, cursor: i64) -> Result<News, StoreError>;
    /// Returns when something newer than `cursor` was probably written, or after `at_most`.
    async fn wait_for_news(&self, cursor: i64, at_most: Duration);
}

impl From<&StoreError> for LoadFailed {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::Unavailable,
            _ => Self::Unusable,
        }
    }
}

#[async_trait]
impl Source for Store {
    async fn place(&self, lookup: &Lookup) -> Result<Option<TenantId>, StoreError> {
        Ok(match lookup {
            Lookup::Slug(slug) => self.tenant_of_slug(slug).await?,
            Lookup::Domain(name) => self.domain_of_host(name).await?.map(|domain| domain.tenant),
        })
    }

    async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>, StoreError> {
        Store::tenant(self, id).await
    }

    async fn certificate(&self, name: &str) -> Result<Option<Certificate>, StoreError> {
        Store::certificate(self, name).await
    }

    async fn challenge(&self, key: &str) -> Result<Option<String>, StoreError> {
        Store::challenge(self, key).await
    }

    async fn issuing(&self, host: &Hostname) -> Result<bool, StoreError> {
        Store::issuing(self, host).await
    }

    async fn asset(&self, hash: &str) -> Result<Option<Asset>, StoreError> {
        Store::asset(self, hash).await
    }

    async fn directory(&self, after: Option<&Slug>, limit: u32) -> Result<Option<DirectoryStretch>, StoreError> {
        Store::directory(self, after, limit).await
    }

    async fn listed(&self, after: Option<TenantId>, limit: u32) -> Result<Vec<Listed>, StoreError> {
        Store::listed(self, after, limit).await
    }

    async fn listed_ends(&self, every: u32) -> Result<Vec<TenantId>, StoreError> {
        Store::listed_ends(self, every).await
    }

    async fn secret(&self, name: &str) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, StoreError> {
        Store::secret(self, name).await
    }

    async fn ended_sessions(&self, now: Timestamp, most: usize) -> Result<Vec<(SessionId, Timestamp)>, StoreError> {
        Store::ended_sessions(self, now, most).await
    }

    async fn revision(&self) -> Result<i64, StoreError> {
        Store::revision(self).await
    }

    async fn news(&self, cursor: i64) -> Result<News, StoreError> {
        Store::news(self, cursor).await
    }

    async fn wait_for_news(&self, cursor: i64, at_most: Duration) {
        Store::wait_for_news(self, cursor, at_most).await;
    }
}
