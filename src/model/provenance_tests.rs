//! What holds for a tenant equals a naive fold from the top of its line down, and every value is the word of whom it is
//! said to be.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::{Branding, EdgeSettings, Plan, PlanName, Slug};

const FEATURES: [&str; 4] = ["csv_export", "custom_domain", "embed_sdk", "sso"];
const PLANS: [&str; 3] = ["free", "growth", "gone"];
const NOW: Timestamp = Timestamp(1_000);

/// One tenant's words.
#[derive(Clone, Debug)]
struct Words {
    status: Status,
    trial_over: bool,
    plan: Option<usize>,
    on: BTreeSet<usize>,
    off: BTreeSet<usize>,
    colour: Option<u8>,
    rate: Option<Option<u32>>,
    burst: Option<u32>,
    websockets: Option<u64>,
    www: Option<bool>,
    primary: bool,
}

fn words() -> impl Strategy<Value = Words> {
    let choice = (
        prop::sample::select(vec![
            Status::Active,
            Status::Active,
            Status::Trial,
            Status::Trial,
            Status::Pending,
            Status::Suspended,
            Status::Cancelled,
            Status::Archived,
        ]),
        any::<bool>(),
        prop::option::of(0_usize..3),
        prop::collection::btree_set(0_usize..4, 0..3),
        prop::collection::btree_set(0_usize..4, 0..3),
        prop::option::of(any::<u8>()),
    );
    let edge = (
        prop::option::of(prop::option::of(1_u32..100)),
        prop::option::of(1_u32..100),
        prop::option::of(0_u64..100),
        prop::option::of(any::<bool>()),
        any::<bool>(),
    );
    (choice, edge).prop_map(|((status, trial_over, plan, on, off, colour), (rate, burst, websockets, www, primary))| {
        Words { status, trial_over, plan, on, off, colour, rate, burst, websockets, www, primary }
    })
}

fn feature(at: usize) -> Feature {
    Feature::parse(FEATURES[at]).unwrap()
}

fn plan(at: usize) -> PlanName {
    PlanName::parse(PLANS[at]).unwrap()
}

fn colour(n: u8) -> Value {
    json!(format!("#0000{n:02x}"))
}

fn tenant(words: &Words) -> Tenant {
    let mut edge = json!({ "limits": {} });
    if let Some(rate) = words.rate {
        edge["limits"]["requests_per_second"] = rate.map_or(json!("unlimited"), |rate| json!(rate));
    }
    if let Some(burst) = words.burst {
        edge["limits"]["burst"] = json!(burst);
    }
    if let Some(websockets) = words.websockets {
        edge["limits"]["websockets"] = json!(websockets);
    }
    if let Some(add) = words.www {
        edge["www"] = json!(if add { "add" } else { "keep" });
    }
    if words.primary {
        edge["primary_domain"] = json!("shop.acme.example");
    }
    let edge: EdgeSettings = serde_json::from_value(edge).unwrap();
    let branding: Branding = match words.colour {
        Some(n) => serde_json::from_value(json!({ "primary_colour": colour(n) })).unwrap(),
        None => Branding::default(),
    };
    Tenant {
        status: words.status,
        plan: words.plan.map(plan),
        features_on: words.on.iter().map(|at| feature(*at)).collect(),
        features_off: words.off.iter().map(|at| feature(*at)).collect(),
        branding,
        edge,
        trial_ends: Some(Timestamp(if words.trial_over { 500 } else { 5_000 })),
        ..Tenant::new(Slug::parse("acme").unwrap(), Timestamp(0))
    }
}

/// `free` gives nothing and bounds the rate; `growth` gives two features; `gone` is in no catalogue any more.
fn catalogue() -> Catalogue {
    let limits: LimitSettings = serde_json::from_value(json!({ "requests_per_second": 7, "burst": 9 })).unwrap();
    let made = |at: usize, features: &[usize], limits| Plan {
        name: plan(at),
        title: PLANS[at].into(),
        features: features.iter().map(|at| feature(*at)).collect(),
        members: None,
        ai_tokens: None,
        audit_days: 90,
        limits,
    };
    Catalogue {
        plans: vec![made(0, &[], limits), made(1, &[0, 3], LimitSettings::default())],
        default_plan: plan(0),
        features: (0..4).map(|at| (feature(at), FEATURES[at].to_owned())).collect(),
        licence: Some([feature(0), feature(1), feature(2)].into()),
        upgrade_url: None,
    }
}

/// From the top down, each word in the place of the one before.
struct Naive {
    plan: usize,
    features: BTreeSet<Feature>,
    colour: Option<u8>,
    websockets: Option<u64>,
    www: Option<bool>,
    status: Status,
}

