//! `plans.toml`: the catalogue of features and plans, the licence that bounds them, and the settings of tenants.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::DeValue;

use super::parsers::{self, TITLE, URL};
use super::section::{Section, Spot, describe};
use super::settings;
use super::shapes::Shape;
use super::values::integer;
use crate::model::{Cap, Catalogue, Feature, LimitSettings, Plan, PlanName, Setting};

const UNLIMITED: &str = "unlimited";
const ALL: &str = "all";
const PLAN: &str = "the name of a plan below, such as \"free\"";
/// A rate or a number of things at once.
const MOST: u64 = 1_000_000_000;
const FEATURE: &str = "the name of a feature, such as \"csv_export\"";

/// What is known of the features when the catalogue as a whole is not right: enough to check the routes.
pub(super) struct Plans {
    pub features: BTreeMap<Feature, String>,
    pub catalogue: Option<Catalogue>,
    pub settings: Vec<Setting>,
}

pub(super) fn read(root: &mut Section<'_>) -> Plans {
    let features = features(root);
    let default_plan = root.required("default_plan", PLAN, PlanName::parse);
    let upgrade_url = root.text("upgrade_url", URL, parsers::url);
    let read = root.sections("plan", |section| (plan(section, &features), section.spot("name")));
    let licence = root.optional_section("licence", |section| licence(section, &features));

    let settings = settings::read(root);

    root.require_some("plan");
    let mut plans: Vec<Plan> = Vec::with_capacity(read.len());
    let mut all_read = true;
    for (plan, spot) in read {
        match plan {
            Some(plan) if plans.iter().any(|earlier| earlier.name == plan.name) => {
                root.fault_at(&spot, format!("a second plan of the name \"{}\"", plan.name));
            }
            Some(plan) => plans.push(plan),
            None => all_read = false,
        }
    }
    if let Some(name) = default_plan.as_ref().filter(|name| all_read && plans.iter().all(|plan| plan.name != **name)) {
        let names: Vec<_> = plans.iter().map(|plan| plan.name.as_str()).collect();
        root.fault("default_plan", format!("there is no plan \"{name}\"; there are {}", names.join(", ")));
    }
    let catalogue = default_plan.map(|default_plan| {
        let features = features.clone();
        Catalogue { plans, default_plan, features, licence, upgrade_url }
    });
    Plans { features, catalogue, settings }
}

/// `[features]`: name = "what it is called".
fn features(root: &mut Section<'_>) -> BTreeMap<Feature, String> {
    let entries = root.names("features", |section, name, spot, value| {
        let feature = Feature::parse(name).map_err(|error| section.fault_at(spot, format!("found {name:?}: {error}")));
        let title = value.as_str().and_then(|title| parsers::title(title).ok());
        if title.is_none() {
            section.fault_at(spot, format!("found {}, expected {TITLE}", describe(value)));
        }
        // A feature with a faulty title is still there for those who name it.
        Some((feature.ok()?, title.unwrap_or_default()))
    });
    entries.into_iter().flatten().collect()
}

/// One `[[plan]]`. `None` when it has no usable name.
fn plan(section: &mut Section<'_>, known: &BTreeMap<Feature, String>) -> Option<Plan> {
    let name = section.required("name", "the name of a plan, such as \"free\"", PlanName::parse);
    let title = section.required("title", TITLE, parsers::title);
    section.declare("features", || Shape::ListOr { word: ALL, expected: FEATURE });
    let features = if matches!(section.peek("features"), Some(DeValue::String(_))) {
        let all = |text: &str| if text == ALL { Ok(known.keys().cloned().collect()) } else { Err("") };
        section.text("features", "a list of features, or \"all\"", all).unwrap_or_default()
    } else {
        known_features(section, known)
    };
    let members = cap(section, "members");
    let ai_tokens = cap(section, "ai_tokens");
    let audit_days = section.number("audit_days", Plan::AUDIT_DAYS_LEAST..=3_650, 90);
    let limits = section.section("limits", limits);
    Some(Plan { name: name?, title: title.unwrap_or_default(), features, members, ai_tokens, audit_days, limits })
}

/// `[plan.limits]`: what a tenant of this plan may take at once; what is left out is unlimited.
fn limits(section: &mut Section<'_>) -> LimitSettings {
    let number = |cap: Option<u64>| cap.map(Cap::Number);
    let limits = LimitSettings {
        requests_per_second: number(section.number_or_none("requests_per_second", 0..=MOST)),
        burst: section.number_or_none("burst", 1..=MOST).and_then(|burst| u32::try_from(burst).ok()),
        concurrent_requests: number(section.number_or_none("concurrent_requests", 0..=MOST)),
        websockets: number(section.number_or_none("websockets", 0..=MOST)),
        body_bytes: number(section.size_or_off("body_bytes", 1..=1 << 50, None)),
    };
    if limits.burst.is_some() && !section.has("requests_per_second") {
        section.fault("burst", "it means nothing here; expected requests_per_second beside it");
    }
    limits
}

/// `[licence]`: there only when the whole installation is bounded.
fn licence(section: &mut Section<'_>, known: &BTreeMap<Feature, String>) -> BTreeSet<Feature> {
    section.require("features", "the list of the features that this installation may use");
    known_features(section, known)
}

/// A list of features, each of which must be in the catalogue.
fn known_features(section: &mut Section<'_>, known: &BTreeMap<Feature, String>) -> BTreeSet<Feature> {
    let all: Vec<(Feature, Spot)> = section.spotted_texts("features", FEATURE, Feature::parse);
    for (feature, spot) in &all {
        if !known.contains_key(feature) {
            section.fault_at(spot, unknown_feature(feature, known));
        }
    }
    all.into_iter().map(|(feature, _)| feature).collect()
}

pub(super) fn unknown_feature(feature: &Feature, known: &BTreeMap<Feature, String>) -> String {
    let names: Vec<_> = known.keys().map(Feature::as_str).collect();
    format!("there is no feature \"{feature}\" in plans.toml; there are {}", names.join(", "))
}

/// A number, or `"unlimited"`. It must be there: a cap that is forgotten must not mean "none".
fn cap(section: &mut Section<'_>, key: &'static str) -> Option<u64> {
    const EXPECTED: &str = "a whole number of 0 or more, or \"unlimited\"";
    section.require(key, EXPECTED);
    section.declare(key, || Shape::NumberOr { word: UNLIMITED, low: 0, high: i64::MAX, default: None });
    let value = section.value(key)?.get_ref();
    if value.as_str() == Some(UNLIMITED) {
        return None;
    }
    let number = integer(value).and_then(|number| u64::try_from(number).ok());
    if number.is_none() {
        section.fault(key, format!("found {}, expected {EXPECTED}", describe(value)));
    }
    number
}
