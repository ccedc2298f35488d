//! What a change of plan or switches would do to a tenant, before anybody makes it. Nothing is written, and nothing is
//! decided here that the change itself decides elsewhere: both ask the same functions.
//!
//! It says what follows if nobody changes anything else until then.

use std::collections::BTreeSet;

use super::error::{Faults, TenancyError};
use super::follow::grace;
use super::gated::GatedRoute;
use super::lineage::Known;
use super::memberships::CUSTOM_ROLES;
use super::plan_state::{CapUse, caps};
use super::plans::{Timing, require_something_to_inherit, timing};
use super::{CUSTOM_DOMAIN, Tenancy, checks};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::model::{Direction, Effective, Feature, PlanChange, PlanName, Tenant, When};
use crate::store::PlanUse;

/// A change as it is thought of. What is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct PlanQuestion {
    /// `Some(None)`: the parent's.
    pub plan: Option<Option<String>>,
    pub when: Option<When>,
    /// Takes the place of what is switched on.
    pub features_on: Option<Vec<String>>,
    pub features_off: Option<Vec<String>>,
}

/// What would follow.
#[derive(Clone, PartialEq, Debug)]
pub struct Preview {
    /// The plan that holds now, and the one that would.
    pub from: PlanName,
    pub to: PlanName,
    pub direction: Direction,
    /// When the plan would hold; now for one that would at once. Switches always take effect when they are set.
    pub at: Timestamp,
    pub at_once: bool,
    /// The change that waits, and would be dropped.
    pub drops: Option<PlanChange>,
    pub gained: Vec<Gained>,
    pub lost: Vec<Lost>,
    /// From when on its domains would redirect to its slug host; `None`: they would not.
    pub domains_until: Option<Timestamp>,
    pub caps: Vec<CapChange>,
    pub limits: Vec<LimitChange>,
    /// Routes that would let its visitors through, and do not now.
    pub opened: Vec<GatedRoute>,
    /// Routes that would answer 402.
    pub closed: Vec<GatedRoute>,
    /// How many tenants beneath it the change would reach, [`MOST_CHILDREN`] at most.
    pub children: u64,
}

/// A feature that it would have, from when on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gained {
    pub feature: Feature,
    pub title: String,
    pub at: Timestamp,
}

/// A feature that it would not have any more, from when on, and what of it is in use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lost {
    pub feature: Feature,
    pub title: String,
    pub at: Timestamp,
    pub effect: Effect,
}

/// What becomes of what was made with a feature. Nothing is ever deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Domains that it holds are served and renewed until then, and redirect to its slug host from then on.
    Domains { held: u64, until: Option<Timestamp> },
    /// Roles of its own stay, cannot be made or given any more, and count for no more than their base.
    Roles { roles: u64, members: u64 },
    /// It is for the application behind the edge to say.
    Applications,
}

/// A cap now, and then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CapChange {
    /// As it is now.
    pub now: CapUse,
    /// `None`: unlimited.
    pub then: Option<u64>,
}

/// A limit that holds now, and the one that would. `None`: none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitChange {
    pub limit: &'static str,
    pub now: Option<u64>,
    pub then: Option<u64>,
}

/// No more tenants beneath one are counted.
pub const MOST_CHILDREN: u32 = 1_000;

impl CapChange {
    /// There would be more than there is room for.
    pub fn would_be_over(&self) -> bool {
        CapUse { limit: self.then, ..self.now }.is_over()
    }
}

/// The tenant as it would be.
struct Change {
    /// With its switches alone.
    switched: Tenant,
    /// With its plan as well.
    changed: Tenant,
    timing: Timing,
}

/// What holds now, with the switches alone, and in the end.
struct Stages {
    before: Effective,
    switched: Effective,
    after: Effective,
    now: Timestamp,
    /// When the plan is another.
    at: Timestamp,
}

impl Tenancy {
    pub async fn preview(&self, key: &str, question: &PlanQuestion) -> Result<Preview, TenancyError> {
        let (config, now) = (self.config(), self.clock.now());
        let tenant = self.find(key).await?;
        let mut line = self.line_of(tenant, &mut Known::default()).await?;
        let parents = line.split_off(1);
        let tenant = line.swap_remove(0);
        let change = thought_of(question, &tenant, &parents, &config, now)?;
        let state = |tenant: &Tenant| self.assemble(tenant.clone(), &parents, &config);
        let stages = Stages {
            before: state(&tenant)?.effective,
            switched: state(&change.switched)?.effective,
            after: state(&change.changed)?.effective,
            now,
            at: if let Timing::At(at) = change.timing { at } else { now },
        };
        let used = self.store.plan_use(tenant.id).await?;
        let domains_until = stages.domains_until(&tenant, &change, used.domains > 0, &config);
        let (before, after) = (&stages.before, &stages.after);
        let opened = self.gates_of(&tenant, &config, |feature| gains(feature, before, after)).await?;
        let closed = self.gates_of(&tenant, &config, |feature| gains(feature, after, before)).await?;
        Ok(Preview {
            direction: config.catalogue.direction(&before.plan, &after.plan),
            at: stages.at,
            at_once: stages.at == now,
            drops: tenant.subscription.next.clone().filter(|_| question.plan.is_some()),
            gained: stages.gained(&config),
            lost: stages.lost(&config, &used, domains_until),
            domains_until,
            caps: cap_changes(before, after, used.members),
            limits: limit_changes(before, after, &config),
            opened,
            closed,
            children: self.reached(&tenant, &change, &stages).await?,
            from: before.plan.clone(),
            to: after.plan.clone(),
        })
    }

