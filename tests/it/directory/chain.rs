//! What holds for a tenant follows from its chain of parents, the catalogue and the time, and a change of any of them
//! costs one read or none.

use std::sync::Arc;
use std::time::Duration;

use tenantry::directory::{Resolution, Trouble};
use tenantry::model::{DomainState, PlanName, Standing, Status, Tenant};

use super::source::{Override, Read};
use super::{Record, claim, host, insert, slug_host, tenant};

fn child(name: &str, parent: &Tenant) -> Tenant {
    Tenant { parent: Some(parent.id), ..tenant(name) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_change_is_one_read_however_many_hosts_and_children_it_has() {
    let record = Record::new().await;
    let parent = tenant("holding");
    let children: Vec<_> = (0..60).map(|number| child(&format!("c{number}"), &parent)).collect();
    insert(&record.store, &[&parent]).await;
    insert(&record.store, &children.iter().collect::<Vec<_>>()).await;
    let domains: Vec<_> = (0..40).map(|number| format!("d{number}.example")).collect();
    let mut write = record.store.write().await.unwrap();
    for domain in &domains {
        write.insert_domain(&claim(domain, parent.id, DomainState::Live)).await.unwrap();
    }
    write.commit().await.unwrap();

    let node = record.node().await;
    let hosts = children.iter().map(|child| slug_host(child.slug.as_str())).chain(domains.iter().map(|d| host(d)));
    let hosts: Vec<_> = hosts.collect();
    let standings = async || {
        let mut all = Vec::new();
        for host in &hosts {
            match node.resolve(host).await.unwrap() {
                Resolution::Tenant(view, _) => all.push(view.effective.standing),
                Resolution::Unknown => panic!("{host}"),
            }
        }
        all
    };
    assert_eq!(standings().await, vec![Standing::Served; 100]);
    for (status, standing) in [
        (Status::Suspended, Standing::Suspended),
        (Status::Active, Standing::Served),
        (Status::Cancelled, Standing::Cancelled),
    ] {
        let before = (node.tap.reads(Read::Place), node.tap.reads(Read::Tenant));
        node.update(&Tenant { status, ..parent.clone() }).await;
        assert_eq!(standings().await, vec![standing; 100]);
        assert_eq!((node.tap.reads(Read::Place), node.tap.reads(Read::Tenant)), (before.0, before.1 + 1), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_chain_counts_and_the_nearest_word_wins() {
    let record = Record::new().await;
    let plan = |name: &str| Some(PlanName::parse(name).unwrap());
    let top = Tenant { plan: plan("growth"), ..tenant("top") };
    let middle = child("middle", &top);
    let bottom = child("bottom", &middle);
    insert(&record.store, &[&top, &middle, &bottom]).await;
    let node = record.node().await;
    assert_eq!(node.view("bottom.connect.localhost").await.plan, "growth");
    node.update(&Tenant { plan: plan("starter"), ..middle.clone() }).await;
    assert_eq!(node.view("bottom.connect.localhost").await.plan, "starter");
    assert_eq!(node.view("top.connect.localhost").await.plan, "growth");

    node.update(&Tenant { status: Status::Suspended, ..top.clone() }).await;
    for name in ["top", "middle", "bottom"] {
        let view = node.view(&format!("{name}.connect.localhost")).await;
        assert_eq!((view.effective.standing, view.status.to_str().unwrap()), (Standing::Suspended, "suspended"));
    }
    node.update(&Tenant { status: Status::Active, ..top.clone() }).await;
    node.update(&Tenant { status: Status::Suspended, ..bottom.clone() }).await;
    assert_eq!(node.view("middle.connect.localhost").await.effective.standing, Standing::Served);
    assert_eq!(node.view("bottom.connect.localhost").await.effective.standing, Standing::Suspended);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_is_missing_or_a_chain_without_an_end_is_never_an_allow() {
    let record = Record::new().await;
    let parent = tenant("holding");
    let (orphan, twin) = (child("orphan", &parent), child("twin", &parent));
    insert(&record.store, &[&parent, &orphan, &twin]).await;
    let unknown = |answer: Result<Resolution, Trouble>| assert!(matches!(answer, Err(Trouble::Unavailable)));

    let node = record.node().await;
    node.tap.set_row(parent.id, Override::Missing);
    unknown(node.resolve(&slug_host("orphan")).await);
    unknown(node.resolve(&slug_host("orphan")).await);

    let node = record.node().await;
    node.tap.set_row(parent.id, Override::Is(Box::new(Tenant { parent: Some(orphan.id), ..parent.clone() })));
    unknown(node.resolve(&slug_host("orphan")).await);
    unknown(node.resolve(&slug_host("holding")).await);

    let node = record.node().await;
    node.tap.set_row(twin.id, Override::Is(Box::new(Tenant { parent: Some(twin.id), ..twin.clone() })));
    unknown(node.resolve(&slug_host("twin")).await);
    assert_eq!(node.view("orphan.connect.localhost").await.effective.standing, Standing::Served);

    let node = record.node().await;
    node.tap.set_row(parent.id, Override::Damaged);
    unknown(node.resolve(&slug_host("orphan")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_ends_by_the_clock_and_nothing_is_read_for_it() {
    let record = Record::new().await;
    let hour = Duration::from_secs(3600);
    let trial = Tenant { status: Status::Trial, trial_ends: Some(record.clock.now() + hour), ..tenant("trial") };
    let shop = child("shop", &trial);
    insert(&record.store, &[&trial, &shop]).await;
    let node = record.node().await;
    let look = async |id, suspend| {
        let view = node.directory.tenant(id, &node.catalogue, suspend).await.unwrap().unwrap();
        (view.effective.standing, view.effective.trial_expired)
    };
    assert_eq!(look(trial.id, true).await, (Standing::Served, false));
    assert_eq!(look(shop.id, true).await, (Standing::Served, false));
    let reads = node.tap.reads(Read::Tenant);
    node.clock.advance(hour - Duration::from_millis(1));
    assert_eq!(look(trial.id, true).await, (Standing::Served, false));
    node.clock.advance(Duration::from_millis(1));
    assert_eq!(look(trial.id, false).await, (Standing::Served, true), "badged, and reachable");
    assert_eq!(look(trial.id, true).await, (Standing::Suspended, true));
    assert_eq!(look(shop.id, true).await, (Standing::Suspended, false), "a parent's trial covers its children");
    assert_eq!(look(shop.id, false).await, (Standing::Served, false));
    assert_eq!(node.tap.reads(Read::Tenant), reads);
    let extended = Tenant { trial_ends: Some(node.clock.now() + hour), ..trial.clone() };
    node.update(&extended).await;
    assert_eq!(look(shop.id, true).await, (Standing::Served, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_catalogue_counts_at_once_and_nothing_is_read_for_it() {
    let record = Record::new().await;
    let acme = Tenant { plan: Some(PlanName::parse("growth").unwrap()), ..tenant("acme") };
    let shop = child("shop", &acme);
    insert(&record.store, &[&acme, &shop]).await;
    let node = record.node().await;
    let features = async |catalogue| {
        let view = node.directory.tenant(shop.id, catalogue, false).await.unwrap().unwrap();
        view.features.to_str().unwrap().to_owned()
    };
    let before = features(&node.catalogue).await;
    assert!(before.split(',').any(|feature| feature == "csv_export"), "{before}");
    let reads = node.tap.reads(Read::Tenant);
    let mut other = (*node.catalogue).clone();
    other.licence = Some(Default::default());
    let other = Arc::new(other);
    assert_eq!(features(&other).await, "");
    assert_eq!(features(&node.catalogue).await, before);
    assert_eq!(node.tap.reads(Read::Tenant), reads);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_is_deleted_is_nobody_on_all_its_hosts() {
    let record = Record::new().await;
    let acme = tenant("acme");
    insert(&record.store, &[&acme]).await;
    let node = record.node().await;
    node.give("acme.example", &acme).await;
    assert_eq!(node.name_at(&host("acme.example")).await.unwrap(), "acme");
    assert_eq!(node.name_at(&slug_host("acme")).await.unwrap(), "acme");
    let mut write = record.store.write().await.unwrap();
    write.delete_tenant(acme.id).await.unwrap();
    node.commit(write).await;
    assert_eq!(node.name_at(&host("acme.example")).await.unwrap(), "-");
    assert_eq!(node.name_at(&slug_host("acme")).await.unwrap(), "-");
    assert!(node.directory.tenant(acme.id, &node.catalogue, false).await.unwrap().is_none());
}
