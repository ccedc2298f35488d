//! The seam: a real SQLite store behind a [`Source`] that stalls in the middle of a read, fails on demand, and counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tenantry::clock::Clock;
use tenantry::directory::{
    Applied, Directory, DirectorySettings, Follower, Gate, GateSettings, Lookup, Resolution, Source, Trouble,
};
use tenantry::metrics::Metrics;
use tenantry::model::{Brand, Catalogue, Certificate, Hostname, Plan, PlanName, Slug, Status, Tenant, TenantId};
use tenantry::seal::Sealer;
use tenantry::store::{News, Store, StoreError};
use tokio::sync::Semaphore;

/// Reads of the store, each of which stops *after* it has read for as long as the test says so.
pub struct Stalling {
    store: Store,
    pub places: AtomicUsize,
    pub tenants: AtomicUsize,
    pub failing: AtomicBool,
    stalled: AtomicBool,
    /// Reads that have read and wait to be let go.
    pub waiting: Semaphore,
    release: Semaphore,
}

impl Stalling {
    /// From now on a read stops once it has its answer.
    pub fn stall(&self) {
        self.stalled.store(true, Ordering::SeqCst);
    }

    /// Waits until this many reads have stopped.
    pub async fn stopped(&self, reads: u32) {
        self.waiting.acquire_many(reads).await.unwrap().forget();
    }

    /// Lets so many stopped reads go, and no further one stop.
    pub fn go(&self, reads: usize) {
        self.stalled.store(false, Ordering::SeqCst);
        self.release.add_permits(reads);
    }

    async fn pass<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if self.failing.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("the test wants it so".into()));
        }
        if self.stalled.load(Ordering::SeqCst) {
            self.waiting.add_permits(1);
            self.release.acquire().await.unwrap().forget();
        }
        answer
    }
}

#[async_trait]
impl Source for Stalling {
    async fn place(&self, lookup: &Lookup) -> Result<Option<TenantId>, StoreError> {
        self.places.fetch_add(1, Ordering::SeqCst);
        if matches!(lookup, Lookup::Domain(name) if name.as_str().ends_with(FLOOD)) {
            return Ok(None);
        }
        let answer = Source::place(&self.store, lookup).await;
        self.pass(answer).await
    }

    async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>, StoreError> {
        self.tenants.fetch_add(1, Ordering::SeqCst);
        let answer = self.store.tenant(id).await;
        self.pass(answer).await
    }

    async fn certificate(&self, name: &str) -> Result<Option<Certificate>, StoreError> {
        self.store.certificate(name).await
    }

    async fn challenge(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.store.challenge(key).await
    }

    async fn secret(&self, name: &str) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, StoreError> {
        self.store.secret(name).await
    }

    async fn revision(&self) -> Result<i64, StoreError> {
        self.store.revision().await
    }

    async fn news(&self, cursor: i64) -> Result<News, StoreError> {
        self.store.news(cursor).await
    }

    async fn wait_for_news(&self, cursor: i64, at_most: Duration) {
        self.store.wait_for_news(cursor, at_most).await;
    }
}

/// Names beneath this are answered without asking SQLite, so that a million of them are asked for in seconds.
const FLOOD: &str = ".flood.example";

/// A directory that follows a store of its own.
pub struct House {
    pub store: Store,
    pub source: Arc<Stalling>,
    pub directory: Arc<Directory>,
    pub applied: Applied,
    pub metrics: Arc<Metrics>,
    pub catalogue: Arc<Catalogue>,
    pub clock: Clock,
    pub brand: Brand,
    _dir: TempDir,
}

pub fn settings() -> DirectorySettings {
    DirectorySettings {
        hosts: 100_000,
        tenants: 100_000,
        negatives: 10_000,
        negative_ttl: Duration::from_secs(600),
        gate: GateSettings { concurrent: 64, wait: Duration::from_secs(10), rate: 1000, burst: 1000 },
    }
}

