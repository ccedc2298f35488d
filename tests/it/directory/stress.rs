//! Many writers, many readers, no order: after a write is answered, nobody on this node sees an older state. Each
//! subject is a register whose every version reads differently, so an answer says how old it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tenantry::clock::Clock;
use tenantry::model::{Change, DomainState, Tenant};
use tenantry::tls::LocalCa;

use super::{Node, Record, claim, host, insert, scatter, slug_host, tenant};

const TENANTS: usize = 6;
const DOMAINS: usize = 6;
const WRITES: u64 = 150;

/// The version whose write has begun, and the one whose write has been answered.
#[derive(Default)]
struct Register {
    begun: AtomicU64,
    answered: AtomicU64,
}

struct Model {
    node: Node,
    owners: Vec<Tenant>,
    tenants: Vec<Register>,
    domains: Vec<Register>,
    done: AtomicBool,
}

/// Who holds a domain at a version: nobody at odd ones.
fn holder(version: u64) -> Option<usize> {
    (version > 0 && version.is_multiple_of(2)).then_some((version / 2) as usize % TENANTS)
}

impl Model {
    async fn write_tenant(&self, which: usize) {
        let register = &self.tenants[which];
        for version in 1..=WRITES {
            let mut write = self.node.store.write().await.unwrap();
            let name = format!("{which}-{version}");
            register.begun.store(version, Ordering::SeqCst);
            write.update_tenant(&Tenant { name, ..self.owners[which].clone() }).await.unwrap();
            if scatter(version * 31 + which as u64).is_multiple_of(16) {
                write.change(Change::Reset);
            }
            self.node.commit(write).await;
            register.answered.store(version, Ordering::SeqCst);
        }
    }

    async fn write_domain(&self, which: usize) {
        let register = &self.domains[which];
        let name = domain(which);
        for version in 1..=WRITES {
            let mut write = self.node.store.write().await.unwrap();
            register.begun.store(version, Ordering::SeqCst);
            if let Some(before) = holder(version - 1) {
                write.delete_domain(&host(&name).into(), self.owners[before].id).await.unwrap();
            }
            if let Some(now) = holder(version) {
                let state = DomainState::Verified;
                write.insert_domain(&claim(&name, self.owners[now].id, state)).await.unwrap();
            }
            self.node.commit(write).await;
            register.answered.store(version, Ordering::SeqCst);
        }
    }

    async fn read_tenant(&self, which: usize) {
        let register = &self.tenants[which];
        let oldest = register.answered.load(Ordering::SeqCst);
        let name = self.node.name_at(&slug_host(&format!("t{which}"))).await.unwrap();
        let newest = register.begun.load(Ordering::SeqCst);
        let version: u64 = name.split_once('-').map_or(0, |(_, version)| version.parse().unwrap());
        assert!((oldest..=newest).contains(&version), "tenant {which}: {version} seen, {oldest} was answered");
    }

    async fn read_domain(&self, which: usize) {
        let register = &self.domains[which];
        let oldest = register.answered.load(Ordering::SeqCst);
        let name = self.node.name_at(&host(&domain(which))).await.unwrap();
        let newest = register.begun.load(Ordering::SeqCst);
        let seen = name.split_once('-').and_then(|(owner, _)| owner.parse().ok());
        let possible = (oldest..=newest).any(|version| holder(version) == seen);
        assert!(possible, "domain {which}: {name} seen, between {oldest} and {newest}");
    }

    async fn read(&self, mut number: u64) {
        while !self.done.load(Ordering::SeqCst) {
            number = scatter(number);
            match number % 2 {
                0 => self.read_tenant(number as usize / 2 % TENANTS).await,
                _ => self.read_domain(number as usize / 2 % DOMAINS).await,
            }
            tokio::task::yield_now().await;
        }
    }
}

fn domain(which: usize) -> String {
    format!("d{which}.example")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_reader_sees_what_was_before_an_answered_write() {
    let record = Record::new().await;
    let owners: Vec<_> =
        (0..TENANTS).map(|which| Tenant { name: format!("{which}-0"), ..tenant(&format!("t{which}")) }).collect();
    insert(&record.store, &owners.iter().collect::<Vec<_>>()).await;
    let node = record.node().await;
    node.tap.set_jitter(40);
    let registers = |count| std::iter::repeat_with(Register::default).take(count).collect();
    let (tenants, domains) = (registers(TENANTS), registers(DOMAINS));
    let model = Arc::new(Model { node, owners, tenants, domains, done: AtomicBool::new(false) });
    let readers: Vec<_> = (1..=16)
        .map(|number| {
            let model = Arc::clone(&model);
            tokio::spawn(async move { model.read(number).await })
        })
        .collect();
    let mut writers = tokio::task::JoinSet::new();
    for which in 0..TENANTS {
        let model = Arc::clone(&model);
        writers.spawn(async move { model.write_tenant(which).await });
    }
    for which in 0..DOMAINS {
        let model = Arc::clone(&model);
        writers.spawn(async move { model.write_domain(which).await });
    }
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
    model.done.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_name_that_strangers_ask_for_has_its_certificate_as_soon_as_it_is_stored() {
    let record = Record::new().await;
    let node = Arc::new(record.node().await);
    node.tap.set_jitter(40);
    let ca = LocalCa::create(Clock::system()).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let names: Vec<_> = (0..40).map(|number| host(&format!("c{number}.example"))).collect();
    let readers: Vec<_> = (1..=8_u64)
        .map(|seed| {
            let (node, names, done) = (Arc::clone(&node), names.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut number = seed;
                while !done.load(Ordering::SeqCst) {
                    number = scatter(number);
                    node.certificates.has(&names[number as usize % names.len()], super::VISITOR).await.unwrap();
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for name in &names {
        let mut write = node.store.write().await.unwrap();
        write.insert_certificate(&ca.issue(&[name.to_string()], 30).unwrap()).await.unwrap();
        node.commit(write).await;
        assert_eq!(node.certificates.has(name, super::VISITOR).await, Ok(true), "{name}");
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }
}
