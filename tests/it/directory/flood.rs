//! A million distinct unknown hosts: memory stays within its bound, hot tenants stay known, and a real cold host
//! resolves all the while.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::StreamExt;
use tenantry::clock::{Clock, Timestamp};
use tenantry::config::Config;
use tenantry::directory::{Directory, DirectorySettings, Gate, GateSettings, Lookup, Resolution, Source, Trouble};
use tenantry::metrics::Metrics;
use tenantry::model::{Asset, Certificate, DirectoryStretch, Listed, SessionId, Slug, Tenant, TenantId};
use tenantry::store::{News, StoreError};
use tenantry::traffic::Meters;
use zeroize::Zeroizing;

use super::{LONG, config, host, tenant};

const FLOOD: u64 = 1_000_000;
const HOT: u64 = 1_000;
const NEGATIVES: u64 = 65_536;
/// What the process may grow by: the bound of the noes at 400 bytes each is 25 MiB, and the clients' is 10.
const GROWTH: usize = 64 << 20;
const ALONE: &str = "TENANTRY_TEST_FLOOD_ALONE";

/// The memory of a process is measured, so the flood has one of its own.
#[test]
fn a_million_strangers_change_nothing_for_anybody() {
    if std::env::var_os(ALONE).is_some() {
        flood();
        return;
    }
    let this = "directory::flood::a_million_strangers_change_nothing_for_anybody";
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", this, "--nocapture"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}

/// A store in memory: `t<number>` are tenants, `cold<number>.example` too, nobody else.
#[derive(Default)]
struct Numbers {
    reads: AtomicU64,
    hot_reads: AtomicU64,
}

#[async_trait]
impl Source for Numbers {
    async fn place(&self, lookup: &Lookup) -> Result<Option<TenantId>, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        let number = match lookup {
            Lookup::Slug(slug) => {
                self.hot_reads.fetch_add(1, Ordering::Relaxed);
                slug.as_str()[1..].parse().unwrap()
            }
            Lookup::Domain(name) => match name.as_str().strip_prefix("cold") {
                Some(rest) => HOT + rest.split('.').next().unwrap().parse::<u64>().unwrap(),
                None => return Ok(None),
            },
        };
        Ok(Some(id(number)))
    }

    async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>, StoreError> {
        Ok(Some(Tenant { id, ..tenant("somebody") }))
    }

    async fn certificate(&self, _name: &str) -> Result<Option<Certificate>, StoreError> {
        Ok(None)
    }

    async fn challenge(&self, _key: &str) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    async fn issuing(&self, _: &tenantry::model::Hostname) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn asset(&self, _hash: &str) -> Result<Option<Asset>, StoreError> {
        Ok(None)
    }

    async fn listed(&self, _after: Option<TenantId>, _limit: u32) -> Result<Vec<Listed>, StoreError> {
        Ok(Vec::new())
    }

    async fn directory(&self, _: Option<&Slug>, _: u32) -> Result<Option<DirectoryStretch>, StoreError> {
        Ok(None)
    }

    async fn listed_ends(&self, _: u32) -> Result<Vec<TenantId>, StoreError> {
        Ok(Vec::new())
    }

    async fn secret(&self, _name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        Ok(None)
    }

    async fn ended_sessions(&self, _: Timestamp, _: usize) -> Result<Vec<(SessionId, Timestamp)>, StoreError> {
        Ok(Vec::new())
    }

    async fn revision(&self) -> Result<i64, StoreError> {
        Ok(0)
    }

    async fn news(&self, cursor: i64) -> Result<News, StoreError> {
        Ok(News::Changes { changes: Vec::new(), revision: cursor })
    }

    async fn wait_for_news(&self, _cursor: i64, at_most: Duration) {
        tokio::time::sleep(at_most).await;
    }
}

fn id(number: u64) -> TenantId {
    TenantId::parse(&format!("00000000-0000-7000-8000-{number:012x}")).unwrap()
}

