//! Answers that are kept whole: they say what the caches would say, and none outlives a change that has been applied, in
//! whatever part of what it was made of, and whether or not the caches still know of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use proptest::prelude::*;
use tenantry::directory::{DirectorySettings, Resolution, Subscriber, Via};
use tenantry::model::{Change, Hostname, PlanName, Tenant, TenantId};

use super::source::{Override, Read};
use super::{Node, Record, VISITOR, host, insert, scatter, settings, slug_host, tenant};

/// Caches that keep nothing: what is known is what is kept before them.
fn nothing_behind() -> DirectorySettings {
    DirectorySettings { hosts: 0, ..settings() }
}

impl Node {
    /// Asks until the answer is kept, and sees that it is.
    async fn keeps(&self, host: &Hostname) {
        let mut reads = usize::MAX;
        for _ in 0..4 {
            // What a cache without room has taken in goes at the next occasion.
            self.directory.stats();
            reads = self.tap.reads(Read::Place);
            assert!(matches!(self.resolve_once(host, VISITOR).await, Ok(Resolution::Tenant(..))), "{host}");
        }
        assert_eq!(self.tap.reads(Read::Place), reads, "{host} is not kept");
    }

    fn hits(&self, cache: &str) -> u64 {
        self.metrics.lookups.with_label_values(&[cache, "hit"]).get()
    }
}

#[tokio::test]
async fn what_is_kept_is_counted_as_a_hit_and_looked_up_now_and_then() {
    let record = Record::new().await;
    let parent = tenant("holding");
    let child = Tenant { parent: Some(parent.id), ..tenant("child") };
    insert(&record.store, &[&parent, &child]).await;
    let node = record.node().await;
    node.keeps(&slug_host("child")).await;
    let before = (node.hits("hosts"), node.hits("tenants"));
    for _ in 0..1_000 {
        node.resolve_once(&slug_host("child"), VISITOR).await.unwrap();
    }
    assert_eq!((node.hits("hosts"), node.hits("tenants")), (before.0 + 1_000, before.1 + 2_000));
    assert_eq!((node.tap.reads(Read::Place), node.tap.reads(Read::Tenant)), (1, 2));

    // With no cache behind it, each time that it is looked up is a read.
    let node = record.node_with(nothing_behind()).await;
    node.keeps(&slug_host("child")).await;
    let before = node.tap.reads(Read::Place);
    for _ in 0..1_000 {
        node.directory.stats();
        node.resolve_once(&slug_host("child"), VISITOR).await.unwrap();
    }
    let looked_up = node.tap.reads(Read::Place) - before;
    assert!((10..=20).contains(&looked_up), "{looked_up} of 1000");
}

#[tokio::test]
async fn a_host_that_is_asked_for_once_drives_nobody_out() {
    let record = Record::new().await;
    let tenants: Vec<_> = (0..40).map(|number| tenant(&format!("t{number}"))).collect();
    insert(&record.store, &tenants.iter().collect::<Vec<_>>()).await;
    // One set of four places.
    let node = record.node_with(nothing_behind()).await;
    let hosts: Vec<_> = tenants.iter().map(|tenant| slug_host(tenant.slug.as_str())).collect();
    for host in &hosts[..4] {
        node.keeps(host).await;
    }
    for host in &hosts[4..] {
        // As the first request of a connection does.
        node.resolve_once(host, VISITOR).await.unwrap();
        node.directory.resolve_again(host, Via::Subdomain, VISITOR, &node.catalogue, false).await.unwrap();
    }
    node.directory.stats();
    let reads = node.tap.reads(Read::Place);
    for (host, tenant) in hosts.iter().zip(&tenants).take(4) {
        assert!(
            matches!(node.resolve_once(host, VISITOR).await, Ok(Resolution::Tenant(view, _)) if view.tenant.id == tenant.id)
        );
    }
    assert_eq!(node.tap.reads(Read::Place), reads, "still kept");
}

