//! Tenants: create, show, list, rename, features.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::billing::{free_ref, reference};
use super::error::{Fault, Faults, Kind, TenancyError};
use super::follow::event;
use super::lineage::{Known, MAX_DEPTH, parents_in};
use super::parent::not_beneath_gone;
use super::{Actor, Done, Expect, Tenancy, agenda, checks, shown};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::model::{Effective, Feature, Hostname, PlanName, Scope, Slug, Status, Tenant, TenantId};
use crate::store::{StoreError, Write};

/// A tenant's own facts, and what holds for it right now.
#[derive(Clone, Debug)]
pub struct TenantState {
    pub tenant: Tenant,
    pub effective: Effective,
    /// `<slug>.<base>`; `None` when the base domain has grown too long for it.
    pub host: Option<Hostname>,
}

/// What a new tenant is to be, as it was asked for.
#[derive(Clone, Debug, Default)]
pub struct NewTenant {
    pub slug: String,
    pub name: String,
    /// `None`: the parent's, or the catalogue's default.
    pub plan: Option<String>,
    /// Id or slug.
    pub parent: Option<String>,
    /// `trial` (the default), `active` or `pending`.
    pub status: Option<Status>,
    /// How long the trial lasts; by default what the configuration says.
    pub trial_days: Option<u32>,
}

/// What is to change of a tenant in place. What is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct TenantChange {
    /// The display name.
    pub name: Option<String>,
    /// What the billing system calls it; `Some(None)`: nothing any more.
    pub billing_ref: Option<Option<String>>,
}

/// A [`NewTenant`] whose fields are all in order.
pub(super) struct Checked {
    pub slug: Slug,
    name: String,
    plan: Option<PlanName>,
    status: Status,
    trial_days: Option<u32>,
}

impl Tenancy {
    pub async fn create(&self, actor: &Actor, new: &NewTenant) -> Result<Done<TenantState>, TenancyError> {
        let checked = check(new, &self.config())?;
        let parent = match &new.parent {
            Some(key) => Some(self.find(key).await.map_err(|error| no_parent(error, key))?.id),
            None => None,
        };
        let now = self.clock.now();
        let mut write = self.store.write().await?;
        let tenant = Tenant { revision: write.revision(), ..checked.made(parent, now, &self.config()) };
        let above = parents_in(&mut write, &tenant).await?;
        if above.len() >= MAX_DEPTH {
            return Err(too_deep());
        }
        not_beneath_gone(&above).map_err(|fault| TenancyError::Invalid(vec![fault]))?;
        match write.insert_tenant(&tenant).await {
            Err(StoreError::Conflict(_)) => {
                let detail = format!("the slug {:?} is taken, or was once and is retired", tenant.slug.as_str());
                return Err(TenancyError::conflict("/slug", "slug-taken", detail));
            }
            other => other?,
        }
        let detail = json!({
            "name": tenant.name, "plan": tenant.plan, "parent": tenant.parent, "status": tenant.status,
            "trial_ends": tenant.trial_ends,
        });
        write.event(&event("tenant.created", &tenant, detail)).await?;
        let entry = actor.entry("tenant.create", Some(tenant.id), &tenant.slug, json!({}));
        let entry = entry.made(shown::tenant(&tenant));
        let state = self.state_in(&mut write, tenant).await?;
        self.finish(write, entry, state).await
    }

    /// By id or slug.
    pub async fn show(&self, key: &str) -> Result<TenantState, TenancyError> {
        let tenant = self.find(key).await?;
        self.state_of(tenant, &mut Known::default()).await
    }

    /// Changes the display name, or what the billing system calls it, which is an operator's to say. The slug never changes.
    pub async fn amend(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
        change: &TenantChange,
    ) -> Result<Done<TenantState>, TenancyError> {
        let mut faults = Faults::default();
        let name = change.name.as_deref().and_then(|name| faults.take(checks::name("/name", name)));
        let text = change.billing_ref.as_ref().and_then(Option::as_deref);
        let billing_ref = text.and_then(|text| faults.take(reference(text)));
        if change.name.is_none() && change.billing_ref.is_none() {
            faults.add("/name", "required", "there is nothing to change; name what is to be another");
        }
        faults.or(Some(()))?;
        if change.billing_ref.is_some() && actor.rights.only().is_some() {
            return Err(TenancyError::Forbidden(vec![Scope::TenantsManage]));
        }
        let (mut write, before) = self.open(key, expect).await?;
        let mut tenant = before.clone();
        if let Some(name) = &billing_ref {
            free_ref(&mut write, before.id, name).await?;
        }
        if change.billing_ref.is_some() {
            tenant.subscription.billing_ref = billing_ref;
        }
        tenant.name = name.unwrap_or(tenant.name);
        let tenant = self.put(&mut write, &before, tenant).await?;
        let action = if change.billing_ref.is_none() { "tenant.rename" } else { "tenant.change" };
        let entry = actor.entry(action, Some(tenant.id), &tenant.slug, json!({}));
        let entry = entry.changed(shown::tenant(&before), shown::tenant(&tenant));
        let state = self.state_in(&mut write, tenant).await?;
        self.finish(write, entry, state).await
    }

