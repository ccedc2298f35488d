//! What a preview says is what the change then does.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRng, TestRunner};
use tenantry::model::{Direction, Feature, Limits, Status, When};
use tenantry::tenancy::{
    Effect, NewMember, NewRole, NewTenant, PlanOrder, PlanQuestion, Preview, TenancyError, TenantState,
};

use super::{DAY, Ground, House, actor, any, contract};

contract!(
    a_preview_says_what_the_change_then_does,
    a_preview_names_what_is_in_use_and_writes_nothing,
    a_preview_is_checked_as_the_change_is,
);

const PLANS: [&str; 6] = ["free", "starter", "creators", "growth", "professional", "custom"];
const FEATURES: [&str; 4] = ["custom_domain", "custom_roles", "csv_export", "sso"];

/// A tenant, and what is thought of for it.
#[derive(Clone, Debug)]
struct Case {
    parent: Option<&'static str>,
    own: Option<&'static str>,
    on: Vec<String>,
    off: Vec<String>,
    domain: bool,
    roles: u32,
    members: u32,
    /// Its child has a plan of its own.
    child_has_own: bool,
    waits: Option<&'static str>,
    question: PlanQuestion,
}

/// Each of the features on, off, or neither.
fn switches() -> impl Strategy<Value = (Vec<String>, Vec<String>)> {
    proptest::collection::vec(0..5u8, FEATURES.len()).prop_map(|words| {
        let of = |word: u8| {
            let named = FEATURES.iter().zip(&words).filter(move |(_, said)| **said == word);
            named.map(|(feature, _)| (*feature).to_owned()).collect()
        };
        (of(0), of(1))
    })
}

fn any_case() -> impl Strategy<Value = Case> {
    let plan = || proptest::sample::select(PLANS.to_vec());
    let when = proptest::option::of(prop_oneof![Just(When::Now), Just(When::PeriodEnd)]);
    let asked = (proptest::option::weighted(0.9, proptest::option::weighted(0.8, plan())), when);
    let switched = (proptest::option::weighted(0.4, switches()), switches());
    let stock = (proptest::bool::ANY, 0..3u32, 0..4u32, proptest::bool::ANY);
    let plans = (
        proptest::option::of(plan()),
        proptest::option::weighted(0.7, plan()),
        proptest::option::weighted(0.3, plan()),
    );
    (plans, asked, switched, stock).prop_map(|((parent, own, waits), (plan, when), (asked, (on, off)), stock)| {
        let (domain, roles, members, child_has_own) = stock;
        let (features_on, features_off) = asked.unzip();
        let question = PlanQuestion {
            when: when.filter(|_| plan.is_some()),
            plan: plan.map(|plan| plan.map(str::to_owned)),
            features_on,
            features_off,
        };
        let own = own.or(parent.is_none().then_some("growth"));
        Case { parent, own, on, off, domain, roles, members, child_has_own, waits, question }
    })
}

impl House {
    /// `holding-n`, beneath it `acme-n` with what there is to lose, beneath that `shop-n`.
    async fn build(&self, n: u32, case: &Case) -> String {
        let (holding, acme, shop) = (format!("holding-{n}"), format!("acme-{n}"), format!("shop-{n}"));
        let tenant = async |slug: &str, plan: Option<&str>, parent: Option<&str>| {
            let new = NewTenant {
                slug: slug.into(),
                name: slug.into(),
                plan: plan.map(str::to_owned),
                parent: parent.map(str::to_owned),
                status: Some(Status::Active),
                ..NewTenant::default()
            };
            self.tenancy.create(&actor(), &new).await.unwrap();
        };
        if let Some(plan) = case.parent {
            tenant(&holding, Some(plan), None).await;
        }
        tenant(&acme, Some("professional"), case.parent.map(|_| holding.as_str())).await;
        tenant(&shop, case.child_has_own.then_some("creators"), Some(&acme)).await;
        if case.domain {
            self.holds(&acme, &format!("shop-{n}.example")).await;
        }
        for role in 0..case.roles {
            let scopes = vec!["tenant:read".to_owned()];
            let new = NewRole { name: format!("role-{role}"), scopes, ..NewRole::default() };
            self.tenancy.create_role(&actor(), &acme, &new).await.unwrap();
        }
        for member in 0..case.members {
            let role = if member < case.roles { format!("role-{member}") } else { "member".into() };
            let new = NewMember { email: format!("m{n}-{member}@acme.example"), role, ..NewMember::default() };
            self.tenancy.add_member(&actor(), &acme, &new).await.unwrap();
        }
        self.tenancy.set_features(&actor(), &acme, &any(), &case.on, &case.off).await.unwrap();
        let start = PlanOrder { plan: case.own.map(str::to_owned), when: Some(When::Now) };
        self.tenancy.set_plan(&actor(), &acme, &any(), &start).await.unwrap();
        if let Some(plan) = case.waits {
            let order = PlanOrder { plan: Some(plan.into()), when: Some(When::PeriodEnd) };
            self.tenancy.set_plan(&actor(), &acme, &any(), &order).await.unwrap();
        }
        acme
    }

