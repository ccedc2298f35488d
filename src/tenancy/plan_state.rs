//! The plan that holds for a tenant: whose word it is, what waits, when the billing period ends, and how much of each cap is
//! used. Reads only.
//!
//! Being over a cap takes nothing away: what there is stays, and one more is refused.

use super::error::TenancyError;
use super::lineage::Known;
use super::{Tenancy, TenantState};
use crate::clock::Timestamp;
use crate::model::{Catalogue, Origin, Plan, PlanChange, Slug, Source};

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
    /// The change cannot be made as things are: the catalogue has no such plan.
    pub change_is_stuck: bool,
    /// When the billing period under way ends.
    pub period_ends: Timestamp,
    /// The billing system has told so; else it is the calendar month's end.
    pub period_is_told: bool,
    pub caps: Vec<CapUse>,
}

/// How much of a cap is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CapUse {
    /// `members`, `ai_tokens`.
    pub cap: &'static str,
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
        let change_is_stuck = subscription.next.as_ref().is_some_and(|next| is_stuck(next, &config.catalogue));
        Ok(PlanState {
            caps: caps(plan.as_ref(), members),
            plan,
            from: origin.source(),
            from_tenant: above.filter(|_| tenant.plan.is_none()).map(|parent| parent.slug.clone()),
            period_ends: subscription.period_ends(now),
            period_is_told: subscription.period_end.is_some_and(|end| end > now),
            change: subscription.next,
            change_is_stuck,
            state,
        })
    }
}

/// Whether the catalogue lacks what a change is to.
pub(super) fn is_stuck(next: &PlanChange, catalogue: &Catalogue) -> bool {
    next.plan.as_ref().is_some_and(|plan| catalogue.plan(plan).is_none())
}

/// The caps of a plan. One that the catalogue has no more caps nothing.
pub(super) fn caps(plan: Option<&Plan>, members: u64) -> Vec<CapUse> {
    let members = CapUse { cap: "members", used: Some(members), limit: plan.and_then(|plan| plan.members) };
    // The application behind the edge counts these.
    let ai_tokens = CapUse { cap: "ai_tokens", used: None, limit: plan.and_then(|plan| plan.ai_tokens) };
    vec![members, ai_tokens]
}