#[tokio::test]
async fn hosts_that_want_the_same_place_get_each_their_own_answer() {
    let record = Record::new().await;
    let tenants: Vec<_> = (0..12).map(|number| tenant(&format!("t{number}"))).collect();
    insert(&record.store, &tenants.iter().collect::<Vec<_>>()).await;
    let node = record.node_with(nothing_behind()).await;
    for round in 0..2_000_u64 {
        let tenant = &tenants[scatter(round / 3) as usize % tenants.len()];
        let found = node.resolve_once(&slug_host(tenant.slug.as_str()), VISITOR).await;
        assert!(matches!(found, Ok(Resolution::Tenant(view, _)) if view.tenant.id == tenant.id), "{}", tenant.slug);
    }
    assert!(node.tap.reads(Read::Place) < 2_000, "nothing was ever kept");
}

/// The caches have dropped the host; a change must reach it where it is kept.
#[tokio::test]
async fn changes_are_obeyed_by_hosts_that_the_cache_has_dropped() {
    let record = Record::new().await;
    let (acme, beta) = (tenant("acme"), tenant("beta"));
    insert(&record.store, &[&acme, &beta]).await;
    let node = record.node_with(nothing_behind()).await;
    let domain = host("a.community.example");
    let changes = [
        Change::Host(domain.clone()),
        Change::Beneath(host("community.example")),
        Change::Reset,
        Change::Tenant(acme.id),
    ];
    for change in changes {
        node.tap.set_place(&domain, Some(acme.id));
        node.directory.apply(&Change::Reset);
        node.keeps(&domain).await;
        assert_eq!(node.directory.stats().0.known, 0, "the cache has no room");
        node.tap.set_place(&domain, None);
        node.tap.set_row(acme.id, Override::Missing);
        node.directory.apply(&change);
        assert_eq!(node.name_at(&domain).await, Ok("-".into()), "{change:?}");
        node.tap.set_row(acme.id, Override::Is(Box::new(acme.clone())));
    }
    // Of others, it is none of its business.
    node.tap.set_place(&domain, Some(acme.id));
    node.directory.apply(&Change::Reset);
    let others = [Change::Tenant(beta.id), Change::Host(host("b.community.example")), Change::Slug(beta.slug.clone())];
    // Each other key shares a count with this one once in four thousand times.
    let mut kept = 0;
    for other in others {
        node.keeps(&domain).await;
        let reads = node.tap.reads(Read::Place);
        node.directory.apply(&other);
        node.resolve_once(&domain, VISITOR).await.unwrap();
        kept += usize::from(node.tap.reads(Read::Place) == reads);
    }
    assert!(kept >= 2, "{kept} of 3");
}

#[tokio::test]
async fn what_was_served_while_the_store_was_away_is_not_kept() {
    let record = Record::new().await;
    let parent = Tenant { plan: Some(PlanName::parse("growth").unwrap()), ..tenant("holding") };
    let child = Tenant { parent: Some(parent.id), ..tenant("child") };
    insert(&record.store, &[&parent, &child]).await;
    let host = slug_host("child");
    for change in [Change::Tenant(parent.id), Change::Tenant(child.id), Change::Slug(child.slug.clone()), Change::Reset]
    {
        let node = record.node().await;
        node.keeps(&host).await;
        node.directory.apply(&change);
        node.tap.set_gone(true);
        for _ in 0..10 {
            assert!(matches!(node.resolve_once(&host, VISITOR).await, Ok(Resolution::Tenant(..))), "{change:?}");
        }
        node.tap.set_gone(false);
        // Nothing new is told, so that what was served meanwhile would be served for ever if it were kept.
        let reads = || node.tap.reads(Read::Place) + node.tap.reads(Read::Tenant);
        let (before, begun) = (reads(), std::time::Instant::now());
        while reads() == before {
            assert!(begun.elapsed() < super::LONG, "{change:?}: nobody asks the store again");
            node.resolve_once(&host, VISITOR).await.unwrap();
            tokio::task::yield_now().await;
        }
    }
}

/// What a host's answer is made of: its place, its tenant's name, and what its parent's plan is.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The domain leads to another tenant, or to nobody.
    Move(usize, Option<usize>),
    Rename(usize),
    /// The plan of the parent of them all.
    Plan(bool),
    Ask(usize),
}

