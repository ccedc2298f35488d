//! Deleting at once: the slug typed back, what is refused, what goes.

use std::collections::BTreeMap;

use tenantry::model::{Contact, ContactKind, Status};
use tenantry::tenancy::Deletion;

use super::{Ground, House, actor, any, code, contract};

contract!(
    a_tenant_goes_with_all_that_is_its_own_when_its_slug_is_typed_back,
    one_with_children_goes_only_when_they_are_meant_too,
    the_operators_own_tenant_stays,
);

fn deletion(slug: &str, with_children: bool) -> Deletion {
    Deletion { slug: slug.into(), with_children }
}

async fn a_tenant_goes_with_all_that_is_its_own_when_its_slug_is_typed_back(ground: Ground) {
    let house = House::on(ground).await;
    let acme = house.create("acme", Status::Active, None).await;
    house.holds("acme", "shop.acme.example").await;
    let contact =
        Contact { name: "Pat".into(), email: "pat@acme.example".parse().unwrap(), kind: ContactKind::Billing };
    house.tenancy.set_contacts(&actor(), "acme", &any(), vec![contact]).await.unwrap();
    let delete = async |slug: &str| house.tenancy.delete(&actor(), "acme", &any(), &deletion(slug, false)).await;
    for wrong in ["", "Acme", "acme ", "beta"] {
        assert_eq!(code(delete(wrong).await), "slug-mismatch", "{wrong:?}");
    }
    let done = delete("acme").await.unwrap();
    let removed = &done.value.removed.0;
    for (kind, rows) in [("tenants", 1), ("domains", 1), ("orders", 1), ("certificates", 0), ("tokens", 0)] {
        assert_eq!(removed[kind], rows, "{kind}: {removed:?}");
    }
    assert!(removed["events"] >= 2, "{removed:?}");
    assert_eq!(code(delete("acme").await), "not-found");
    assert!(house.store.profile(acme.id).await.unwrap().contacts.is_empty());
    assert_eq!(house.ledger(&acme).await.last().unwrap(), "test tenant.delete");
}

async fn one_with_children_goes_only_when_they_are_meant_too(ground: Ground) {
    let house = House::on(ground).await;
    house.create("holding", Status::Active, None).await;
    for (slug, parent) in [("shop", "holding"), ("kiosk", "shop"), ("cafe", "holding")] {
        house.create(slug, Status::Active, Some(parent)).await;
    }
    house.holds("kiosk", "kiosk.example").await;
    let delete =
        async |children: bool| house.tenancy.delete(&actor(), "holding", &any(), &deletion("holding", children)).await;
    assert_eq!(code(delete(false).await), "has-children");
    let removed: BTreeMap<_, _> = delete(true).await.unwrap().value.removed.0;
    assert_eq!((removed["tenants"], removed["domains"]), (4, 1));
    for slug in ["holding", "shop", "kiosk", "cafe"] {
        assert_eq!(code(house.tenancy.show(slug).await), "not-found", "{slug}");
        assert_eq!(house.told(slug).await, ["tenant.deleted"], "{slug}");
    }
}

async fn the_operators_own_tenant_stays(ground: Ground) {
    let house = House::with(ground, "operator = \"arythmatic\"").await;
    house.create("top", Status::Active, None).await;
    house.create("arythmatic", Status::Active, Some("top")).await;
    let delete = async |slug: &str| house.tenancy.delete(&actor(), slug, &any(), &deletion(slug, true)).await;
    assert_eq!(code(delete("arythmatic").await), "operator-tenant");
    assert_eq!(code(delete("top").await), "operator-tenant");
    assert_eq!(code(house.tenancy.cancel(&actor(), "arythmatic", &any()).await), "operator-tenant");
    house.show("top").await;
}
