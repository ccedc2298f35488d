//! What time brings: the end of a trial, archiving, purging, and the reminders before.

use std::time::{Duration, Instant};

use tenantry::clock::Clock;
use tenantry::model::{DomainState, Status};
use tenantry::store::Page;
use tenantry::tenancy::{Expect, NewTenant, PlanOrder};

use crate::support::world::World;

use super::{DAY, Ground, House, actor, any, code, contract};

contract!(
    a_trial_ends_and_stays_as_it_is,
    a_cancelled_tenant_is_archived_then_purged_and_can_be_restored_until_then,
    nobody_is_purged_who_has_children,
    what_was_missed_is_made_up_for_and_nothing_is_cut_short,
    the_last_warning_comes_a_week_before_the_end_however_late_it_is,
    a_notice_is_no_change_of_the_tenant,
    of_two_nodes_one_sees_to_each_tenant,
    domains_that_a_plan_covers_no_more_have_a_grace_with_reminders,
);

async fn a_trial_ends_and_stays_as_it_is(ground: Ground) {
    let house = House::on(ground).await;
    let beta = house.create("beta", Status::Trial, None).await;
    assert_eq!(beta.life.due, beta.trial_ends.map(|end| end - 3 * DAY));
    assert_eq!(house.after(10).await, 0);
    assert_eq!(house.after(1).await, 1);
    assert_eq!(house.told("beta").await, ["tenant.created", "tenant.trial-ending"]);
    house.tenancy.extend_trial(&actor(), "beta", &any(), 7).await.unwrap();
    assert_eq!(house.after(4).await, 0, "extended by a week");
    assert_eq!(house.after(6).await, 1);
    assert_eq!(house.told("beta").await[2..], ["tenant.trial-ending", "tenant.trial-ended"]);
    let state = house.tenancy.show("beta").await.unwrap();
    assert_eq!((state.tenant.status, state.effective.trial_expired), (Status::Trial, true));
    assert_eq!((state.effective.status, state.tenant.life.due), (Status::Trial, None));
    assert_eq!(house.ledger(&beta).await.last().unwrap(), "system tenant.trial-ended");
    assert_eq!(house.after(100).await, 0);
}

async fn a_cancelled_tenant_is_archived_then_purged_and_can_be_restored_until_then(ground: Ground) {
    let house = House::on(ground).await;
    let acme = house.create("acme", Status::Active, None).await;
    house.holds("acme", "shop.acme.example").await;
    house.tenancy.cancel(&actor(), "acme", &any()).await.unwrap();
    house.after(60).await;
    // Again changes nothing of what is to come.
    house.tenancy.cancel(&actor(), "acme", &any()).await.unwrap();
    assert_eq!(house.after(29).await, 0);
    assert!(house.store.order("shop.acme.example").await.unwrap().is_some());
    assert_eq!(house.after(1).await, 1);
    let archived = house.show("acme").await;
    assert_eq!((archived.status, archived.life.archived), (Status::Archived, Some(house.clock.now())));
    assert!(house.store.order("shop.acme.example").await.unwrap().is_none(), "nobody renews for the archive");

    house.after(80).await;
    house.tenancy.restore(&actor(), "acme", &any()).await.unwrap();
    let back = house.show("acme").await;
    assert_eq!((back.status, back.life), (Status::Active, Default::default()));
    assert!(house.store.order("shop.acme.example").await.unwrap().is_some());
    assert_eq!(
        house.store.held_domain(&name("shop.acme.example")).await.unwrap().unwrap().state,
        DomainState::Verified
    );
    assert_eq!(house.after(400).await, 0);

    house.tenancy.cancel(&actor(), "acme", &any()).await.unwrap();
    house.after(90).await;
    house.after(83).await;
    assert_eq!(house.told("acme").await.last().unwrap(), "tenant.purge-near");
    house.after(6).await;
    assert_eq!(house.show("acme").await.status, Status::Archived);
    house.after(1).await;
    assert_eq!(code(house.tenancy.show("acme").await), "not-found");
    assert_eq!(house.told("acme").await, ["tenant.deleted"], "what was told before is gone with it");
    let ledger = house.ledger(&acme).await;
    assert_eq!(ledger[ledger.len() - 2..], ["system tenant.archive", "system tenant.delete"]);
    let again = NewTenant { slug: "acme".into(), name: "Acme".into(), ..NewTenant::default() };
    assert_eq!(code(house.tenancy.create(&actor(), &again).await), "slug-taken");
    assert!(house.store.cooldown(&name("shop.acme.example")).await.unwrap().is_some());
}

