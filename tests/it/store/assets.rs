//! Pictures and listings: what goes in comes out, and goes with its tenant.

use tenantry::clock::Timestamp;
use tenantry::model::{
    Asset, DomainState, EdgeSettings, ImageKind, Listing, MediaType, Slug, Status, Tenant, TenantId,
};
use tenantry::store::{Store, StoreError};

use super::{Ground, claim, contract, host, insert, tenant};

contract!(
    pictures_are_found_by_their_bytes_and_go_with_their_tenant,
    the_directory_is_in_order_whoever_writes,
    listed_tenants_are_read_page_by_page,
);

async fn pictures_are_found_by_their_bytes_and_go_with_their_tenant(ground: Ground) {
    let store = ground.open().await;
    let (one, two) = (tenant("one"), tenant("two"));
    insert(&store, &[&one, &two]).await;
    let asset = Asset { media: MediaType::Webp, bytes: (0..=255).cycle().take(100_000).collect() };
    let mut write = store.write().await.unwrap();
    write.put_asset(one.id, ImageKind::LogoLight, "a", &asset).await.unwrap();
    write.put_asset(two.id, ImageKind::LogoDark, "a", &asset).await.unwrap();
    let nobody = write.put_asset(TenantId::new(), ImageKind::Social, "b", &asset).await;
    assert!(matches!(nobody, Err(StoreError::Missing(_))), "{nobody:?}");
    write.set_listing(one.id, Listing { listed: true, priority: -5 }).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(store.asset("a").await.unwrap(), Some(asset.clone()));
    assert_eq!(store.asset("b").await.unwrap(), None);
    assert_eq!(store.listing(one.id).await.unwrap(), Listing { listed: true, priority: -5 });
    assert_eq!(store.listing(two.id).await.unwrap(), Listing::default());

    // One that is replaced is gone once nobody has it.
    let other = Asset { media: MediaType::Svg, bytes: b"<svg/>".to_vec() };
    let mut write = store.write().await.unwrap();
    write.put_asset(one.id, ImageKind::LogoLight, "c", &other).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(store.asset("a").await.unwrap(), Some(asset), "the other tenant's");
    let mut write = store.write().await.unwrap();
    assert!(write.delete_asset(two.id, ImageKind::LogoDark).await.unwrap());
    assert!(!write.delete_asset(two.id, ImageKind::LogoDark).await.unwrap());
    write.commit().await.unwrap();
    assert_eq!(store.asset("a").await.unwrap(), None);

    let mut write = store.write().await.unwrap();
    let removed = write.delete_tenant(one.id).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(removed.0.get("assets"), Some(&1));
    assert_eq!(store.asset("c").await.unwrap(), None);
    assert!(store.listed(None, 10).await.unwrap().is_empty());
}

/// Everybody in the directory's order, read by stretches of two.
async fn directory(store: &Store) -> Vec<String> {
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let stretch = store.directory(after.as_ref(), 2).await.unwrap().unwrap();
        assert!(stretch.entries.len() <= 2);
        after = stretch.entries.last().map(|(_, slug)| slug.clone());
        seen.extend(stretch.entries.into_iter().map(|(_, slug)| slug.to_string()));
        if !stretch.more {
            return seen;
        }
    }
}

