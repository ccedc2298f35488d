//! Changes of plan: at once or at the end of the period, one at a time, and what becomes of one that waits.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tenantry::clock::Timestamp;
use tenantry::config::Config;
use tenantry::model::{Catalogue, Feature, PlanChange, PlanName, Source, Status, Tenant, When};
use tenantry::tenancy::{Deletion, NewMember, PlanOrder, PlanQuestion, Stuck, TenancyError, TenantChange};

use super::{DAY, Ground, House, actor, any, code, contract};

contract!(
    a_downgrade_waits_for_the_end_of_the_period_and_an_upgrade_does_not,
    one_change_waits_at_a_time_and_can_be_dropped,
    the_billing_system_says_when_a_period_ends,
    suspension_leaves_a_change_alone_and_cancellation_lets_it_rest,
    a_plan_that_has_left_the_catalogue_is_waited_for_and_nobody_loses_theirs,
    a_child_goes_back_to_its_parents_plan,
    a_parent_that_has_gone_takes_nobodys_plan_along,
    a_feature_that_the_catalogue_has_no_more_stands_in_nobodys_way,
    what_is_over_a_cap_stays_and_one_more_is_refused,
    nothing_is_switched_on_that_the_licence_withholds,
);

fn plan(name: &str) -> PlanName {
    PlanName::parse(name).unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn next(name: &str, time: &str) -> Option<PlanChange> {
    Some(PlanChange { plan: Some(plan(name)), at: at(time) })
}

impl House {
    /// Orders a plan as somebody does who says nothing about when.
    async fn order(&self, slug: &str, name: &str) -> Tenant {
        let order = PlanOrder { plan: Some(name.into()), when: None };
        self.tenancy.set_plan(&actor(), slug, &any(), &order).await.unwrap().value.tenant
    }

    pub(super) fn recatalogue(&self, edit: impl FnOnce(&mut Catalogue)) {
        let mut config = Config::clone(&self.config.load());
        edit(Arc::make_mut(&mut config.catalogue));
        self.config.store(Arc::new(config));
    }
}

async fn a_downgrade_waits_for_the_end_of_the_period_and_an_upgrade_does_not(ground: Ground) {
    let house = House::on(ground).await;
    let acme = house.create("acme", Status::Active, None).await;
    house.holds("acme", "shop.acme.example").await;
    let waits = house.order("acme", "free").await;
    assert_eq!(
        (waits.plan.clone(), waits.subscription.next),
        (Some(plan("growth")), next("free", "2026-12-01T00:00:00Z"))
    );
    assert_eq!(waits.life.due, Some(at("2026-12-01T00:00:00Z")));
    assert_eq!(house.after(9).await, 0);
    assert_eq!(house.show("acme").await.plan, Some(plan("growth")));
    assert_eq!(house.after(1).await, 1);
    let now = house.tenancy.show("acme").await.unwrap();
    assert_eq!((now.tenant.plan, now.tenant.subscription.next), (Some(plan("free")), None));
    assert!(now.effective.features.is_empty());
    assert_eq!(now.tenant.life.domains_until, Some(house.clock.now() + 30 * DAY), "its domains have their grace");
    assert_eq!(
        house.told("acme").await,
        ["tenant.created", "tenant.plan-scheduled", "tenant.plan-changed", "tenant.domains-uncovered"]
    );
    let ledger = house.ledger(&acme).await;
    assert_eq!(ledger[ledger.len() - 2..], ["test tenant.plan-schedule", "system tenant.plan"]);

    let up = house.order("acme", "creators").await;
    assert_eq!((up.plan, up.subscription.next, up.life.domains_until), (Some(plan("creators")), None, None));
    assert_eq!(house.ledger(&acme).await.last().unwrap(), "test tenant.plan");
    // Who says when is taken at their word, whichever way it goes.
    let order = PlanOrder { plan: Some("custom".into()), when: Some(When::PeriodEnd) };
    let later = house.tenancy.set_plan(&actor(), "acme", &any(), &order).await.unwrap().value.tenant;
    assert_eq!((later.plan, later.subscription.next), (Some(plan("creators")), next("custom", "2027-01-01T00:00:00Z")));
    let order = PlanOrder::at_once("starter");
    let now = house.tenancy.set_plan(&actor(), "acme", &any(), &order).await.unwrap().value.tenant;
    assert_eq!((now.plan, now.subscription.next), (Some(plan("starter")), None));
}

async fn one_change_waits_at_a_time_and_can_be_dropped(ground: Ground) {
    let house = House::on(ground).await;
    let acme = house.create("acme", Status::Active, None).await;
    house.order("acme", "free").await;
    assert_eq!(house.order("acme", "starter").await.subscription.next, next("starter", "2026-12-01T00:00:00Z"));
    // The plan that it has.
    assert_eq!(house.order("acme", "growth").await.subscription.next, None);
    assert_eq!(house.ledger(&acme).await.last().unwrap(), "test tenant.plan-unschedule");
    assert_eq!(code(house.tenancy.drop_plan_change(&actor(), "acme", &any()).await), "not-found");
    house.order("acme", "free").await;
    let dropped = house.tenancy.drop_plan_change(&actor(), "acme", &any()).await.unwrap().value.tenant;
    assert_eq!((dropped.subscription.next, dropped.life.due), (None, None));
    assert_eq!(house.after(30).await, 0);
    assert_eq!(house.show("acme").await.plan, Some(plan("growth")));
    house.order("acme", "free").await;
    assert_eq!(house.order("acme", "professional").await.subscription.next, None, "an upgrade drops what waits");
    assert_eq!(house.after(60).await, 0);
    let told = house.told("acme").await;
    assert_eq!(told.iter().filter(|kind| *kind == "tenant.plan-unscheduled").count(), 2, "{told:?}");

    house.order("acme", "free").await;
    let mut export = house.tenancy.export(&actor(), "acme").await.unwrap();
    let facts: Value = serde_json::from_slice(&export.next().await.unwrap().unwrap().bytes).unwrap();
    assert_eq!(facts["plan_change"], serde_json::json!({"plan": "free", "at": "2027-03-01T00:00:00Z"}));
    let deletion = Deletion { slug: "acme".into(), with_children: false };
    house.tenancy.delete(&actor(), "acme", &any(), &deletion).await.unwrap();
    assert_eq!(house.after(60).await, 0, "it goes with its tenant");
}

async fn the_billing_system_says_when_a_period_ends(ground: Ground) {
    let house = House::on(ground).await;
    let acme = house.create("acme", Status::Active, None).await;
    let mut write = house.store.write().await.unwrap();
    let mut row = write.tenant(acme.id).await.unwrap().unwrap();
    row.subscription.period_end = Some(at("2027-02-11T09:30:00Z"));
    row.subscription.billing_ref = Some("sub_1".into());
    write.update_tenant(&row).await.unwrap();
    assert_eq!(write.tenant_by_billing_ref("sub_1").await.unwrap().unwrap().id, acme.id);
    assert_eq!(write.tenant_by_billing_ref("sub_2").await.unwrap(), None);
    write.commit().await.unwrap();
    assert_eq!(house.order("acme", "free").await.subscription.next, next("free", "2027-02-11T09:30:00Z"));
    let state = house.tenancy.plan_state("acme").await.unwrap();
    assert_eq!((state.period_ends, state.period_is_told), (at("2027-02-11T09:30:00Z"), true));
    house.clock.advance(82 * DAY);
    assert_eq!(house.after(0).await, 1);
    let state = house.tenancy.plan_state("acme").await.unwrap();
    assert_eq!((state.period_ends, state.period_is_told), (at("2027-03-01T00:00:00Z"), false));
    assert_eq!((state.change, state.plan.unwrap().name), (None, plan("free")));
}

async fn suspension_leaves_a_change_alone_and_cancellation_lets_it_rest(ground: Ground) {
    let house = House::on(ground).await;
    for slug in ["held-up", "gone", "back-soon"] {
        house.create(slug, Status::Active, None).await;
        house.order(slug, "free").await;
    }
    house.tenancy.suspend(&actor(), "held-up", &any(), &Default::default()).await.unwrap();
    house.tenancy.cancel(&actor(), "gone", &any()).await.unwrap();
    house.tenancy.cancel(&actor(), "back-soon", &any()).await.unwrap();
    house.tenancy.restore(&actor(), "back-soon", &any()).await.unwrap();
    assert_eq!(house.show("back-soon").await.life.due, Some(at("2026-12-01T00:00:00Z")));
    assert_eq!(house.after(20).await, 2);
    for slug in ["held-up", "back-soon"] {
        assert_eq!(house.show(slug).await.plan, Some(plan("free")), "{slug}");
    }
    let gone = house.show("gone").await;
    assert_eq!((gone.plan, gone.subscription.next), (Some(plan("growth")), next("free", "2026-12-01T00:00:00Z")));
    house.after(80).await;
    assert_eq!(house.show("gone").await.status, Status::Archived);
    house.tenancy.restore(&actor(), "gone", &any()).await.unwrap();
    assert_eq!(house.after(0).await, 1, "its time has come long ago");
    let back = house.show("gone").await;
    assert_eq!((back.status, back.plan, back.subscription.next), (Status::Active, Some(plan("free")), None));
}

async fn a_plan_that_has_left_the_catalogue_is_waited_for_and_nobody_loses_theirs(ground: Ground) {
    let house = House::on(ground).await;
    house.create("acme", Status::Active, None).await;
    house.create("beta", Status::Trial, None).await;
    house.order("acme", "starter").await;
    house.order("beta", "starter").await;
    let whole = house.config.load_full();
    house.recatalogue(|catalogue| catalogue.plans.retain(|plan| plan.name.as_str() != "starter"));
    let state = house.tenancy.plan_state("acme").await.unwrap();
    assert_eq!(state.stuck, Some(Stuck::NoSuchPlan), "it is seen before it is due");
    house.after(10).await;
    let waits = house.tenancy.show("acme").await.unwrap();
    assert_eq!((waits.tenant.plan, waits.effective.plan), (Some(plan("growth")), plan("growth")));
    assert!(waits.effective.features.contains("csv_export"));
    assert_eq!(waits.tenant.subscription.next, next("starter", "2026-12-01T00:00:00Z"));
    assert_eq!(waits.tenant.life.due, Some(house.clock.now() + Duration::from_secs(3600)));
    house.after(1).await;
    let renamed = TenantChange { name: Some("Beta".into()), ..TenantChange::default() };
    house.tenancy.amend(&actor(), "beta", &any(), &renamed).await.unwrap();
    house.after(3).await;
    let told = house.told("acme").await;
    assert_eq!(told.iter().filter(|kind| *kind == "tenant.plan-waits").count(), 1, "{told:?}");
    let told = house.told("beta").await;
    assert!(told.contains(&"tenant.trial-ended".to_owned()), "what else time brings, it brings: {told:?}");
    assert_eq!(told.iter().filter(|kind| *kind == "tenant.plan-waits").count(), 1, "renamed or not: {told:?}");
    // Somebody does something about it: another plan, or the plan comes back.
    house.order("beta", "free").await;
    house.config.store(whole);
    house.after(1).await;
    assert_eq!(house.show("acme").await.plan, Some(plan("starter")));
    house.after(30).await;
    assert_eq!(house.show("beta").await.plan, Some(plan("free")));
}

async fn a_child_goes_back_to_its_parents_plan(ground: Ground) {
    let house = House::on(ground).await;
    house.create("holding", Status::Active, None).await;
    let shop = house.create("shop", Status::Active, Some("holding")).await;
    house.order("shop", "professional").await;
    let back = PlanOrder { plan: None, when: None };
    let waits = house.tenancy.set_plan(&actor(), "shop", &any(), &back).await.unwrap().value.tenant;
    assert_eq!(waits.subscription.next, Some(PlanChange { plan: None, at: at("2026-12-01T00:00:00Z") }));
    house.after(10).await;
    let state = house.tenancy.plan_state("shop").await.unwrap();
    assert_eq!((state.state.tenant.plan, state.state.effective.plan), (None, plan("growth")));
    assert_eq!((state.from, state.from_tenant.unwrap().as_str()), (Source::Parent, "holding"));
    house.order("shop", "free").await;
    house.after(31).await;
    let up = house.tenancy.set_plan(&actor(), "shop", &any(), &back).await.unwrap().value.tenant;
    assert_eq!((up.plan, up.subscription.next), (None, None), "the parent's is the better one");
    assert_eq!(code(house.tenancy.set_plan(&actor(), "holding", &any(), &back).await), "required");
    assert_eq!(house.ledger(&shop).await.last().unwrap(), "test tenant.plan");
}

async fn a_parent_that_has_gone_takes_nobodys_plan_along(ground: Ground) {
    let house = House::on(ground).await;
    house.create("holding", Status::Active, None).await;
    house.create("shop", Status::Active, Some("holding")).await;
    house.order("shop", "professional").await;
    let back = PlanOrder { plan: None, when: None };
    house.tenancy.set_plan(&actor(), "shop", &any(), &back).await.unwrap();
    house.tenancy.set_parent(&actor(), "shop", &any(), None).await.unwrap();
    assert_eq!(house.tenancy.plan_state("shop").await.unwrap().stuck, Some(Stuck::NoParent));
    house.after(10).await;
    assert_eq!(house.show("shop").await.plan, Some(plan("professional")));
    assert!(house.told("shop").await.contains(&"tenant.plan-waits".to_owned()));
    house.tenancy.set_parent(&actor(), "shop", &any(), Some("holding")).await.unwrap();
    house.after(1).await;
    assert_eq!(house.show("shop").await.plan, None);
}

async fn a_feature_that_the_catalogue_has_no_more_stands_in_nobodys_way(ground: Ground) {
    let house = House::on(ground).await;
    house.create("acme", Status::Active, None).await;
    let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let switch = async |on: &[&str], off: &[&str]| {
        house.tenancy.set_features(&actor(), "acme", &any(), &list(on), &list(off)).await
    };
    switch(&["scim"], &["embed_sdk"]).await.unwrap();
    house.recatalogue(|catalogue| {
        catalogue.features.retain(|feature, _| !["scim", "embed_sdk"].contains(&feature.as_str()));
    });
    let question = PlanQuestion { features_on: Some(list(&["sso"])), ..PlanQuestion::default() };
    let preview = house.tenancy.preview("acme", &question).await.unwrap();
    assert_eq!(preview.gained.iter().map(|gained| gained.feature.as_str()).collect::<Vec<_>>(), ["sso"]);
    // Read, changed, and written back as a console does.
    switch(&["scim", "sso"], &["embed_sdk"]).await.unwrap();
    assert_eq!(code(switch(&["embed_sdk"], &[]).await), "unknown-feature", "it was off, and is on from nowhere");
    switch(&["sso"], &[]).await.unwrap();
    assert_eq!(code(switch(&["scim"], &[]).await), "unknown-feature");
}

async fn what_is_over_a_cap_stays_and_one_more_is_refused(ground: Ground) {
    let house = House::on(ground).await;
    house.create("acme", Status::Active, None).await;
    house.recatalogue(|catalogue| catalogue.plans[0].members = Some(1));
    let join = async |n: u32| {
        let new = NewMember { email: format!("m{n}@acme.example"), role: "member".into(), ..NewMember::default() };
        house.tenancy.add_member(&actor(), "acme", &new).await
    };
    for n in 0..2 {
        join(n).await.unwrap();
    }
    let over = async || {
        let caps = house.tenancy.plan_state("acme").await.unwrap().caps;
        caps.into_iter()
            .filter(|cap| cap.is_over())
            .map(|cap| (cap.cap.as_str(), cap.used, cap.limit))
            .collect::<Vec<_>>()
    };
    assert!(over().await.is_empty());
    house.order("acme", "free").await;
    assert!(over().await.is_empty(), "not yet");
    house.after(10).await;
    assert_eq!(over().await, [("members", Some(2), Some(1))]);
    let refused = join(2).await.unwrap_err();
    assert!(
        matches!(&refused, TenancyError::OverCap { cap: 1, plans, .. } if plans[0] == plan("starter")),
        "{refused}"
    );
    assert_eq!(house.tenancy.member("acme", "m1@acme.example").await.unwrap().state.as_str(), "active");
    house.order("acme", "starter").await;
    join(2).await.unwrap();
}

async fn nothing_is_switched_on_that_the_licence_withholds(ground: Ground) {
    let house = House::on(ground).await;
    house.create("acme", Status::Active, None).await;
    let switch = async |on: &[&str]| {
        let on: Vec<String> = on.iter().map(|word| (*word).to_owned()).collect();
        house.tenancy.set_features(&actor(), "acme", &any(), &on, &[]).await
    };
    switch(&["scim"]).await.unwrap();
    let licence = ["csv_export", "embed_sdk"].map(|word| Feature::parse(word).unwrap());
    house.recatalogue(|catalogue| catalogue.licence = Some(licence.into()));
    let Err(TenancyError::Invalid(faults)) = switch(&["embed_sdk", "sso", "nope"]).await else {
        panic!("it was taken")
    };
    let faults: Vec<_> = faults.iter().map(|fault| (fault.pointer.as_str(), fault.code)).collect();
    assert_eq!(faults, [("/on/2", "unknown-feature"), ("/on/1", "not-licensed")]);
    // What was on before the licence shrank stays on, and gives nothing.
    let state = switch(&["embed_sdk", "scim"]).await.unwrap().value;
    assert!(!state.effective.features.contains("scim") && state.effective.features.contains("embed_sdk"));
    switch(&[]).await.unwrap();
    assert_eq!(code(switch(&["scim"]).await), "not-licensed");
}
