//! What the admin API shows of a tenant's plan, and of what a change of it would do. Pure shapes; nothing here is read back.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::catalogue::GatedRouteView;
use super::views::PlanChangeView;
use crate::clock::Timestamp;
use crate::model::{CapName, Direction, Source};
use crate::tenancy::{CapChange, CapUse, Effect, Gained, Lost, MOST_CHILDREN, PlanState, Preview, Stuck};

/// The plan that holds for a tenant.
#[derive(Serialize, ToSchema)]
pub struct PlanStateView {
    plan: String,
    /// `null`: the catalogue has it no more, and it gives nothing.
    title: Option<String>,
    /// `own`, `parent`, or `config` for the catalogue's default.
    from: Source,
    /// With `parent`: the slug of the one whose word it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    features: Vec<String>,
    /// The change that waits.
    change: Option<PlanChangeView>,
    /// Why it cannot be made as things are: `plan-not-in-catalogue`, `no-parent`. It stays, and is tried again every hour.
    change_waits_for: Option<&'static str>,
    period: PeriodView,
    caps: Vec<CapView>,
    /// The caps of which more is used than there is room for. What there is stays; one more is refused.
    over_cap: Vec<CapView>,
}

/// The billing period under way.
#[derive(Serialize, ToSchema)]
pub struct PeriodView {
    /// When it began, where the billing system has told so.
    #[schema(value_type = Option<String>, format = DateTime)]
    began: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    ends: Timestamp,
    /// `billing`: the billing system has told so. `calendar`: the month, UTC.
    from: &'static str,
}

/// How much of a cap is used.
#[derive(Serialize, ToSchema)]
pub struct CapView {
    cap: CapName,
    /// `null`: it is not counted here.
    used: Option<u64>,
    /// `null`: unlimited.
    limit: Option<u64>,
}

/// What a change would do, if nobody changes anything else until then.
#[derive(Serialize, ToSchema)]
pub struct PreviewView {
    /// The plan that holds now.
    from: String,
    /// The one that would.
    to: String,
    direction: Direction,
    /// When the plan would be another. Switches always take effect when they are set.
    #[schema(value_type = String, format = DateTime)]
    takes_effect: Timestamp,
    at_once: bool,
    /// The change that waits now, and would be dropped.
    drops: Option<PlanChangeView>,
    features_gained: Vec<GainedView>,
    features_lost: Vec<LostView>,
    /// From then on the domains that it holds would redirect to its host; `null`: they would not.
    #[schema(value_type = Option<String>, format = DateTime)]
    domains_until: Option<Timestamp>,
    caps: Vec<CapChangeView>,
    /// The caps that it would be over. What there is would stay, and one more be refused.
    over_cap: Vec<CapView>,
    /// `null`: none.
    limits: Vec<LimitChangeView>,
    /// Routes that would let its visitors through, and do not now.
    routes_opened: Vec<GatedRouteView>,
    /// Routes that would answer 402.
    routes_closed: Vec<GatedRouteView>,
    children: ChildrenView,
}

