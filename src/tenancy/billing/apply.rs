//! A webhook's words checked, and put onto a tenant. Nothing is read or written here: every fault is found before the first
//! fact is changed, and what is changed is thrown away if a later one cannot be.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::standing::{BillingStatus, Step, step};
use super::{BillingTenant, BillingUpdate, Held, REF_MAX, TOLERANCE};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::model::{Cap, CapName, OwnCap, PlanName, SetBy, Tenant, When};
use crate::tenancy::error::{Fault, Faults, TenancyError};
use crate::tenancy::lifecycle::Event;
use crate::tenancy::{caps, checks, status};

/// A [`BillingUpdate`] whose fields are all in order.
pub(super) struct Checked {
    plan: Option<PlanName>,
    when: Option<When>,
    status: Option<BillingStatus>,
    reason: Option<String>,
    period: Option<(Timestamp, Timestamp)>,
    limits: BTreeMap<CapName, Option<Cap>>,
    billing_ref: Option<String>,
}

pub(super) fn check(update: &BillingUpdate, config: &Config, now: Timestamp) -> Result<Checked, TenancyError> {
    let mut faults = Faults::default();
    if update.occurred_at > now + TOLERANCE {
        // Whatever came after it would be out of order.
        let detail = format!("it is {now} here: this has not happened yet", now = json!(now));
        faults.add("/occurred_at", "out-of-range", detail);
    }
    faults.take(one_tenant(&update.tenant));
    let plan = update.plan.as_ref().and_then(|text| faults.take(checks::plan("/plan", text, &config.catalogue)));
    if update.when.is_some() && update.plan.is_none() {
        faults.add("/when", "contradiction", "there is no plan that could begin then; name a plan");
    }
    let text = status::given(update.reason.as_deref());
    let reason = text.and_then(|text| faults.take(status::reason(text)));
    if reason.is_some() && !matches!(update.status, Some(BillingStatus::Suspended | BillingStatus::Cancelled)) {
        faults.add(
            "/reason",
            "contradiction",
            "it says why a tenant is suspended or cancelled, and this one is neither",
        );
    }
    if let Some((start, end)) = update.period
        && start >= end
    {
        faults.add("/period/end", "out-of-range", "a period ends after it has begun");
    }
    let limits = update.limits.iter();
    let limits = limits.filter_map(|(name, cap)| Some((faults.take(caps::check("/limits", name, *cap))?, *cap)));
    let limits = limits.collect();
    let billing_ref = update.billing_ref.as_ref().and_then(|text| faults.take(reference(text)));
    let BillingUpdate { when, status, period, .. } = *update;
    faults.or(Some(Checked { plan, when, status, reason, period, limits, billing_ref }))
}

/// What a billing system may call a tenant.
pub(in crate::tenancy) fn reference(text: &str) -> Result<String, Fault> {
    checks::text("/billing_ref", text, REF_MAX)
}

fn one_tenant(tenant: &BillingTenant) -> Result<(), Fault> {
    let named = [&tenant.id, &tenant.slug, &tenant.billing_ref].into_iter().flatten().count();
    match named {
        1 => Ok(()),
        0 => Err(Fault::new("/tenant", "required", "name the tenant: {\"id\": …}, {\"slug\": …} or {\"ref\": …}")),
        _ => Err(Fault::new("/tenant", "contradiction", "name the tenant once: by its id, its slug or its ref")),
    }
}

impl Checked {
    pub fn billing_ref(&self) -> Option<&str> {
        self.billing_ref.as_deref()
    }

    pub fn plan(&self) -> Option<&PlanName> {
        self.plan.as_ref()
    }

    pub fn when(&self) -> Option<When> {
        self.when
    }

    /// True where the change of plan that waits does so for another time by that.
    pub fn set_period(&self, tenant: &mut Tenant, now: Timestamp) -> bool {
        self.period.is_some_and(|(start, end)| tenant.subscription.tell_period(start, end, now))
    }

    /// Changes the tenant's facts, its plan and period aside; answers with what is held.
    pub fn onto(self, tenant: &mut Tenant, config: &Config, now: Timestamp) -> Result<Vec<Held>, TenancyError> {
        let mut held = Vec::new();
        if let Some(wanted) = self.status {
            held.extend(stand(tenant, wanted, self.reason, config, now)?);
        }
        for (name, cap) in self.limits {
            match cap {
                Some(cap) => tenant.subscription.caps.0.insert(name, OwnCap { cap, by: SetBy::Billing }),
                None => tenant.subscription.caps.0.remove(&name),
            };
        }
        if let Some(name) = self.billing_ref {
            tenant.subscription.billing_ref = Some(name);
        }
        Ok(held)
    }
}

/// Has the tenant stand as the billing system says, by the rules that hold for operators too.
fn stand(
    tenant: &mut Tenant,
    wanted: BillingStatus,
    reason: Option<String>,
    config: &Config,
    now: Timestamp,
) -> Result<Option<Held>, TenancyError> {
    let (event, by) = match step(tenant, wanted) {
        Step::Nothing => return Ok(None),
        Step::Held => {
            let detail = format!("an operator has it {}; only an operator brings it back", tenant.status);
            return Ok(Some(Held { pointer: "/status".into(), code: "operators-word".into(), detail }));
        }
        Step::Happens(event, by) => (event, by),
    };
    let done = match event {
        Event::Suspend => status::stop(tenant, by, reason, false),
        Event::Cancel => status::end(tenant, by, config, now),
        event => status::bring_back(tenant, by, event).map(drop),
    };
    // Whatever rule it breaks, it is the status that breaks it.
    done.map(|()| None).map_err(|error| match error {
        TenancyError::Transition(refused) => {
            TenancyError::Invalid(vec![Fault::new("/status", "invalid-transition", refused.to_string())])
        }
        TenancyError::Conflict(fault) => TenancyError::Conflict(Fault { pointer: "/status".into(), ..fault }),
        other => other,
    })
}

/// What a webhook can change of a tenant, by the names of the body's members.
pub(super) fn facts(tenant: &Tenant) -> Value {
    let subscription = &tenant.subscription;
    let next = subscription.next.as_ref().map(|next| json!({ "plan": next.plan, "at": next.at }));
    json!({
        "plan": tenant.plan,
        "plan_change": next,
        "status": tenant.status,
        "suspend_reason": tenant.suspend_reason,
        "period": { "start": subscription.period_start, "end": subscription.period_end },
        "limits": subscription.caps,
        "billing_ref": subscription.billing_ref,
    })
}
