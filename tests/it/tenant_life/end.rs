//! Deleting at once: the slug typed back, what is refused, what goes.

use std::collections::BTreeMap;

use tenantry::model::{Contact, ContactKind, Listing, Status};
use tenantry::tenancy::{Deletion, NewMember};

use super::{Ground, House, actor, any, code, contract};

contract!(
    a_tenant_goes_with_all_that_is_its_own_when_its_slug_is_typed_back,
    one_with_children_goes_only_when_they_are_meant_too,
    the_operators_own_tenant_stays,
    every_table_that_knows_tenants_is_emptied_of_one_that_goes_and_says_so,
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

/// What stays of a tenant that is gone, and why.
const STAYS: [(&str, &str); 4] = [
    ("audit", "the ledger outlives whom it is about"),
    ("cooldowns", "names rest before the next one has them"),
    ("retired_slugs", "its slug is never given out again"),
    ("sessions", "people's; they have picked no tenancy any more"),
];

async fn every_table_that_knows_tenants_is_emptied_of_one_that_goes_and_says_so(ground: Ground) {
    let tables = match ground.is_postgres() {
        true => {
            "SELECT table_name::TEXT, 0::BIGINT FROM information_schema.columns \
                 WHERE column_name = 'tenant' AND table_schema = 'public'"
        }
        false => {
            "SELECT m.name, 0 FROM sqlite_master m, pragma_table_info(m.name) c \
                  WHERE m.type = 'table' AND c.name = 'tenant'"
        }
    };
    let house = House::on(ground).await;
    let tables: Vec<String> = house.ground.ask(tables).await.into_iter().map(|(table, _)| table).collect();
    assert!(tables.len() > 12, "{tables:?}");
    let acme = house.create("acme", Status::Active, None).await;
    house.holds("acme", "shop.acme.example").await;
    let tenancy = &house.tenancy;
    let contact =
        Contact { name: "Pat".into(), email: "pat@acme.example".parse().unwrap(), kind: ContactKind::Billing };
    tenancy.set_contacts(&actor(), "acme", &any(), vec![contact]).await.unwrap();
    tenancy.set_listing(&actor(), "acme", &any(), Listing { listed: true, priority: 1 }).await.unwrap();
    let member = NewMember { email: "ada@x.example".into(), name: None, role: "owner".into(), unit: None };
    tenancy.add_member(&actor(), "acme", &member).await.unwrap();
    tenancy.create_unit(&actor(), "acme", "North", None).await.unwrap();
    let mut write = house.store.write().await.unwrap();
    let certificate = crate::store::vault::certificate("own", &["shop.acme.example"]);
    write.insert_certificate(&certificate).await.unwrap();
    write.commit().await.unwrap();

    let count = async |table: &str| {
        let sql = format!("SELECT 'n', COUNT(*) FROM {table} WHERE tenant = '{}'", acme.id);
        u64::try_from(house.ground.ask(&sql).await[0].1).unwrap()
    };
    let mut before = BTreeMap::new();
    for table in &tables {
        before.insert(table.clone(), count(table).await);
    }
    assert!(before.values().filter(|rows| **rows > 0).count() >= 9, "{before:?}");
    let removed = tenancy.delete(&actor(), "acme", &any(), &deletion("acme", false)).await.unwrap().value.removed.0;
    for (table, rows) in before {
        if STAYS.iter().any(|(stays, _)| *stays == table) {
            continue;
        }
        let told = removed.get(table.as_str());
        assert_eq!(told, Some(&rows), "{table}: a line in delete_tenant (store/tenants.rs), by the table's name");
        // The deletion is told of.
        assert_eq!(count(&table).await, u64::from(table == "events"), "{table}");
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
