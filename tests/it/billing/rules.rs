//! What a message comes to, on both engines, by a clock that the test moves.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::json;
use tenantry::clock::Clock;
use tenantry::model::{Cap, SetBy, Status, Tenant, When};
use tenantry::store::{EventFilter, Page, Store};
use tenantry::tenancy::{
    Actor, BillingAnswer, BillingStatus, BillingTaken, BillingTenant, BillingUpdate, Deletion, Expect, NewTenant,
    PlanOrder, Suspension, Tenancy, TenancyError,
};

use crate::store::{Ground, contract};

contract!(
    what_an_operator_has_stopped_only_an_operator_brings_back,
    what_billing_has_stopped_billing_brings_back,
    what_is_older_than_the_newest_changes_nothing,
    what_cannot_be_done_is_not_done_in_part,
    a_plan_begins_when_it_is_told_or_as_is_usual,
    a_change_that_waits_never_comes_amid_the_period_that_is_told,
    the_same_message_many_times_at_once_is_done_once,
    what_was_taken_goes_with_the_tenant,
);

const DAY: Duration = Duration::from_secs(86_400);

struct House {
    tenancy: Tenancy,
    store: Store,
    clock: Clock,
    _ground: Ground,
}

impl House {
    async fn on(ground: Ground) -> Self {
        let text = "[brand]\nbase = \"connect.example\"\n[[listener]]\nname = \"https\"\naddress = \"127.0.0.1:0\"\n\
                    [store]\nurl = \"sqlite:x\"\nkey = \"env:X\"\n[tenancy]\noperator = \"house\"\n";
        let config = Arc::new(ArcSwap::from_pointee(crate::admin::world::config(text)));
        let (store, clock) = (ground.open().await, ground.clock.clone());
        let tenancy = Tenancy::new(store.clone(), config, clock.clone(), Arc::new(()));
        Self { tenancy, store, clock, _ground: ground }
    }

    async fn create(&self, slug: &str, status: Status) -> Tenant {
        let new = NewTenant {
            slug: slug.into(),
            name: slug.into(),
            plan: Some("growth".into()),
            status: Some(status),
            ..NewTenant::default()
        };
        self.tenancy.create(&operator(), &new).await.unwrap().value.tenant
    }

    async fn show(&self, slug: &str) -> Tenant {
        self.tenancy.show(slug).await.unwrap().tenant
    }

    /// A message about a tenant that happens now.
    fn about(&self, slug: &str) -> BillingUpdate {
        BillingUpdate {
            occurred_at: self.clock.now(),
            tenant: BillingTenant { slug: Some(slug.into()), ..BillingTenant::default() },
            plan: None,
            when: None,
            status: None,
            reason: None,
            period: None,
            limits: Default::default(),
            billing_ref: None,
        }
    }

    async fn try_take(&self, id: &str, update: &BillingUpdate) -> Result<BillingTaken, TenancyError> {
        self.tenancy.take_billing(&Actor::new("billing"), id, id.as_bytes(), update).await
    }

    async fn take(&self, id: &str, update: &BillingUpdate) -> BillingAnswer {
        match self.try_take(id, update).await.unwrap() {
            BillingTaken::Now(done) => done.value,
            BillingTaken::Before(answer) => panic!("{answer:?}"),
        }
    }

    /// The billing system's word about a tenant's status; what is held, and what the tenant is then.
    async fn says(&self, slug: &str, status: BillingStatus) -> (Vec<String>, Status, SetBy) {
        let id = format!("msg_{slug}_{}_{status:?}", self.store.revision().await.unwrap());
        let answer = self.take(&id, &BillingUpdate { status: Some(status), ..self.about(slug) }).await;
        let tenant = self.show(slug).await;
        (answer.held.into_iter().map(|held| held.code).collect(), tenant.status, tenant.subscription.status_by)
    }
}

fn operator() -> Actor {
    Actor::new("operator:test")
}

fn pointers<T: std::fmt::Debug>(result: Result<T, TenancyError>) -> Vec<(String, &'static str)> {
    match result.unwrap_err() {
        TenancyError::Invalid(faults) => faults.into_iter().map(|fault| (fault.pointer, fault.code)).collect(),
        TenancyError::Conflict(fault) => vec![(fault.pointer, fault.code)],
        other => panic!("{other}"),
    }
}