    /// Does what was asked about.
    async fn make(&self, slug: &str, question: &PlanQuestion) {
        if question.features_on.is_some() {
            let [on, off] = [&question.features_on, &question.features_off].map(|list| list.clone().unwrap());
            self.tenancy.set_features(&actor(), slug, &any(), &on, &off).await.unwrap();
        }
        if let Some(plan) = question.plan.clone() {
            let order = PlanOrder { plan, when: question.when };
            self.tenancy.set_plan(&actor(), slug, &any(), &order).await.unwrap();
        }
    }

    async fn state(&self, slug: &str) -> TenantState {
        self.tenancy.show(slug).await.unwrap()
    }
}

/// The features after a moment: what there was, with what has changed by then.
fn features_by(before: &TenantState, preview: &Preview, at: tenantry::clock::Timestamp) -> BTreeSet<Feature> {
    let mut features = before.effective.features.clone();
    features.extend(preview.gained.iter().filter(|gained| gained.at <= at).map(|gained| gained.feature.clone()));
    features.retain(|feature| !preview.lost.iter().any(|lost| lost.at <= at && lost.feature == *feature));
    features
}

fn limits(limits: &Limits) -> Vec<Option<u64>> {
    let rate = limits.rate;
    vec![
        rate.map(|rate| u64::from(rate.per_second)),
        rate.map(|rate| u64::from(rate.burst)),
        limits.concurrent_requests,
        limits.websockets,
        limits.body_bytes,
    ]
}

async fn a_preview_says_what_the_change_then_does(ground: Ground) {
    let cases = if std::env::var_os("TENANTRY_TEST_FULL").is_some() { 1_000 } else { 40 };
    let house = House::on(ground).await;
    house.recatalogue(|catalogue| catalogue.plans[0].members = Some(1));
    let rng = TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (mut at_once, mut later) = (0, 0);
    for n in 0..cases {
        let case = any_case().new_tree(&mut runner).unwrap().current();
        let (slug, shop) = (house.build(n, &case).await, format!("shop-{n}"));
        let (before, shop_before, revision) =
            (house.state(&slug).await, house.state(&shop).await, house.store.revision().await.unwrap());
        let preview = match house.tenancy.preview(&slug, &case.question).await {
            Ok(preview) => preview,
            // It would have no plan at all.
            Err(TenancyError::Invalid(faults)) => {
                assert_eq!((faults[0].code, case.parent), ("required", None), "{case:?}");
                continue;
            }
            Err(other) => panic!("{other}"),
        };
        assert_eq!(house.store.revision().await.unwrap(), revision, "nothing is written");
        assert_eq!(preview.from, before.effective.plan);
        let drops = before.tenant.subscription.next.clone().filter(|_| case.question.plan.is_some());
        assert_eq!(preview.drops, drops, "{case:?}");

        house.make(&slug, &case.question).await;
        let now = house.state(&slug).await;
        assert_eq!(now.effective.features, features_by(&before, &preview, house.clock.now()), "{case:?}\n{preview:?}");
        match preview.at_once {
            true => at_once += 1,
            false => {
                later += 1;
                assert_eq!(now.tenant.subscription.next.as_ref().map(|next| next.at), Some(preview.at), "{case:?}");
                house.clock.advance(preview.at.since(house.clock.now()));
                while house.tenancy.pass_time("node").await.unwrap() > 0 {}
            }
        }
        let after = house.state(&slug).await;
        let told = format!("{case:#?}\n{preview:#?}\n{:#?}", after.tenant);
        assert_eq!(after.effective.plan, preview.to, "{told}");
        assert_eq!(after.effective.features, features_by(&before, &preview, preview.at), "{told}");
        assert_eq!(after.tenant.life.domains_until, preview.domains_until, "{told}");
        let caps = house.tenancy.plan_state(&slug).await.unwrap().caps;
        for (cap, said) in caps.iter().zip(&preview.caps) {
            assert_eq!((cap.cap, cap.used, cap.limit), (said.now.cap, said.now.used, said.then), "{told}");
            assert_eq!(cap.is_over(), said.would_be_over(), "{told}");
        }
        let said: Vec<_> = preview.limits.iter().map(|change| change.then).collect();
        assert_eq!(limits(&after.effective.edge.limits), said[..5], "{told}");
        let reached = house.state(&shop).await.effective.plan != shop_before.effective.plan;
        assert!(preview.children >= u64::from(reached), "{told}");
    }
    assert!(at_once > cases / 8 && later > cases / 8, "{at_once} {later} of {cases}");
}

