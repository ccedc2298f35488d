//! Settings by type and by who may set them; contacts.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tenantry::model::{Contact, ContactKind, Realm, Rights, Role, Source, Status};
use tenantry::tenancy::{Actor, Expect, TenancyError};

use super::{Ground, House, actor, any, code, contract};

contract!(
    settings_are_checked_and_inherited,
    a_tenants_own_people_leave_the_operators_settings_alone,
    a_value_that_the_catalogue_takes_no_more_is_as_if_not_said,
    contacts_are_replaced_as_a_whole,
);

fn values(json: Value) -> BTreeMap<String, Value> {
    serde_json::from_value(json).unwrap()
}

impl House {
    async fn setting(&self, slug: &str, name: &str) -> (Value, Source) {
        let settings = self.tenancy.settings(slug).await.unwrap().settings;
        let state = settings.into_iter().find(|state| state.setting.name == name).unwrap();
        (state.value, state.from)
    }
}

async fn settings_are_checked_and_inherited(ground: Ground) {
    let house = House::on(ground).await;
    house.create("holding", Status::Active, None).await;
    house.create("shop", Status::Active, Some("holding")).await;
    assert_eq!(house.setting("shop", "language").await, (json!("en"), Source::Default));
    let bad = json!({ "language": "xx", "export_rows": 0, "time_zone": 5, "colour": "red" });
    let Err(TenancyError::Invalid(faults)) = house.tenancy.patch_settings(&actor(), "shop", &any(), values(bad)).await
    else {
        panic!("it was taken")
    };
    let pointers: Vec<_> = faults.iter().map(|fault| (fault.pointer.as_str(), fault.code)).collect();
    let invalid = "invalid-value";
    let expected =
        [("/colour", "unknown-setting"), ("/export_rows", invalid), ("/language", invalid), ("/time_zone", invalid)];
    assert_eq!(pointers, expected);

    let before = house.show("holding").await.revision;
    let set = values(json!({ "language": "de", "export_rows": 5 }));
    let done = house.tenancy.set_settings(&actor(), "holding", &Expect::Revision(vec![before]), set).await.unwrap();
    assert_eq!(done.value.revision, done.revision);
    let stale =
        house.tenancy.set_settings(&actor(), "holding", &Expect::Revision(vec![before]), values(json!({}))).await;
    assert_eq!(code(stale), "stale");
    assert_eq!(house.setting("shop", "language").await, (json!("de"), Source::Parent));
    house.tenancy.patch_settings(&actor(), "shop", &any(), values(json!({ "language": "fr" }))).await.unwrap();
    assert_eq!(house.setting("shop", "language").await, (json!("fr"), Source::Own));
    assert_eq!(house.setting("shop", "export_rows").await, (json!(5), Source::Parent));
    house.tenancy.patch_settings(&actor(), "shop", &any(), values(json!({ "language": null }))).await.unwrap();
    assert_eq!(house.setting("shop", "language").await, (json!("de"), Source::Parent));
    house.tenancy.set_settings(&actor(), "holding", &any(), values(json!({}))).await.unwrap();
    assert_eq!(house.setting("shop", "language").await, (json!("en"), Source::Default));
}

async fn a_tenants_own_people_leave_the_operators_settings_alone(ground: Ground) {
    let house = House::on(ground).await;
    let acme = house.create("acme", Status::Active, None).await;
    let rights = Rights { realm: Realm::Tenant(acme.id), scopes: Role::Owner.scopes(), rank: Some(Role::Owner) };
    let owner = Actor { rights, ..Actor::new("person:1") };
    let set = values(json!({ "export_rows": 7, "language": "de" }));
    house.tenancy.set_settings(&actor(), "acme", &any(), set).await.unwrap();
    for value in [json!(9), Value::Null] {
        let patch = values(json!({ "export_rows": value }));
        assert_eq!(code(house.tenancy.patch_settings(&owner, "acme", &any(), patch).await), "operators-only");
    }
    house.tenancy.set_settings(&owner, "acme", &any(), values(json!({ "time_zone": "Europe/Vienna" }))).await.unwrap();
    assert_eq!(house.setting("acme", "export_rows").await, (json!(7), Source::Own));
    assert_eq!(house.setting("acme", "language").await, (json!("en"), Source::Default));
    assert_eq!(house.setting("acme", "time_zone").await, (json!("Europe/Vienna"), Source::Own));
}

async fn a_value_that_the_catalogue_takes_no_more_is_as_if_not_said(ground: Ground) {
    let house = House::on(ground).await;
    house.create("acme", Status::Active, None).await;
    let set = values(json!({ "language": "de", "time_zone": "Etc/UTC" }));
    house.tenancy.set_settings(&actor(), "acme", &any(), set).await.unwrap();
    let mut config = (**house.config.load()).clone();
    let mut settings = (*config.settings).clone();
    settings.retain(|setting| setting.name != "time_zone");
    settings[0].kind = tenantry::model::SettingKind::Choice { choices: vec!["en".into()] };
    config.settings = Arc::new(settings);
    house.config.store(Arc::new(config));
    assert_eq!(house.setting("acme", "language").await, (json!("en"), Source::Default));
    // What is known no more can be taken back.
    house.tenancy.patch_settings(&actor(), "acme", &any(), values(json!({ "time_zone": null }))).await.unwrap();
    let id = house.show("acme").await.id;
    assert_eq!(house.store.profile(id).await.unwrap().settings, values(json!({ "language": "de" })));
}

async fn contacts_are_replaced_as_a_whole(ground: Ground) {
    let house = House::on(ground).await;
    let acme = house.create("acme", Status::Active, None).await;
    let contact = |name: &str| Contact {
        name: name.into(),
        email: "pat@acme.example".parse().unwrap(),
        kind: ContactKind::Technical,
    };
    let set = async |list: Vec<Contact>| house.tenancy.set_contacts(&actor(), "acme", &any(), list).await;
    assert_eq!(set(vec![contact(" Pat ")]).await.unwrap().value.contacts, [contact("Pat")]);
    assert_eq!(code(set(vec![contact("")]).await), "required");
    assert_eq!(code(set(vec![contact("Pat"); 21]).await), "too-long");
    assert_eq!(house.tenancy.contacts("acme").await.unwrap().contacts, [contact("Pat")]);
    // Names and addresses are people's: the ledger has none.
    let rows = house.store.audit(Some(acme.id), &Default::default()).await.unwrap();
    assert!(rows.iter().all(|(_, _, entry)| !entry.detail.to_string().contains("pat@")));
    set(Vec::new()).await.unwrap();
    assert!(house.tenancy.contacts("acme").await.unwrap().contacts.is_empty());
}