    /// How many tenants beneath it would have something else than before.
    async fn reached(&self, tenant: &Tenant, change: &Change, stages: &Stages) -> Result<u64, TenancyError> {
        Ok(if change.is_switched(tenant) {
            self.store.descendants(tenant.id, MOST_CHILDREN).await?
        } else if stages.before.plan != stages.after.plan {
            self.store.plan_heirs(tenant.id, MOST_CHILDREN).await?
        } else {
            0
        })
    }
}

impl Change {
    fn is_switched(&self, tenant: &Tenant) -> bool {
        (&self.switched.features_on, &self.switched.features_off) != (&tenant.features_on, &tenant.features_off)
    }
}

impl Stages {
    /// When the last word about a feature is spoken: by the switches, or by the plan.
    fn decided(&self, feature: &Feature) -> Timestamp {
        let by_switches = self.switched.features.contains(feature) == self.after.features.contains(feature);
        if by_switches { self.now } else { self.at }
    }

    fn gained(&self, config: &Config) -> Vec<Gained> {
        let gained = self.after.features.difference(&self.before.features);
        let gained = gained.map(|feature| Gained {
            feature: feature.clone(),
            title: title(feature, config),
            at: self.decided(feature),
        });
        gained.collect()
    }

    fn lost(&self, config: &Config, used: &PlanUse, domains_until: Option<Timestamp>) -> Vec<Lost> {
        let effect = |feature: &Feature| match feature.as_str() {
            CUSTOM_DOMAIN => Effect::Domains { held: used.domains, until: domains_until },
            CUSTOM_ROLES => Effect::Roles { roles: used.roles, members: used.role_members },
            _ => Effect::Applications,
        };
        let lost = self.before.features.difference(&self.after.features).map(|feature| Lost {
            feature: feature.clone(),
            title: title(feature, config),
            at: self.decided(feature),
            effect: effect(feature),
        });
        lost.collect()
    }

    /// As each of the two writes would leave it.
    fn domains_until(&self, tenant: &Tenant, change: &Change, holds: bool, config: &Config) -> Option<Timestamp> {
        let mut until = tenant.life.domains_until;
        let mut follow = |effective: &Effective, at: Timestamp| {
            until = grace(effective.features.contains(CUSTOM_DOMAIN), until, holds, at + config.tenancy.feature_grace);
        };
        if change.is_switched(tenant) {
            follow(&self.switched, self.now);
        }
        if change.changed.plan != tenant.plan {
            follow(&self.after, self.at);
        }
        until
    }
}

fn title(feature: &Feature, config: &Config) -> String {
    config.catalogue.features.get(feature).cloned().unwrap_or_default()
}

/// Every field checked, and the tenant as it would be.
fn thought_of(
    question: &PlanQuestion,
    tenant: &Tenant,
    parents: &[Tenant],
    config: &Config,
    now: Timestamp,
) -> Result<Change, TenancyError> {
    let PlanQuestion { plan, when, features_on, features_off } = question;
    let mut faults = Faults::default();
    let catalogue = &config.catalogue;
    let plan = match plan {
        Some(Some(text)) => faults.take(checks::plan("/plan", text, catalogue)).map(|name| Some(Some(name))),
        Some(None) => Some(Some(None)),
        None => Some(None),
    };
    if when.is_some() && question.plan.is_none() {
        faults.add("/when", "contradiction", "this says when a plan is to change, and no plan is named");
    }
    let words = |list: &BTreeSet<Feature>| list.iter().map(Feature::to_string).collect::<Vec<_>>();
    let on = features_on.clone().unwrap_or_else(|| words(&tenant.features_on));
    let off = features_off.clone().unwrap_or_else(|| words(&tenant.features_off));
    let switches = match features_on.is_some() || features_off.is_some() {
        true => {
            let sides = [("/features_on", on.as_slice()), ("/features_off", off.as_slice())];
            checks::features(sides, tenant, catalogue, &mut faults)
        }
        false => (tenant.features_on.clone(), tenant.features_off.clone()),
    };
    let (plan, (features_on, features_off)) = faults.or(plan.map(|plan| (plan, switches)))?;
    let switched = Tenant { features_on, features_off, ..tenant.clone() };
    let Some(plan) = plan else {
        return Ok(Change { changed: switched.clone(), switched, timing: Timing::Held });
    };
    require_something_to_inherit(tenant, plan.as_ref())?;
    let timing = timing(tenant, parents, plan.as_ref(), *when, catalogue, now);
    Ok(Change { changed: Tenant { plan, ..switched.clone() }, switched, timing })
}

fn gains(feature: &Feature, before: &Effective, after: &Effective) -> bool {
    after.features.contains(feature) && !before.features.contains(feature)
}

fn cap_changes(before: &Effective, after: &Effective, members: u64) -> Vec<CapChange> {
    let (now, then) = (caps(before, members), caps(after, members));
    now.into_iter().zip(then).map(|(now, then)| CapChange { now, then: then.limit }).collect()
}

fn limit_changes(before: &Effective, after: &Effective, config: &Config) -> Vec<LimitChange> {
    let of = |effective: &Effective| {
        let limits = effective.edge.limits;
        let days = config.catalogue.plan(&effective.plan).map(|plan| u64::from(plan.audit_days));
        [
            ("requests_per_second", limits.rate.map(|rate| u64::from(rate.per_second))),
            ("burst", limits.rate.map(|rate| u64::from(rate.burst))),
            ("concurrent_requests", limits.concurrent_requests),
            ("websockets", limits.websockets),
            ("body_bytes", limits.body_bytes),
            ("audit_days", days),
        ]
    };
    let pairs = of(before).into_iter().zip(of(after));
    pairs.map(|((limit, now), (_, then))| LimitChange { limit, now, then }).collect()
}
