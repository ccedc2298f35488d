//! Plans, features and the licence: a catalogue that comes from configuration.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::LimitSettings;

/// The name of a feature: 1–64 lowercase letters, digits and underscores. It travels in `X-Tenant-Features`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Feature(Arc<str>);

impl Feature {
    /// Lets a tenant have domains of its own. The one feature that Tenantry itself asks for by name at the edge.
    pub const CUSTOM_DOMAIN: &str = "custom_domain";
}

/// The name of a plan, by the same rule as a [`Feature`] (dashes allowed).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlanName(Arc<str>);

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "a name of a plan or feature has 1 to 64 lowercase letters, digits, dashes and underscores, and starts with a letter"
)]
pub struct FeatureError;

fn check_name(text: &str) -> Result<Arc<str>, FeatureError> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    let starts = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    if !starts || text.len() > 64 || !text.bytes().all(good) {
        return Err(FeatureError);
    }
    Ok(text.into())
}

macro_rules! name {
    ($type:ident) => {
        impl $type {
            pub fn parse(text: &str) -> Result<Self, FeatureError> {
                check_name(text).map(Self)
            }
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl std::str::FromStr for $type {
            type Err = FeatureError;
            fn from_str(text: &str) -> Result<Self, FeatureError> {
                Self::parse(text)
            }
        }
        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(|e| serde::de::Error::custom(format!("{text:?}: {e}")))
            }
        }
    };
}
name!(Feature);
name!(PlanName);

/// What a plan gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    pub name: PlanName,
    /// As shown to people: "Growth".
    pub title: String,
    pub features: BTreeSet<Feature>,
    /// `None`: unlimited.
    pub members: Option<u64>,
    /// AI tokens a month. `None`: unlimited.
    pub ai_tokens: Option<u64>,
    /// How long lines of the tenant's audit ledger are kept, in days.
    pub audit_days: u32,
    /// What a tenant of this plan may take at once, on each node.
    pub limits: LimitSettings,
}

/// Every plan and feature there is, and the licence that bounds the whole installation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Catalogue {
    /// In the order of the configuration, cheapest first.
    pub plans: Vec<Plan>,
    pub default_plan: PlanName,
    /// Every feature that exists, with what it is called.
    pub features: BTreeMap<Feature, String>,
    /// The features that this installation may use at all; `None`: all of them.
    pub licence: Option<BTreeSet<Feature>>,
    /// Where a tenant can buy more; shown with a 402.
    pub upgrade_url: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error("the plan {0} is not in the catalogue; there are {1}")]
    UnknownPlan(String, String),
    #[error("the feature {0} is not in the catalogue; there are {1}")]
    UnknownFeature(String, String),
}

impl Plan {
    /// No plan keeps the audit ledger for less.
    pub const AUDIT_DAYS_LEAST: u32 = 30;
}

impl Catalogue {
    pub fn plan(&self, name: &PlanName) -> Option<&Plan> {
        self.plans.iter().find(|plan| plan.name == *name)
    }

    /// The plan of that name, or an error that lists the ones there are.
    pub fn require_plan(&self, name: &str) -> Result<&Plan, CatalogueError> {
        self.plans.iter().find(|plan| plan.name.as_str() == name).ok_or_else(|| {
            let known: Vec<_> = self.plans.iter().map(|plan| plan.name.as_str()).collect();
            CatalogueError::UnknownPlan(name.to_owned(), known.join(", "))
        })
    }

    pub fn require_feature(&self, name: &str) -> Result<Feature, CatalogueError> {
        self.features.get_key_value(name).map(|(feature, _)| feature.clone()).ok_or_else(|| {
            let known: Vec<_> = self.features.keys().map(Feature::as_str).collect();
            CatalogueError::UnknownFeature(name.to_owned(), known.join(", "))
        })
    }

    /// (plan ∪ on − off) ∩ licence. A plan that the catalogue no longer has gives nothing.
    pub fn features_of(&self, plan: &PlanName, on: &BTreeSet<Feature>, off: &BTreeSet<Feature>) -> BTreeSet<Feature> {
        let given = self.plan(plan).map(|plan| &plan.features).into_iter().flatten();
        given
            .chain(on)
            .filter(|feature| !off.contains(*feature))
            .filter(|feature| self.licence.as_ref().is_none_or(|licence| licence.contains(*feature)))
            .cloned()
            .collect()
    }

    /// The plans whose own features include this one.
    pub fn plans_with(&self, feature: &Feature) -> Vec<PlanName> {
        self.plans.iter().filter(|plan| plan.features.contains(feature)).map(|plan| plan.name.clone()).collect()
    }
}