impl House {
    pub async fn new() -> Self {
        Self::with(settings(), Clock::system()).await
    }

    pub async fn with(settings: DirectorySettings, clock: Clock) -> Self {
        let dir = TempDir::new().unwrap();
        let url = format!("sqlite:{}", dir.path().join("store.db").display());
        let sealer = Sealer::from_key_bytes(&[7; 32]).unwrap();
        let store = Store::open(&url, 8, sealer, clock.clone()).await.unwrap();
        let source = Arc::new(Stalling {
            store: store.clone(),
            places: AtomicUsize::new(0),
            tenants: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            waiting: Semaphore::new(0),
            release: Semaphore::new(0),
        });
        let brand = Brand::for_base(Hostname::parse("connect.localhost").unwrap());
        let metrics = Arc::new(Metrics::new().unwrap());
        let gate = Arc::new(Gate::new(&settings.gate, clock.clone()));
        let seam: Arc<dyn Source> = source.clone();
        let directory = Directory::new(seam.clone(), &settings, brand.clone(), gate, clock.clone(), metrics.clone());
        let directory = Arc::new(directory);
        let start = store.revision().await.unwrap();
        let subscribers = vec![directory.clone() as Arc<dyn tenantry::directory::Subscriber>];
        let (follower, applied) = Follower::new(seam, subscribers, start, Duration::from_millis(200), metrics.clone());
        tokio::spawn(follower.run());
        let plan = PlanName::parse("free").unwrap();
        let free =
            Plan { name: plan.clone(), title: "Free".into(), features: [].into(), members: None, ai_tokens: None };
        let catalogue = Arc::new(Catalogue {
            plans: vec![free],
            default_plan: plan,
            features: [].into(),
            licence: None,
            upgrade_url: None,
        });
        Self { store, source, directory, applied, metrics, catalogue, clock, brand, _dir: dir }
    }

    /// Whom this host leads to, asked from a client of its own network.
    pub async fn resolve_from(&self, host: &str, client: [u8; 4]) -> Result<Resolution, Trouble> {
        let host = Hostname::parse(host).unwrap();
        let class = self.brand.classify(&host);
        self.directory.resolve(&host, &class, client.into(), &self.catalogue, false).await
    }

    /// The status of the tenant that this host leads to; `None`: it leads nowhere.
    pub async fn status(&self, host: &str) -> Result<Option<Status>, Trouble> {
        Ok(match self.resolve_from(host, [192, 0, 2, 1]).await? {
            Resolution::Tenant(view, _) => Some(view.effective.status),
            Resolution::Unknown => None,
        })
    }

    /// Writes a tenant and waits until the directory has applied it.
    pub async fn put(&self, slug: &str, parent: Option<TenantId>) -> Tenant {
        let now = self.clock.now();
        let tenant = Tenant {
            id: TenantId::new(),
            slug: Slug::parse(slug).unwrap(),
            name: slug.into(),
            status: Status::Active,
            plan: None,
            features_on: [].into(),
            features_off: [].into(),
            parent,
            branding: Default::default(),
            suspend_reason: None,
            reason_public: false,
            trial_ends: None,
            created: now,
            updated: now,
            revision: 0,
        };
        let mut write = self.store.write().await.unwrap();
        write.insert_tenant(&tenant).await.unwrap();
        self.settle(write.commit().await.unwrap()).await;
        tenant
    }

    /// Changes a tenant's status and waits until the directory has applied it.
    pub async fn set(&self, tenant: &Tenant, status: Status) {
        let revision = self.set_unsettled(tenant, status).await;
        self.settle(revision).await;
    }

    pub async fn set_unsettled(&self, tenant: &Tenant, status: Status) -> i64 {
        let mut write = self.store.write().await.unwrap();
        write.update_tenant(&Tenant { status, ..tenant.clone() }).await.unwrap();
        write.commit().await.unwrap()
    }

    pub async fn settle(&self, revision: i64) {
        assert!(self.applied.wait_for(revision, Duration::from_secs(10)).await);
    }
}
