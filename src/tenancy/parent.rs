//! A tenant moves beneath another, or stands by itself: what it inherits follows at once.

use serde_json::json;

use super::error::{Fault, TenancyError};
use super::lineage::{MAX_DEPTH, parents_in};
use super::tenants::{no_parent, too_deep};
use super::{Actor, Done, Expect, Tenancy, TenantState, shown};
use crate::model::{Status, Tenant};
use crate::store::Write;

impl Tenancy {
    /// Puts a tenant, with everything beneath it, beneath another (its id or slug). `None`: it stands by itself.
    pub async fn set_parent(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
        parent: Option<&str>,
    ) -> Result<Done<TenantState>, TenancyError> {
        let above = match parent {
            Some(key) => Some(self.find(key).await.map_err(|error| no_parent(error, key))?.id),
            None => None,
        };
        let (mut write, before) = self.open(key, expect).await?;
        let tenant = Tenant { parent: above, ..before.clone() };
        if let (Some(id), Some(name)) = (above, parent) {
            // Nobody else can write now: it is there, or it is not.
            let above = super::tenants::current(&mut write, id, name).await.map_err(|error| no_parent(error, name))?;
            check(&mut write, &tenant, &above).await?;
        }
        let tenant = self.put(&mut write, &before, tenant).await?;
        let entry = actor.entry("tenant.parent", Some(tenant.id), &tenant.slug, json!({}));
        let entry = entry.changed(shown::tenant(&before), shown::tenant(&tenant));
        let state = self.state_in(&mut write, tenant).await?;
        self.finish(write, entry, state).await
    }
}

/// Nothing moves, and nothing begins, beneath one that is on its way out. `above`: all who would be.
pub(super) fn not_beneath_gone(above: &[Tenant]) -> Result<(), Fault> {
    match above.iter().find(|above| matches!(above.status, Status::Cancelled | Status::Archived)) {
        Some(gone) => {
            let detail =
                format!("{} is {}; nothing moves beneath it, and nothing begins there", gone.slug, gone.status);
            Err(Fault::new("/parent", "parent-gone", detail))
        }
        None => Ok(()),
    }
}

/// No loops, not too deep, and not beneath one that is on its way out.
async fn check(write: &mut Write, tenant: &Tenant, parent: &Tenant) -> Result<(), TenancyError> {
    let mut line = parents_in(write, parent).await?;
    line.insert(0, parent.clone());
    let refused = |code, detail| Err(TenancyError::Invalid(vec![Fault::new("/parent", code, detail)]));
    if line.iter().any(|above| above.id == tenant.id) {
        let detail =
            format!("{} stands beneath {} already, or is it; a loop would have no end", parent.slug, tenant.slug);
        return refused("loop", detail);
    }
    not_beneath_gone(&line).map_err(|fault| TenancyError::Invalid(vec![fault]))?;
    match line.len() + 1 + write.generations_beneath(tenant.id).await? > MAX_DEPTH {
        true => Err(too_deep()),
        false => Ok(()),
    }
}
