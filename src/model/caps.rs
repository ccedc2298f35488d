//! Caps: how much of something a tenant may have, or use in a billing period. A plan gives them; a tenant's own, set by an
//! operator or by the billing system, count before its plan's. What is used is not known here.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Cap, Catalogue, Plan, PlanName, Tenant};

/// What is capped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CapName {
    /// Active members.
    Members,
    /// AI tokens in a billing period.
    AiTokens,
}

/// Whose word something is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SetBy {
    /// An operator's, or the house's own.
    #[default]
    Operator,
    /// The billing system's.
    Billing,
}

/// A cap of a tenant's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnCap {
    pub cap: Cap,
    pub by: SetBy,
}

/// The caps of a tenant's own; what is not there is its plan's.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OwnCaps(pub BTreeMap<CapName, OwnCap>);

/// The caps that hold for a tenant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caps([Cap; CapName::ALL.len()]);

impl CapName {
    pub const ALL: [Self; 2] = [Self::Members, Self::AiTokens];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Members => "members",
            Self::AiTokens => "ai_tokens",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.as_str() == text)
    }
}

impl fmt::Display for CapName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl SetBy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Billing => "billing",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Operator, Self::Billing].into_iter().find(|by| by.as_str() == text)
    }
}

impl Plan {
    /// What this plan gives.
    pub fn cap(&self, name: CapName) -> Cap {
        let number = match name {
            CapName::Members => self.members,
            CapName::AiTokens => self.ai_tokens,
        };
        number.map_or(Cap::Unlimited, Cap::Number)
    }
}

impl Caps {
    /// `chain` starts with the tenant itself and ends with its topmost parent; `plan` is the one that holds for it. A plan
    /// that the catalogue no longer has caps nothing.
    pub fn of(chain: &[&Tenant], catalogue: &Catalogue, plan: &PlanName) -> Self {
        let plan = catalogue.plan(plan);
        let held = |name| match own(chain, name) {
            Some((_, own)) => own.cap,
            None => plan.map_or(Cap::Unlimited, |plan| plan.cap(name)),
        };
        Self(CapName::ALL.map(held))
    }

    pub fn get(&self, name: CapName) -> Cap {
        // INVARIANT: one for each name, in their order.
        self.0[name as usize]
    }
}

/// The cap that counts before the plan's, and the place in the chain of whose it is: the nearest, but none from above
/// whoever's plan holds. What was agreed about a parent's plan does not come with another one.
pub(super) fn own(chain: &[&Tenant], name: CapName) -> Option<(usize, OwnCap)> {
    let whose_plan = chain.iter().position(|tenant| tenant.plan.is_some()).unwrap_or(chain.len());
    let mut within = chain.iter().enumerate().take(whose_plan.saturating_add(1));
    within.find_map(|(at, tenant)| tenant.subscription.caps.0.get(&name).map(|own| (at, *own)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::model::{Slug, Subscription};

    fn tenant(plan: Option<&str>, members: Option<Cap>) -> Tenant {
        let own = members.map(|cap| (CapName::Members, OwnCap { cap, by: SetBy::Billing }));
        let subscription = Subscription { caps: OwnCaps(own.into_iter().collect()), ..Subscription::default() };
        Tenant {
            plan: plan.map(|plan| PlanName::parse(plan).unwrap()),
            subscription,
            ..Tenant::new(Slug::parse("acme").unwrap(), Timestamp(0))
        }
    }

    fn catalogue() -> Catalogue {
        let plan = |name: &str, members| Plan {
            name: PlanName::parse(name).unwrap(),
            title: name.into(),
            features: Default::default(),
            members,
            ai_tokens: Some(7),
            audit_days: 90,
            limits: Default::default(),
        };
        Catalogue {
            plans: vec![plan("free", Some(50)), plan("custom", None)],
            default_plan: PlanName::parse("free").unwrap(),
            features: Default::default(),
            licence: None,
            upgrade_url: None,
        }
    }

    #[test]
    fn the_nearest_cap_counts_up_to_whoevers_plan_holds() {
        use Cap::{Number, Unlimited};
        for (chain, expected) in [
            (vec![(None, None)], Number(50)),
            (vec![(None, Some(Number(9)))], Number(9)),
            (vec![(Some("free"), Some(Unlimited))], Unlimited),
            (vec![(Some("custom"), None)], Unlimited),
            (vec![(Some("gone"), None)], Unlimited),
            (vec![(Some("gone"), Some(Number(0)))], Number(0)),
            // The parent's plan with what was agreed about it.
            (vec![(None, None), (Some("free"), Some(Number(900)))], Number(900)),
            (vec![(None, Some(Number(9))), (Some("free"), Some(Number(900)))], Number(9)),
            // A plan of its own comes without.
            (vec![(Some("free"), None), (Some("custom"), Some(Number(900)))], Number(50)),
            (vec![(None, None), (Some("free"), None), (None, Some(Number(900)))], Number(50)),
            // Nobody has a plan: the default's, with what anybody above has agreed.
            (vec![(None, None), (None, Some(Number(900)))], Number(900)),
        ] {
            let tenants: Vec<_> = chain.iter().map(|(plan, members)| tenant(*plan, *members)).collect();
            let refs: Vec<_> = tenants.iter().collect();
            let plan = tenants.iter().find_map(|tenant| tenant.plan.clone());
            let plan = plan.unwrap_or(catalogue().default_plan);
            let caps = Caps::of(&refs, &catalogue(), &plan);
            assert_eq!(caps.get(CapName::Members), expected, "{chain:?}");
            let known = plan.as_str() != "gone";
            assert_eq!(caps.get(CapName::AiTokens), if known { Number(7) } else { Unlimited }, "{chain:?}");
        }
    }

    #[test]
    fn names_and_words_are_read_as_they_are_written() {
        for name in CapName::ALL {
            assert_eq!(CapName::parse(name.as_str()), Some(name));
            assert_eq!(serde_json::to_value(name).unwrap(), name.as_str());
        }
        for by in [SetBy::Operator, SetBy::Billing] {
            assert_eq!(SetBy::parse(by.as_str()), Some(by));
            assert_eq!(serde_json::to_value(by).unwrap(), by.as_str());
        }
        let json = r#"{"members":{"cap":"unlimited","by":"operator"},"ai_tokens":{"cap":5,"by":"billing"}}"#;
        let caps: OwnCaps = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&caps).unwrap(), json);
    }
}
