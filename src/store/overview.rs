//! Questions that consoles and reminders ask across tenants. They read; nothing that serves a request waits for them.

use sqlx::query;

use super::certificates::row_of;
use super::domains::domain_of;
use super::events::event_of;
use super::row::storable;
use super::{CertificateRow, EventRow, Page, Store, StoreError};
use crate::clock::Timestamp;
use crate::model::{CertificateSource, Domain, DomainState, Hostname, TenantId};

macro_rules! domains {
    ($condition:literal) => {
        concat!(
            "SELECT name, tenant, state, token, created, updated, revision FROM domains ",
            "WHERE (name, tenant) > ($1, $2) ",
            $condition,
            " ORDER BY name, tenant LIMIT $3"
        )
    };
}

impl Store {
    /// Claims by name, of one tenant or of all, in one state or any. `page.after` is a [`super::domain_key`].
    pub async fn claims_page(
        &self,
        tenant: Option<TenantId>,
        state: Option<DomainState>,
        page: &Page,
    ) -> Result<Vec<Domain>, StoreError> {
        let after = page.after.as_deref().map(storable).unwrap_or_default();
        let (name, owner) = after.split_once(' ').unwrap_or((&after, ""));
        let bound = |sql| query(sql).bind(name.to_owned()).bind(owner.to_owned()).bind(page.limit());
        let statement = match (tenant, state) {
            (None, None) => bound(domains!("")),
            (Some(tenant), None) => bound(domains!("AND tenant = $4")).bind(tenant.to_string()),
            (None, Some(state)) => bound(domains!("AND state = $4")).bind(state.as_str()),
            (Some(tenant), Some(state)) => {
                bound(domains!("AND tenant = $4 AND state = $5")).bind(tenant.to_string()).bind(state.as_str())
            }
        };
        self.all(statement).await?.iter().map(domain_of).collect()
    }

    /// The held claims to names right beneath a host, whosever they are, in the order of their names. Reads all claims:
    /// for what an operator does now and then.
    pub async fn held_beneath(&self, host: &Hostname) -> Result<Vec<Domain>, StoreError> {
        let sql = "SELECT name, tenant, state, token, created, updated, revision FROM domains \
                   WHERE name LIKE $1 AND state IN ('verified', 'live', 'moved') ORDER BY name";
        let rows = self.all(query(sql).bind(format!("%.{host}"))).await?;
        let domains = rows.iter().map(domain_of).collect::<Result<Vec<_>, _>>()?;
        let beneath = |domain: &Domain| {
            let label = domain.name.host().beneath(host);
            !domain.name.is_wildcard() && label.is_some_and(|label| !label.contains('.'))
        };
        Ok(domains.into_iter().filter(beneath).collect())
    }

    /// Certificates of one source that end after `after` and by `until` and are not revoked, the first to end first.
    pub async fn ending_certificates(
        &self,
        source: CertificateSource,
        after: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<CertificateRow>, StoreError> {
        let sql = "SELECT id, names, chain, source, authority, not_before, not_after, created, revoked, revision \
                   FROM certificates WHERE source = $1 AND not_after > $2 AND not_after <= $3 AND revoked IS NULL \
                   ORDER BY not_after, id";
        let statement = query(sql).bind(source.as_str()).bind(after.millis()).bind(until.millis());
        self.all(statement).await?.iter().map(row_of).collect()
    }

    /// The newest events of a kind about a subject, the newest first.
    pub async fn latest_events(&self, kind: &str, subject: &str, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        let sql = "SELECT revision, seq, at, kind, tenant, subject, detail FROM events \
                   WHERE subject = $1 AND kind = $2 ORDER BY revision DESC, seq DESC LIMIT $3";
        let statement = query(sql).bind(storable(subject).into_owned()).bind(kind.to_owned()).bind(i64::from(limit));
        self.all(statement).await?.iter().map(event_of).collect()
    }
}