async fn nobody_is_purged_who_has_children(ground: Ground) {
    let house = House::on(ground).await;
    house.create("holding", Status::Active, None).await;
    house.create("shop", Status::Active, Some("holding")).await;
    house.tenancy.cancel(&actor(), "holding", &any()).await.unwrap();
    for days in [90, 83, 7] {
        house.after(days).await;
    }
    assert_eq!(house.show("holding").await.status, Status::Archived);
    assert!(house.told("holding").await.contains(&"tenant.purge-waits".to_owned()));
    assert_eq!(house.after(0).await, 0, "not before tomorrow");
    house.tenancy.set_parent(&actor(), "shop", &any(), None).await.unwrap();
    assert_eq!(house.after(1).await, 1);
    assert_eq!(code(house.tenancy.show("holding").await), "not-found");
    assert_eq!(house.show("shop").await.status, Status::Active);
}

async fn what_was_missed_is_made_up_for_and_nothing_is_cut_short(ground: Ground) {
    let house = House::on(ground).await;
    house.create("acme", Status::Active, None).await;
    house.create("beta", Status::Trial, None).await;
    house.tenancy.cancel(&actor(), "acme", &any()).await.unwrap();
    // Nobody works for a year. Nothing is purged that nobody was warned about.
    house.after(365).await;
    let acme = house.show("acme").await;
    assert_eq!((acme.status, acme.life.phase_ends), (Status::Archived, Some(house.clock.now() + 90 * DAY)));
    assert_eq!(house.told("beta").await[1..], ["tenant.trial-ending", "tenant.trial-ended"]);
}

async fn the_last_warning_comes_a_week_before_the_end_however_late_it_is(ground: Ground) {
    let house = House::on(ground).await;
    for (slug, late) in [("acme", 8), ("beta", 3)] {
        house.create(slug, Status::Active, None).await;
        house.tenancy.cancel(&actor(), slug, &any()).await.unwrap();
        house.after(90).await;
        // Nobody works for so many days after the warning was due.
        house.after(83 + late).await;
        let warned = house.show(slug).await;
        assert_eq!((warned.status, warned.life.phase_ends), (Status::Archived, Some(house.clock.now() + 7 * DAY)));
        assert_eq!(house.told(slug).await.last().unwrap(), "tenant.purge-near");
        assert_eq!(house.after(6).await, 0, "{slug}");
        assert_eq!(house.after(1).await, 1, "{slug}");
        assert_eq!(code(house.tenancy.show(slug).await), "not-found");
    }
}

async fn a_notice_is_no_change_of_the_tenant(ground: Ground) {
    let house = House::on(ground).await;
    let created = house.create("beta", Status::Trial, None).await;
    let acme = house.create("acme", Status::Active, None).await;
    house.tenancy.cancel(&actor(), "acme", &any()).await.unwrap();
    house.after(90).await;
    let facts = async |slug: &str| {
        let tenant = house.show(slug).await;
        (tenant.revision, tenant.updated, tenant.life.phase_ends)
    };
    let (beta, archived) = (facts("beta").await, facts("acme").await);
    assert_eq!(beta.0, created.revision, "its trial has ended meanwhile, and nobody has changed it");
    assert!(house.after(83).await == 1 && house.told("acme").await.contains(&"tenant.purge-near".to_owned()));
    assert_eq!(facts("acme").await, archived);
    let revision = Expect::Revision(vec![archived.0]);
    house.tenancy.restore(&actor(), "acme", &revision).await.unwrap();
    assert!(facts("acme").await.0 > acme.revision);
}