    /// Replaces the features that are switched on and off beyond what the plan says.
    pub async fn set_features(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
        on: &[String],
        off: &[String],
    ) -> Result<Done<TenantState>, TenancyError> {
        let held = self.find(key).await?;
        let mut faults = Faults::default();
        let sets = checks::features([("/on", on), ("/off", off)], &held, &self.config().catalogue, &mut faults);
        let (on, off): (BTreeSet<Feature>, BTreeSet<Feature>) = faults.or(Some(sets))?;
        self.change(actor, key, expect, "tenant.features", |tenant| {
            (tenant.features_on, tenant.features_off) = (on, off);
            Ok(json!({}))
        })
        .await
    }

    /// Reads the row inside the transaction, lets `edit` change it, and writes it. The ledger says what it was before and
    /// after, and beside that what `edit` answers.
    pub(super) async fn change(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
        action: &str,
        edit: impl FnOnce(&mut Tenant) -> Result<Value, TenancyError> + Send,
    ) -> Result<Done<TenantState>, TenancyError> {
        let (mut write, before) = self.open(key, expect).await?;
        let mut tenant = before.clone();
        let detail = edit(&mut tenant)?;
        let tenant = self.put(&mut write, &before, tenant).await?;
        let entry = actor.entry(action, Some(tenant.id), &tenant.slug, detail);
        let entry = entry.changed(shown::tenant(&before), shown::tenant(&tenant));
        let state = self.state_in(&mut write, tenant).await?;
        self.finish(write, entry, state).await
    }

    /// Begins a change: the transaction, and the row as it is while nobody else can write.
    pub(super) async fn open(&self, key: &str, expect: &Expect) -> Result<(Write, Tenant), TenancyError> {
        let id = self.find(key).await?.id;
        let mut write = self.store.write().await?;
        let tenant = current(&mut write, id, key).await?;
        expect.check(tenant.revision)?;
        Ok((write, tenant))
    }

    /// Writes a changed row, with what follows from the change.
    pub(super) async fn put(
        &self,
        write: &mut Write,
        before: &Tenant,
        mut tenant: Tenant,
    ) -> Result<Tenant, TenancyError> {
        tenant.updated = self.clock.now();
        tenant.revision = write.revision();
        self.follow(write, before, &mut tenant).await?;
        write.update_tenant(&tenant).await?;
        Ok(tenant)
    }
}

impl Checked {
    pub fn made(self, parent: Option<TenantId>, now: Timestamp, config: &Config) -> Tenant {
        let mut tenant = Tenant {
            name: self.name,
            status: self.status,
            plan: self.plan,
            parent,
            trial_ends: self.trial_days.map(|days| now + days_long(days)),
            ..Tenant::new(self.slug, now)
        };
        tenant.life.due = agenda::due(&tenant, &config.tenancy, now);
        tenant
    }
}

impl Expect {
    pub(super) fn check(&self, current: i64) -> Result<(), TenancyError> {
        match self {
            Self::Revision(wanted) if !wanted.contains(&current) => Err(TenancyError::Stale { current }),
            _ => Ok(()),
        }
    }
}

/// The row as it is while nobody else can write.
pub(super) async fn current(write: &mut Write, id: TenantId, key: &str) -> Result<Tenant, TenancyError> {
    write.tenant(id).await?.ok_or_else(|| TenancyError::NotFound(Kind::Tenant, key.to_owned()))
}

pub(super) fn days_long(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 86_400)
}

pub(super) fn check(new: &NewTenant, config: &Config) -> Result<Checked, TenancyError> {
    let mut faults = Faults::default();
    let slug = faults.take(checks::slug("/slug", &new.slug, &config.brand));
    let name = faults.take(checks::name("/name", &new.name));
    let plan = match &new.plan {
        Some(text) => faults.take(checks::plan("/plan", text, &config.catalogue)),
        None => None,
    };
    let status = new.status.unwrap_or(Status::Trial);
    if !matches!(status, Status::Trial | Status::Active | Status::Pending) {
        faults.add("/status", "invalid-status", format!("a new tenant is trial, active or pending, not {status}"));
    }
    let trial_days = match (status, new.trial_days) {
        (Status::Trial, Some(days)) => faults.take(checks::days("/trial_days", days)),
        (Status::Trial, None) => Some(config.tenancy.trial_days),
        (_, Some(_)) => {
            faults.add("/trial_days", "contradiction", format!("a tenant that starts as {status} has no trial"));
            None
        }
        (_, None) => None,
    };
    let checked = slug.zip(name).map(|(slug, name)| Checked { slug, name, plan, status, trial_days });
    faults.or(checked)
}

pub(super) fn too_deep() -> TenancyError {
    let detail = format!("a tenant has at most {} generations above it", MAX_DEPTH - 1);
    TenancyError::Invalid(vec![Fault::new("/parent", "too-deep", detail)])
}

pub(super) fn no_parent(error: TenancyError, key: &str) -> TenancyError {
    match error {
        TenancyError::NotFound(..) => {
            let detail = format!("there is no tenant {key:?} that could be the parent");
            TenancyError::Invalid(vec![Fault::new("/parent", "unknown-tenant", detail)])
        }
        other => other,
    }
}
