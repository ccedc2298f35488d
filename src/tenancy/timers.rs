//! What time does to tenants, carried out: notices, archiving, purging. One node at a time has the lease; each tenant is
//! read again in a transaction of its own, so that whoever lost the lease does nothing twice.

use std::time::Duration;

use serde_json::json;
use tracing::{info, warn};

use super::agenda::{self, Occasion};
use super::delete::remove;
use super::follow::event;
use super::lifecycle::{self, Event, can_be_purged};
use super::{Actor, Tenancy, TenancyError, shown};
use crate::model::{Life, Tenant, TenantId};
use crate::store::{StoreError, Write};

const LEASE: &str = "tenant-life";
/// How long the lease lasts that is not renewed.
const LEASED: Duration = Duration::from_secs(30);
/// How often it looks whether something is due; a clock may have been moved.
const LOOK: Duration = Duration::from_secs(1);
/// Tenants that are read at once.
const BATCH: u32 = 100;
/// A tenant that could not be purged, because others stand beneath it, is looked at again after so long.
const AGAIN: Duration = Duration::from_secs(86_400);

impl Tenancy {
    /// Does what time brings, until the task is dropped. `owner`: this process, as leases name it.
    pub async fn keep_time(self, owner: String) {
        loop {
            match self.pass_time(&owner).await {
                Ok(0) => tokio::time::sleep(LOOK).await,
                Ok(_) => {}
                Err(error) => {
                    warn!(%error, "tenants.timers_not_read: trying again");
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    /// Sees to the tenants that are due now; how many it has seen to. None while another node has the lease.
    pub async fn pass_time(&self, owner: &str) -> Result<usize, StoreError> {
        let due = self.store.due_tenants(self.clock.now(), BATCH).await?;
        if due.is_empty() || !self.take_turn(owner).await? {
            return Ok(0);
        }
        let mut seen_to = 0;
        for id in due {
            match self.see_to(id).await {
                Ok(()) => seen_to += 1,
                Err(error) => warn!(%error, tenant.id = %id, "tenant.time_stands_still: trying again"),
            }
        }
        Ok(seen_to)
    }

    async fn take_turn(&self, owner: &str) -> Result<bool, StoreError> {
        let mut aside = self.store.aside().await?;
        let ours = aside.take_lease(LEASE, owner, self.clock.now() + LEASED).await?;
        aside.commit().await?;
        Ok(ours)
    }

    /// One tenant: everything that has come since it was due, in one transaction.
    async fn see_to(&self, id: TenantId) -> Result<(), TenancyError> {
        let (config, now) = (self.config(), self.clock.now());
        let mut write = self.store.write().await?;
        let Some(mut tenant) = write.tenant(id).await? else { return Ok(()) };
        if tenant.life.due.is_none_or(|due| due > now) {
            return Ok(());
        }
        let before = tenant.clone();
        tenant.life.due = None;
        let mut replan = None;
        for occasion in agenda::at_hand(&before, &config.tenancy, now) {
            info!(tenant.slug = %tenant.slug, occasion = occasion.event(), "tenant.time");
            match occasion {
                Occasion::Archive => self.archive(&mut write, &mut tenant).await?,
                Occasion::Purge if tenant.life.phase_ends.is_some_and(|end| end > now) => {}
                Occasion::Purge if self.purge(&mut write, &tenant).await? => {
                    write.commit().await?;
                    return Ok(());
                }
                Occasion::Purge => tenant.life.due = Some(now + AGAIN),
                Occasion::PurgeNear => {
                    // Nobody may have worked for a while: the warning comes before the end all the same.
                    let least = now + agenda::PURGE_NOTICE;
                    tenant.life.phase_ends = tenant.life.phase_ends.map(|end| end.max(least));
                    tell(&mut write, &tenant, occasion).await?;
                }
                Occasion::PlanChange => {
                    // Tried before, it would not have been due until later.
                    let at = before.subscription.next.as_ref().map(|next| next.at);
                    let first = before.life.due <= at;
                    let done = self.plan_due(&mut write, &mut tenant, first).await?;
                    replan = (!done).then_some(now + agenda::REPLAN);
                    tenant.life.due = None;
                }
                Occasion::DomainsEnding | Occasion::DomainsEnded if tenant.life.domains_until.is_none() => {}
                notice => tell(&mut write, &tenant, notice).await?,
            }
        }
        if tenant.life.due.is_none() {
            let next = agenda::next_due(&tenant, &config.tenancy, now);
            tenant.life.due = [next, replan].into_iter().flatten().min();
        } else {
            // A purge that waits comes up again, whatever else does.
            tenant.life.phase_ends = tenant.life.due;
        }
        let next = Tenant { life: Life { due: tenant.life.due, ..before.life }, ..before };
        match next == tenant {
            // Somebody was told, and that is all: whoever has read the tenant has read it as it is.
            true => write.set_due(tenant.id, tenant.life.due).await?,
            false => write.update_tenant(&tenant).await?,
        }
        write.commit().await?;
        Ok(())
    }

    async fn archive(&self, write: &mut Write, tenant: &mut Tenant) -> Result<(), TenancyError> {
        let (before, now) = (tenant.clone(), self.clock.now());
        tenant.status = lifecycle::next(tenant.status, Event::Archive)?;
        tenant.life.archived = Some(now);
        // From now on, not from when it should have been: it can be restored for all of that time.
        tenant.life.phase_ends = Some(now + self.config().tenancy.archived_for);
        self.follow(write, &before, tenant).await?;
        tenant.life.due = None;
        let entry = Actor::new("system").entry("tenant.archive", Some(tenant.id), &tenant.slug, json!({}));
        let entry = entry.changed(shown::tenant(&before), shown::tenant(tenant));
        Ok(write.audit(&entry).await?)
    }

    /// False where it has to wait: nobody is purged because of somebody else.
    async fn purge(&self, write: &mut Write, tenant: &Tenant) -> Result<bool, TenancyError> {
        if !can_be_purged(tenant.status) {
            return Ok(false);
        }
        if !write.beneath(tenant.id, 1).await?.is_empty() {
            let detail = json!({ "why": "it has child tenants; move or delete them" });
            write.event(&event("tenant.purge-waits", tenant, detail)).await?;
            return Ok(false);
        }
        let (_, entry) = remove(write, &Actor::new("system"), tenant, &self.config()).await?;
        write.audit(&entry).await?;
        Ok(true)
    }
}

/// An event, and where it changes what visitors see a line in the ledger.
async fn tell(write: &mut Write, tenant: &Tenant, occasion: Occasion) -> Result<(), StoreError> {
    let detail = match occasion {
        Occasion::TrialEnding | Occasion::TrialEnded => json!({ "trial_ends": tenant.trial_ends }),
        Occasion::DomainsEnding | Occasion::DomainsEnded => json!({ "until": tenant.life.domains_until }),
        Occasion::PurgeNear | Occasion::Archive | Occasion::Purge => json!({ "purged_at": tenant.life.phase_ends }),
        Occasion::PlanChange => json!({ "to": tenant.plan }),
    };
    write.event(&event(occasion.event(), tenant, detail.clone())).await?;
    if matches!(occasion, Occasion::TrialEnded | Occasion::DomainsEnded) {
        let entry = Actor::new("system").entry(occasion.event(), Some(tenant.id), &tenant.slug, detail);
        write.audit(&entry).await?;
    }
    Ok(())
}
