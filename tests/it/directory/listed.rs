//! The public directory's order as a node remembers it: read by stretches, once for all, and anew when somebody changes.

use tenantry::directory::Trouble;
use tenantry::model::{Listing, Slug, Tenant};

use super::source::Read;
use super::{Node, Record, insert, tenant};

async fn list(node: &Node, tenant: &Tenant, listing: Listing) {
    let mut write = node.store.write().await.unwrap();
    write.set_listing(tenant.id, listing).await.unwrap();
    write.update_tenant(tenant).await.unwrap();
    node.commit(write).await;
}

async fn behind(node: &Node, slug: Option<&str>) -> Result<Option<Vec<String>>, Trouble> {
    let stretch = node.directory.listed_behind(slug.map(|slug| Slug::parse(slug).unwrap())).await?;
    Ok(stretch.map(|stretch| stretch.entries.iter().map(|(_, slug)| slug.to_string()).collect()))
}

fn found(slugs: &[&str]) -> Result<Option<Vec<String>>, Trouble> {
    Ok(Some(slugs.iter().map(|slug| (*slug).to_owned()).collect()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stretch_is_read_once_until_a_tenant_changes_and_counts_on_while_the_store_is_away() {
    let record = Record::new().await;
    let tenants = ["a", "b", "c"].map(tenant);
    insert(&record.store, &tenants.iter().collect::<Vec<_>>()).await;
    let node = record.node().await;
    for (tenant, priority) in tenants.iter().zip([1, 3, 2]) {
        list(&node, tenant, Listing { listed: true, priority }).await;
    }
    for _ in 0..50 {
        assert_eq!(behind(&node, None).await, found(&["b", "c", "a"]));
        assert_eq!(behind(&node, Some("c")).await, found(&["a"]));
        assert_eq!(behind(&node, Some("nobody")).await, Ok(None));
    }
    assert_eq!(node.tap.reads(Read::Listings), 3);
    list(&node, &tenants[1], Listing { listed: false, priority: 3 }).await;
    assert_eq!(behind(&node, None).await, found(&["c", "a"]), "what was answered is in force");
    assert_eq!(behind(&node, Some("b")).await, Ok(None));

    node.update(&Tenant { name: "renamed".into(), ..tenants[0].clone() }).await;
    node.tap.set_gone(true);
    assert_eq!(behind(&node, None).await, found(&["c", "a"]));
    assert_eq!(behind(&node, Some("a")).await, Err(Trouble::Unavailable), "nothing is made up");
}
