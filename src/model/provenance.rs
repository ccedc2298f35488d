//! Where each value that holds for a tenant comes from: the same question as [`Effective`] answers, asked the other way
//! round. Values are never decided here, only traced.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::caps;
use super::effective::{severity, standing_of};
use super::{Branding, CapName, Catalogue, Effective, Feature, LimitSettings, SetBy, Source, Standing, Status, Tenant};
use crate::clock::Timestamp;

/// Whose word a value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// That of the tenant at this place of the line: 0 is the tenant itself, 1 its parent, and so on.
    Line(usize),
    Plan,
    Licence,
    Config,
    Default,
}

/// A value, and whose word it is.
pub type Traced = (Value, Origin);

/// Every value that holds for a tenant, settings aside, with its origin.
#[derive(Clone, PartialEq, Debug)]
pub struct Provenance {
    pub status: Traced,
    pub plan: Traced,
    pub features: BTreeMap<String, Traced>,
    /// By name; with whose word it is where it is not the plan's.
    pub caps: BTreeMap<CapName, (Traced, Option<SetBy>)>,
    /// What is set, by field.
    pub branding: BTreeMap<String, Traced>,
    /// By field; limits as `limits.<field>`. A limit that is `null` is none.
    pub edge: BTreeMap<String, Traced>,
}

impl Origin {
    /// In the API's word; the place of the line is told apart.
    pub fn source(self) -> Source {
        match self {
            Self::Line(0) => Source::Own,
            Self::Line(_) => Source::Parent,
            Self::Plan => Source::Plan,
            Self::Licence => Source::Licence,
            Self::Config => Source::Config,
            Self::Default => Source::Default,
        }
    }
}

impl Provenance {
    /// `effective` must be what [`Effective::of`] has made of the same chain, catalogue and time.
    pub fn of(
        chain: &[&Tenant],
        catalogue: &Catalogue,
        suspend_expired: bool,
        now: Timestamp,
        effective: &Effective,
    ) -> Self {
        let by_plan = chain.iter().position(|tenant| tenant.plan.is_some());
        Self {
            status: (json(&effective.status), status_origin(chain, suspend_expired, now)),
            plan: (json(&effective.plan), by_plan.map_or(Origin::Config, Origin::Line)),
            features: features(chain, catalogue, effective),
            caps: CapName::ALL.into_iter().map(|name| (name, cap(chain, effective, name))).collect(),
            branding: branding(chain, effective),
            edge: edge(chain, catalogue, effective),
        }
    }
}

/// The nearest of those whose standing is the gravest.
fn status_origin(chain: &[&Tenant], suspend_expired: bool, now: Timestamp) -> Origin {
    let expired = |tenant: &Tenant| tenant.status == Status::Trial && tenant.trial_ends.is_some_and(|end| end <= now);
    let mut found = (Standing::Served, Origin::Line(0));
    for (at, tenant) in chain.iter().enumerate() {
        let by_config = suspend_expired && expired(tenant);
        let standing = standing_of(tenant.status, by_config);
        if severity(standing) > severity(found.0) {
            found = (standing, if by_config { Origin::Config } else { Origin::Line(at) });
        }
    }
    found.1
}

fn features(chain: &[&Tenant], catalogue: &Catalogue, effective: &Effective) -> BTreeMap<String, Traced> {
    let known: BTreeSet<&Feature> = catalogue.features.keys().chain(&effective.features).collect();
    let licensed = |feature: &Feature| catalogue.licence.as_ref().is_none_or(|licence| licence.contains(feature));
    let planned =
        |feature: &Feature| catalogue.plan(&effective.plan).is_some_and(|plan| plan.features.contains(feature));
    let trace = |feature: &Feature| {
        let switched = chain.iter().enumerate().find_map(|(at, tenant)| match tenant.features_off.contains(feature) {
            true => Some((at, false)),
            false => tenant.features_on.contains(feature).then_some((at, true)),
        });
        let has = effective.features.contains(feature);
        let origin = match switched {
            Some((at, false)) => Origin::Line(at),
            Some((_, true)) if !licensed(feature) => Origin::Licence,
            Some((at, true)) => Origin::Line(at),
            None if planned(feature) && !licensed(feature) => Origin::Licence,
            None => Origin::Plan,
        };
        (feature.to_string(), (Value::Bool(has), origin))
    };
    known.into_iter().map(trace).collect()
}

