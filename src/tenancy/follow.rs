//! What follows from a change of a tenant, in the same transaction: an event where its status is another, certificates
//! wanted again or no more, the grace of domains that its plan does not cover, and when time has to do with it next.

use serde_json::json;

use super::lineage::parents_in;
use super::{Actor, CUSTOM_DOMAIN, Tenancy, TenancyError, agenda, shown};
use crate::clock::Timestamp;
use crate::model::{Status, Tenant, TenantId};
use crate::store::{Event, StoreError, Write};

impl Tenancy {
    /// Completes `tenant`, which was `before`; the caller writes it.
    pub(super) async fn follow(
        &self,
        write: &mut Write,
        before: &Tenant,
        tenant: &mut Tenant,
    ) -> Result<(), TenancyError> {
        if before.status != tenant.status {
            write.event(&status_event(before.status, tenant)).await?;
            self.follow_status(write, before.status, tenant).await?;
        }
        let given = |tenant: &Tenant| {
            (tenant.plan.clone(), tenant.features_on.clone(), tenant.features_off.clone(), tenant.parent)
        };
        if given(before) != given(tenant) {
            self.watch_domains(write, tenant).await?;
        }
        tenant.life.due = agenda::due(tenant, &self.config().tenancy, self.clock.now());
        Ok(())
    }

    /// A look at one of its domains has found that its plan covers them, or does not, and that this is news: the grace
    /// begins, or ends. Whatever it was, it is put right.
    pub async fn domains_looked_at(&self, id: TenantId) -> Result<(), StoreError> {
        let mut write = self.store.write().await?;
        let Some(before) = write.tenant(id).await? else { return Ok(()) };
        let mut tenant = before.clone();
        self.watch_domains(&mut write, &mut tenant).await?;
        if tenant.life.domains_until == before.life.domains_until {
            return Ok(());
        }
        tenant.life.due = agenda::due(&tenant, &self.config().tenancy, self.clock.now());
        write.update_tenant(&tenant).await?;
        let entry = Actor::new("system").entry("tenant.domains", Some(id), &tenant.slug, json!({}));
        write.audit(&entry.changed(shown::tenant(&before), shown::tenant(&tenant))).await?;
        write.commit().await?;
        Ok(())
    }

    /// Begins or ends the grace of its domains.
    async fn watch_domains(&self, write: &mut Write, tenant: &mut Tenant) -> Result<(), StoreError> {
        let parents = parents_in(write, tenant).await?;
        let covered = self.assemble(tenant.clone(), &parents, &self.config())?.effective.features;
        let covered = covered.contains(CUSTOM_DOMAIN);
        let asks = !covered && tenant.life.domains_until.is_none();
        let holds_some = asks && !write.held_domains_of(tenant.id).await?.is_empty();
        let until = self.clock.now() + self.config().tenancy.feature_grace;
        let until = grace(covered, tenant.life.domains_until, holds_some, until);
        if until == tenant.life.domains_until {
            return Ok(());
        }
        tenant.life.domains_until = until;
        let kind = if until.is_some() { "tenant.domains-uncovered" } else { "tenant.domains-covered" };
        let detail = json!({ "feature": CUSTOM_DOMAIN, "until": until });
        write.event(&event(kind, tenant, detail)).await
    }

    /// What is archived is not renewed; what comes back wants its certificates again.
    async fn follow_status(&self, write: &mut Write, before: Status, tenant: &Tenant) -> Result<(), StoreError> {
        let (left, came) = (before == Status::Archived, tenant.status == Status::Archived);
        if left == came {
            return Ok(());
        }
        let now = write.now();
        for domain in write.held_domains_of(tenant.id).await? {
            let name = domain.name.to_string();
            match came {
                true => drop(write.drop_order(&name).await?),
                false => drop(write.want_order(&[name], Some(tenant.id), now).await?),
            }
        }
        Ok(())
    }
}

/// Until when domains are served whose tenant's plan does not cover them; `None`: they are covered, or there are none. A
/// grace that runs is not begun again. `until`: when one that begins now ends.
pub(super) fn grace(
    covered: bool,
    running: Option<Timestamp>,
    holds_some: bool,
    until: Timestamp,
) -> Option<Timestamp> {
    match (covered, running) {
        (true, _) => None,
        (false, Some(running)) => Some(running),
        (false, None) => holds_some.then_some(until),
    }
}

/// `tenant.suspended`, `tenant.active`, …: named by what it has become.
fn status_event(from: Status, tenant: &Tenant) -> Event {
    let detail = json!({ "from": from, "to": tenant.status, "trial_ends": tenant.trial_ends,
        "phase_ends": tenant.life.phase_ends });
    event(&format!("tenant.{}", tenant.status), tenant, detail)
}

/// An event about the tenant itself.
pub(super) fn event(kind: &str, tenant: &Tenant, detail: serde_json::Value) -> Event {
    Event { kind: kind.to_owned(), tenant: Some(tenant.id), subject: tenant.slug.to_string(), detail }
}
