//! The catalogue as people ask for it: plans and features as they are configured, and for operators how many tenants have
//! each plan and which routes ask for a feature. Reads only.

use super::gated::{GatedRoute, gated};
use super::{Actor, Tenancy, TenancyError};
use crate::model::{Feature, Plan, PlanName, Scope};

/// The plans there are, the cheapest first.
#[derive(Clone, Debug)]
pub struct Plans {
    pub plans: Vec<PlanEntry>,
    /// That of a tenant which names none, nor does any above it.
    pub default: PlanName,
    /// Plans that tenants have and the catalogue has not: they give nothing. For operators; nobody else is told of any.
    pub missing: Vec<(PlanName, u64)>,
    pub upgrade_url: Option<String>,
}

/// A plan of the catalogue.
#[derive(Clone, Debug)]
pub struct PlanEntry {
    pub plan: Plan,
    /// Those of its features that the licence withholds.
    pub unlicensed: Vec<Feature>,
    /// How many tenants have it as their own. `None`: not for whoever asks.
    pub tenants: Option<u64>,
}

/// A feature of the catalogue.
#[derive(Clone, Debug)]
pub struct FeatureEntry {
    pub feature: Feature,
    pub title: String,
    pub licensed: bool,
    /// The plans that give it, the cheapest first.
    pub plans: Vec<PlanName>,
    /// The routes that ask for it. `None`: not for whoever asks.
    pub routes: Option<Vec<GatedRoute>>,
}

impl Tenancy {
    pub async fn plans(&self, actor: &Actor) -> Result<Plans, TenancyError> {
        let config = self.config();
        let catalogue = &config.catalogue;
        let counts = match is_operator(actor, Scope::TenantRead) {
            true => Some(self.store.tenant_counts(self.clock.now()).await?.by_plan),
            false => None,
        };
        let named = || counts.iter().flatten().filter_map(|(plan, number)| Some((plan.as_ref()?, *number)));
        let entry = |plan: &Plan| PlanEntry {
            unlicensed: plan.features.iter().filter(|feature| !catalogue.licensed(feature)).cloned().collect(),
            tenants: counts.as_ref().map(|_| named().find(|(name, _)| **name == plan.name).map_or(0, |(_, n)| n)),
            plan: plan.clone(),
        };
        Ok(Plans {
            plans: catalogue.plans.iter().map(entry).collect(),
            default: catalogue.default_plan.clone(),
            missing: named()
                .filter(|(name, _)| catalogue.plan(name).is_none())
                .map(|(name, n)| (name.clone(), n))
                .collect(),
            upgrade_url: catalogue.upgrade_url.clone(),
        })
    }

    /// Features by name.
    pub fn features(&self, actor: &Actor) -> Vec<FeatureEntry> {
        let config = self.config();
        let catalogue = &config.catalogue;
        let shown = is_operator(actor, Scope::ConfigRead);
        let routes = |feature: &Feature| -> Vec<GatedRoute> {
            let gates = gated(&config).filter(|(_, asked)| *asked == feature);
            gates.map(|(route, feature)| GatedRoute::of(route, feature)).collect()
        };
        let entry = |(feature, title): (&Feature, &String)| FeatureEntry {
            feature: feature.clone(),
            title: title.clone(),
            licensed: catalogue.licensed(feature),
            plans: catalogue.plans_with(feature),
            routes: shown.then(|| routes(feature)),
        };
        catalogue.features.iter().map(entry).collect()
    }
}

fn is_operator(actor: &Actor, scope: Scope) -> bool {
    actor.rights.only().is_none() && actor.rights.has(scope)
}