fn naive(line: &[Words], suspend_expired: bool) -> Naive {
    let mut plan = 0;
    let mut switches: BTreeMap<usize, bool> = BTreeMap::new();
    let (mut colour, mut websockets, mut www) = (None, None, None);
    for words in line.iter().rev() {
        plan = words.plan.unwrap_or(plan);
        switches.extend(words.on.iter().map(|at| (*at, true)));
        switches.extend(words.off.iter().map(|at| (*at, false)));
        (colour, websockets, www) = (words.colour.or(colour), words.websockets.or(websockets), words.www.or(www));
    }
    let given: &[usize] = if plan == 1 { &[0, 3] } else { &[] };
    let has = |at: &usize| switches.get(at).copied().unwrap_or(given.contains(at)) && *at != 3;
    let features = (0..4).filter(has).map(feature).collect();
    // The gravest counts; of several as grave the nearest.
    let grave = |words: &Words| match words.status {
        Status::Cancelled | Status::Archived => 3,
        Status::Suspended => 2,
        Status::Trial if words.trial_over && suspend_expired => 2,
        Status::Pending => 1,
        Status::Trial | Status::Active => 0,
    };
    let worst = line.iter().map(grave).max().unwrap();
    let nearest = line.iter().find(|words| grave(words) == worst).unwrap();
    let status = match (worst, nearest.status) {
        (0, _) => line[0].status,
        (2, _) => Status::Suspended,
        (_, status) => status,
    };
    Naive { plan, features, colour, websockets, www, status }
}

proptest! {
    #[test]
    fn what_holds_is_a_fold_and_every_value_is_the_word_of_whom_it_is_said_to_be(
        line in prop::collection::vec(words(), 1..8),
        suspend_expired in any::<bool>(),
    ) {
        let tenants: Vec<Tenant> = line.iter().map(tenant).collect();
        let chain: Vec<&Tenant> = tenants.iter().collect();
        let catalogue = catalogue();
        let effective = Effective::of(&chain, &catalogue, suspend_expired, NOW).unwrap();
        let expected = naive(&line, suspend_expired);
        prop_assert_eq!(&effective.plan, &plan(expected.plan));
        prop_assert_eq!(&effective.features, &expected.features);
        let holding = json(&effective.branding);
        prop_assert_eq!(holding.get("primary_colour").cloned(), expected.colour.map(colour));
        prop_assert_eq!(effective.edge.limits.websockets, expected.websockets);
        prop_assert_eq!(effective.edge.www.is_some(), expected.www.is_some());
        prop_assert_eq!(effective.status, expected.status);

        let traced = Provenance::of(&chain, &catalogue, suspend_expired, NOW, &effective);
        told_by(&traced, &line, suspend_expired)?;
    }
}

/// Each origin is looked up, and must say the value.
fn told_by(traced: &Provenance, line: &[Words], suspend_expired: bool) -> Result<(), TestCaseError> {
    match traced.plan.1 {
        Origin::Line(at) => {
            prop_assert_eq!(&json!(plan(line[at].plan.unwrap())), &traced.plan.0);
            prop_assert!(line[..at].iter().all(|words| words.plan.is_none()));
        }
        origin => prop_assert_eq!((origin, &traced.plan.0), (Origin::Config, &json!("free"))),
    }
    match traced.status.1 {
        Origin::Line(at) if line[at].status != Status::Trial || at == 0 => {
            prop_assert_eq!(&traced.status.0, &json!(line[at].status));
        }
        origin => prop_assert!(origin == Origin::Config && suspend_expired, "{:?}", origin),
    }
    for (at, name) in FEATURES.iter().enumerate() {
        let (value, origin) = &traced.features[*name];
        let has = value == &Value::Bool(true);
        match origin {
            Origin::Line(place) => {
                prop_assert_eq!(line[*place].off.contains(&at), !has);
                prop_assert!(!has || line[*place].on.contains(&at));
            }
            Origin::Licence => prop_assert!(at == 3 && !has),
            Origin::Plan => prop_assert!(line.iter().all(|words| !words.on.contains(&at) && !words.off.contains(&at))),
            origin => prop_assert!(false, "{:?}", origin),
        }
    }
    if let Some((_, origin)) = traced.branding.get("primary_colour") {
        prop_assert!(matches!(origin, Origin::Line(at) if line[*at].colour.is_some()));
    }
    let (rate, origin) = &traced.edge["limits.requests_per_second"];
    match origin {
        Origin::Line(at) => prop_assert_eq!(rate, &json!(line[*at].rate.unwrap())),
        Origin::Plan => prop_assert_eq!(rate, &json!(7)),
        origin => prop_assert_eq!((origin, rate), (&Origin::Default, &Value::Null)),
    }
    let (burst, origin) = &traced.edge["limits.burst"];
    match origin {
        Origin::Line(at) if !burst.is_null() => {
            let own = line[*at].burst.or(line[*at].rate.flatten()).unwrap();
            prop_assert_eq!(burst, &json!(own));
        }
        Origin::Plan => prop_assert_eq!(burst, &json!(9)),
        _ => prop_assert!(burst.is_null()),
    }
    let (primary, origin) = &traced.edge["primary_domain"];
    prop_assert_eq!((!primary.is_null(), origin == &Origin::Line(0)), (line[0].primary, line[0].primary));
    Ok(())
}
