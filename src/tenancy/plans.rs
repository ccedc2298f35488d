//! A tenant's plan changes: an upgrade at once, a downgrade at the end of the billing period, either when an operator says
//! otherwise. One change can wait at a time, and another one takes its place.
//!
//! What waits belongs to the tenant's row: it is in every backup and export, a suspension leaves it alone, a deletion takes
//! it along. While the tenant is cancelled or archived it rests; one whose time has passed meanwhile is made up for when the
//! tenant is restored. One to a plan that the catalogue no longer has stays, and is tried again, until somebody does
//! something about it, and so does one to the plan of a parent that has gone: nobody loses the plan that they have by that.

use serde_json::{Value, json};
use tracing::warn;

use super::error::{Fault, Faults, Kind, TenancyError};
use super::follow::event;
use super::lineage::parents_in;
use super::{Actor, Done, Expect, Tenancy, TenantState, checks, shown};
use crate::clock::Timestamp;
use crate::model::{Catalogue, Direction, PlanChange, PlanName, Tenant, When};
use crate::store::{StoreError, Write};

/// A change of plan as it is asked for.
#[derive(Clone, Debug, Default)]
pub struct PlanOrder {
    /// `None`: the parent's.
    pub plan: Option<String>,
    /// `None`: an upgrade at once, a downgrade at the end of the billing period.
    pub when: Option<When>,
}

impl PlanOrder {
    /// A plan of its own, at once, whatever it is.
    pub fn at_once(plan: impl Into<String>) -> Self {
        Self { plan: Some(plan.into()), when: Some(When::Now) }
    }
}

/// When a change of plan takes effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Timing {
    /// It is the plan that the tenant has of its own: nothing changes, and nothing waits any more.
    Held,
    Now,
    At(Timestamp),
}

/// Why a change that waits cannot be made as things are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stuck {
    /// The catalogue has no such plan.
    NoSuchPlan,
    /// It was to have its parent's plan, and has no parent any more.
    NoParent,
}

/// What the ledger says of a change of plan.
pub(super) struct Planned {
    pub action: &'static str,
    pub detail: Value,
}

impl Stuck {
    /// What keeps the change of this tenant that waits, if anything does.
    pub(super) fn of(tenant: &Tenant, catalogue: &Catalogue) -> Option<Self> {
        match &tenant.subscription.next.as_ref()?.plan {
            Some(plan) => catalogue.plan(plan).is_none().then_some(Self::NoSuchPlan),
            None => tenant.parent.is_none().then_some(Self::NoParent),
        }
    }

    /// Stable, for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoSuchPlan => "plan-not-in-catalogue",
            Self::NoParent => "no-parent",
        }
    }

    /// For people.
    pub fn why(self) -> &'static str {
        match self {
            Self::NoSuchPlan => "the catalogue has no such plan",
            Self::NoParent => "there is no parent any more whose plan it could have",
        }
    }
}

impl Tenancy {
    /// Changes the tenant's own plan, or sets down that it is to change. `None` gives it its parent's, so only a child can
    /// have none of its own. What waited before is dropped.
    pub async fn set_plan(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
        order: &PlanOrder,
    ) -> Result<Done<TenantState>, TenancyError> {
        let mut faults = Faults::default();
        let plan = match &order.plan {
            Some(text) => faults.take(checks::plan("/plan", text, &self.config().catalogue)).map(Some),
            None => Some(None),
        };
        let plan = faults.or(plan)?;
        let (mut write, before) = self.open(key, expect).await?;
        let mut tenant = before.clone();
        let planned = self.change_plan(&mut write, &mut tenant, plan, order.when).await?;
        let tenant = self.put(&mut write, &before, tenant).await?;
        let entry = actor.entry(planned.action, Some(tenant.id), &tenant.slug, planned.detail);
        let entry = entry.changed(shown::tenant(&before), shown::tenant(&tenant));
        let state = self.state_in(&mut write, tenant).await?;
        self.finish(write, entry, state).await
    }

    /// Drops the change of plan that waits.
    pub async fn drop_plan_change(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
    ) -> Result<Done<TenantState>, TenancyError> {
        let (mut write, before) = self.open(key, expect).await?;
        let mut tenant = before.clone();
        let dropped = tenant.subscription.next.take();
        let dropped = dropped.ok_or_else(|| TenancyError::NotFound(Kind::PlanChange, key.to_owned()))?;
        let planned = unscheduled(&mut write, &tenant, &dropped).await?;
        let tenant = self.put(&mut write, &before, tenant).await?;
        let entry = actor.entry(planned.action, Some(tenant.id), &tenant.slug, planned.detail);
        let entry = entry.changed(shown::tenant(&before), shown::tenant(&tenant));
        let state = self.state_in(&mut write, tenant).await?;
        self.finish(write, entry, state).await
    }

