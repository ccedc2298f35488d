//! Lists and counts across tenants, for those who look after all of them. Reads only.

use super::error::{Kind, TenancyError};
use super::lineage::Known;
use super::{Tenancy, TenantState};
use crate::model::{DomainState, Hostname, PlanName, Status, TenantId};
use crate::store::{DomainFilter, DomainSort, Found, Page, Span, TenantCounts, TenantFilter, TenantSort};
use crate::tenancy::DomainClaim;

/// The longest text to search for, in characters. The shortest has one that is no blank.
pub const SEARCH_MAX: usize = 100;

/// Which tenants to list, as it was asked for.
#[derive(Clone, Debug, Default)]
pub struct TenantQuery {
    /// For whoever may see no other.
    pub only: Option<TenantId>,
    /// What a slug, a word of a name or a held domain begins with. The list is then in the order of what is found.
    pub search: Option<String>,
    pub status: Option<Status>,
    /// The tenants' own plan.
    pub plan: Option<String>,
    /// Id or slug.
    pub parent: Option<String>,
    /// Whether they are listed publicly.
    pub listed: Option<bool>,
    /// Slugs that begin like this.
    pub prefix: Option<String>,
    /// What the billing system calls it.
    pub billing_ref: Option<String>,
    pub created: Span,
    pub updated: Span,
    pub trial_ends: Span,
    /// `None`: by the end of the trial where that is asked for, else by slug.
    pub sort: Option<TenantSort>,
    pub descending: bool,
}

/// Which claims to list, as it was asked for.
#[derive(Clone, Debug, Default)]
pub struct DomainQuery {
    /// Id or slug.
    pub tenant: Option<String>,
    pub state: Option<DomainState>,
    /// Names that begin like this, in lower case and A-labels.
    pub prefix: Option<String>,
    /// Names beneath this one.
    pub beneath: Option<Hostname>,
    pub sort: DomainSort,
    pub descending: bool,
}

/// The counts of a dashboard. They are kept, not counted, and exact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stats {
    pub tenants: TenantCounts,
    /// Claims by state.
    pub domains: Vec<(DomainState, u64)>,
}

impl TenantQuery {
    /// What the list is ordered by; `None`: by what is found.
    pub fn order(&self) -> Option<TenantSort> {
        match (&self.search, self.sort) {
            (Some(_), _) => None,
            (None, Some(sort)) => Some(sort),
            (None, None) if self.trial_ends != Span::default() => Some(TenantSort::TrialEnds),
            (None, None) => Some(TenantSort::Slug),
        }
    }
}

impl Tenancy {
    /// A page of tenants, each with what holds for it. `page.after` is [`Found::next`] of the page before. A page may be
    /// short, or empty, and not be the last: only a `next` that is `None` ends the list.
    pub async fn list(&self, query: &TenantQuery, page: &Page) -> Result<Found<TenantState>, TenancyError> {
        let filter = self.filter(query).await?;
        let Some(filter) = filter else { return Ok(Found { rows: Vec::new(), next: None }) };
        let found = match (&query.search, query.order()) {
            (Some(text), _) => self.store.search_tenants(text, &filter, page).await?,
            (None, sort) => self.store.list_tenants(&filter, sort.unwrap_or_default(), query.descending, page).await?,
        };
        let rows = self.states_of(found.rows, &mut Known::default()).await?;
        Ok(Found { rows, next: found.next })
    }

    /// A page of claims, of one tenant or of all. `page.after` is [`Found::next`] of the page before.
    pub async fn list_domains(&self, query: &DomainQuery, page: &Page) -> Result<Found<DomainClaim>, TenancyError> {
        let tenant = match &query.tenant {
            Some(key) => Some(self.find(key).await?.id),
            None => None,
        };
        let prefix = query.prefix.as_ref().map(|text| text.trim().to_ascii_lowercase());
        let filter = DomainFilter { tenant, state: query.state, prefix, beneath: query.beneath.clone() };
        let found = self.store.list_domains(&filter, query.sort, query.descending, page).await?;
        Ok(self.described(found))
    }

    /// The dashboard's counts; `expiring` are trials that end within this many days, or have ended.
    pub async fn stats(&self, expiring_days: u32) -> Result<Stats, TenancyError> {
        let before = self.clock.now() + super::tenants::days_long(expiring_days);
        Ok(Stats { tenants: self.store.tenant_counts(before).await?, domains: self.store.domain_counts().await? })
    }

    /// `None`: whatever the filter is, nobody passes it.
    async fn filter(&self, query: &TenantQuery) -> Result<Option<TenantFilter>, TenancyError> {
        let parent = match &query.parent {
            None => None,
            Some(key) => match self.find(key).await {
                Ok(parent) => Some(parent.id),
                // Nobody has a parent that there is none of; and whoever sees one tenant alone learns nothing here.
                Err(TenancyError::NotFound(Kind::Tenant, _)) => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        let plan = match query.plan.as_deref().map(PlanName::parse) {
            None => None,
            Some(Ok(plan)) => Some(plan),
            Some(Err(_)) => return Ok(None),
        };
        let only = match &query.billing_ref {
            None => query.only,
            Some(name) => match self.store.tenant_by_billing_ref(name).await? {
                Some(found) if query.only.is_none_or(|only| only == found.id) => Some(found.id),
                _ => return Ok(None),
            },
        };
        let TenantQuery { status, listed, prefix, created, updated, trial_ends, .. } = query.clone();
        Ok(Some(TenantFilter { only, status, plan, parent, listed, prefix, created, updated, trial_ends }))
    }
}