fn cap(chain: &[&Tenant], effective: &Effective, name: CapName) -> (Traced, Option<SetBy>) {
    let own = caps::own(chain, name);
    let origin = own.map_or(Origin::Plan, |(at, _)| Origin::Line(at));
    ((json(&effective.caps.get(name)), origin), own.map(|(_, own)| own.by))
}

/// Whatever fields branding has, `images.logo_light` among them: the nearest that sets one.
fn branding(chain: &[&Tenant], effective: &Effective) -> BTreeMap<String, Traced> {
    let own: Vec<BTreeMap<String, Value>> = chain.iter().map(|tenant| fields(&tenant.branding)).collect();
    let trace = |(field, value): (String, Value)| {
        let at = own.iter().position(|own| own.contains_key(&field));
        (field, (value, at.map_or(Origin::Default, Origin::Line)))
    };
    fields(&effective.branding).into_iter().map(trace).collect()
}

/// What is set, by name; what stands within a field by `<field>.<name>`, but for pictures, which are one thing.
fn fields(branding: &Branding) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    let Value::Object(set) = json(branding) else { return all };
    for (field, value) in set {
        match value {
            Value::Object(inner) => {
                all.extend(inner.into_iter().map(|(name, value)| (format!("{field}.{name}"), value)))
            }
            value => drop(all.insert(field, value)),
        }
    }
    all.retain(|_, value| !value.is_null());
    all
}

fn edge(chain: &[&Tenant], catalogue: &Catalogue, effective: &Effective) -> BTreeMap<String, Traced> {
    let policy = &effective.edge;
    let mut all = limits(chain, catalogue, effective);
    let own = chain.first().is_some_and(|tenant| tenant.edge.primary_domain.is_some());
    let primary = if own { Origin::Line(0) } else { Origin::Default };
    all.insert("primary_domain".into(), (json(&policy.primary_domain), primary));
    let mut nearest = |field: &str, value: Value| {
        let at = chain.iter().position(|tenant| json(&tenant.edge).get(field).is_some());
        all.insert(field.to_owned(), (value, at.map_or(Origin::Default, Origin::Line)));
    };
    nearest("access", json(&policy.access));
    nearest("cors", json(&policy.cors));
    nearest("maintenance", json(&policy.maintenance));
    nearest("www", json(&policy.www));
    nearest("pools", json(&policy.pools));
    nearest("canary", json(&policy.canary));
    all
}

fn limits(chain: &[&Tenant], catalogue: &Catalogue, effective: &Effective) -> BTreeMap<String, Traced> {
    let plan = catalogue.plan(&effective.plan).map(|plan| plan.limits).unwrap_or_default();
    let words: Vec<(LimitSettings, Origin)> = chain
        .iter()
        .enumerate()
        .map(|(at, tenant)| (tenant.edge.limits, Origin::Line(at)))
        .chain([(plan, Origin::Plan)])
        .collect();
    let nearest = |said: fn(&LimitSettings) -> bool| {
        words.iter().find(|(limits, _)| said(limits)).map_or(Origin::Default, |(_, origin)| *origin)
    };
    // A burst belongs to the rate beside it: what stands behind that rate is not asked, and without one it is the rate.
    let rate = words.iter().position(|(limits, _)| limits.requests_per_second.is_some());
    let asked = rate.map_or(words.as_slice(), |rate| words.get(..=rate).unwrap_or_default());
    let burst = asked.iter().find(|(limits, _)| limits.burst.is_some()).map(|(_, origin)| *origin);
    let rate = nearest(|limits| limits.requests_per_second.is_some());
    let holding = effective.edge.limits;
    let traced = [
        ("requests_per_second", json(&holding.rate.map(|rate| rate.per_second)), rate),
        ("burst", json(&holding.rate.map(|rate| rate.burst)), burst.unwrap_or(rate)),
        (
            "concurrent_requests",
            json(&holding.concurrent_requests),
            nearest(|limits| limits.concurrent_requests.is_some()),
        ),
        ("websockets", json(&holding.websockets), nearest(|limits| limits.websockets.is_some())),
        ("body_bytes", json(&holding.body_bytes), nearest(|limits| limits.body_bytes.is_some())),
    ];
    traced.into_iter().map(|(field, value, origin)| (format!("limits.{field}"), (value, origin))).collect()
}

/// What the house's own types come to; none of them has no JSON.
fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

#[cfg(test)]
#[path = "provenance_tests.rs"]
mod tests;
