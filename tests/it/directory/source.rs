//! A source over a real store that can be counted, made to fail, and stopped in the middle of a read.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use tenantry::clock::Timestamp;
use tenantry::directory::{Lookup, Source};
use tenantry::model::{Asset, Certificate, DirectoryStretch, Hostname, Listed, SessionId, Slug, Tenant, TenantId};
use tenantry::store::{News, Store, StoreError};

/// The kinds of reads, as they are counted, stalled and failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Read {
    Place,
    Tenant,
    Certificate,
    Challenge,
    Listings,
    News,
}

/// The store as the directory sees it, with a hand on the tap.
pub struct Tap {
    store: Store,
    reads: Mutex<HashMap<Read, usize>>,
    stalls: Mutex<HashMap<Read, VecDeque<Stop>>>,
    gone: AtomicBool,
    overrides: Mutex<HashMap<TenantId, Override>>,
    places: Mutex<HashMap<Hostname, Option<TenantId>>>,
    /// Above 0: reads give way to others up to so many times between the store's answer and their own.
    jitter: AtomicU64,
    seed: AtomicU64,
}

/// What a tenant's row is, whatever the store says.
#[derive(Clone)]
pub enum Override {
    /// It does not parse any more.
    Damaged,
    Missing,
    Is(Box<Tenant>),
}

struct Stop {
    reached: oneshot::Sender<()>,
    go_on: oneshot::Receiver<()>,
}

/// A read that will stop when the store has answered it.
pub struct Stall {
    reached: oneshot::Receiver<()>,
    go_on: oneshot::Sender<()>,
}

/// One that stands there now, with the store's answer in its hand.
pub struct Stalled(oneshot::Sender<()>);

impl Stall {
    pub async fn reached(self) -> Stalled {
        tokio::time::timeout(super::LONG, self.reached).await.expect("nobody reads").unwrap();
        Stalled(self.go_on)
    }
}

impl Stalled {
    pub fn release(self) {
        self.0.send(()).unwrap();
    }
}

impl Tap {
    pub fn new(store: Store) -> Self {
        Self {
            store,
            reads: Mutex::default(),
            stalls: Mutex::default(),
            gone: AtomicBool::new(false),
            overrides: Mutex::default(),
            places: Mutex::default(),
            jitter: AtomicU64::new(0),
            seed: AtomicU64::new(1),
        }
    }

    /// How many reads of this kind reached the store so far.
    pub fn reads(&self, kind: Read) -> usize {
        self.reads.lock().unwrap().get(&kind).copied().unwrap_or(0)
    }

    /// The next read of this kind that no other stall has taken stops after the store has answered.
    pub fn stall(&self, kind: Read) -> Stall {
        let ((reached, is_reached), (go_on, may_go_on)) = (oneshot::channel(), oneshot::channel());
        let stop = Stop { reached, go_on: may_go_on };
        self.stalls.lock().unwrap().entry(kind).or_default().push_back(stop);
        Stall { reached: is_reached, go_on }
    }

    /// From now on nothing can be asked, or everything again.
    pub fn set_gone(&self, gone: bool) {
        self.gone.store(gone, Ordering::SeqCst);
    }

    pub fn set_row(&self, tenant: TenantId, row: Override) {
        self.overrides.lock().unwrap().insert(tenant, row);
    }

    /// Whom a custom domain leads to, whatever the store says.
    pub fn set_place(&self, domain: &Hostname, tenant: Option<TenantId>) {
        self.places.lock().unwrap().insert(domain.clone(), tenant);
    }

    pub fn set_jitter(&self, most: u64) {
        self.jitter.store(most, Ordering::SeqCst);
    }

    async fn read<T>(&self, kind: Read, answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        *self.reads.lock().unwrap().entry(kind).or_default() += 1;
        if self.gone.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("gone for the test".into()));
        }
        let answer = answer.await;
        let stop = self.stalls.lock().unwrap().get_mut(&kind).and_then(VecDeque::pop_front);
        if let Some(stop) = stop {
            let _ = stop.reached.send(());
            let _ = stop.go_on.await;
        }
        let jitter = self.jitter.load(Ordering::Relaxed);
        if jitter > 0 {
            for _ in 0..super::scatter(self.seed.fetch_add(1, Ordering::Relaxed)) % jitter {
                tokio::task::yield_now().await;
            }
        }
        answer
    }
}

#[async_trait]
impl Source for Tap {
    async fn place(&self, lookup: &Lookup) -> Result<Option<TenantId>, StoreError> {
        let Lookup::Domain(domain) = lookup else {
            return self.read(Read::Place, Source::place(&self.store, lookup)).await;
        };
        let place = self.places.lock().unwrap().get(domain).copied();
        match place {
            Some(place) => self.read(Read::Place, std::future::ready(Ok(place))).await,
            None => self.read(Read::Place, Source::place(&self.store, lookup)).await,
        }
    }

    async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>, StoreError> {
        let row = self.overrides.lock().unwrap().get(&id).cloned();
        if let Some(row) = row {
            let answer = match row {
                Override::Damaged => Err(StoreError::Corrupt("damaged for the test".into())),
                Override::Missing => Ok(None),
                Override::Is(tenant) => Ok(Some(*tenant)),
            };
            return self.read(Read::Tenant, std::future::ready(answer)).await;
        }
        self.read(Read::Tenant, self.store.tenant(id)).await
    }

    async fn certificate(&self, name: &str) -> Result<Option<Certificate>, StoreError> {
        self.read(Read::Certificate, self.store.certificate(name)).await
    }

    async fn challenge(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.read(Read::Challenge, self.store.challenge(key)).await
    }

    async fn issuing(&self, host: &Hostname) -> Result<bool, StoreError> {
        self.store.issuing(host).await
    }

    async fn asset(&self, hash: &str) -> Result<Option<Asset>, StoreError> {
        self.store.asset(hash).await
    }

    async fn directory(&self, after: Option<&Slug>, limit: u32) -> Result<Option<DirectoryStretch>, StoreError> {
        self.read(Read::Listings, self.store.directory(after, limit)).await
    }

    async fn listed_ends(&self, every: u32) -> Result<Vec<TenantId>, StoreError> {
        self.store.listed_ends(every).await
    }

    async fn listed(&self, after: Option<TenantId>, limit: u32) -> Result<Vec<Listed>, StoreError> {
        self.store.listed(after, limit).await
    }

    async fn secret(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.store.secret(name).await
    }

    async fn ended_sessions(&self, now: Timestamp, most: usize) -> Result<Vec<(SessionId, Timestamp)>, StoreError> {
        self.store.ended_sessions(now, most).await
    }

    async fn revision(&self) -> Result<i64, StoreError> {
        self.store.revision().await
    }

    async fn news(&self, cursor: i64) -> Result<News, StoreError> {
        self.read(Read::News, self.store.news(cursor)).await
    }

    async fn wait_for_news(&self, cursor: i64, at_most: Duration) {
        self.store.wait_for_news(cursor, at_most).await;
    }
}
