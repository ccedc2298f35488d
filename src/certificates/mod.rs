//! Certificates as operators handle them: brought by their owners, listed, revoked, asked for again. Which certificate a
//! name is served with is the store's rule (one brought by its owner goes first); how one is had from an authority is the
//! `acme` room's affair. A private key goes in and never comes out: no answer, event, ledger line or error has it.

mod chain;
mod checks;
mod expiry;
mod holder;
mod key;
mod pem;
mod queue;
mod upload;
mod withdraw;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use checks::{CHAIN_CERTIFICATES, CHAIN_MAX, Checked, KEY_MAX, Warning, check};
pub use expiry::REMINDERS;
pub use queue::QueuedOrder;
pub use upload::{NewCertificate, Uploaded};
pub use withdraw::{Reach, Reason};

use crate::clock::Timestamp;
use crate::model::{CertificateSource, DomainName, Rights, TenantId};
use crate::store::{CertificateFilter, CertificateRow, CertificateSort, Found, Page, Span, Store, StoreError, Write};
use crate::tenancy::{Kind, Tenancy, TenancyError};

/// The rules of certificates over one store. Clones share it.
#[derive(Clone)]
pub struct Certificates {
    tenancy: Tenancy,
    revoker: Arc<dyn Revoker>,
}

/// Tells a certificate authority that one of its certificates is to be trusted no more.
#[async_trait]
pub trait Revoker: Send + Sync {
    /// `authority` is its configured name. One that has been told before is no error. The error is a sentence for people.
    async fn revoke(&self, authority: &str, chain_pem: &str, reason: Reason) -> Result<(), String>;
}

/// Where no authority is configured there is nobody to tell.
pub struct NoAuthority;

#[async_trait]
impl Revoker for NoAuthority {
    async fn revoke(&self, authority: &str, _chain_pem: &str, _reason: Reason) -> Result<(), String> {
        Err(format!("no authority of the name {authority:?} is configured"))
    }
}

/// Which certificates to list, as it was asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CertificateQuery {
    /// Those for this name, in any spelling; a wildcard is a name of its own.
    pub name: Option<String>,
    /// Those for a name that begins like this, in the order of these names. Not together with `name`.
    pub prefix: Option<String>,
    pub source: Option<CertificateSource>,
    /// When they end.
    pub ends: Span,
    pub sort: CertificateSort,
    pub descending: bool,
}

/// A certificate without its key, and which of its names are served with it at this moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateState {
    pub row: CertificateRow,
    pub in_use: Vec<String>,
}

impl Certificates {
    pub fn new(tenancy: Tenancy, revoker: Arc<dyn Revoker>) -> Self {
        Self { tenancy, revoker }
    }

    /// A page of certificates as far as `rights` reach, expired and revoked ones included. `page.after` is [`Found::next`]
    /// of the page before.
    pub async fn list(
        &self,
        rights: &Rights,
        query: &CertificateQuery,
        page: &Page,
    ) -> Result<Found<CertificateState>, TenancyError> {
        let CertificateQuery { name, prefix, source, ends, sort, descending } = query.clone();
        let (tenant, name) = (rights.only(), name.as_deref().map(canonical));
        let prefix = prefix.map(|text| text.trim().to_ascii_lowercase());
        let filter = CertificateFilter { tenant, name, prefix, source, ends };
        let found = self.store().list_certificates(&filter, sort, descending, page).await?;
        let names: BTreeSet<&str> = found.rows.iter().flat_map(|row| &row.names).map(String::as_str).collect();
        let in_use = self.store().certificates_in_use(&names.into_iter().collect::<Vec<_>>()).await?;
        let state = |row: CertificateRow| {
            let used = |name: &&String| in_use.get(*name) == Some(&row.id);
            CertificateState { in_use: row.names.iter().filter(used).cloned().collect(), row }
        };
        let mut rows = Vec::new();
        for row in found.rows {
            rows.extend(self.readable(rights, row).await?.map(&state));
        }
        Ok(Found { rows, next: found.next })
    }

    /// One certificate. To whom none of it belongs there is none; of several names, a tenant is shown its own.
    pub async fn show(&self, rights: &Rights, id: &str) -> Result<CertificateState, TenancyError> {
        let row = self.store().certificate_row(id).await?.ok_or_else(|| not_found(id))?;
        match self.readable(rights, row).await? {
            Some(row) => self.state(row).await,
            None => Err(not_found(id)),
        }
    }