    /// Changes `tenant`, with the events that tell of it; the caller writes it by [`Tenancy::put`], and the line of the
    /// ledger. `plan` must be in the catalogue.
    pub(super) async fn change_plan(
        &self,
        write: &mut Write,
        tenant: &mut Tenant,
        plan: Option<PlanName>,
        when: Option<When>,
    ) -> Result<Planned, TenancyError> {
        require_something_to_inherit(tenant, plan.as_ref())?;
        let parents = parents_in(write, tenant).await?;
        let timing = timing(tenant, &parents, plan.as_ref(), when, &self.config().catalogue, self.clock.now());
        let (from, dropped) = (tenant.plan.clone(), tenant.subscription.next.take());
        let mut detail = json!({ "from": from, "to": plan });
        match (timing, dropped) {
            (Timing::Held, Some(dropped)) => unscheduled(write, tenant, &dropped).await,
            (Timing::Held, None) => Ok(Planned { action: "tenant.plan", detail }),
            (Timing::Now, _) => {
                tenant.plan = plan;
                write.event(&event("tenant.plan-changed", tenant, detail.clone())).await?;
                Ok(Planned { action: "tenant.plan", detail })
            }
            (Timing::At(at), _) => {
                tenant.subscription.next = Some(PlanChange { plan, at });
                detail["at"] = json!(at);
                tell_scheduled(write, tenant).await?;
                Ok(Planned { action: "tenant.plan-schedule", detail })
            }
        }
    }

    /// Does what has waited, now that its time has come. False where it has to wait for longer, because it cannot be made as
    /// things are: `first`, where nobody has been told of that yet.
    pub(super) async fn plan_due(
        &self,
        write: &mut Write,
        tenant: &mut Tenant,
        first: bool,
    ) -> Result<bool, TenancyError> {
        let Some(PlanChange { plan, at }) = tenant.subscription.next.clone() else { return Ok(true) };
        if let Some(stuck) = Stuck::of(tenant, &self.config().catalogue) {
            warn!(tenant.slug = %tenant.slug, why = stuck.code(), "tenant.plan_waits");
            if first {
                let why = format!("{}; set another plan, or drop the change", stuck.why());
                write.event(&event("tenant.plan-waits", tenant, json!({ "to": plan, "at": at, "why": why }))).await?;
            }
            return Ok(false);
        }
        let before = tenant.clone();
        tenant.plan = plan;
        tenant.subscription.next = None;
        let detail = json!({ "from": before.plan, "to": tenant.plan, "at": at });
        write.event(&event("tenant.plan-changed", tenant, detail.clone())).await?;
        self.follow(write, &before, tenant).await?;
        let entry = Actor::new("system").entry("tenant.plan", Some(tenant.id), &tenant.slug, detail);
        write.audit(&entry.changed(shown::tenant(&before), shown::tenant(tenant))).await?;
        Ok(true)
    }
}

/// When a change takes effect. `parents`: nearest first.
pub(super) fn timing(
    tenant: &Tenant,
    parents: &[Tenant],
    plan: Option<&PlanName>,
    when: Option<When>,
    catalogue: &Catalogue,
    now: Timestamp,
) -> Timing {
    if tenant.plan.as_ref() == plan {
        return Timing::Held;
    }
    let inherited = parents.iter().find_map(|parent| parent.plan.as_ref()).unwrap_or(&catalogue.default_plan);
    let holds = |own: Option<&'_ PlanName>| own.unwrap_or(inherited).clone();
    let at_once = match when {
        Some(when) => when == When::Now,
        None => catalogue.direction(&holds(tenant.plan.as_ref()), &holds(plan)) != Direction::Downgrade,
    };
    if at_once { Timing::Now } else { Timing::At(tenant.subscription.period_ends(now)) }
}

/// A plan of its own, or a parent's.
pub(super) fn require_something_to_inherit(tenant: &Tenant, plan: Option<&PlanName>) -> Result<(), TenancyError> {
    if plan.is_some() || tenant.parent.is_some() {
        return Ok(());
    }
    let detail = "this tenant has no parent whose plan it could inherit; name a plan";
    Err(TenancyError::Invalid(vec![Fault::new("/plan", "required", detail)]))
}

/// Tells what a tenant's plan is to become, and when.
pub(super) async fn tell_scheduled(write: &mut Write, tenant: &Tenant) -> Result<(), StoreError> {
    let Some(next) = &tenant.subscription.next else { return Ok(()) };
    let detail = json!({ "from": tenant.plan, "to": next.plan, "at": next.at });
    write.event(&event("tenant.plan-scheduled", tenant, detail)).await
}

async fn unscheduled(write: &mut Write, tenant: &Tenant, dropped: &PlanChange) -> Result<Planned, TenancyError> {
    let detail = json!({ "plan": tenant.plan, "dropped": { "plan": dropped.plan, "at": dropped.at } });
    write.event(&event("tenant.plan-unscheduled", tenant, detail.clone())).await?;
    Ok(Planned { action: "tenant.plan-unschedule", detail })
}
