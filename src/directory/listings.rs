//! The order of the public directory: which tenants are listed, and who comes first. It is read as a whole, once for all
//! who ask, at most once a minute, and sooner when one that it is about has changed. Who is served is looked at again when a page
//! is made.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use tracing::warn;

use super::resolve::Trouble;
use super::source::Source;
use crate::clock::Timestamp;
use crate::model::{Listed, Standing, Tenant, TenantId};
use crate::store::StoreError;

/// Where an entry stands: entries in the order of their ranks.
type Rank = (Reverse<i32>, Reverse<u64>, Reverse<i64>, TenantId);

/// The listed tenants as they stood when the order was read.
#[derive(Debug)]
pub struct Order {
    entries: Vec<Listed>,
    /// Whose changes can change it: those listed, and all who are above somebody listed.
    depends: HashSet<TenantId>,
    read: Instant,
    /// How long it took to read it.
    took: Duration,
    /// What was made of parts of it, for all who ask.
    rendered: Mutex<HashMap<(String, usize), Arc<OnceLock<Bytes>>>>,
}

/// The order, and reading it.
pub(super) struct Listings {
    order: ArcSwapOption<Order>,
    /// One reads; whoever comes meanwhile gets what there is.
    reading: tokio::sync::Mutex<()>,
    news: Mutex<News>,
    pace: Pace,
    source: Arc<dyn Source>,
}

/// What has changed since the order was read.
#[derive(Default)]
struct News {
    touched: bool,
    /// Tenants that have changed and are not in the order: one of them may be listed now.
    strangers: HashSet<TenantId>,
    /// When it was asked last whether one of them is.
    asked: Option<Instant>,
}

/// How often it is read.
struct Pace {
    /// How old an order may be at least: writes that follow each other closely do not each cause a reading.
    least: Duration,
    /// How old it may be when nothing has changed that this node has heard of: trials end without a change.
    most: Duration,
}

/// What an order needs before it is given out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Need {
    Nothing,
    /// Somebody has changed who is not in it.
    Ask,
    Read,
}

impl Order {
    /// By priority, then members, then the newest first.
    fn rank(listed: &Listed) -> Rank {
        (Reverse(listed.priority), Reverse(listed.members), Reverse(listed.created.millis()), listed.id)
    }

    pub fn entries(&self) -> &[Listed] {
        &self.entries
    }

    /// What `make` makes of the order, made once for each part and each `way` of making it.
    pub fn rendered(&self, way: &str, part: usize, make: impl FnOnce(&[Listed]) -> String) -> Bytes {
        let key = (way.to_owned(), part);
        let place = Arc::clone(locked(&self.rendered).entry(key).or_default());
        place.get_or_init(|| make(&self.entries).into()).clone()
    }

    fn new(mut entries: Vec<Listed>, above: impl Iterator<Item = TenantId>, took: Duration) -> Self {
        entries.sort_by_cached_key(Self::rank);
        let depends = entries.iter().map(|listed| listed.id).chain(above).collect();
        Self { entries, depends, read: Instant::now(), took, rendered: Mutex::default() }
    }
}

impl Listings {
    pub fn new(source: Arc<dyn Source>) -> Self {
        Self::at(Pace { least: LEAST, most: MOST }, source)
    }

    fn at(pace: Pace, source: Arc<dyn Source>) -> Self {
        let (order, reading, news) = (ArcSwapOption::empty(), tokio::sync::Mutex::default(), Mutex::default());
        Self { order, reading, news, pace, source }
    }

    /// A tenant has changed; whether that changes the order is found out when somebody wants it.
    pub fn touch(&self, tenant: TenantId) {
        let known = self.order.load().as_ref().map(|order| order.depends.contains(&tenant));
        let mut news = locked(&self.news);
        match known {
            Some(false) if news.strangers.len() < MOST_STRANGERS => drop(news.strangers.insert(tenant)),
            _ => news.touched = true,
        }
    }

    pub fn touch_all(&self) {
        locked(&self.news).touched = true;
    }

