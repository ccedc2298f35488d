//! Transactions of very many rows: whole or nothing, one change for the lot, counted exactly, and others in between where
//! the engine can.

use tenantry::clock::Timestamp;
use tenantry::model::{Change, DomainState, PlanName, Status, Tenant};
use tenantry::store::{Page, Store, TenantCounts, TenantFilter, TenantSort};

use super::{Ground, LONG, all_news, claim, contract, insert, page, tenant};

contract!(an_import_comes_at_once_and_is_counted, others_write_meanwhile, an_import_given_up_leaves_nothing,);

const ROWS: usize = 600;
const HOUR: i64 = 3_600_000;

fn rows(prefix: &str, parent: Option<&Tenant>) -> Vec<Tenant> {
    let row = |n: usize| Tenant {
        status: [Status::Active, Status::Trial, Status::Pending][n % 3],
        plan: [None, PlanName::parse("growth").ok()][n % 2].clone(),
        trial_ends: (n % 3 == 1).then_some(Timestamp(n as i64 % 5 * HOUR)),
        parent: parent.map(|parent| parent.id),
        ..tenant(&format!("{prefix}{n}"))
    };
    (0..ROWS).map(row).collect()
}

async fn counts(store: &Store) -> (TenantCounts, u64) {
    let domains = store.domain_counts().await.unwrap().iter().map(|(_, number)| number).sum();
    (store.tenant_counts(Timestamp(3 * HOUR)).await.unwrap(), domains)
}

async fn an_import_comes_at_once_and_is_counted(ground: Ground) {
    let store = ground.open().await;
    let parent = tenant("parent");
    let before = insert(&store, &[&parent]).await;
    let tenants = rows("t", Some(&parent));
    let mut write = store.bulk().await.unwrap();
    assert_eq!(write.present(&[parent.id]).await.unwrap(), [parent.id]);
    assert_eq!(write.insert_tenants(&tenants).await.unwrap(), ROWS as u64);
    let claims: Vec<_> = tenants
        .iter()
        .map(|tenant| (claim(&format!("{}.example", tenant.slug), tenant.id, DomainState::Live), Timestamp(0)))
        .collect();
    assert_eq!(write.insert_domains(&claims).await.unwrap(), ROWS as u64);
    assert_eq!(counts(&store).await.0.total, 1, "nothing is half-seen");
    assert!(store.search_tenants("t", &TenantFilter::default(), &Page::default()).await.unwrap().rows.is_empty());
    write.take_turn().await.unwrap();
    let revision = write.revision();
    assert_eq!(write.commit().await.unwrap(), revision);
    assert_eq!(all_news(&store, before).await.0, [Change::Reset]);
    let (tenants, domains) = counts(&store).await;
    assert_eq!((tenants.total, tenants.expiring, domains), (ROWS as u64 + 1, 120, ROWS as u64));
    assert_eq!(tenants.by_plan.iter().map(|(_, number)| *number).collect::<Vec<_>>(), [301, 300]);
    // What the triggers count comes on top.
    let mut write = store.write().await.unwrap();
    write.delete_tenant(store.tenant_by_slug(&super::slug("t1")).await.unwrap().unwrap().id).await.unwrap();
    write.commit().await.unwrap();
    let (tenants, domains) = counts(&store).await;
    assert_eq!((tenants.total, domains), (ROWS as u64, ROWS as u64 - 1));
    let listed =
        store.list_tenants(&TenantFilter::default(), TenantSort::Name, false, &page(1_000, None)).await.unwrap();
    assert_eq!(listed.rows.len(), ROWS);
}

async fn others_write_meanwhile(ground: Ground) {
    let store = ground.open().await;
    let mut write = store.bulk().await.unwrap();
    write.insert_tenants(&rows("a", None)).await.unwrap();
    if ground.is_postgres() {
        // Of the same status and plan: the rows of counts are in nobody's way.
        let other = Tenant { status: Status::Trial, trial_ends: Some(Timestamp(HOUR)), ..tenant("other") };
        let meanwhile = tokio::time::timeout(LONG / 10, insert(&store, &[&other])).await;
        let revision = meanwhile.expect("it waits for the import");
        write.insert_tenants(&rows("b", None)).await.unwrap();
        write.take_turn().await.unwrap();
        assert!(write.revision() > revision, "revisions are in the order of commits");
        assert_eq!(write.commit().await.unwrap(), revision + 1);
        assert_eq!(counts(&store).await.0.total, 2 * ROWS as u64 + 1);
        return;
    }
    // One writer at a time; and it is not in anybody's way who reads.
    assert_eq!(counts(&store).await.0.total, 0);
    write.commit().await.unwrap();
    assert_eq!(counts(&store).await.0.total, ROWS as u64);
}

async fn an_import_given_up_leaves_nothing(ground: Ground) {
    let store = ground.open().await;
    let mut write = store.bulk().await.unwrap();
    write.insert_tenants(&rows("a", None)).await.unwrap();
    drop(write);
    let mut write = store.bulk().await.unwrap();
    write.insert_tenants(&rows("a", None)).await.unwrap();
    write.take_turn().await.unwrap();
    drop(write);
    let revision = insert(&store, &[&tenant("after")]).await;
    assert_eq!(revision, 1, "no revision was used up");
    assert_eq!(counts(&store).await.0.total, 1);
    assert_eq!(all_news(&store, 0).await.0.len(), 2);
}