/// The directory under flood, and who asks it.
struct Scene {
    directory: Directory,
    config: Config,
    source: Arc<Numbers>,
    slowest: AtomicU64,
}

impl Scene {
    fn new() -> Self {
        let source = Arc::new(Numbers::default());
        let config = config();
        // The defaults, but for the hosts: so few that a flood in the wrong place would push them out.
        let settings = DirectorySettings::from(&config.directory);
        let gate = GateSettings { wait: LONG, ..settings.gate.clone() };
        let settings = DirectorySettings { hosts: 10_000, tenants: 10_000, ..settings };
        assert_eq!(settings.negatives, NEGATIVES);
        let directory = Directory::new(
            Arc::clone(&source) as Arc<dyn Source>,
            &settings,
            config.brand.clone(),
            Arc::new(Gate::new(&gate, Clock::system())),
            Clock::system(),
            Arc::new(Metrics::new().unwrap()),
            Arc::new(Meters::new("test".into(), Clock::system())),
        );
        Self { directory, config, source, slowest: AtomicU64::new(0) }
    }

    async fn resolve(&self, name: &str, client: IpAddr) -> Result<Resolution, Trouble> {
        let (host, config) = (host(name), &self.config);
        self.directory.resolve(&host, &config.brand.classify(&host), client, &config.catalogue, false).await
    }

    async fn expect_tenant(&self, name: &str, client: IpAddr) {
        let found = self.resolve(name, client).await;
        assert!(matches!(found, Ok(Resolution::Tenant(..))), "{name}: {found:?}");
    }

    /// A stranger's guess; and now and then somebody who is at home here, from the same network.
    async fn guess(&self, number: u64) {
        // 10,000 networks, a hundred guesses each.
        let stranger = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 | ((number % 10_000) as u32) << 8 | 7));
        let found = self.resolve(&format!("stranger{number}.example"), stranger).await;
        assert!(matches!(found, Ok(Resolution::Unknown)), "{number}: {found:?}");
        if number.is_multiple_of(100) {
            self.expect_tenant(&format!("t{}.connect.localhost", number / 100 % HOT), stranger).await;
        }
        if number.is_multiple_of(1_000) {
            let asked = Instant::now();
            self.expect_tenant(&format!("cold{}.example", number / 1_000), stranger).await;
            self.slowest.fetch_max(asked.elapsed().as_millis() as u64, Ordering::Relaxed);
        }
    }
}

fn flood() {
    let scene = Scene::new();
    run(async {
        for number in 0..HOT {
            scene.expect_tenant(&format!("t{number}.connect.localhost"), IpAddr::from([192, 0, 2, 1])).await;
        }
    });
    let before = resident();
    let started = Instant::now();
    std::thread::scope(|threads| {
        for half in 0..2 {
            let scene = &scene;
            let numbers = futures_util::stream::iter((0..FLOOD / 2).map(move |number| number * 2 + half));
            threads.spawn(move || run(numbers.for_each_concurrent(64, |number| scene.guess(number))));
        }
    });
    let (hosts, tenants) = scene.directory.stats();
    let growth = resident().saturating_sub(before);
    println!(
        "{FLOOD} unknown hosts in {:.1?}; {} noes and {} hosts kept; {} KiB more; slowest cold host {:?} ms",
        started.elapsed(),
        hosts.absent,
        hosts.known,
        growth >> 10,
        scene.slowest,
    );
    assert!(scene.source.reads.load(Ordering::Relaxed) >= FLOOD + HOT);
    assert_eq!(scene.source.hot_reads.load(Ordering::Relaxed), HOT, "a hot tenant was read again");
    assert!(hosts.absent <= NEGATIVES, "{hosts:?}");
    assert_eq!((hosts.known, tenants.known), (HOT + FLOOD / 1_000, HOT + FLOOD / 1_000));
    assert!(growth < GROWTH, "{growth} bytes more");
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

/// Resident memory of this process, in bytes (proc(5), the second field of statm is in pages).
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