    /// The order as it is known. While the store cannot be asked, an older one counts.
    pub async fn order(&self, suspend_expired: bool, now: Timestamp) -> Result<Arc<Order>, Trouble> {
        let old = self.order.load_full();
        let _turn = match &old {
            Some(order) if self.need(order) == Need::Nothing => return Ok(Arc::clone(order)),
            Some(order) => match self.reading.try_lock() {
                Ok(turn) => turn,
                Err(_) => return Ok(Arc::clone(order)),
            },
            None => self.reading.lock().await,
        };
        // Somebody may have read it while this one waited.
        let old = self.order.load_full();
        match old.as_ref().map_or(Need::Read, |order| self.need(order)) {
            Need::Read => {}
            Need::Ask if self.is_one_listed().await => {}
            Need::Nothing | Need::Ask => return old.ok_or(Trouble::Unavailable),
        }
        let before = std::mem::take(&mut *locked(&self.news));
        match self.read(suspend_expired, now).await {
            Ok(order) => {
                let order = Arc::new(order);
                self.order.store(Some(Arc::clone(&order)));
                Ok(order)
            }
            Err(error) => {
                let mut news = locked(&self.news);
                news.touched = true;
                news.strangers.extend(before.strangers);
                warn!(%error, what = "listings", "directory.load_failed");
                old.ok_or(Trouble::Unavailable)
            }
        }
    }

    fn need(&self, order: &Order) -> Need {
        let age = order.read.elapsed();
        // One that takes long to read is read more rarely.
        let least = self.pace.least.max(order.took * SHARE);
        let news = locked(&self.news);
        match age {
            age if age < least => Need::Nothing,
            age if news.touched || age >= self.pace.most.max(least) => Need::Read,
            _ if news.strangers.is_empty() => Need::Nothing,
            _ if news.asked.is_some_and(|asked| asked.elapsed() < self.pace.least) => Need::Nothing,
            _ => Need::Ask,
        }
    }

    /// Whether one of those who have changed, and are not in the order, is to be.
    async fn is_one_listed(&self) -> bool {
        let strangers: Vec<TenantId> = {
            let mut news = locked(&self.news);
            news.asked = Some(Instant::now());
            news.strangers.drain().collect()
        };
        match self.source.is_any_listed(&strangers).await {
            Ok(listed) => listed,
            Err(error) => {
                warn!(%error, what = "listings", "directory.load_failed");
                locked(&self.news).strangers.extend(strangers);
                false
            }
        }
    }

    async fn read(&self, suspend_expired: bool, now: Timestamp) -> Result<Order, StoreError> {
        let began = Instant::now();
        let mut entries: Vec<Listed> = Vec::new();
        let mut parents = HashMap::new();
        loop {
            let page = self.source.listed(entries.last().map(|last| last.id), PAGE).await?;
            let full = page.len() == PAGE as usize;
            for listed in &page {
                let is_served =
                    |tenant: &Tenant| Standing::by_its_own_word(tenant, suspend_expired, now) == Standing::Served;
                self.look_at(listed.parent, &mut parents, is_served).await?;
            }
            entries.extend(page);
            if !full || entries.len() >= MOST_ENTRIES {
                break;
            }
        }
        entries.retain(|listed| listed.parent.is_none_or(|parent| parents.get(&parent) == Some(&true)));
        for listed in entries.iter_mut().filter(|listed| listed.domains_until.is_some_and(|until| until <= now)) {
            listed.primary_domain = None;
        }
        Ok(Order::new(entries, parents.into_keys(), began.elapsed()))
    }

    /// Notes of a parent, and of those above it, whether its children are served.
    async fn look_at(
        &self,
        parent: Option<TenantId>,
        known: &mut HashMap<TenantId, bool>,
        is_served: impl Fn(&Tenant) -> bool,
    ) -> Result<(), StoreError> {
        let mut chain = Vec::new();
        let mut next = parent;
        let mut served = true;
        while let Some(id) = next {
            if let Some(above) = known.get(&id) {
                served = *above;
                break;
            }
            let Some(tenant) = self.source.tenant(id).await?.filter(|_| chain.len() < DEEPEST) else {
                served = false;
                break;
            };
            chain.push((id, is_served(&tenant)));
            next = tenant.parent;
        }
        for (id, own) in chain.into_iter().rev() {
            served &= own;
            known.insert(id, served);
        }
        Ok(())
    }
}

