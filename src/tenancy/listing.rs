//! Whether and where a tenant stands in the public directory.

use serde_json::json;

use super::error::{Faults, TenancyError};
use super::tenants::current;
use super::{Actor, Done, Expect, Tenancy};
use crate::model::{Listing, Scope};

/// The highest priority, and below zero the lowest.
pub const PRIORITY_MAX: i32 = 1_000;

/// A tenant's listing, with the revision of the tenant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListingState {
    pub listing: Listing,
    pub revision: i64,
}

impl Tenancy {
    pub async fn listing(&self, key: &str) -> Result<ListingState, TenancyError> {
        let tenant = self.find(key).await?;
        Ok(ListingState { listing: self.store.listing(tenant.id).await?, revision: tenant.revision })
    }

    /// Only operators change a priority: everybody wants to stand first.
    pub async fn set_listing(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
        listing: Listing,
    ) -> Result<Done<ListingState>, TenancyError> {
        let mut faults = Faults::default();
        if !(-PRIORITY_MAX..=PRIORITY_MAX).contains(&listing.priority) {
            let detail = format!("-{PRIORITY_MAX} to {PRIORITY_MAX}, and this is {}", listing.priority);
            faults.add("/priority", "out-of-range", detail);
        }
        faults.or(Some(()))?;
        let id = self.find(key).await?.id;
        let mut write = self.store.write().await?;
        let mut tenant = current(&mut write, id, key).await?;
        expect.check(tenant.revision)?;
        let was = write.listing(id).await?;
        if was.priority != listing.priority && actor.rights.only().is_some() {
            return Err(TenancyError::Forbidden(vec![Scope::TenantsManage]));
        }
        write.set_listing(id, listing).await?;
        tenant.updated = self.clock.now();
        tenant.revision = write.revision();
        write.update_tenant(&tenant).await?;
        let entry = actor.entry("tenant.listing", Some(id), &tenant.slug, json!({}));
        let entry = entry.changed(json!(was), json!(listing));
        let revision = tenant.revision;
        self.finish(write, entry, ListingState { listing, revision }).await
    }
}
