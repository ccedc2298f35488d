//! What an operator does to a tenant's status: suspend, activate, extend the trial, cancel, restore.

use serde_json::json;

use super::error::{Fault, Faults, TenancyError};
use super::lifecycle::{Event, next};
use super::tenants::days_long;
use super::{Actor, Done, Expect, Tenancy, TenantState, checks};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::model::{Life, SetBy, Status, Tenant};

/// Why a tenant is suspended, and who may know.
#[derive(Clone, Debug, Default)]
pub struct Suspension {
    pub reason: Option<String>,
    /// Visitors see the reason.
    pub public: bool,
}

impl Tenancy {
    /// Stops serving a tenant and all its children. Suspending it again replaces the reason.
    pub async fn suspend(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
        suspension: &Suspension,
    ) -> Result<Done<TenantState>, TenancyError> {
        let (reason, public) = (check_reason(suspension)?, suspension.public);
        self.change(actor, key, expect, "tenant.suspend", |tenant| {
            let from = tenant.status;
            stop(tenant, SetBy::Operator, reason, public)?;
            Ok(json!({ "from": from, "reason": tenant.suspend_reason, "public": public }))
        })
        .await
    }

    /// Makes a pending or trial tenant active, or lifts a suspension: a trial that was suspended and is not over goes
    /// on as a trial, everything else is active.
    pub async fn activate(&self, actor: &Actor, key: &str, expect: &Expect) -> Result<Done<TenantState>, TenancyError> {
        let now = self.clock.now();
        self.change(actor, key, expect, "tenant.activate", |tenant| {
            let goes_on = tenant.status == Status::Suspended && tenant.trial_ends.is_some_and(|end| end > now);
            bring_back(tenant, SetBy::Operator, if goes_on { Event::ResumeTrial } else { Event::Activate })
        })
        .await
    }

    /// Adds days to a trial: to its end, or to now when that has passed.
    pub async fn extend_trial(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
        days: u32,
    ) -> Result<Done<TenantState>, TenancyError> {
        let days = checks::days("/days", days).map_err(|fault| TenancyError::Invalid(vec![fault]))?;
        let now = self.clock.now();
        self.change(actor, key, expect, "tenant.extend-trial", |tenant| {
            tenant.status = next(tenant.status, Event::ExtendTrial)?;
            let was = tenant.trial_ends;
            let ends: Timestamp = was.unwrap_or(now).max(now) + days_long(days);
            tenant.trial_ends = Some(ends);
            Ok(json!({ "days": days, "from": was, "to": ends }))
        })
        .await
    }

    /// Ends the contract; nothing is deleted until it has been kept, archived and kept again for as long as configured.
    /// Cancelling it again changes nothing of that.
    pub async fn cancel(&self, actor: &Actor, key: &str, expect: &Expect) -> Result<Done<TenantState>, TenancyError> {
        let (config, now) = (self.config(), self.clock.now());
        self.change(actor, key, expect, "tenant.cancel", |tenant| {
            let from = tenant.status;
            end(tenant, SetBy::Operator, &config, now)?;
            Ok(json!({ "from": from, "archived_at": tenant.life.phase_ends }))
        })
        .await
    }

    /// Brings a cancelled or archived tenant back as what it was: a suspended one is still suspended, for the same reason,
    /// a trial goes on, over or not.
    pub async fn restore(&self, actor: &Actor, key: &str, expect: &Expect) -> Result<Done<TenantState>, TenancyError> {
        self.change(actor, key, expect, "tenant.restore", |tenant| {
            let gone = matches!(tenant.status, Status::Cancelled | Status::Archived);
            let event = match tenant.life.before.filter(|_| gone) {
                Some(Status::Suspended) => Event::RestoreSuspended,
                Some(Status::Pending) => Event::RestorePending,
                Some(Status::Trial) => Event::ResumeTrial,
                // Cancelled before it was written down what it was.
                None if gone && tenant.trial_ends.is_some() => Event::ResumeTrial,
                Some(Status::Active | Status::Cancelled | Status::Archived) | None => Event::Restore,
            };
            bring_back(tenant, SetBy::Operator, event)
        })
        .await
    }
}

/// Suspends it, or replaces the reason.
pub(super) fn stop(tenant: &mut Tenant, by: SetBy, reason: Option<String>, public: bool) -> Result<(), TenancyError> {
    tenant.status = next(tenant.status, Event::Suspend)?;
    tenant.subscription.status_by = by;
    (tenant.suspend_reason, tenant.reason_public) = (reason, public);
    Ok(())
}

/// Cancels it.
pub(super) fn end(tenant: &mut Tenant, by: SetBy, config: &Config, now: Timestamp) -> Result<(), TenancyError> {
    not_the_operators(tenant, config, "be cancelled")?;
    let from = tenant.status;
    tenant.status = next(from, Event::Cancel)?;
    tenant.subscription.status_by = by;
    if from != tenant.status {
        tenant.life.before = Some(from);
        tenant.life.cancelled = Some(now);
        tenant.life.phase_ends = Some(now + config.tenancy.cancelled_for);
    }
    Ok(())
}

/// Has it served again.
pub(super) fn bring_back(tenant: &mut Tenant, by: SetBy, event: Event) -> Result<serde_json::Value, TenancyError> {
    let from = tenant.status;
    tenant.status = next(from, event)?;
    tenant.subscription.status_by = by;
    if tenant.status != Status::Suspended {
        tenant.suspend_reason = None;
        tenant.reason_public = false;
    }
    if tenant.status == Status::Active {
        tenant.trial_ends = None;
    }
    tenant.life = Life { cancelled: None, archived: None, before: None, phase_ends: None, ..tenant.life };
    Ok(json!({ "from": from, "to": tenant.status }))
}

/// Whoever looks after all others must be there.
pub(super) fn not_the_operators(tenant: &Tenant, config: &Config, what: &str) -> Result<(), TenancyError> {
    if config.tenancy.operator.as_ref() != Some(&tenant.slug) {
        return Ok(());
    }
    let detail = format!("{} is the operator's own tenant ([tenancy] operator); it cannot {what}", tenant.slug);
    Err(TenancyError::conflict("", "operator-tenant", detail))
}

fn check_reason(suspension: &Suspension) -> Result<Option<String>, TenancyError> {
    let mut faults = Faults::default();
    let text = given(suspension.reason.as_deref());
    let reason = text.and_then(|text| faults.take(reason(text)));
    if suspension.public && text.is_none() {
        let fault = Fault::new("/public", "contradiction", "there is no reason that could be shown; give a reason");
        faults.take::<()>(Err(fault));
    }
    faults.or(Some(reason))
}

/// A reason that says something.
pub(super) fn given(reason: Option<&str>) -> Option<&str> {
    reason.map(str::trim).filter(|text| !text.is_empty())
}

pub(super) fn reason(text: &str) -> Result<String, Fault> {
    checks::line("/reason", text, checks::REASON_MAX)
}
