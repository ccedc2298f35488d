//! Plans, features and the licence: a catalogue that comes from configuration.

use std::borrow::Borrow;
use std::cmp::Ordering;
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

/// Where a change of plan leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Upgrade,
    /// To the same plan, or to one of the same rank.
    Same,
    Downgrade,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error("the plan {0:?} is not in the catalogue; {1}")]
    UnknownPlan(String, Known),
    #[error("the feature {0:?} is not in the catalogue; {1}")]
    UnknownFeature(String, Known),
}

/// The names that there are, and the one that was probably meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    pub names: Vec<String>,
    pub meant: Option<String>,
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
            let known = Known::of(self.plans.iter().map(|plan| plan.name.as_str()), name);
            CatalogueError::UnknownPlan(name.to_owned(), known)
        })
    }

    pub fn require_feature(&self, name: &str) -> Result<Feature, CatalogueError> {
        self.features.get_key_value(name).map(|(feature, _)| feature.clone()).ok_or_else(|| {
            let known = Known::of(self.features.keys().map(Feature::as_str), name);
            CatalogueError::UnknownFeature(name.to_owned(), known)
        })
    }

    /// Where a plan stands among the others, the cheapest at 0: the order of the catalogue. `None`: it is in it no more.
    pub fn rank(&self, name: &PlanName) -> Option<usize> {
        self.plans.iter().position(|plan| plan.name == *name)
    }

    /// What going from one plan to another is. A plan that the catalogue no longer has gives nothing: it is below all others.
    pub fn direction(&self, from: &PlanName, to: &PlanName) -> Direction {
        match self.rank(to).cmp(&self.rank(from)) {
            Ordering::Greater => Direction::Upgrade,
            Ordering::Equal => Direction::Same,
            Ordering::Less => Direction::Downgrade,
        }
    }

    /// Whether this installation may use the feature at all.
    pub fn licensed(&self, feature: &Feature) -> bool {
        self.licence.as_ref().is_none_or(|licence| licence.contains(feature))
    }

    /// (plan ∪ on − off) ∩ licence. A plan that the catalogue no longer has gives nothing.
    pub fn features_of(&self, plan: &PlanName, on: &BTreeSet<Feature>, off: &BTreeSet<Feature>) -> BTreeSet<Feature> {
        let given = self.plan(plan).map(|plan| &plan.features).into_iter().flatten();
        given
            .chain(on)
            .filter(|feature| !off.contains(*feature))
            .filter(|feature| self.licensed(feature))
            .cloned()
            .collect()
    }

    /// The plans whose own features include this one.
    pub fn plans_with(&self, feature: &Feature) -> Vec<PlanName> {
        self.plans.iter().filter(|plan| plan.features.contains(feature)).map(|plan| plan.name.clone()).collect()
    }
}

impl Known {
    fn of<'n>(names: impl Iterator<Item = &'n str>, wrong: &str) -> Self {
        let names: Vec<String> = names.map(str::to_owned).collect();
        let near = |name: &String| (strsim::jaro_winkler(name, &wrong.to_lowercase()), name.clone());
        let nearest = names.iter().map(near).max_by(|(a, _), (b, _)| a.total_cmp(b));
        Self { meant: nearest.filter(|(likeness, _)| *likeness >= ALIKE).map(|(_, name)| name), names }
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(meant) = &self.meant {
            write!(f, "did you mean {meant}? ")?;
        }
        write!(f, "there are {}", self.names.join(", "))
    }
}

/// From this likeness on (Jaro–Winkler, 0 to 1) a name is taken for a slip.
const ALIKE: f64 = 0.8;

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> Catalogue {
        let plan = |name: &str| Plan {
            name: PlanName::parse(name).unwrap(),
            title: name.to_owned(),
            features: BTreeSet::new(),
            members: None,
            ai_tokens: None,
            audit_days: 90,
            limits: LimitSettings::default(),
        };
        let feature = |name: &str| (Feature::parse(name).unwrap(), name.to_owned());
        Catalogue {
            plans: ["free", "starter", "growth"].map(plan).into(),
            default_plan: PlanName::parse("free").unwrap(),
            features: ["csv_export", "custom_domain"].map(feature).into(),
            licence: None,
            upgrade_url: None,
        }
    }

    #[test]
    fn the_order_of_the_catalogue_says_what_an_upgrade_is() {
        let (catalogue, name) = (catalogue(), |name: &str| PlanName::parse(name).unwrap());
        for (from, to, direction) in [
            ("free", "growth", Direction::Upgrade),
            ("growth", "starter", Direction::Downgrade),
            ("growth", "growth", Direction::Same),
            ("gone", "free", Direction::Upgrade),
            ("free", "gone", Direction::Downgrade),
            ("gone", "gone-too", Direction::Same),
        ] {
            assert_eq!(catalogue.direction(&name(from), &name(to)), direction, "{from} {to}");
        }
    }

    #[test]
    fn a_slip_is_answered_with_what_was_meant() {
        let catalogue = catalogue();
        for (wrong, meant) in [("grwth", "growth"), ("Starter", "starter"), ("fre", "free"), ("startre", "starter")] {
            let error = catalogue.require_plan(wrong).unwrap_err().to_string();
            assert!(error.contains(&format!("did you mean {meant}? there are free, starter, growth")), "{error}");
        }
        let error = catalogue.require_plan("xyz").unwrap_err().to_string();
        assert_eq!(error, "the plan \"xyz\" is not in the catalogue; there are free, starter, growth");
        let error = catalogue.require_feature("csv-export").unwrap_err().to_string();
        assert!(error.contains("did you mean csv_export?"), "{error}");
    }
}
