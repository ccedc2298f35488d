//! Tenants: what goes in comes out, slugs are given out once, pages are complete and in order.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tenantry::clock::Timestamp;
use tenantry::model::{
    Branding, Cap, CapName, Change, Colour, DomainState, Feature, OwnCap, OwnCaps, PlanChange, PlanName, SetBy, Status,
    Subscription, Tenant, TenantId,
};
use tenantry::store::{AuditFilter, AuditOrder, News, StoreError, TenantFilter, TenantSort};

use super::{Ground, all_news, claim, contract, host, insert, page, slug, tenant};

contract!(
    any_tenant_comes_back_as_it_went_in,
    an_update_changes_the_facts_and_notes_the_tenant,
    a_slug_is_given_out_once_and_a_conflict_leaves_the_write_usable,
    children_are_listed_by_slug,
    a_deleted_tenant_takes_its_things_with_it_and_its_slug_is_retired,
    a_certificate_goes_with_its_tenant_though_the_domain_was_given_up_before,
    nul_and_other_oddities_in_texts_behave_alike,
    a_row_that_does_not_parse_is_named,
);

fn subscription((a, b, c): (i64, i64, Option<i64>)) -> Subscription {
    let by = if b % 3 == 0 { SetBy::Billing } else { SetBy::Operator };
    let plan = (a % 2 == 0).then(|| PlanName::parse("growth").unwrap());
    Subscription {
        next: (b % 2 == 0).then_some(PlanChange { plan, at: Timestamp(b) }),
        period_end: c.map(Timestamp),
        billing_ref: c.map(|c| format!("sub_{c}")),
        period_start: c.map(|c| Timestamp(c / 2)),
        told: c.map(|c| Timestamp(c / 3)),
        caps: OwnCaps(
            c.map(|c| (CapName::AiTokens, OwnCap { cap: Cap::Number(c.unsigned_abs()), by })).into_iter().collect(),
        ),
        status_by: by,
    }
}

fn any_tenant() -> impl Strategy<Value = Tenant> {
    let features = || {
        proptest::collection::btree_set("[a-z][a-z0-9_]{0,20}".prop_map(|name| Feature::parse(&name).unwrap()), 0..5)
    };
    let texts = ("\\PC{1,120}", proptest::option::of("\\PC{0,300}"), proptest::option::of("#[0-9a-f]{6}"));
    let times = (any::<i64>(), any::<i64>(), proptest::option::of(any::<i64>()));
    let plan = proptest::option::of("[a-z][a-z0-9_-]{0,20}");
    ("[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?", 0..6usize, plan, features(), features(), texts, any::<bool>(), times)
        .prop_filter("punycode is no slug", |(slug, ..)| !slug.starts_with("xn--"))
        .prop_map(|(name, status, plan, features_on, features_off, texts, reason_public, times)| Tenant {
            slug: slug(&name),
            name: texts.0,
            status: Status::ALL[status],
            plan: plan.map(|plan| PlanName::parse(&plan).unwrap()),
            features_on,
            features_off,
            branding: Branding {
                primary_colour: texts.2.and_then(|text| Colour::parse(&text).ok()),
                tagline: texts.1.clone(),
                ..Branding::default()
            },
            suspend_reason: texts.1,
            reason_public,
            trial_ends: times.2.map(Timestamp),
            life: tenantry::model::Life::default(),
            subscription: subscription(times),
            created: Timestamp(times.0),
            updated: Timestamp(times.1),
            ..tenant("placeholder")
        })
}

async fn any_tenant_comes_back_as_it_went_in(ground: Ground) {
    let store = ground.open().await;
    let mut runner = TestRunner::default();
    let mut parent: Option<TenantId> = None;
    for _ in 0..64 {
        let mut expected = any_tenant().new_tree(&mut runner).unwrap().current();
        expected.parent = parent;
        let mut write = store.write().await.unwrap();
        match write.insert_tenant(&expected).await {
            Err(StoreError::Conflict(_)) => continue,
            other => other.unwrap(),
        }
        expected.revision = write.revision();
        assert_eq!(write.tenant(expected.id).await.unwrap().as_ref(), Some(&expected), "before the commit");
        write.commit().await.unwrap();
        assert_eq!(store.tenant(expected.id).await.unwrap().as_ref(), Some(&expected));
        assert_eq!(store.tenant_by_slug(&expected.slug).await.unwrap().as_ref(), Some(&expected));
        assert_eq!(store.tenant_of_slug(&expected.slug).await.unwrap(), Some(expected.id));
        parent = Some(expected.id);
    }
    assert_eq!(store.tenant(TenantId::new()).await.unwrap(), None);
    assert_eq!(store.tenant_by_slug(&slug("no-such")).await.unwrap(), None);
    assert_eq!(store.tenant_of_slug(&slug("no-such")).await.unwrap(), None);
}

