//! A tenant moves beneath another, and what it inherits follows.

use tenantry::model::{Source, Standing, Status};
use tenantry::tenancy::{MAX_DEPTH, PlanOrder};

use super::{Ground, House, actor, any, code, contract};

contract!(what_is_inherited_follows_at_once, there_are_no_loops_and_no_depths, each_value_says_whose_word_it_is);

async fn what_is_inherited_follows_at_once(ground: Ground) {
    let house = House::on(ground).await;
    house.create("rich", Status::Active, None).await;
    house.create("poor", Status::Active, None).await;
    house.tenancy.set_plan(&actor(), "poor", &any(), &PlanOrder::at_once("free")).await.unwrap();
    house.create("shop", Status::Active, Some("rich")).await;
    house.create("kiosk", Status::Active, Some("shop")).await;
    let plan = async |slug: &str| house.tenancy.show(slug).await.unwrap().effective.plan.to_string();
    assert_eq!((plan("shop").await, plan("kiosk").await), ("growth".into(), "growth".into()));
    house.tenancy.set_parent(&actor(), "shop", &any(), Some("poor")).await.unwrap();
    assert_eq!((plan("shop").await, plan("kiosk").await), ("free".into(), "free".into()));
    house.tenancy.suspend(&actor(), "poor", &any(), &Default::default()).await.unwrap();
    assert_eq!(house.tenancy.show("kiosk").await.unwrap().effective.standing, Standing::Suspended);
    let by_itself = house.tenancy.set_parent(&actor(), "shop", &any(), None).await.unwrap().value;
    assert_eq!((by_itself.tenant.parent, by_itself.effective.standing), (None, Standing::Served));
    assert_eq!(house.tenancy.show("kiosk").await.unwrap().effective.standing, Standing::Served);
}

async fn there_are_no_loops_and_no_depths(ground: Ground) {
    let house = House::on(ground).await;
    // Two lines, one of all generations but one, one of two.
    house.create("a-0", Status::Active, None).await;
    for n in 1..MAX_DEPTH - 1 {
        house.create(&format!("a-{n}"), Status::Active, Some(&format!("a-{}", n - 1))).await;
    }
    house.create("b-0", Status::Active, None).await;
    house.create("b-1", Status::Active, Some("b-0")).await;
    house.create("gone", Status::Active, None).await;
    house.tenancy.cancel(&actor(), "gone", &any()).await.unwrap();
    let deepest = format!("a-{}", MAX_DEPTH - 2);
    let parent = async |slug: &str, parent: &str| {
        house.tenancy.set_parent(&actor(), slug, &any(), Some(parent)).await.map(|done| done.value.tenant.slug)
    };
    for (slug, to, expected) in [
        ("a-0", "a-0", "loop"),
        ("a-0", deepest.as_str(), "loop"),
        ("a-0", "a-1", "loop"),
        ("b-0", deepest.as_str(), "too-deep"),
        ("b-0", "gone", "parent-gone"),
        ("b-0", "nobody", "unknown-tenant"),
        ("nobody", "a-0", "not-found"),
    ] {
        assert_eq!(code(parent(slug, to).await), expected, "{slug} beneath {to}");
    }
    parent("b-1", &deepest).await.unwrap();
    assert_eq!(code(parent("b-0", "b-1").await), "too-deep");
    parent("b-1", "b-0").await.unwrap();
    // Exactly as deep as can be.
    parent("b-0", &format!("a-{}", MAX_DEPTH - 3)).await.unwrap();
}

async fn each_value_says_whose_word_it_is(ground: Ground) {
    let house = House::on(ground).await;
    house.create("holding", Status::Active, None).await;
    house.create("shop", Status::Active, Some("holding")).await;
    let values = |pairs: &[(&str, serde_json::Value)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    };
    let own = values(&[("language", "de".into())]);
    house.tenancy.set_settings(&actor(), "holding", &any(), own).await.unwrap();
    house.tenancy.set_features(&actor(), "shop", &any(), &["sso".into()], &["csv_export".into()]).await.unwrap();
    let patch = serde_json::json!({ "limits": { "websockets": 5 }, "www": "add" });
    house.tenancy.patch_edge(&actor(), "holding", &any(), &patch).await.unwrap();
    let found = house.tenancy.explain("shop").await.unwrap();
    let word = |sourced: &tenantry::tenancy::Sourced| {
        (sourced.value.clone(), sourced.from, sourced.tenant.as_ref().map(ToString::to_string))
    };
    let holding = Some("holding".to_owned());
    assert_eq!(word(&found.status), ("active".into(), Source::Own, None));
    assert_eq!(word(&found.plan), ("growth".into(), Source::Parent, holding.clone()));
    assert_eq!(word(&found.features["sso"]), (true.into(), Source::Own, None));
    assert_eq!(word(&found.features["csv_export"]), (false.into(), Source::Own, None));
    assert_eq!(word(&found.features["custom_domain"]), (true.into(), Source::Plan, None));
    assert_eq!(word(&found.settings["language"]), ("de".into(), Source::Parent, holding.clone()));
    assert_eq!(word(&found.settings["time_zone"]), ("Etc/UTC".into(), Source::Default, None));
    assert_eq!(word(&found.edge["limits.websockets"]), (5.into(), Source::Parent, holding.clone()));
    assert_eq!(word(&found.edge["www"]), ("add".into(), Source::Parent, holding));
    assert_eq!(found.edge["maintenance"].from, Source::Default);
    assert_eq!(found.parents.len(), 1);
    house.tenancy.suspend(&actor(), "holding", &any(), &Default::default()).await.unwrap();
    let status = house.tenancy.explain("shop").await.unwrap().status;
    assert_eq!(word(&status), ("suspended".into(), Source::Parent, Some("holding".into())));
}
