//! Restoring brings back what was, and nothing more; what nobody may begin beneath.

use tenantry::model::{Standing, Status};
use tenantry::tenancy::{NewTenant, Suspension};

use super::{Ground, House, actor, any, code, contract};

contract!(
    a_restored_tenant_is_what_it_was_when_it_was_cancelled,
    why_somebody_was_suspended_is_not_told_once_they_have_left,
    nobody_begins_beneath_a_parent_on_its_way_out,
);

async fn a_restored_tenant_is_what_it_was_when_it_was_cancelled(ground: Ground) {
    let house = House::on(ground).await;
    for (slug, status) in [("late", Status::Active), ("new", Status::Pending), ("beta", Status::Trial)] {
        house.create(slug, status, None).await;
    }
    house.create("good", Status::Active, None).await;
    let suspension = Suspension { reason: Some("not paid".into()), public: true };
    house.tenancy.suspend(&actor(), "late", &any(), &suspension).await.unwrap();
    let all =
        [("late", Status::Suspended), ("new", Status::Pending), ("beta", Status::Trial), ("good", Status::Active)];
    for days in [0, 90] {
        for (slug, status) in all {
            house.tenancy.cancel(&actor(), slug, &any()).await.unwrap();
            // Again changes nothing of what it was.
            house.tenancy.cancel(&actor(), slug, &any()).await.unwrap();
            assert_eq!(house.show(slug).await.life.before, Some(status), "{slug}");
        }
        house.after(days).await;
        for (slug, status) in all {
            let was = house.show(slug).await;
            assert_eq!(was.status == Status::Archived, days > 0, "{slug}");
            let back = house.tenancy.restore(&actor(), slug, &any()).await.unwrap().value.tenant;
            assert_eq!((back.status, back.life.before), (status, None), "{slug} after {days} days");
            assert_eq!(code(house.tenancy.restore(&actor(), slug, &any()).await), "transition");
        }
        let late = house.tenancy.show("late").await.unwrap();
        assert_eq!(late.effective.public_reason.as_deref(), Some("not paid"));
        assert_eq!(late.effective.standing, Standing::Suspended);
    }
}

async fn why_somebody_was_suspended_is_not_told_once_they_have_left(ground: Ground) {
    let house = House::on(ground).await;
    house.create("acme", Status::Active, None).await;
    house.create("shop", Status::Active, Some("acme")).await;
    let suspension = Suspension { reason: Some("not paid".into()), public: true };
    house.tenancy.suspend(&actor(), "acme", &any(), &suspension).await.unwrap();
    let told = async |slug: &str| house.tenancy.show(slug).await.unwrap().effective.public_reason;
    assert_eq!((told("acme").await, told("shop").await), (Some("not paid".into()), Some("not paid".into())));
    house.tenancy.cancel(&actor(), "acme", &any()).await.unwrap();
    assert_eq!((told("acme").await, told("shop").await), (None, None));
}

async fn nobody_begins_beneath_a_parent_on_its_way_out(ground: Ground) {
    let house = House::on(ground).await;
    house.create("top", Status::Active, None).await;
    house.create("holding", Status::Active, Some("top")).await;
    let new = |parent: &str| NewTenant {
        slug: "shop".into(),
        name: "Shop".into(),
        parent: Some(parent.into()),
        ..NewTenant::default()
    };
    let table = b"slug,name,parent\nfirst,First,holding\nsecond,Second,first\n";
    for days in [0, 90] {
        house.tenancy.cancel(&actor(), "top", &any()).await.unwrap();
        house.after(days).await;
        for parent in ["top", "holding"] {
            assert_eq!(code(house.tenancy.create(&actor(), &new(parent)).await), "parent-gone", "{parent}");
        }
        assert_eq!(code(house.tenancy.check_tenants(table).await), "parent-gone");
        assert_eq!(code(house.tenancy.import_tenants(&actor(), table).await), "parent-gone");
        house.tenancy.restore(&actor(), "top", &any()).await.unwrap();
    }
    house.tenancy.create(&actor(), &new("holding")).await.unwrap();
    house.tenancy.import_tenants(&actor(), table).await.unwrap();
}