/// Nothing is half done under these locks.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const MOST: Duration = Duration::from_secs(60);
const LEAST: Duration = Duration::from_secs(2);
/// At least so many times as long as it takes to read it passes between two readings.
const SHARE: u32 = 20;
/// The most that are kept of those who have changed; more, and it is read again.
const MOST_STRANGERS: usize = 10_000;
/// Read at once.
const PAGE: u32 = 10_000;
/// Some 100 MB; nobody reads so far.
const MOST_ENTRIES: usize = 1_000_000;
/// Parents above each other; more would be a loop.
const DEEPEST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::model::{Listing, Slug, Status};
    use crate::seal::Sealer;
    use crate::store::Store;

    async fn insert(store: &Store, slug: &str, listed: bool, parent: Option<TenantId>) -> Tenant {
        let tenant = Tenant {
            id: TenantId::new(),
            slug: Slug::parse(slug).unwrap(),
            name: slug.to_owned(),
            status: Status::Active,
            plan: None,
            features_on: Default::default(),
            features_off: Default::default(),
            parent,
            branding: Default::default(),
            edge: Default::default(),
            suspend_reason: None,
            reason_public: false,
            trial_ends: None,
            life: Default::default(),
            subscription: Default::default(),
            created: Timestamp(0),
            updated: Timestamp(0),
            revision: 0,
        };
        let mut write = store.write().await.unwrap();
        write.insert_tenant(&tenant).await.unwrap();
        if listed {
            write.set_listing(tenant.id, Listing { listed, priority: 0 }).await.unwrap();
        }
        write.commit().await.unwrap();
        tenant
    }

    #[tokio::test]
    async fn only_the_changes_of_those_it_is_about_cause_a_reading() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/store.db", directory.path().display());
        let store = Store::open(&url, 2, Sealer::from_key_bytes(&[1; 32]).unwrap(), Clock::system()).await.unwrap();
        let holding = insert(&store, "holding", false, None).await;
        let shop = insert(&store, "shop", true, Some(holding.id)).await;
        let other = insert(&store, "other", false, None).await;
        let pace = Pace { least: Duration::ZERO, most: Duration::from_secs(3_600) };
        let listings = Listings::at(pace, Arc::new(store.clone()));
        // What was read a moment ago took a moment: its share is not waited for here.
        let order = async || {
            let order = listings.order(false, Timestamp(1)).await.unwrap();
            while order.read.elapsed() < order.took * SHARE {
                tokio::task::yield_now().await;
            }
            order
        };
        let first = order().await;
        assert_eq!(first.entries().len(), 1);
        for quiet in [None, Some(other.id), Some(TenantId::new())] {
            quiet.into_iter().for_each(|id| listings.touch(id));
            assert!(Arc::ptr_eq(&order().await, &first), "{quiet:?}");
        }
        let mut last = first;
        for loud in [shop.id, holding.id] {
            listings.touch(loud);
            let next = order().await;
            assert!(!Arc::ptr_eq(&next, &last), "{loud}");
            last = next;
        }
        let new = insert(&store, "new", true, None).await;
        listings.touch(new.id);
        assert_eq!(order().await.entries().len(), 2);
        // Whoever left comes back as a stranger.
        let mut suspended = Tenant { status: Status::Suspended, ..new.clone() };
        for (status, listed) in [(Status::Suspended, 1), (Status::Active, 2)] {
            suspended.status = status;
            let mut write = store.write().await.unwrap();
            write.update_tenant(&suspended).await.unwrap();
            write.commit().await.unwrap();
            listings.touch(new.id);
            assert_eq!(order().await.entries().len(), listed, "{status}");
        }
        listings.touch_all();
        let all = order().await;
        let made = |part| all.rendered("way", part, |entries| format!("{part}: {}", entries.len()));
        assert_eq!((made(1), made(2)), ("1: 2".into(), "2: 2".into()));
        assert_eq!(all.rendered("way", 1, |_| "again".into()), "1: 2", "it is made once");
    }
}