/// A step, and whether what it changes is told by a reset.
fn step() -> impl Strategy<Value = (Step, bool)> {
    let step = prop_oneof![
        (0..6_usize, prop::option::of(0..3_usize)).prop_map(|(domain, tenant)| Step::Move(domain, tenant)),
        (0..3_usize).prop_map(Step::Rename),
        any::<bool>().prop_map(Step::Plan),
        (0..6_usize).prop_map(Step::Ask),
        (0..6_usize).prop_map(Step::Ask),
        (0..6_usize).prop_map(Step::Ask),
        (0..6_usize).prop_map(Step::Ask),
    ];
    (step, prop::bool::weighted(0.1))
}

/// What is true, and the node that ought to say so.
struct Model {
    node: Node,
    parent: Tenant,
    tenants: Vec<Tenant>,
    places: Vec<Option<usize>>,
}

impl Model {
    async fn new(room: u64) -> Self {
        let record = Record::new().await;
        let node = record.node_with(DirectorySettings { hosts: room, ..settings() }).await;
        let parent = Tenant { plan: Some(PlanName::parse("free").unwrap()), ..tenant("holding") };
        let child = |number| Tenant { parent: Some(parent.id), ..tenant(&format!("t{number}")) };
        let model = Self { tenants: (0..3).map(child).collect(), node, parent, places: vec![None; 6] };
        model.tenants.iter().chain([&model.parent]).for_each(|tenant| model.put(tenant));
        (0..6).for_each(|domain| model.node.tap.set_place(&name(domain), None));
        model
    }

    fn put(&self, tenant: &Tenant) {
        self.node.tap.set_row(tenant.id, Override::Is(Box::new(tenant.clone())));
    }

    async fn take(&mut self, number: usize, step: Step, as_reset: bool) {
        let change = match step {
            Step::Ask(domain) => return self.ask(domain).await,
            Step::Move(domain, to) => {
                self.places[domain] = to;
                self.node.tap.set_place(&name(domain), to.map(|to| self.tenants[to].id));
                // Every other is under a wildcard, and told of as such.
                if domain % 2 == 0 { Change::Host(name(domain)) } else { Change::Beneath(host("wild.example")) }
            }
            Step::Rename(which) => {
                self.tenants[which].name = format!("{which}, at {number}");
                self.put(&self.tenants[which]);
                Change::Tenant(self.tenants[which].id)
            }
            Step::Plan(growth) => {
                self.parent.plan = Some(PlanName::parse(if growth { "growth" } else { "free" }).unwrap());
                self.put(&self.parent);
                Change::Tenant(self.parent.id)
            }
        };
        self.node.directory.apply(if as_reset { &Change::Reset } else { &change });
    }

    async fn ask(&self, domain: usize) {
        let found = self.node.resolve_once(&name(domain), VISITOR).await.unwrap();
        let found = match &found {
            Resolution::Tenant(view, _) => Some((view.tenant.name.as_str(), view.effective.plan.as_str())),
            Resolution::Unknown => None,
        };
        let plan = self.parent.plan.as_ref().unwrap().as_str();
        let expected = self.places[domain].map(|tenant| (self.tenants[tenant].name.as_str(), plan));
        assert_eq!(found, expected, "{}", name(domain));
    }
}

fn name(domain: usize) -> Hostname {
    host(&if domain.is_multiple_of(2) { format!("d{domain}.example") } else { format!("d{domain}.wild.example") })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever changes in whatever order, and however little room the caches have: the answer is the truth.
    #[test]
    fn an_answer_is_always_the_truth(steps in prop::collection::vec(step(), 1..400), room in prop_oneof![Just(0), Just(2), Just(100)]) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut model = Model::new(room).await;
            for (number, (step, as_reset)) in steps.into_iter().enumerate() {
                model.take(number, step, as_reset).await;
            }
        });
    }
}

/// A version of something: which change has begun, and which has been applied.
#[derive(Default)]
struct Register {
    begun: AtomicU64,
    applied: AtomicU64,
}

struct Race {
    node: Node,
    domain: Hostname,
    parent: Tenant,
    /// Whom the domain leads to by turns.
    owners: Vec<Tenant>,
    place: Register,
    name: Register,
    plan: Register,
    done: AtomicBool,
}

const ROUNDS: u64 = 20_000;
const PLANS: [&str; 2] = ["free", "growth"];

