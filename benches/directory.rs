//! From a host to its tenant: hits over 10 to 1,000,000 hosts, a name that is known to be nobody's, a miss, and
//! a cold look-up in SQLite.

mod common;

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use tenantry::clock::Clock;
use tenantry::directory::{Directory, Source};
use tenantry::model::{Catalogue, HostClass, Hostname};
use tenantry::seal::Sealer;
use tenantry::store::Store;
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

struct Asked<'a> {
    directory: &'a Directory,
    catalogue: &'a Arc<Catalogue>,
}

impl Asked<'_> {
    async fn one(&self, (host, class): &(Hostname, HostClass)) {
        let answer = self.directory.resolve(host, class, CLIENT, self.catalogue, false).await;
        black_box(answer.expect("the source answers"));
    }

    /// Time for `n` look-ups, each time of those that come next, so that a million hosts are a million.
    async fn timed_on(&self, n: u64, hosts: &[(Hostname, HostClass)], next: &Cell<usize>) -> Duration {
        let from = next.replace(next.get() + n as usize);
        self.timed(n, hosts, |i| common::scatter(from + i)).await
    }

    /// Time for `n` look-ups, in the order that `which` says.
    async fn timed(&self, n: u64, hosts: &[(Hostname, HostClass)], which: impl Fn(usize) -> usize) -> Duration {
        let start = Instant::now();
        for i in 0..n as usize {
            self.one(&hosts[which(i) % hosts.len()]).await;
        }
        start.elapsed()
    }
}

fn directory(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let catalogue = common::config(include_str!("../config/dev/routing.toml")).catalogue;
    let mut group = c.benchmark_group("directory");
    for count in [10, 10_000, 100_000, 1_000_000] {
        let directory = runtime.block_on(async { common::directory(Arc::new(common::Memory)) });
        let asked = Asked { directory: &directory, catalogue: &catalogue };
        let hosts = common::hosts(count);
        runtime.block_on(async {
            for host in &hosts {
                asked.one(host).await;
            }
        });
        directory.stats();
        let next = Cell::new(0);
        group.bench_function(format!("hit, {count} hosts, uniformly"), |b| {
            b.iter_custom(|n| runtime.block_on(asked.timed_on(n, &hosts, &next)));
        });
    }
    let directory = runtime.block_on(async { common::directory(Arc::new(common::Memory)) });
    let asked = Asked { directory: &directory, catalogue: &catalogue };
    let nobody = Hostname::parse("nobody.connect.localhost").expect("a host name");
    let nobody = [(nobody.clone(), common::brand().classify(&nobody))];
    group.bench_function("negative", |b| b.iter_custom(|n| runtime.block_on(asked.timed(n, &nobody, |i| i))));
    // Every one for the first time; the source answers from memory.
    let next = Cell::new(0_usize);
    let fresh = common::hosts(1_000_000);
    group.bench_function("miss", |b| {
        b.iter_custom(|n| {
            let from = next.replace(next.get() + n as usize);
            runtime.block_on(asked.timed(n, &fresh, |i| from + i))
        });
    });
    group.finish();
    cold(c, &runtime, &catalogue);
}

/// A host that only SQLite knows: host and tenant, two reads of a file of 100,000 tenants.
fn cold(c: &mut Criterion, runtime: &Runtime, catalogue: &Arc<Catalogue>) {
    const TENANTS: usize = 100_000;
    let dir = tempfile::tempdir().expect("a directory");
    let url = format!("sqlite:{}", dir.path().join("bench.db").display());
    let store = runtime.block_on(async {
        let sealer = Sealer::from_key_bytes(&[1; 32]).expect("a key");
        let store = Store::open(&url, 8, sealer, Clock::system()).await.expect("a store");
        for chunk in 0..TENANTS / 10_000 {
            let mut write = store.write().await.expect("a write");
            for n in 0..10_000 {
                write.insert_tenant(&common::tenant((chunk * 10_000 + n) as u128)).await.expect("a tenant");
            }
            write.commit().await.expect("a commit");
        }
        store
    });
    let source: Arc<dyn Source> = Arc::new(store);
    let hosts = common::hosts(TENANTS);
    let directory = RefCell::new(runtime.block_on(async { common::directory(source.clone()) }));
    let next = Cell::new(0_usize);
    c.bench_function("directory/cold, SQLite", |b| {
        b.iter_custom(|n| {
            let mut spent = Duration::ZERO;
            for _ in 0..n {
                if next.get() == TENANTS {
                    next.set(0);
                    *directory.borrow_mut() = runtime.block_on(async { common::directory(source.clone()) });
                }
                let directory = directory.borrow();
                let asked = Asked { directory: &directory, catalogue };
                let host = &hosts[common::scatter(next.replace(next.get() + 1)) % TENANTS];
                spent += runtime.block_on(async {
                    let start = Instant::now();
                    asked.one(host).await;
                    start.elapsed()
                });
            }
            spent
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(3));
    targets = directory
}
criterion_main!(benches);