async fn a_preview_names_what_is_in_use_and_writes_nothing(ground: Ground) {
    let house = House::on(ground).await;
    house.recatalogue(|catalogue| catalogue.plans[0].members = Some(2));
    let case = Case {
        parent: None,
        own: Some("professional"),
        on: vec![],
        off: vec![],
        domain: true,
        roles: 2,
        members: 3,
        child_has_own: false,
        waits: None,
        question: PlanQuestion::default(),
    };
    let slug = house.build(0, &case).await;
    let down = PlanQuestion { plan: Some(Some("free".into())), ..PlanQuestion::default() };
    let preview = house.tenancy.preview(&slug, &down).await.unwrap();
    let month = tenantry::clock::Timestamp::parse("2026-12-01T00:00:00Z").unwrap();
    assert_eq!((preview.direction, preview.at, preview.at_once), (Direction::Downgrade, month, false));
    let effect = |name: &str| preview.lost.iter().find(|lost| lost.feature.as_str() == name).unwrap().effect;
    assert_eq!(effect("custom_domain"), Effect::Domains { held: 1, until: Some(month + 30 * DAY) });
    assert_eq!(effect("custom_roles"), Effect::Roles { roles: 2, members: 2 });
    assert_eq!(effect("csv_export"), Effect::Applications);
    let over: Vec<_> = preview.caps.iter().filter(|cap| cap.would_be_over()).map(|cap| cap.now.cap).collect();
    assert_eq!((over, preview.children), (vec!["members"], 1));
    let days = preview.limits.iter().find(|change| change.limit == "audit_days").unwrap();
    assert_eq!((days.now, days.then), (Some(365), Some(90)));
    let closed: Vec<_> = preview.closed.iter().map(|route| route.feature.as_str()).collect();
    assert!(closed.contains(&"csv_export") && preview.opened.is_empty(), "{closed:?}");

    house.tenancy.set_plan(&actor(), &slug, &any(), &PlanOrder::at_once("free")).await.unwrap();
    let up = PlanQuestion { plan: Some(Some("growth".into())), ..PlanQuestion::default() };
    let preview = house.tenancy.preview(&slug, &up).await.unwrap();
    assert_eq!((preview.direction, preview.at_once, preview.domains_until), (Direction::Upgrade, true, None));
    assert_eq!((preview.opened.len(), preview.closed.len(), preview.lost.len()), (closed.len(), 0, 0));
    let switched = PlanQuestion { features_on: Some(vec!["sso".into()]), ..PlanQuestion::default() };
    let preview = house.tenancy.preview(&slug, &switched).await.unwrap();
    assert_eq!((preview.gained.len(), preview.direction, preview.children), (1, Direction::Same, 1));
}

async fn a_preview_is_checked_as_the_change_is(ground: Ground) {
    let house = House::on(ground).await;
    house.create("acme", Status::Active, None).await;
    let licence = BTreeSet::from([Feature::parse("csv_export").unwrap()]);
    house.recatalogue(|catalogue| catalogue.licence = Some(licence));
    let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    for (question, expected) in [
        (PlanQuestion { plan: Some(Some("grwth".into())), ..Default::default() }, vec![("/plan", "unknown-plan")]),
        (PlanQuestion { plan: Some(None), ..Default::default() }, vec![("/plan", "required")]),
        (PlanQuestion { when: Some(When::Now), ..Default::default() }, vec![("/when", "contradiction")]),
        (
            PlanQuestion {
                plan: Some(Some("gold".into())),
                features_on: words(&["csv_export", "sso"]),
                features_off: words(&["csv_export", "nope"]),
                ..Default::default()
            },
            vec![
                ("/plan", "unknown-plan"),
                ("/features_off/1", "unknown-feature"),
                ("/features_off/0", "contradiction"),
                ("/features_on/1", "not-licensed"),
            ],
        ),
    ] {
        let Err(TenancyError::Invalid(faults)) = house.tenancy.preview("acme", &question).await else {
            panic!("{question:?} was taken")
        };
        let found: Vec<_> = faults.iter().map(|fault| (fault.pointer.as_str(), fault.code)).collect();
        assert_eq!(found, expected);
    }
}
