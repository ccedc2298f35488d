//! The plan that holds for a tenant: whose word it is, what waits, when the billing period ends, and how much of each cap is
//! used. Reads only.
//!
//! Being over a cap takes nothing away: what there is stays, and one more is refused.

use super::error::TenancyError;
use super::lineage::Known;
use super::plans::Stuck;
use super::{Tenancy, TenantState};
use crate::clock::Timestamp;
use crate::model::{Cap, CapName, Effective, Origin, Plan, PlanChange, Slug, Source};

/// What there is to say about a tenant's plan.
#[derive(Clone, Debug)]
pub struct PlanState {
    pub state: TenantState,
    /// What the plan gives; `None`: the catalogue has it no more, and it gives nothing.
    pub plan: Option<Plan>,
    pub from: Source,
    /// With [`Source::Parent`]: whose word it is.
    pub from_tenant: Option<Slug>,
    pub change: Option<PlanChange>,
    /// Why the change cannot be made as things are.
    pub stuck: Option<Stuck>,
    /// When the billing period under way ends.
    pub period_ends: Timestamp,
    /// The billing system has told so; else it is the calendar month's end.
    pub period_is_told: bool,
    /// When the period began, if that was told.
    pub period_began: Option<Timestamp>,
    pub caps: Vec<CapUse>,
}

/// How much of a cap is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CapUse {
    pub cap: CapName,
    /// `None`: it is not counted here.
    pub used: Option<u64>,
    /// `None`: unlimited.
    pub limit: Option<u64>,
}

impl CapUse {
    /// There is more than the plan has room for.
    pub fn is_over(&self) -> bool {
        self.used.zip(self.limit).is_some_and(|(used, limit)| used > limit)
    }
}

impl Tenancy {
    pub async fn plan_state(&self, key: &str) -> Result<PlanState, TenancyError> {
        let (config, now) = (self.config(), self.clock.now());
        let tenant = self.find(key).await?;
        let mut line = self.line_of(tenant, &mut Known::default()).await?;
        let parents = line.split_off(1);
        let state = self.assemble(line.swap_remove(0), &parents, &config)?;
        let tenant = &state.tenant;
        let above = parents.iter().find(|parent| parent.plan.is_some());
        let origin = match (&tenant.plan, above) {
            (Some(_), _) => Origin::Line(0),
            (None, Some(_)) => Origin::Line(1),
            (None, None) => Origin::Config,
        };
        let plan = config.catalogue.plan(&state.effective.plan).cloned();
        let members = self.store.member_count(tenant.id).await?;
        let subscription = tenant.subscription.clone();
        Ok(PlanState {
            caps: caps(&state.effective, members),
            plan,
            from: origin.source(),
            from_tenant: above.filter(|_| tenant.plan.is_none()).map(|parent| parent.slug.clone()),
            period_ends: subscription.period_ends(now),
            period_is_told: subscription.period_end.is_some_and(|end| end > now),
            period_began: subscription.period_start.filter(|_| subscription.period_end.is_some_and(|end| end > now)),
            change: subscription.next,
            stuck: Stuck::of(tenant, &config.catalogue),
            state,
        })
    }
}

/// The caps that hold, a tenant's own among them.
pub(super) fn caps(effective: &Effective, members: u64) -> Vec<CapUse> {
    let used = |cap| match cap {
        CapName::Members => Some(members),
        // The application behind the edge counts these.
        CapName::AiTokens => None,
    };
    let limit = |cap| match effective.caps.get(cap) {
        Cap::Number(number) => Some(number),
        Cap::Unlimited => None,
    };
    CapName::ALL.map(|cap| CapUse { cap, used: used(cap), limit: limit(cap) }).into()
}
