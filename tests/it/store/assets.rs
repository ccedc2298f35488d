//! Pictures and listings: what goes in comes out, and goes with its tenant.

use tenantry::model::{Asset, DomainState, EdgeSettings, ImageKind, Listing, MediaType, Status, TenantId};
use tenantry::store::StoreError;

use super::{Ground, claim, contract, host, insert, tenant};

contract!(pictures_are_found_by_their_bytes_and_go_with_their_tenant, listed_tenants_are_read_page_by_page);

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
    ground.raw(&format!("INSERT INTO member_counts (tenant, active) VALUES ('{}', 7)", tenants[3].id)).await;
    let counted: Vec<_> = store.listed(None, 10).await.unwrap().iter().map(|entry| entry.members).collect();
    assert_eq!(counted, [0, 7, 0, 0]);
    let (mut seen, mut last) = (Vec::new(), None);
    loop {
        let page = store.listed(last, 2).await.unwrap();
        assert!(page.len() <= 2);
        last = page.last().map(|entry| entry.id);
        if last.is_none() {
            break;
        }
        seen.extend(
            page.into_iter().map(|entry| (entry.id, entry.slug, entry.priority, entry.parent, entry.primary_domain)),
        );
    }
    let expected: Vec<_> = [0, 3, 4, 6]
        .map(|n: usize| {
            let tenant = &tenants[n];
            (tenant.id, tenant.slug.clone(), n as i32, tenant.parent, tenant.edge.primary_domain.clone())
        })
        .into();
    assert_eq!(seen, expected, "neither who is not listed nor who is not active");
}
