//! A tenant with its parents, and what holds for it. Reads only.

use std::collections::{BTreeSet, HashMap};

use super::error::{Kind, TenancyError};
use super::{Tenancy, TenantState};
use crate::config::Config;
use crate::model::{Effective, Slug, Tenant, TenantId};
use crate::store::{StoreError, Write};

/// The most generations there can be, the topmost parent included.
pub const MAX_DEPTH: usize = 8;

/// Tenants already read while one question is answered.
#[derive(Default)]
pub(super) struct Known(HashMap<TenantId, Tenant>);

impl Tenancy {
    /// The tenant with this id or slug.
    pub(super) async fn find(&self, key: &str) -> Result<Tenant, TenancyError> {
        if let Some(id) = TenantId::parse(key)
            && let Some(tenant) = self.store.tenant(id).await?
        {
            return Ok(tenant);
        }
        let found = match Slug::parse(key) {
            Ok(slug) => self.store.tenant_by_slug(&slug).await?,
            Err(_) => None,
        };
        found.ok_or_else(|| TenancyError::NotFound(Kind::Tenant, key.to_owned()))
    }

    /// Puts the tenant's facts, its parents', the catalogue and the time together.
    pub(super) async fn state_of(&self, tenant: Tenant, known: &mut Known) -> Result<TenantState, TenancyError> {
        let parents = self.parents_of(&tenant, known).await?;
        Ok(self.assemble(tenant, &parents, &self.config())?)
    }

    /// [`Tenancy::state_of`] for many: their parents are read a generation at a time, not one by one.
    pub(super) async fn states_of(
        &self,
        tenants: Vec<Tenant>,
        known: &mut Known,
    ) -> Result<Vec<TenantState>, TenancyError> {
        let mut above: BTreeSet<TenantId> = tenants.iter().filter_map(|tenant| tenant.parent).collect();
        for _ in 0..MAX_DEPTH {
            let strangers: Vec<TenantId> = above.into_iter().filter(|id| !known.0.contains_key(id)).collect();
            let found = self.store.tenants_with(&strangers).await?;
            above = found.iter().filter_map(|tenant| tenant.parent).collect();
            known.0.extend(found.into_iter().map(|tenant| (tenant.id, tenant)));
        }
        let mut states = Vec::with_capacity(tenants.len());
        for tenant in tenants {
            states.push(self.state_of(tenant, known).await?);
        }
        Ok(states)
    }

    /// A tenant and those above it, nearest first.
    pub(super) async fn line_of(&self, tenant: Tenant, known: &mut Known) -> Result<Vec<Tenant>, TenancyError> {
        let parents = self.parents_of(&tenant, known).await?;
        Ok(std::iter::once(tenant).chain(parents).collect())
    }

    /// The parents of a tenant, nearest first.
    pub(super) async fn parents_of(&self, tenant: &Tenant, known: &mut Known) -> Result<Vec<Tenant>, TenancyError> {
        let mut parents = Vec::new();
        let mut above = tenant.parent;
        while let Some(id) = above {
            if !known.0.contains_key(&id)
                && let Some(parent) = self.store.tenant(id).await?
            {
                known.0.insert(id, parent);
            }
            let parent = known.0.get(&id).cloned().ok_or_else(|| orphan(tenant, id))?;
            above = parent.parent;
            push(&mut parents, parent, tenant)?;
        }
        Ok(parents)
    }

    /// [`Tenancy::state_of`] inside a writing transaction, so that nothing need be read after the commit.
    pub(super) async fn state_in(&self, write: &mut Write, tenant: Tenant) -> Result<TenantState, TenancyError> {
        let parents = parents_in(write, &tenant).await?;
        Ok(self.assemble(tenant, &parents, &self.config())?)
    }

    pub(super) fn assemble(
        &self,
        tenant: Tenant,
        parents: &[Tenant],
        config: &Config,
    ) -> Result<TenantState, StoreError> {
        let chain: Vec<&Tenant> = std::iter::once(&tenant).chain(parents).collect();
        let expired_is_suspended = config.tenancy.suspend_expired_trials;
        let effective = Effective::of(&chain, &config.catalogue, expired_is_suspended, self.clock.now())
            .ok_or_else(|| StoreError::Corrupt(format!("tenant {} has no state", tenant.id)))?;
        let host = config.brand.tenant_host(&tenant.slug).ok();
        Ok(TenantState { tenant, effective, host })
    }
}

/// The parents of a tenant, nearest first.
pub(super) async fn parents_in(write: &mut Write, tenant: &Tenant) -> Result<Vec<Tenant>, StoreError> {
    let mut parents = Vec::new();
    let mut above = tenant.parent;
    while let Some(id) = above {
        let parent = write.tenant(id).await?.ok_or_else(|| orphan(tenant, id))?;
        above = parent.parent;
        push(&mut parents, parent, tenant)?;
    }
    Ok(parents)
}

/// A chain that is longer than any that this house makes is a loop.
fn push(parents: &mut Vec<Tenant>, parent: Tenant, of: &Tenant) -> Result<(), StoreError> {
    if parents.len() >= MAX_DEPTH {
        return Err(StoreError::Corrupt(format!("tenant {} has more than {MAX_DEPTH} generations above it", of.id)));
    }
    parents.push(parent);
    Ok(())
}

fn orphan(tenant: &Tenant, parent: TenantId) -> StoreError {
    StoreError::Corrupt(format!("tenant {} names the parent {parent}, which does not exist", tenant.id))
}