    /// A certificate that is the caller's to end: an operator's, or all of whose names are their tenant's.
    async fn writable(&self, rights: &Rights, id: &str) -> Result<CertificateRow, TenancyError> {
        let row = self.store().certificate_row(id).await?.ok_or_else(|| not_found(id))?;
        let Some(own) = rights.only() else { return Ok(row) };
        let shown = self.readable(rights, row.clone()).await?.ok_or_else(|| not_found(id))?;
        if shown.names == row.names && row.tenant.is_none_or(|tenant| tenant == own) {
            return Ok(row);
        }
        let detail = "this certificate is for names of others as well; only an operator can end it";
        Err(TenancyError::conflict("", "shared-certificate", detail))
    }

    /// A certificate with the names that are the caller's to see: all for operators; for a tenant those that it holds, and
    /// those of its own certificates that nobody holds. `None` when there are none.
    async fn readable(&self, rights: &Rights, row: CertificateRow) -> Result<Option<CertificateRow>, TenancyError> {
        let Some(own) = rights.only() else { return Ok(Some(row)) };
        let mut names = Vec::new();
        for name in &row.names {
            let holder = match DomainName::parse(name) {
                Ok(name) => self.store().held_domain(&name).await?.map(|domain| domain.tenant),
                Err(_) => None,
            };
            if holder.or(row.tenant) == Some(own) {
                names.push(name.clone());
            }
        }
        Ok(Some(CertificateRow { names, ..row }).filter(|row| !row.names.is_empty()))
    }

    /// Whether what these names have is theirs to see: always for operators, for a tenant when it holds one of them.
    pub async fn reach(&self, rights: &Rights, names: &[String]) -> Result<bool, TenancyError> {
        match rights.only() {
            None => Ok(true),
            Some(own) => Ok(self.tenant_of(names).await? == Some(own)),
        }
    }

    /// The certificate that this name is served with, if any.
    pub async fn in_use(&self, name: &DomainName) -> Result<Option<CertificateRow>, TenancyError> {
        match self.store().certificate_in_use(&name.to_string()).await? {
            Some(id) => Ok(self.store().certificate_row(&id).await?),
            None => Ok(None),
        }
    }

    fn store(&self) -> &Store {
        self.tenancy.store()
    }

    fn now(&self) -> Timestamp {
        self.tenancy.clock().now()
    }

    async fn state(&self, row: CertificateRow) -> Result<CertificateState, TenancyError> {
        let mut in_use = Vec::new();
        for name in &row.names {
            if self.store().certificate_in_use(name).await?.is_some_and(|id| id == row.id) {
                in_use.push(name.clone());
            }
        }
        Ok(CertificateState { row, in_use })
    }

    /// Whose a certificate is, for the ledger.
    async fn whose(&self, row: &CertificateRow) -> Result<Option<TenantId>, StoreError> {
        match row.tenant {
            None => self.tenant_of(&row.names).await,
            some => Ok(some),
        }
    }

    /// The tenant whose domain the first held of these names is.
    async fn tenant_of(&self, names: &[String]) -> Result<Option<TenantId>, StoreError> {
        for name in names.iter().filter_map(|name| DomainName::parse(name).ok()) {
            if let Some(domain) = self.store().held_domain(&name).await? {
                return Ok(Some(domain.tenant));
            }
        }
        Ok(None)
    }

    /// After `gone` is not served any more: the order of each of its names is brought forward. What its owner brought
    /// leaves the time for renewal of what is served instead; one of ours is replaced at once.
    async fn order_again(&self, write: &mut Write, gone: &CertificateRow) -> Result<(), StoreError> {
        for name in &gone.names {
            let mut others = Vec::new();
            for row in self.store().certificates_for(name).await? {
                if row.id != gone.id && row.revoked.is_none() && row.not_after > write.now() {
                    others.push(row);
                }
            }
            let next = match gone.source {
                CertificateSource::Uploaded => others.iter().map(renewal).max().unwrap_or(write.now()),
                CertificateSource::Acme | CertificateSource::Local => write.now(),
            };
            let next = next.max(write.now());
            let Some(order) = write.order(name).await? else { continue };
            match next <= write.now() {
                true => write.requeue_order(name, next).await?,
                false if order.not_before > next => write.reschedule_order(name, next).await?,
                false => continue,
            };
        }
        Ok(())
    }
}

/// At two thirds of its life; the `acme` room knows better once it looks.
fn renewal(row: &CertificateRow) -> Timestamp {
    row.not_before + row.not_after.since(row.not_before) * 2 / 3
}

/// A name as the store has it; what is no name is nobody's.
fn canonical(name: &str) -> String {
    DomainName::parse(name).map_or_else(|_| name.to_owned(), |name| name.to_string())
}

fn not_found(id: &str) -> TenancyError {
    TenancyError::NotFound(Kind::Certificate, id.to_owned())
}

/// How long before the end of a certificate that its owner brought one of ours is to be ready.
const FALLBACK_READY: Duration = Duration::from_secs(30 * 24 * 3600);