async fn an_update_changes_the_facts_and_notes_the_tenant(ground: Ground) {
    let store = ground.open().await;
    let acme = tenant("acme");
    let first = insert(&store, &[&acme]).await;
    let changed = Tenant {
        status: Status::Suspended,
        suspend_reason: Some("unpaid".into()),
        reason_public: true,
        // Not written: who it is never changes.
        slug: slug("other"),
        created: Timestamp(5),
        ..acme.clone()
    };
    let mut write = store.write().await.unwrap();
    write.update_tenant(&changed).await.unwrap();
    assert!(matches!(write.update_tenant(&tenant("nobody")).await, Err(StoreError::Missing(_))));
    let orphan = Tenant { parent: Some(TenantId::new()), ..acme.clone() };
    assert!(matches!(write.update_tenant(&orphan).await, Err(StoreError::Missing(_))));
    let revision = write.commit().await.unwrap();
    assert_eq!(revision, first + 1);
    let expected = Tenant { slug: acme.slug, created: acme.created, updated: ground.clock.now(), revision, ..changed };
    assert_eq!(store.tenant(acme.id).await.unwrap(), Some(expected));
    assert_eq!(store.news(first).await.unwrap(), News::Changes { changes: vec![Change::Tenant(acme.id)], revision });
}

async fn a_slug_is_given_out_once_and_a_conflict_leaves_the_write_usable(ground: Ground) {
    let store = ground.open().await;
    let acme = tenant("acme");
    insert(&store, &[&acme]).await;
    let mut write = store.write().await.unwrap();
    let twice = write.insert_tenant(&tenant("acme")).await.unwrap_err();
    assert!(matches!(&twice, StoreError::Conflict(what) if what.contains("slug of acme")), "{twice}");
    let same_id = Tenant { slug: slug("beta"), ..acme.clone() };
    assert!(matches!(write.insert_tenant(&same_id).await, Err(StoreError::Conflict(what)) if what.contains("id")));
    let orphan = Tenant { parent: Some(TenantId::new()), ..tenant("orphan") };
    assert!(matches!(write.insert_tenant(&orphan).await, Err(StoreError::Missing(_))));
    let gamma = tenant("gamma");
    write.insert_tenant(&gamma).await.unwrap();
    write.commit().await.unwrap();
    assert!(store.tenant(gamma.id).await.unwrap().is_some());
    assert!(store.tenant_by_slug(&slug("beta")).await.unwrap().is_none());
}

async fn children_are_listed_by_slug(ground: Ground) {
    let store = ground.open().await;
    let parent = tenant("parent");
    let children: Vec<Tenant> =
        (0..40).map(|n| Tenant { parent: Some(parent.id), ..tenant(&format!("shop-{n}")) }).collect();
    let every: Vec<&Tenant> = std::iter::once(&parent).chain(&children).collect();
    insert(&store, &every).await;
    let children = store.child_tenants(parent.id, &page(10, Some("shop"))).await.unwrap();
    assert_eq!(children.len(), 10);
    assert_eq!(children[0].slug.as_str(), "shop-0");
}

async fn a_deleted_tenant_takes_its_things_with_it_and_its_slug_is_retired(ground: Ground) {
    let store = ground.open().await;
    let (acme, beta) = (tenant("acme"), tenant("beta"));
    let child = Tenant { parent: Some(acme.id), ..tenant("child") };
    let mut write = store.write().await.unwrap();
    for tenant in [&acme, &beta, &child] {
        write.insert_tenant(tenant).await.unwrap();
    }
    write.insert_domain(&claim("live.example", acme.id, DomainState::Live)).await.unwrap();
    write.insert_domain(&claim("contested.example", acme.id, DomainState::Pending)).await.unwrap();
    write.insert_domain(&claim("contested.example", beta.id, DomainState::Live)).await.unwrap();
    for (id, names) in [
        ("own", vec!["live.example"]),
        ("shared", vec!["live.example", "contested.example"]),
        ("theirs", vec!["contested.example"]),
    ] {
        write.insert_certificate(&super::vault::certificate(id, &names)).await.unwrap();
    }
    let before = write.commit().await.unwrap();

    let mut write = store.write().await.unwrap();
    assert!(matches!(write.delete_tenant(TenantId::new()).await, Err(StoreError::Missing(_))));
    assert!(matches!(write.delete_tenant(acme.id).await, Err(StoreError::Conflict(why)) if why.contains("child")));
    write.delete_tenant(child.id).await.unwrap();
    let removed = write.delete_tenant(acme.id).await.unwrap();
    let kinds = ["certificates", "domains", "events", "orders", "tenants", "tokens"].map(|kind| removed.0[kind]);
    assert_eq!(kinds, [1, 2, 0, 0, 1, 0], "{removed:?}");
    assert!(
        matches!(write.insert_tenant(&tenant("acme")).await, Err(StoreError::Conflict(why)) if why.contains("retired"))
    );
    write.commit().await.unwrap();

    assert_eq!(store.tenant(acme.id).await.unwrap(), None);
    assert_eq!(store.held_domain(&host("live.example").into()).await.unwrap(), None);
    assert_eq!(store.held_domain(&host("contested.example").into()).await.unwrap().unwrap().tenant, beta.id);
    assert_eq!(store.certificate("live.example").await.unwrap().unwrap().id, "shared");
    assert_eq!(store.certificate("contested.example").await.unwrap().unwrap().id, "theirs");
    let (changes, _) = all_news(&store, before).await;
    for change in [
        Change::Tenant(acme.id),
        Change::Slug(slug("acme")),
        Change::Host(host("live.example")),
        Change::Host(host("contested.example")),
        Change::Certificate("live.example".into()),
    ] {
        assert!(changes.contains(&change), "{change:?} in {changes:?}");
    }
}