async fn what_an_operator_has_stopped_only_an_operator_brings_back(ground: Ground) {
    use BillingStatus::{Active, Cancelled, Suspended};
    let house = House::on(ground).await;
    let (any, held) = (Expect::Anything, vec!["operators-word".to_owned()]);
    house.create("acme", Status::Active).await;
    let abuse = Suspension { reason: Some("abuse".into()), public: true };
    house.tenancy.suspend(&operator(), "acme", &any, &abuse).await.unwrap();
    for word in [Active, Suspended] {
        assert_eq!(house.says("acme", word).await, (held.clone(), Status::Suspended, SetBy::Operator));
    }
    // Everything else is done.
    let paid = BillingUpdate { status: Some(Active), plan: Some("professional".into()), ..house.about("acme") };
    let answer = house.take("msg_paid", &paid).await;
    assert_eq!((answer.changed, answer.held[0].pointer.as_str()), (vec!["plan".to_owned()], "/status"));
    let tenant = house.show("acme").await;
    assert_eq!((tenant.suspend_reason.as_deref(), tenant.reason_public), (Some("abuse"), true));

    // It ends, and paying again does not make up for what it was suspended for.
    assert_eq!(house.says("acme", Cancelled).await, (vec![], Status::Cancelled, SetBy::Operator));
    assert_eq!(house.says("acme", Active).await, (held.clone(), Status::Cancelled, SetBy::Operator));
    house.tenancy.restore(&operator(), "acme", &any).await.unwrap();
    let still = (held.clone(), Status::Suspended, SetBy::Operator);
    assert_eq!(house.says("acme", Active).await, still, "it comes back as it went");
    house.tenancy.activate(&operator(), "acme", &any).await.unwrap();
    assert_eq!(house.says("acme", Active).await, (vec![], Status::Active, SetBy::Operator));

    // An operator who suspends what billing has suspended makes it theirs.
    assert_eq!(house.says("acme", Suspended).await, (vec![], Status::Suspended, SetBy::Billing));
    house.tenancy.suspend(&operator(), "acme", &any, &abuse).await.unwrap();
    assert_eq!(house.says("acme", Active).await, (held.clone(), Status::Suspended, SetBy::Operator));
    house.tenancy.activate(&operator(), "acme", &any).await.unwrap();
    house.tenancy.cancel(&operator(), "acme", &any).await.unwrap();
    assert_eq!(house.says("acme", Active).await, (held, Status::Cancelled, SetBy::Operator));
    assert_eq!(house.says("acme", Cancelled).await, (vec![], Status::Cancelled, SetBy::Operator));
}

async fn what_billing_has_stopped_billing_brings_back(ground: Ground) {
    use BillingStatus::{Active, Cancelled, Suspended};
    let house = House::on(ground).await;
    house.create("beta", Status::Trial).await;
    // To pay ends a trial, even one that is suspended and would otherwise go on.
    assert_eq!(house.says("beta", Suspended).await, (vec![], Status::Suspended, SetBy::Billing));
    assert_eq!(house.says("beta", Active).await, (vec![], Status::Active, SetBy::Billing));
    assert_eq!(house.show("beta").await.trial_ends, None);
    assert_eq!(house.says("beta", Cancelled).await, (vec![], Status::Cancelled, SetBy::Billing));
    let tenant = house.show("beta").await;
    assert_eq!(tenant.life.phase_ends, Some(house.clock.now() + 90 * DAY));
    house.clock.advance(90 * DAY);
    assert_eq!(house.tenancy.pass_time("node").await.unwrap(), 1);
    assert_eq!(house.show("beta").await.status, Status::Archived);
    assert_eq!(house.says("beta", Active).await, (vec![], Status::Active, SetBy::Billing));
    let tenant = house.show("beta").await;
    assert_eq!((tenant.life.cancelled, tenant.life.phase_ends, tenant.life.due), (None, None, None));
    // An operator's word counts before: until the billing system speaks again.
    house.says("beta", Suspended).await;
    house.tenancy.activate(&operator(), "beta", &Expect::Anything).await.unwrap();
    assert_eq!(house.says("beta", Suspended).await, (vec![], Status::Suspended, SetBy::Billing));
}