impl Race {
    async fn new() -> Self {
        let record = Record::new().await;
        let node = record.node_with(settings()).await;
        let parent = Tenant { plan: Some(PlanName::parse(PLANS[0]).unwrap()), ..tenant("holding") };
        let owner = |number| Tenant { name: "0".into(), parent: Some(parent.id), ..tenant(&format!("t{number}")) };
        let race = Self {
            domain: host("shop.example"),
            owners: (0..8).map(owner).collect(),
            node,
            parent,
            place: Register::default(),
            name: Register::default(),
            plan: Register::default(),
            done: AtomicBool::new(false),
        };
        race.owners.iter().chain([&race.parent]).for_each(|tenant| race.put(tenant));
        race.node.tap.set_place(&race.domain, Some(race.owners[0].id));
        race
    }

    fn put(&self, tenant: &Tenant) {
        self.node.tap.set_row(tenant.id, Override::Is(Box::new(tenant.clone())));
    }

    fn owner(&self, version: u64) -> TenantId {
        self.owners[version as usize % self.owners.len()].id
    }

    /// One of the three has another version; when this returns, nobody may see one from before.
    fn change(&self, version: u64) {
        let (register, changes): (_, Vec<Change>) = match scatter(version) % 3 {
            0 => {
                let version = self.place.begun.fetch_add(1, Ordering::SeqCst) + 1;
                self.node.tap.set_place(&self.domain, Some(self.owner(version)));
                (&self.place, vec![Change::Host(self.domain.clone())])
            }
            1 => {
                let name = (self.name.begun.fetch_add(1, Ordering::SeqCst) + 1).to_string();
                self.owners.iter().for_each(|owner| self.put(&Tenant { name: name.clone(), ..owner.clone() }));
                (&self.name, self.owners.iter().map(|owner| Change::Tenant(owner.id)).collect())
            }
            _ => {
                let version = self.plan.begun.fetch_add(1, Ordering::SeqCst) + 1;
                let plan = PlanName::parse(PLANS[version as usize % 2]).unwrap();
                self.put(&Tenant { plan: Some(plan), ..self.parent.clone() });
                (&self.plan, vec![Change::Tenant(self.parent.id)])
            }
        };
        match scatter(version + ROUNDS).is_multiple_of(16) {
            true => self.node.directory.apply(&Change::Reset),
            false => changes.iter().for_each(|change| self.node.directory.apply(change)),
        }
        register.applied.fetch_add(1, Ordering::SeqCst);
    }

    async fn look(&self) {
        let registers = [&self.place, &self.name, &self.plan];
        let oldest = registers.map(|register| register.applied.load(Ordering::SeqCst));
        let found = self.node.resolve_once(&self.domain, VISITOR).await;
        let newest = registers.map(|register| register.begun.load(Ordering::SeqCst));
        // Changed faster than it can be read.
        let Ok(Resolution::Tenant(view, _)) = found else { return };
        let seen = (view.tenant.id, view.tenant.name.parse::<u64>().unwrap(), view.effective.plan.as_str());
        let told = format!("{seen:?}, between {oldest:?} and {newest:?}");
        assert!((oldest[0]..=newest[0]).any(|version| self.owner(version) == seen.0), "{told}");
        assert!((oldest[1]..=newest[1]).contains(&seen.1), "{told}");
        assert!((oldest[2]..=newest[2]).any(|version| PLANS[version as usize % 2] == seen.2), "{told}");
    }
}

/// Who looks is never slower than who changes: most answers are kept ones, and each change comes in the middle of one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_answer_outlives_a_change_that_has_been_applied() {
    let race = Arc::new(Race::new().await);
    let lookers: Vec<_> = (0..3)
        .map(|_| {
            let race = Arc::clone(&race);
            tokio::spawn(async move {
                let mut looks = 0_u64;
                while !race.done.load(Ordering::SeqCst) {
                    race.look().await;
                    looks += 1;
                    if looks.is_multiple_of(64) {
                        tokio::task::yield_now().await;
                    }
                }
                looks
            })
        })
        .collect();
    for version in 0..ROUNDS {
        race.change(version);
        for _ in 0..scatter(version) % 8 {
            race.look().await;
        }
        tokio::task::yield_now().await;
    }
    race.done.store(true, Ordering::SeqCst);
    for looker in lookers {
        assert!(looker.await.unwrap() > 0);
    }
    assert!(race.node.hits("hosts") > ROUNDS, "too little was kept to be worth a look");
}