async fn of_two_nodes_one_sees_to_each_tenant(ground: Ground) {
    let house = House::on(ground).await;
    for n in 0..5 {
        house.create(&format!("beta-{n}"), Status::Trial, None).await;
    }
    house.clock.advance(14 * DAY);
    let (one, other) = tokio::join!(house.tenancy.pass_time("one"), house.tenancy.pass_time("other"));
    assert_eq!(one.unwrap() + other.unwrap(), 5);
    for n in 0..5 {
        assert_eq!(house.told(&format!("beta-{n}")).await.len(), 3);
    }
    // Whoever has gone without a word leaves the rest to the others, after a while.
    house.create("late", Status::Trial, None).await;
    assert_eq!(house.tenancy.pass_time("third").await.unwrap(), 0);
    house.clock.advance(14 * DAY);
    assert_eq!(house.tenancy.pass_time("third").await.unwrap(), 1);
}

async fn domains_that_a_plan_covers_no_more_have_a_grace_with_reminders(ground: Ground) {
    let house = House::on(ground).await;
    house.create("acme", Status::Active, None).await;
    house.create("bare", Status::Active, None).await;
    house.holds("acme", "shop.acme.example").await;
    let plan = async |slug: &str, plan: &str| {
        house.tenancy.set_plan(&actor(), slug, &any(), &PlanOrder::at_once(plan)).await.unwrap().value
    };
    assert_eq!(plan("bare", "free").await.tenant.life.domains_until, None, "it holds none");
    let lost = plan("acme", "free").await;
    let until = house.clock.now() + 30 * DAY;
    assert_eq!((lost.tenant.life.domains_until, lost.effective.domains_lapsed), (Some(until), false));
    house.after(20).await;
    assert_eq!(plan("acme", "starter").await.tenant.life.domains_until, Some(until), "no fresh grace");
    house.after(9).await;
    let told = house.told("acme").await;
    let reminders = told.iter().filter(|kind| *kind == "tenant.domains-ending").count();
    assert_eq!(reminders, 2, "{told:?}");
    assert!(!house.tenancy.show("acme").await.unwrap().effective.domains_lapsed);
    house.after(1).await;
    assert!(house.tenancy.show("acme").await.unwrap().effective.domains_lapsed);
    assert_eq!(house.told("acme").await.last().unwrap(), "tenant.domains-ended");
    assert!(house.store.held_domain(&name("shop.acme.example")).await.unwrap().is_some(), "nothing is deleted");
    let back = plan("acme", "growth").await;
    assert_eq!((back.tenant.life.domains_until, back.effective.domains_lapsed), (None, false));
    assert_eq!(house.told("acme").await.last().unwrap(), "tenant.domains-covered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_process_keeps_time_by_itself() {
    let clock = Clock::manual(Clock::system().now());
    let world = World::builder().clock(clock.clone()).start().await;
    let new = NewTenant { slug: "beta".into(), name: "Beta".into(), ..NewTenant::default() };
    world.create(new).await;
    clock.advance(14 * DAY);
    let told = async || {
        let rows = world
            .running
            .store()
            .events(&tenantry::store::EventFilter { subject: Some("beta"), ..Default::default() }, &Page::default())
            .await
            .unwrap();
        rows.iter().any(|row| row.event.kind == "tenant.trial-ended")
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while !told().await {
        assert!(Instant::now() < deadline, "nobody was told that the trial is over");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn name(text: &str) -> tenantry::model::DomainName {
    tenantry::model::DomainName::parse(text).unwrap()
}