async fn what_is_older_than_the_newest_changes_nothing(ground: Ground) {
    let house = House::on(ground).await;
    house.create("acme", Status::Active).await;
    house.create("beta", Status::Active).await;
    let then = house.clock.now();
    house.clock.advance(DAY);
    let suspended = BillingUpdate { status: Some(BillingStatus::Suspended), ..house.about("acme") };
    house.take("msg_2", &suspended).await;
    let before = house.show("acme").await;

    let old = BillingUpdate { occurred_at: then, status: Some(BillingStatus::Active), ..house.about("acme") };
    let answer = house.take("msg_1", &old).await;
    assert!(!answer.applied && answer.changed.is_empty());
    assert_eq!(house.show("acme").await, before, "not even its revision");
    let line = &house.store.audit(Some(before.id), &Page { limit: 1, after: None }).await.unwrap()[0].2;
    assert_eq!((line.action.as_str(), &line.detail["webhook"]), ("billing.out-of-order", &json!("msg_1")));
    // It has been taken, too.
    let BillingTaken::Before(again) = house.try_take("msg_1", &old).await.unwrap() else { panic!("twice") };
    assert_eq!(again, answer);
    // Of two that happened at the same time the one that comes last counts; and each tenant has a time of its own.
    let same = BillingUpdate { occurred_at: suspended.occurred_at, ..old.clone() };
    assert!(house.take("msg_3", &same).await.applied);
    assert_eq!(house.show("acme").await.status, Status::Active);
    assert!(house.take("msg_4", &BillingUpdate { tenant: house.about("beta").tenant, ..old }).await.applied);
}

async fn what_cannot_be_done_is_not_done_in_part(ground: Ground) {
    use BillingStatus::{Cancelled, Suspended};
    let house = House::on(ground).await;
    house.create("house", Status::Active).await;
    house.create("young", Status::Pending).await;
    house.create("other", Status::Active).await;
    house.take("msg_0", &BillingUpdate { billing_ref: Some("cus_1".into()), ..house.about("other") }).await;
    let revision = house.store.revision().await.unwrap();
    let limits = [("members".to_owned(), Some(Cap::Number(1)))].into_iter().collect();
    let all = |slug: &str| BillingUpdate {
        plan: Some("free".into()),
        when: Some(When::Now),
        limits: std::collections::BTreeMap::clone(&limits),
        ..house.about(slug)
    };
    for (slug, status, expected) in [
        ("young", Suspended, ("/status".to_owned(), "invalid-transition")),
        ("house", Cancelled, ("/status".to_owned(), "operator-tenant")),
    ] {
        let before = house.show(slug).await;
        let update = BillingUpdate { status: Some(status), ..all(slug) };
        assert_eq!(pointers(house.try_take("msg_1", &update).await), [expected]);
        assert_eq!(house.show(slug).await, before);
    }
    let taken = BillingUpdate { billing_ref: Some("cus_1".into()), ..all("young") };
    assert_eq!(pointers(house.try_take("msg_1", &taken).await), [("/billing_ref".to_owned(), "billing-ref-taken")]);
    let nobody = house.try_take("msg_1", &all("nobody")).await;
    assert!(matches!(nobody, Err(TenancyError::NotFound(..))), "{nobody:?}");
    assert_eq!(house.store.revision().await.unwrap(), revision);
    assert!(house.store.billing_event("msg_1").await.unwrap().is_none());
    assert!(house.take("msg_1", &all("young")).await.applied, "the next attempt may be right");
}

async fn a_plan_begins_when_it_is_told_or_as_is_usual(ground: Ground) {
    let house = House::on(ground).await;
    house.create("acme", Status::Active).await;
    let plan = |name: &str, when| BillingUpdate { plan: Some(name.into()), when, ..house.about("acme") };
    house.take("msg_1", &plan("professional", None)).await;
    assert_eq!(house.show("acme").await.plan.unwrap().as_str(), "professional");
    // Down, and the period in the same message: it waits for the end of that one.
    let (start, end) = (house.clock.now() - DAY, house.clock.now() + 9 * DAY);
    let down = BillingUpdate { period: Some((start, end)), ..plan("starter", None) };
    let answer = house.take("msg_2", &down).await;
    assert_eq!(answer.changed, ["period", "plan_change"]);
    let tenant = house.show("acme").await;
    assert_eq!((tenant.plan.unwrap().as_str(), tenant.subscription.next.unwrap().at), ("professional", end));
    assert_eq!((tenant.subscription.period_start, tenant.subscription.period_end), (Some(start), Some(end)));
    house.clock.advance(9 * DAY);
    assert_eq!(house.tenancy.pass_time("node").await.unwrap(), 1);
    assert_eq!(house.show("acme").await.plan.unwrap().as_str(), "starter");
    house.take("msg_3", &plan("free", Some(When::Now))).await;
    assert_eq!(house.show("acme").await.plan.unwrap().as_str(), "free");
    let rows = house.store.audit(Some(tenant.id), &Page { limit: 9, after: None }).await.unwrap();
    let said: Vec<_> = rows.iter().rev().map(|(_, _, line)| format!("{} {}", line.actor, line.action)).collect();
    let billing = "billing billing.update";
    assert_eq!(said, ["operator:test tenant.create", billing, billing, "system tenant.plan", billing]);
}

