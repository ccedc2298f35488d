//! The order of the public directory: which tenants are listed, and who comes first. It is read as a whole, once for all
//! who ask, at most once a minute, and sooner when a tenant has changed. Who is served is looked at again when a page
//! is made.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;
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
    read: Instant,
}

/// The order, and reading it.
pub(super) struct Listings {
    order: ArcSwapOption<Order>,
    /// One reads; whoever comes meanwhile gets what there is.
    reading: Mutex<()>,
    /// Some tenant has changed since.
    touched: AtomicBool,
    source: Arc<dyn Source>,
}

impl Order {
    /// By priority, then members, then the newest first.
    fn rank(listed: &Listed) -> Rank {
        (Reverse(listed.priority), Reverse(listed.members), Reverse(listed.created.millis()), listed.id)
    }

    pub fn entries(&self) -> &[Listed] {
        &self.entries
    }

    fn new(mut entries: Vec<Listed>) -> Self {
        entries.sort_by_cached_key(Self::rank);
        Self { entries, read: Instant::now() }
    }
}

impl Listings {
    pub fn new(source: Arc<dyn Source>) -> Self {
        Self { order: ArcSwapOption::empty(), reading: Mutex::new(()), touched: AtomicBool::new(false), source }
    }

    /// Any change of a tenant may be one of its listing.
    pub fn touch(&self) {
        self.touched.store(true, Ordering::Release);
    }

    /// The order as it is known. While the store cannot be asked, an older one counts.
    pub async fn order(&self, suspend_expired: bool, now: Timestamp) -> Result<Arc<Order>, Trouble> {
        if let Some(order) = self.fresh() {
            return Ok(order);
        }
        let old = self.order.load_full();
        let _turn = match (&old, self.reading.try_lock()) {
            (_, Ok(turn)) => turn,
            (Some(old), Err(_)) => return Ok(Arc::clone(old)),
            (None, Err(_)) => self.reading.lock().await,
        };
        if let Some(order) = self.fresh() {
            return Ok(order);
        }
        self.touched.store(false, Ordering::Release);
        match self.read(suspend_expired, now).await {
            Ok(entries) => {
                let order = Arc::new(Order::new(entries));
                self.order.store(Some(Arc::clone(&order)));
                Ok(order)
            }
            Err(error) => {
                self.touch();
                warn!(%error, what = "listings", "directory.load_failed");
                old.ok_or(Trouble::Unavailable)
            }
        }
    }

    fn fresh(&self) -> Option<Arc<Order>> {
        let order = self.order.load_full()?;
        let good_for = if self.touched.load(Ordering::Acquire) { LEAST } else { MOST };
        (order.read.elapsed() < good_for).then_some(order)
    }

    async fn read(&self, suspend_expired: bool, now: Timestamp) -> Result<Vec<Listed>, StoreError> {
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
        Ok(entries)
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

/// How old an order may be when nothing has changed that this node has heard of: trials end without a change.
const MOST: Duration = Duration::from_secs(60);
/// How old it may be at least: writes that follow each other closely do not each cause a reading.
const LEAST: Duration = Duration::from_secs(2);
/// Read at once.
const PAGE: u32 = 10_000;
/// Some 100 MB; nobody reads so far.
const MOST_ENTRIES: usize = 1_000_000;
/// Parents above each other; more would be a loop.
const DEEPEST: usize = 16;
