//! One bounded cache of look-ups: present names, absent names, and the loads under way. Exact by construction: a load
//! never outlives an invalidation, because both take the lock of the key's shard, and hits take no lock at all.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use prometheus::IntCounter;

use super::epoch::{Epochs, Place};
use crate::metrics::Metrics;

/// Reads one key from the source. `Ok(None)` is a definite no; an error says that the source could not be asked.
pub type Loader<K, V> = Box<dyn Fn(K) -> BoxFuture<'static, Result<Option<V>, LoadFailed>> + Send + Sync>;

/// Why there is no answer; what the source said was logged by the loader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoadFailed {
    /// The source could not be asked: what it said before still counts.
    Unavailable,
    /// The source is there, and says nothing that can be relied on: the answer is damaged, or changes faster than it
    /// can be read. What it said before is known to be out of date.
    Unusable,
}

/// What the cache knows of a key without asking anybody.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cached<V> {
    Fresh(V),
    /// Was true once; a change has touched it since.
    Stale(V),
    Absent,
    Unknown,
}

/// Sizes for metrics.
#[derive(Clone, Copy, Debug)]
pub struct CacheStats {
    pub known: u64,
    pub absent: u64,
}

/// A cache from `K` to `V`. Clones of `V` are handed out, so `V` is small or an `Arc`.
pub struct Cache<K, V> {
    known: moka::sync::Cache<K, Entry<V>, foldhash::fast::RandomState>,
    absent: moka::sync::Cache<K, u32, foldhash::fast::RandomState>,
    /// Loads under way, by shard. The lock orders the end of a load against invalidations of the same key.
    flights: Box<[Mutex<Flights<K, V>>]>,
    hasher: RandomState,
    /// Bumped to forget everything at once: entries of an earlier generation are stale.
    generation: AtomicU32,
    loader: Loader<K, V>,
    counters: Counters,
    /// How many invalidations there were, of anything.
    changes: AtomicU64,
    /// The same by key, for those who keep what they were told.
    epochs: Epochs,
    /// The last load of a stale entry that found the source away.
    outage: Mutex<Option<Outage>>,
}

/// The source could not be asked at `at`, by a load that began after so many `changes`.
#[derive(Clone, Copy)]
struct Outage {
    at: Instant,
    changes: u64,
}

#[derive(Clone)]
struct Entry<V> {
    value: V,
    generation: u32,
    stale: bool,
}

type Flights<K, V> = HashMap<K, Flight<V>>;
type Landing<V> = Shared<BoxFuture<'static, Result<Option<V>, LoadFailed>>>;

#[derive(Clone)]
struct Flight<V> {
    /// Set by an invalidation: what this load has read may be out of date.
    overtaken: Arc<AtomicBool>,
    landing: Landing<V>,
}

struct Counters {
    hit: IntCounter,
    stale: IntCounter,
    negative: IntCounter,
    miss: IntCounter,
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// `capacity` bounds the present names, `negatives` the absent ones, each of which lives for `negative_ttl`.
    pub fn new(
        name: &str,
        capacity: u64,
        negatives: u64,
        negative_ttl: Duration,
        loader: Loader<K, V>,
        metrics: &Metrics,
    ) -> Arc<Self> {
        metrics.capacity.with_label_values(&[name]).set(i64::try_from(capacity + negatives).unwrap_or(i64::MAX));
        let count = |outcome| metrics.lookups.with_label_values(&[name, outcome]);
        Arc::new(Self {
            known: moka::sync::Cache::builder().max_capacity(capacity).build_with_hasher(Default::default()),
            absent: moka::sync::Cache::builder()
                .max_capacity(negatives)
                .time_to_live(negative_ttl)
                .build_with_hasher(Default::default()),
            flights: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            generation: AtomicU32::new(0),
            loader,
            changes: AtomicU64::new(0),
            epochs: Epochs::new(),
            outage: Mutex::new(None),
            counters: Counters {
                hit: count("hit"),
                stale: count("stale"),
                negative: count("negative"),
                miss: count("miss"),
            },
        })
    }