async fn a_change_that_waits_never_comes_amid_the_period_that_is_told(ground: Ground) {
    let house = House::on(ground).await;
    let tenant = house.create("acme", Status::Active).await;
    let order = PlanOrder { plan: Some("free".into()), when: None };
    house.tenancy.set_plan(&operator(), "acme", &Expect::Anything, &order).await.unwrap();
    let period = |start, end| BillingUpdate { period: Some((start, end)), ..house.about("acme") };
    let waits = async || house.show("acme").await.subscription.next.unwrap().at;
    let (calendar, now) = (waits().await, house.clock.now());
    let end = calendar + 9 * DAY;
    let answer = house.take("msg_1", &period(now - DAY, end)).await;
    assert_eq!((answer.changed, waits().await), (vec!["period".to_owned(), "plan_change".into()], end));
    let answer = house.take("msg_2", &period(end, end + 30 * DAY)).await;
    assert_eq!((answer.changed, waits().await), (vec!["period".to_owned()], end), "the next one, told before its time");
    house.clock.advance(Duration::from_millis((end.millis() - now.millis()).unsigned_abs()));
    assert_eq!(house.tenancy.pass_time("node").await.unwrap(), 1);
    assert_eq!(house.show("acme").await.plan.unwrap().as_str(), "free");
    let filter = EventFilter { tenant: Some(tenant.id), ..EventFilter::default() };
    let events = house.store.events(&filter, &Page { limit: 9, after: None }).await.unwrap();
    let told = events.iter().filter(|row| row.event.kind == "tenant.plan-scheduled").count();
    assert_eq!(told, 2, "with the order, and when it was put off");
}

async fn the_same_message_many_times_at_once_is_done_once(ground: Ground) {
    let house = House::on(ground).await;
    let tenant = house.create("acme", Status::Active).await;
    let revision = house.store.revision().await.unwrap();
    let update = BillingUpdate { status: Some(BillingStatus::Suspended), ..house.about("acme") };
    let all = futures_util::future::join_all((0..8).map(|_| house.try_take("msg_1", &update))).await;
    let now = all.iter().filter(|taken| matches!(taken, Ok(BillingTaken::Now(_)))).count();
    let before = all.iter().filter(|taken| matches!(taken, Ok(BillingTaken::Before(_)))).count();
    assert_eq!((now, before, house.store.revision().await.unwrap()), (1, 7, revision + 1), "{all:?}");
    assert_eq!(house.store.audit(Some(tenant.id), &Page { limit: 9, after: None }).await.unwrap().len(), 2);
    let other = house.tenancy.take_billing(&Actor::new("billing"), "msg_1", b"another", &update).await;
    assert_eq!(pointers(other), [(String::new(), "webhook-id-reused")]);
}

async fn what_was_taken_goes_with_the_tenant(ground: Ground) {
    let house = House::on(ground).await;
    let tenant = house.create("acme", Status::Active).await;
    let limits = [("ai_tokens".to_owned(), Some(Cap::Unlimited))].into_iter().collect();
    let update = BillingUpdate { billing_ref: Some("cus_1".into()), limits, ..house.about("acme") };
    let answer = house.take("msg_1", &update).await;
    let row = house.store.billing_event("msg_1").await.unwrap().unwrap();
    assert_eq!(
        (row.tenant, row.occurred, row.answer["changed"].clone()),
        (tenant.id, house.clock.now(), json!(["billing_ref", "limits"]))
    );
    let deletion = Deletion { slug: "acme".into(), with_children: false };
    let gone = house.tenancy.delete(&operator(), "acme", &Expect::Anything, &deletion).await.unwrap();
    assert_eq!(gone.value.removed.0["billing_events"], 1);
    assert!(house.store.billing_event("msg_1").await.unwrap().is_none());
    let again = house.try_take("msg_1", &update).await;
    assert!(matches!(again, Err(TenancyError::NotFound(..))), "{again:?}");
    assert_eq!(answer.tenant, tenant.id);
}
