//! Claims to names: many may claim, one holds.

use tenantry::model::{Change, Domain, DomainName, DomainState, TenantId};
use tenantry::store::StoreError;

use super::{Ground, all_news, claim, contract, host, insert, page, tenant};

contract!(one_holds_a_name_and_many_claim_it, claims_are_listed_in_pages, the_index_itself_keeps_a_name_to_one_holder);

async fn one_holds_a_name_and_many_claim_it(ground: Ground) {
    let store = ground.open().await;
    let (acme, beta) = (tenant("acme"), tenant("beta"));
    let before = insert(&store, &[&acme, &beta]).await;
    let name = DomainName::from(host("shop.example"));
    let mut write = store.write().await.unwrap();
    write.insert_domain(&claim("shop.example", acme.id, DomainState::Pending)).await.unwrap();
    write.insert_domain(&claim("shop.example", beta.id, DomainState::Verifying)).await.unwrap();
    let again = write.insert_domain(&claim("shop.example", beta.id, DomainState::Verified)).await;
    assert!(matches!(again, Err(StoreError::Conflict(why)) if why.contains("already")));
    let nobody = write.insert_domain(&claim("shop.example", TenantId::new(), DomainState::Pending)).await;
    assert!(matches!(nobody, Err(StoreError::Missing(_))));
    assert_eq!(store.held_domain(&name).await.unwrap(), None);

    write.set_domain_state(&name, beta.id, DomainState::Verified).await.unwrap();
    for state in [DomainState::Verified, DomainState::Live, DomainState::Moved] {
        let taken = write.set_domain_state(&name, acme.id, state).await;
        assert!(matches!(taken, Err(StoreError::Conflict(why)) if why.contains("another tenant")));
    }
    write.set_domain_state(&name, acme.id, DomainState::Failed).await.unwrap();
    write.set_domain_state(&name, beta.id, DomainState::Live).await.unwrap();
    let unknown = write.set_domain_state(&host("none.example").into(), acme.id, DomainState::Live).await;
    assert!(matches!(unknown, Err(StoreError::Missing(_))));
    let revision = write.commit().await.unwrap();

    let held = Domain { updated: ground.clock.now(), revision, ..claim("shop.example", beta.id, DomainState::Live) };
    assert_eq!(store.held_domain(&name).await.unwrap(), Some(held));
    assert_eq!(store.claims(&name).await.unwrap().len(), 2);
    assert_eq!(all_news(&store, before).await, (vec![Change::of_domain(&name)], revision));

    let mut write = store.write().await.unwrap();
    write.delete_domain(&name, beta.id).await.unwrap();
    assert!(matches!(write.delete_domain(&name, beta.id).await, Err(StoreError::Missing(_))));
    write.set_domain_state(&name, acme.id, DomainState::Verified).await.unwrap();
    let next = write.commit().await.unwrap();
    assert_eq!(store.held_domain(&name).await.unwrap().unwrap().tenant, acme.id);
    assert_eq!(all_news(&store, revision).await, (vec![Change::of_domain(&name)], next));
}

async fn claims_are_listed_in_pages(ground: Ground) {
    let store = ground.open().await;
    let tenants = [tenant("a"), tenant("b"), tenant("c")];
    insert(&store, &tenants.each_ref()).await;
    let mut write = store.write().await.unwrap();
    for name in ["a.example", "a-b.example", "ab.example", "xn--bcher-kva.example", "b.a.example"] {
        for tenant in &tenants {
            write.insert_domain(&claim(name, tenant.id, DomainState::Pending)).await.unwrap();
        }
    }
    write.commit().await.unwrap();
    let own = store.domains(tenants[1].id, &page(3, Some("a-b.example"))).await.unwrap();
    let names: Vec<String> = own.iter().map(|domain| domain.name.to_string()).collect();
    assert_eq!(names, ["a.example", "ab.example", "b.a.example"]);
}

async fn the_index_itself_keeps_a_name_to_one_holder(ground: Ground) {
    let store = ground.open().await;
    let (acme, beta) = (tenant("acme"), tenant("beta"));
    insert(&store, &[&acme, &beta]).await;
    let mut write = store.write().await.unwrap();
    write.insert_domain(&claim("shop.example", acme.id, DomainState::Moved)).await.unwrap();
    let second = write.insert_domain(&claim("shop.example", beta.id, DomainState::Verified)).await;
    assert!(matches!(second, Err(StoreError::Conflict(why)) if why.contains("another tenant")));
    write.commit().await.unwrap();
    assert_eq!(store.claims(&host("shop.example").into()).await.unwrap().len(), 1);
}