async fn a_certificate_goes_with_its_tenant_though_the_domain_was_given_up_before(ground: Ground) {
    let store = ground.open().await;
    let (acme, beta) = (tenant("acme"), tenant("beta"));
    insert(&store, &[&acme, &beta]).await;
    let mut write = store.write().await.unwrap();
    for name in ["given-up.example", "moved-on.example", "released.example"] {
        write.insert_domain(&claim(name, acme.id, DomainState::Live)).await.unwrap();
        write.insert_certificate(&super::vault::certificate(name, &[name])).await.unwrap();
    }
    write.insert_certificate(&super::vault::certificate("nobodys", &["connect.example"])).await.unwrap();
    for name in ["given-up.example", "moved-on.example"] {
        write.delete_domain(&host(name).into(), acme.id).await.unwrap();
    }
    write.set_domain_state(&host("released.example").into(), acme.id, DomainState::Released).await.unwrap();
    write.insert_domain(&claim("moved-on.example", beta.id, DomainState::Live)).await.unwrap();
    assert_eq!(write.delete_tenant(acme.id).await.unwrap().0["certificates"], 2);
    write.commit().await.unwrap();
    for (name, is_there) in [
        ("given-up.example", false),
        ("released.example", false),
        ("moved-on.example", true),
        ("connect.example", true),
    ] {
        assert_eq!(store.certificate(name).await.unwrap().is_some(), is_there, "{name}");
    }
}

async fn nul_and_other_oddities_in_texts_behave_alike(ground: Ground) {
    let store = ground.open().await;
    let odd = Tenant { name: "a\0b\u{202e}🦀'\"\\".into(), suspend_reason: Some("\0".into()), ..tenant("odd") };
    insert(&store, &[&odd]).await;
    let found = store.tenant(odd.id).await.unwrap().unwrap();
    assert_eq!(found.name, "a\u{fffd}b\u{202e}🦀'\"\\");
    for text in ["\0", "%", "_", "'; DROP TABLE tenants; --", "o\0"] {
        let filter = TenantFilter { prefix: Some(text.into()), ..TenantFilter::default() };
        let list = async |filter, after| store.list_tenants(&filter, TenantSort::Slug, false, &page(5, after)).await;
        assert_eq!(list(filter, None).await.unwrap().rows, [], "{text:?}");
        list(TenantFilter::default(), Some(text)).await.unwrap();
        store.search_tenants(text, &TenantFilter::default(), &page(5, None)).await.unwrap();
        assert!(matches!(store.audit(None, &page(5, Some(text))).await, Err(StoreError::Cursor)));
        let filter = AuditFilter { action: Some(text.into()), subject: Some(text.into()), ..AuditFilter::default() };
        store.audit_lines(&filter, AuditOrder::NewestFirst, &page(5, None)).await.unwrap();
        assert_eq!(store.challenge(text).await.unwrap(), None);
    }
}

async fn a_row_that_does_not_parse_is_named(ground: Ground) {
    let store = ground.open().await;
    let acme = tenant("acme");
    insert(&store, &[&acme]).await;
    for (column, value, shown) in [
        ("status", "'frozen'", "\"frozen\" is no status"),
        ("features_on", "'[1]'", "invalid type"),
        ("reason_public", "7", "neither 0 nor 1"),
        ("slug", "'Acme'", "\"Acme\" is no slug"),
    ] {
        ground.raw(&format!("UPDATE tenants SET {column} = {value}")).await;
        let error = store.tenant(acme.id).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, StoreError::Corrupt(_)), "{text}");
        for part in ["table tenants", &acme.id.to_string(), column, shown] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let sound = match column {
            "status" => "'active'",
            "features_on" => "'[]'",
            "slug" => "'acme'",
            _ => "0",
        };
        ground.raw(&format!("UPDATE tenants SET {column} = {sound}")).await;
    }
    store.tenant(acme.id).await.unwrap();
}
