//! A wildcard domain that comes or goes is obeyed at once by every name beneath it that was looked up before.

use std::sync::Arc;

use tenantry::model::{Domain, DomainName, DomainState, Tenant};

use super::source::Read;
use super::{Node, Record, claim, host, insert, tenant};

const NAMES: [&str; 4] = ["a.community.example", "b.community.example", "community.example", "a.b.community.example"];

fn wildcard(of: &Tenant) -> Domain {
    let name = DomainName::parse("*.community.example").unwrap();
    Domain { name, ..claim("community.example", of.id, DomainState::Verified) }
}

async fn names(node: &Node) -> [String; 4] {
    let mut found = Vec::new();
    for name in NAMES {
        found.push(node.name_at(&host(name)).await.unwrap());
    }
    found.try_into().unwrap()
}

#[tokio::test]
async fn names_beneath_follow_and_others_do_not() {
    let record = Record::new().await;
    let (acme, beta) = (tenant("acme"), tenant("beta"));
    insert(&record.store, &[&acme, &beta]).await;
    let node = record.node().await;
    node.give("b.community.example", &beta).await;
    assert_eq!(names(&node).await, ["-", "beta", "-", "-"]);

    let mut write = node.store.write().await.unwrap();
    write.insert_domain(&wildcard(&acme)).await.unwrap();
    node.commit(write).await;
    assert_eq!(
        names(&node).await,
        ["acme", "beta", "-", "-"],
        "the exact claim goes first; one label, and not its own"
    );

    let mut write = node.store.write().await.unwrap();
    write.delete_domain(&host("b.community.example").into(), beta.id).await.unwrap();
    node.commit(write).await;
    assert_eq!(names(&node).await, ["acme", "acme", "-", "-"]);

    let reads = node.tap.reads(Read::Place);
    assert_eq!(names(&node).await, ["acme", "acme", "-", "-"]);
    assert_eq!(node.tap.reads(Read::Place), reads, "known again without asking");
    let mut write = node.store.write().await.unwrap();
    write.delete_domain(&wildcard(&acme).name, acme.id).await.unwrap();
    node.commit(write).await;
    assert_eq!(names(&node).await, ["-", "-", "-", "-"]);
}

/// A look-up has its answer in hand when the wildcard goes, or comes: it reads again.
#[tokio::test]
async fn a_look_up_under_way_is_overtaken() {
    let record = Record::new().await;
    let acme = tenant("acme");
    insert(&record.store, &[&acme]).await;
    let node = Arc::new(record.node().await);
    for (comes, expected) in [(true, "acme"), (false, "-")] {
        let name = host(if comes { "late.community.example" } else { "early.community.example" });
        let stall = node.tap.stall(Read::Place);
        let asking = tokio::spawn({
            let (node, name) = (Arc::clone(&node), name.clone());
            async move { node.name_at(&name).await }
        });
        let stalled = stall.reached().await;
        let mut write = node.store.write().await.unwrap();
        match comes {
            true => write.insert_domain(&wildcard(&acme)).await.unwrap(),
            false => write.delete_domain(&wildcard(&acme).name, acme.id).await.unwrap(),
        }
        node.commit(write).await;
        stalled.release();
        assert_eq!(asking.await.unwrap().unwrap(), expected, "{name}");
        assert_eq!(node.name_at(&name).await.unwrap(), expected, "{name}");
    }
}
