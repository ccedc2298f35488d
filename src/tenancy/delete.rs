//! The end of a tenant: everything that is its alone goes, its slug is retired for ever, and its lines in the audit ledger
//! stay. Nothing of it can be brought back. Its certificates are not revoked: their keys are destroyed with them, and an
//! authority is not asked for something that nobody can misuse any more.

use serde_json::json;

use super::erasure::{erase_in, settle};
use super::error::{Fault, TenancyError};
use super::status::not_the_operators;
use super::tenants::current;
use super::{Actor, Done, Expect, Tenancy, shown};
use crate::config::Config;
use crate::model::{Slug, Tenant, TenantId};
use crate::store::{AuditEntry, Event, Removed, Write};

/// The most descendants that one deletion takes along.
const MOST_BENEATH: u32 = 1_000;

/// What is to be deleted, and that it is meant.
#[derive(Clone, Debug, Default)]
pub struct Deletion {
    /// The tenant's slug, typed back.
    pub slug: String,
    /// Its descendants go with it. Otherwise one that has children stays.
    pub with_children: bool,
}

/// What is gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deleted {
    pub id: TenantId,
    pub slug: Slug,
    /// How many rows of each kind, descendants' included.
    pub removed: Removed,
}

impl Tenancy {
    /// Deletes a tenant at once, whatever its status.
    pub async fn delete(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
        deletion: &Deletion,
    ) -> Result<Done<Deleted>, TenancyError> {
        let config = self.config();
        let id = self.find(key).await?.id;
        let mut write = self.store.write().await?;
        let tenant = current(&mut write, id, key).await?;
        expect.check(tenant.revision)?;
        if deletion.slug != tenant.slug.as_str() {
            let detail = format!("to delete this tenant for ever, type its slug: {}", tenant.slug);
            return Err(TenancyError::Invalid(vec![Fault::new("/slug", "slug-mismatch", detail)]));
        }
        not_the_operators(&tenant, &config, "be deleted")?;
        let beneath = write.beneath(id, MOST_BENEATH + 1).await?;
        check_beneath(&tenant, beneath.len(), deletion.with_children)?;
        let mut removed = Removed::default();
        for descendant in beneath {
            let child = current(&mut write, descendant, key).await?;
            not_the_operators(&child, &config, "be deleted, and it stands beneath this one")?;
            let (gone, entry) = remove(&mut write, actor, &child, &config).await?;
            write.audit(&entry).await?;
            removed = removed.and(&gone);
        }
        let (gone, entry) = remove(&mut write, actor, &tenant, &config).await?;
        let removed = removed.and(&gone);
        self.finish(write, entry, Deleted { id, slug: tenant.slug, removed }).await
    }
}

/// Removes one tenant, which has no children; what is left is the line of the ledger that tells of it.
pub(super) async fn remove(
    write: &mut Write,
    actor: &Actor,
    tenant: &Tenant,
    config: &Config,
) -> Result<(Removed, AuditEntry), TenancyError> {
    let held = write.held_domains_of(tenant.id).await?;
    let leaving = write.to_be_erased_in(tenant.id).await?;
    let mut removed = write.delete_tenant(tenant.id).await?;
    let mut erased = 0;
    for person in leaving {
        // Whoever was promised to be erased is: now, or when the last tenant that has them has them no more.
        write.set_to_be_erased(person).await?;
        if settle(write, person).await?.person {
            erased += 1;
        } else {
            // What this tenant's chain says of them goes all the same: it stays, and nobody is there any more to ask.
            erase_in(write, person, tenant.id).await?;
        }
    }
    removed.add("people", erased);
    let until = write.now() + config.domains.cooldown;
    for domain in held {
        // As when it is given up: the next one who wants it has to wait a little.
        write.set_cooldown(&domain.name, tenant.id, until).await?;
    }
    let detail = json!({ "status": tenant.status, "removed": removed.0 });
    let (kind, subject) = ("tenant.deleted".to_owned(), tenant.slug.to_string());
    write.event(&Event { kind, tenant: Some(tenant.id), subject, detail: detail.clone() }).await?;
    let entry = actor.entry("tenant.delete", Some(tenant.id), &tenant.slug, detail);
    Ok((removed, entry.gone(shown::tenant(tenant))))
}

fn check_beneath(tenant: &Tenant, beneath: usize, with_children: bool) -> Result<(), TenancyError> {
    let slug = &tenant.slug;
    if beneath > 0 && !with_children {
        let detail = format!("{slug} has child tenants; move or delete them first, or say that they go with it");
        return Err(TenancyError::conflict("/children", "has-children", detail));
    }
    if beneath > MOST_BENEATH as usize {
        let detail = format!("{slug} has more than {MOST_BENEATH} descendants; delete some of them first");
        return Err(TenancyError::conflict("/children", "too-many-children", detail));
    }
    Ok(())
}