    /// What is known without asking. Takes no lock.
    pub fn peek<Q>(&self, key: &Q) -> Cached<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let generation = self.generation.load(Ordering::Acquire);
        if let Some(entry) = self.known.get(key) {
            if entry.stale || entry.generation != generation {
                return Cached::Stale(entry.value);
            }
            self.counters.hit.inc();
            return Cached::Fresh(entry.value);
        }
        if self.absent.get(key) == Some(generation) {
            self.counters.negative.inc();
            return Cached::Absent;
        }
        Cached::Unknown
    }

    /// Asks the source, once for all who ask at the same time. The load runs to its end even if everybody who waits
    /// for it goes away.
    pub async fn load(self: &Arc<Self>, key: K) -> Result<Option<V>, LoadFailed> {
        self.counters.miss.inc();
        let landing = {
            let mut flights = self.shard(&key);
            match flights.get(&key) {
                Some(flight) => flight.landing.clone(),
                None => {
                    // Another flight may have landed since this caller looked.
                    match self.peek(&key) {
                        Cached::Fresh(value) => return Ok(Some(value)),
                        Cached::Absent => return Ok(None),
                        Cached::Stale(_) | Cached::Unknown => {}
                    }
                    let flight = self.take_off(key.clone());
                    flights.insert(key, flight.clone());
                    flight.landing
                }
            }
        };
        landing.await
    }

    /// [`Cache::peek`], then [`Cache::load`]; a value that a change has touched is still served while the source is away.
    pub async fn get(self: &Arc<Self>, key: &K) -> Result<Option<V>, LoadFailed> {
        match self.peek(key) {
            Cached::Fresh(value) => Ok(Some(value)),
            Cached::Absent => Ok(None),
            Cached::Unknown => self.load(key.clone()).await,
            Cached::Stale(old) => self.refresh(key.clone(), old).await,
        }
    }

    /// Reads a touched entry again; the old value counts for as long as the source cannot be asked. After such a
    /// failure the source is left alone for `REST_AFTER_FAILURE`, so that a store that times out does not slow down
    /// everybody whom it already knows.
    pub async fn refresh(self: &Arc<Self>, key: K, old: V) -> Result<Option<V>, LoadFailed> {
        if !self.resting() {
            let changes = self.changes.load(Ordering::Acquire);
            match self.load(key).await {
                Err(LoadFailed::Unavailable) => *self.outage() = Some(Outage { at: Instant::now(), changes }),
                answer => return answer,
            }
        }
        self.counters.stale.inc();
        Ok(Some(old))
    }

    /// Whether the source was away a moment ago. A change that was applied since proves that it is back, and must not
    /// be overlooked.
    fn resting(&self) -> bool {
        let changes = self.changes.load(Ordering::Acquire);
        self.outage().is_some_and(|outage| outage.changes == changes && outage.at.elapsed() < REST_AFTER_FAILURE)
    }

    /// Where the epoch of this key is found.
    pub(super) fn place<Q>(&self, key: &Q) -> Place
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.epochs.place(key)
    }

    /// Moves with every change of the key of this place, and has moved when [`Cache::forget`] returns: a value that was read
    /// after its epoch was is the truth for as long as that is its epoch, unless it was one of [`Cache::guesses`].
    pub(super) fn epoch(&self, place: Place) -> u64 {
        self.epochs.at(place)
    }

    /// How many answers were given for want of the truth.
    pub(super) fn guesses(&self) -> u64 {
        self.counters.stale.get()
    }

    /// Counts hits that somebody has had who keeps what this cache told.
    pub(super) fn count_hits(&self, hits: usize) {
        self.counters.hit.inc_by(hits as u64);
    }

    fn outage(&self) -> MutexGuard<'_, Option<Outage>> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets one key: when this returns, whoever asks reads the source again.
    pub fn forget(&self, key: &K) {
        let flights = self.shard(key);
        if let Some(flight) = flights.get(key) {
            flight.overtaken.store(true, Ordering::Release);
        }
        if let Some(entry) = self.known.get(key) {
            self.known.insert(key.clone(), Entry { stale: true, ..entry });
        }
        self.absent.invalidate(key);
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.epochs.changed(key);
    }

    /// Forgets every key of which `touched` is true, as [`Cache::forget`] does. Looks at every entry: for rare changes.
    pub fn forget_where(&self, touched: impl Fn(&K) -> bool) {
        // Loads first: one that ends from here on reads again; one that has ended is among the entries.
        for shard in &self.flights {
            let flights = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for (_, flight) in flights.iter().filter(|(key, _)| touched(key)) {
                flight.overtaken.store(true, Ordering::Release);
            }
        }
        let known = self.known.iter().map(|(key, _)| key);
        let absent = self.absent.iter().map(|(key, _)| key);
        let keys: Vec<K> = known.chain(absent).filter(|key| touched(key)).map(|key| (*key).clone()).collect();
        for key in &keys {
            self.forget(key);
        }
        self.changes.fetch_add(1, Ordering::AcqRel);
        // Those too that are not here any more.
        self.epochs.all_changed();
    }

    /// Forgets everything, keeping old values for as long as the source cannot be asked.
    pub fn forget_all(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.epochs.all_changed();
    }

    pub fn stats(&self) -> CacheStats {
        self.known.run_pending_tasks();
        self.absent.run_pending_tasks();
        CacheStats { known: self.known.entry_count(), absent: self.absent.entry_count() }
    }

    fn take_off(self: &Arc<Self>, key: K) -> Flight<V> {
        let overtaken = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(Arc::clone(self).fly(key, Arc::clone(&overtaken)));
        let landing = async move { task.await.unwrap_or(Err(LoadFailed::Unusable)) }.boxed().shared();
        Flight { overtaken, landing }
    }

    /// One load: reads until no change overtook the reading, then puts the answer in its place.
    async fn fly(self: Arc<Self>, key: K, overtaken: Arc<AtomicBool>) -> Result<Option<V>, LoadFailed> {
        for _ in 0..MOST_READS {
            let generation = self.generation.load(Ordering::Acquire);
            overtaken.store(false, Ordering::Release);
            let answer = std::panic::AssertUnwindSafe((self.loader)(key.clone())).catch_unwind().await;
            let answer = answer.unwrap_or(Err(LoadFailed::Unusable));
            let mut flights = self.shard(&key);
            let reset = self.generation.load(Ordering::Acquire) != generation;
            if answer.is_ok() && (reset || overtaken.load(Ordering::Acquire)) {
                continue;
            }
            self.put(&key, &answer, generation);
            flights.remove(&key);
            return answer;
        }
        // Written to faster than it can be read: nothing is kept, and whoever waited asks again or fails.
        self.shard(&key).remove(&key);
        Err(LoadFailed::Unusable)
    }

    /// Called under the shard's lock.
    fn put(&self, key: &K, answer: &Result<Option<V>, LoadFailed>, generation: u32) {
        match answer {
            Ok(Some(value)) => {
                self.absent.invalidate(key);
                self.known.insert(key.clone(), Entry { value: value.clone(), generation, stale: false });
            }
            Ok(None) => {
                self.known.invalidate(key);
                self.absent.insert(key.clone(), generation);
            }
            Err(_) => {}
        }
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, Flights<K, V>> {
        let index = self.hasher.hash_one(key) as usize % SHARDS;
        // A poisoned shard only means that a thread died while it held plain map operations: the map is whole.
        self.flights[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shards of the map of loads under way: enough that misses rarely meet.
const SHARDS: usize = 64;

/// How long stale values are served without asking again, once asking has failed.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How often one load reads again because a change overtook it.
const MOST_READS: usize = 32;
