//! Operators who act within a tenant for a while, as one of its admins would. It lasts no longer than it was meant to, nor
//! than what it was begun with; and by it nobody is made who would be there when it is over: no token, member or role.

use std::time::Duration;

use serde_json::json;

use super::error::{Faults, Kind, TenancyError};
use super::tokens::{PREFIX_BYTES, Wanted, random};
use super::{Actor, Done, IssuedToken, Tenancy, checks, shown};
use crate::model::{Authority, Grant, Role, Scope, within_a_tenant};

/// Why an operator acts within a tenant, and for how long.
#[derive(Clone, Debug)]
pub struct Impersonation {
    pub reason: String,
    /// 1 to [`IMPERSONATION_MAX`].
    pub minutes: u32,
}

/// The longest time for which an operator acts within a tenant, in minutes.
pub const IMPERSONATION_MAX: u32 = 60;

/// What would outlast it.
const LASTING: [Scope; 3] = [Scope::TokensManage, Scope::MembersManage, Scope::RolesManage];

impl Tenancy {
    /// Makes a token by which an operator acts within a tenant. It is worth nothing any more once the session or the token
    /// that asks is not. The tenant's ledger says who and why; who, with every line of what is done by it.
    pub async fn impersonate(
        &self,
        actor: &Actor,
        tenant: &str,
        how: &Impersonation,
    ) -> Result<Done<IssuedToken>, TenancyError> {
        let tenant = self.find(tenant).await?;
        if self.is_operators(&tenant) {
            let detail = "nobody acts in the place of the operators' own admins: be one of them instead";
            return Err(TenancyError::conflict("", "operator-tenant", detail));
        }
        let tenant = tenant.id;
        let mut faults = Faults::default();
        if !(1..=IMPERSONATION_MAX).contains(&how.minutes) {
            let detail = format!("1 to {IMPERSONATION_MAX} minutes, and this is {}", how.minutes);
            faults.add("/minutes", "out-of-range", detail);
        }
        let reason = faults.take(checks::text("/reason", &how.reason, checks::REASON_MAX));
        let reason = faults.or(reason)?;
        let held = |scope: &Scope| !LASTING.contains(scope) && actor.rights.has(*scope);
        let expires = self.clock.now() + Duration::from_secs(u64::from(how.minutes) * 60);
        let expires = actor.credential.expires.map_or(expires, |own| own.min(expires));
        let session = match actor.authority {
            Some(Authority::Session(id)) => Some(id),
            _ => None,
        };
        let wanted = Wanted {
            name: format!("as-admin-{}", hex::encode(random::<PREFIX_BYTES>()?)),
            expires: Some(expires),
            tenant: Some(tenant),
            scopes: Grant::These(within_a_tenant().into_iter().filter(held).collect()),
            role: Some(Role::Admin),
            operator: Some(actor.name.clone()),
            session,
            parent: actor.credential.token.clone(),
        };
        let (write, issued) = self.issue(actor, wanted).await?;
        let entry = actor.entry("tenant.impersonate", Some(tenant), &issued.row.name, json!({ "reason": reason }));
        let entry = entry.made(shown::token(&issued.row));
        self.finish(write, entry, issued).await
    }

    /// Ends what the actor does within a tenant in the place of its admins.
    pub async fn end_impersonation(&self, actor: &Actor) -> Result<Done<()>, TenancyError> {
        let none = || TenancyError::NotFound(Kind::Impersonation, actor.name.clone());
        let tenant = actor.rights.only().filter(|_| actor.on_behalf.is_some()).ok_or_else(none)?;
        let name = actor.credential.token.as_deref().ok_or_else(none)?;
        let mut write = self.store.write().await?;
        if !write.delete_token(Some(tenant), name).await? {
            return Err(none());
        }
        let entry = actor.entry("tenant.impersonate-end", Some(tenant), name, json!({}));
        self.finish(write, entry, ()).await
    }
}