/// A feature that it would have.
#[derive(Serialize, ToSchema)]
pub struct GainedView {
    feature: String,
    title: String,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

/// A feature that it would not have any more.
#[derive(Serialize, ToSchema)]
pub struct LostView {
    feature: String,
    title: String,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// What there is that was made with it: `domains`; `roles` and `role_members`. Empty where that is not known here.
    in_use: BTreeMap<&'static str, u64>,
    /// What becomes of that, for people. Nothing is ever deleted.
    then: &'static str,
    /// When, where it is not at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

/// A cap now, and then. `null`: unlimited.
#[derive(Serialize, ToSchema)]
pub struct CapChangeView {
    cap: CapName,
    /// `null`: it is not counted here.
    used: Option<u64>,
    before: Option<u64>,
    after: Option<u64>,
    /// More would be used than there is room for.
    over: bool,
}

/// A limit now, and then.
#[derive(Serialize, ToSchema)]
pub struct LimitChangeView {
    /// `requests_per_second`, `burst`, `concurrent_requests`, `websockets`, `body_bytes`, or `audit_days`.
    limit: &'static str,
    before: Option<u64>,
    after: Option<u64>,
}

/// The tenants beneath it that would have something else than before.
#[derive(Serialize, ToSchema)]
pub struct ChildrenView {
    tenants: u64,
    /// There may be more: no more are counted.
    or_more: bool,
}

impl From<PlanState> for PlanStateView {
    fn from(found: PlanState) -> Self {
        let effective = found.state.effective;
        Self {
            plan: effective.plan.to_string(),
            title: found.plan.map(|plan| plan.title),
            from: found.from,
            tenant: found.from_tenant.map(|slug| slug.to_string()),
            features: effective.features.iter().map(ToString::to_string).collect(),
            change: found.change.map(PlanChangeView::from),
            change_waits_for: found.stuck.map(Stuck::code),
            period: PeriodView {
                began: found.period_began,
                ends: found.period_ends,
                from: if found.period_is_told { "billing" } else { "calendar" },
            },
            over_cap: found.caps.iter().filter(|cap| cap.is_over()).map(CapView::from).collect(),
            caps: found.caps.iter().map(CapView::from).collect(),
        }
    }
}

impl From<&CapUse> for CapView {
    fn from(&CapUse { cap, used, limit }: &CapUse) -> Self {
        Self { cap, used, limit }
    }
}

impl From<Preview> for PreviewView {
    fn from(preview: Preview) -> Self {
        let over = preview.caps.iter().filter(|cap| cap.would_be_over());
        let over = over.map(|CapChange { now, then }| CapView { cap: now.cap, used: now.used, limit: *then });
        Self {
            over_cap: over.collect(),
            from: preview.from.to_string(),
            to: preview.to.to_string(),
            direction: preview.direction,
            takes_effect: preview.at,
            at_once: preview.at_once,
            drops: preview.drops.map(PlanChangeView::from),
            features_gained: preview.gained.into_iter().map(GainedView::from).collect(),
            features_lost: preview.lost.into_iter().map(LostView::from).collect(),
            domains_until: preview.domains_until,
            caps: preview.caps.iter().map(CapChangeView::from).collect(),
            limits: preview
                .limits
                .iter()
                .map(|change| LimitChangeView { limit: change.limit, before: change.now, after: change.then })
                .collect(),
            routes_opened: preview.opened.into_iter().map(GatedRouteView::from).collect(),
            routes_closed: preview.closed.into_iter().map(GatedRouteView::from).collect(),
            children: ChildrenView { tenants: preview.children, or_more: preview.children >= u64::from(MOST_CHILDREN) },
        }
    }
}

impl From<Gained> for GainedView {
    fn from(Gained { feature, title, at }: Gained) -> Self {
        Self { feature: feature.to_string(), title, at }
    }
}

impl From<Lost> for LostView {
    fn from(Lost { feature, title, at, effect }: Lost) -> Self {
        let (in_use, then, until): (Vec<_>, _, _) = match effect {
            Effect::Domains { held, until } => (
                vec![("domains", held)],
                "domains that it holds are served and renewed until then, and redirect to its host from then on; no other \
                 can be added",
                until,
            ),
            Effect::Roles { roles, members } => (
                vec![("roles", roles), ("role_members", members)],
                "roles of its own stay, cannot be made or given, and give no more than their base",
                None,
            ),
            Effect::Applications => (vec![], "it is hidden; what was made with it is the application's to keep", None),
        };
        Self { feature: feature.to_string(), title, at, in_use: in_use.into_iter().collect(), then, until }
    }
}

impl From<&CapChange> for CapChangeView {
    fn from(change: &CapChange) -> Self {
        let CapUse { cap, used, limit } = change.now;
        Self { cap, used, before: limit, after: change.then, over: change.would_be_over() }
    }
}