async fn the_directory_is_in_order_whoever_writes(ground: Ground) {
    let store = ground.open().await;
    let mut tenants: Vec<_> = (0..7).map(|n| tenant(&format!("t{n}"))).collect();
    for (n, tenant) in tenants.iter_mut().enumerate() {
        tenant.created = Timestamp(n as i64);
    }
    tenants[2].status = Status::Suspended;
    insert(&store, &tenants.iter().collect::<Vec<_>>()).await;
    let list = async |n: usize, listed, priority| {
        let mut write = store.write().await.unwrap();
        write.set_listing(tenants[n].id, Listing { listed, priority }).await.unwrap();
        write.commit().await.unwrap();
    };
    assert_eq!(directory(&store).await, Vec::<String>::new());
    for (n, priority) in [0, 0, 9, 5, 0, -1, 0].into_iter().enumerate() {
        list(n, n != 6, priority).await;
    }
    assert_eq!(directory(&store).await, ["t3", "t4", "t1", "t0", "t5"], "by priority, then the newest");
    // Members come before the day of birth.
    ground.raw(&format!("INSERT INTO member_counts (tenant, active) VALUES ('{}', 7)", tenants[0].id)).await;
    ground.raw(&format!("INSERT INTO member_counts (tenant, active) VALUES ('{}', 1)", tenants[6].id)).await;
    ground.raw(&format!("UPDATE member_counts SET active = 2 WHERE tenant = '{}'", tenants[0].id)).await;
    assert_eq!(directory(&store).await, ["t3", "t0", "t4", "t1", "t5"]);
    list(6, true, 0).await;
    list(3, false, 5).await;
    list(5, true, 6).await;
    let mut write = store.write().await.unwrap();
    for (n, status) in [(2, Status::Active), (4, Status::Trial)] {
        write.update_tenant(&Tenant { status, ..tenants[n].clone() }).await.unwrap();
    }
    write.commit().await.unwrap();
    assert_eq!(directory(&store).await, ["t2", "t5", "t0", "t6", "t1"]);

    let behind = async |slug: &str| store.directory(Some(&Slug::parse(slug).unwrap()), 9).await.unwrap();
    assert_eq!(behind("t4").await.unwrap().entries.len(), 1, "where it stood, though it is not shown now");
    for nobody in ["t3", "nobody"] {
        assert_eq!(behind(nobody).await, None, "{nobody}");
    }
    let mut write = store.write().await.unwrap();
    write.delete_tenant(tenants[5].id).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(directory(&store).await, ["t2", "t0", "t6", "t1"]);
    let shown = [0, 1, 2, 6].map(|n: usize| tenants[n].id);
    for (every, ends) in [(1, &[0, 1, 2][..]), (2, &[1]), (3, &[2]), (4, &[]), (9, &[])] {
        let found = store.listed_ends(every).await.unwrap();
        let mut ids = shown.to_vec();
        ids.sort();
        assert_eq!(found, ends.iter().map(|at| ids[*at]).collect::<Vec<_>>(), "{every}");
    }
}

async fn listed_tenants_are_read_page_by_page(ground: Ground) {
    let store = ground.open().await;
    let mut tenants: Vec<_> = (0..7).map(|n| tenant(&format!("t{n}"))).collect();
    tenants.sort_by_key(|tenant| tenant.id);
    tenants[2].status = Status::Suspended;
    tenants[5].status = Status::Trial;
    tenants[4].parent = Some(tenants[3].id);
    tenants[6].edge = EdgeSettings { primary_domain: Some(host("shop.example")), ..EdgeSettings::default() };
    insert(&store, &tenants.iter().collect::<Vec<_>>()).await;
    let mut write = store.write().await.unwrap();
    // A primary domain is told of while it is held.
    write.insert_domain(&claim("shop.example", tenants[6].id, DomainState::Verified)).await.unwrap();
    for (n, tenant) in tenants.iter().enumerate() {
        write.set_listing(tenant.id, Listing { listed: n != 1, priority: n as i32 }).await.unwrap();
    }
    write.commit().await.unwrap();
    let (mut seen, mut last) = (Vec::new(), None);
    loop {
        let page = store.listed(last, 2).await.unwrap();
        assert!(page.len() <= 2);
        last = page.last().map(|entry| entry.id);
        if last.is_none() {
            break;
        }
        seen.extend(page.into_iter().map(|entry| (entry.id, entry.slug, entry.parent, entry.primary_domain)));
    }
    let expected: Vec<_> = [0, 3, 4, 6]
        .map(|n: usize| {
            let tenant = &tenants[n];
            (tenant.id, tenant.slug.clone(), tenant.parent, tenant.edge.primary_domain.clone())
        })
        .into();
    assert_eq!(seen, expected, "neither who is not listed nor who is not active");
}
