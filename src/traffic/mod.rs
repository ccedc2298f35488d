//! What tenants do on this node: meters that count, token buckets and places that limit, and the choice of the few
//! tenants that metrics name. Nothing here knows HTTP, and nothing is written to the store: counts and limits are each
//! node's own.

mod books;
mod bucket;
mod meter;
mod top;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use books::Busiest;
pub use bucket::{Bucket, Level, whole};
pub use meter::{CLASSES, Counts, Ended, Kind, Limit, Meter, Place};
pub use top::Top;

use crate::clock::{Clock, Timestamp};
use crate::model::{Tenant, TenantId};

/// The meters of one node: one for each tenant that has had traffic since the process began, and none for the others.
pub struct Meters {
    /// Whose counts these are.
    pub node: String,
    /// Since when they count.
    pub since: Timestamp,
    clock: Clock,
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
}

/// Some of the tenants' meters.
type Shard = HashMap<TenantId, Arc<Meter>>;

impl Meters {
    pub fn new(node: String, clock: Clock) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { node, since: clock.now(), clock, shards, hasher: RandomState::new() }
    }

    /// The meter of a tenant that has traffic now. Takes a lock: whoever serves it keeps the answer.
    pub fn of(&self, tenant: &Tenant) -> Arc<Meter> {
        let new = || Arc::new(Meter::new(tenant, self.clock.clone()));
        Arc::clone(self.shard(tenant.id).entry(tenant.id).or_insert_with(new))
    }

    /// The meter of a tenant that has had traffic.
    pub fn find(&self, tenant: TenantId) -> Option<Arc<Meter>> {
        self.shard(tenant).get(&tenant).cloned()
    }

    /// Looks at every meter there is.
    pub fn for_each(&self, mut look: impl FnMut(&Arc<Meter>)) {
        for shard in &self.shards {
            whole_map(shard).values().for_each(&mut look);
        }
    }

    pub(in crate::traffic) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn shard(&self, tenant: TenantId) -> MutexGuard<'_, Shard> {
        whole_map(&self.shards[self.hasher.hash_one(tenant) as usize % SHARDS])
    }
}

/// Plain map operations leave a map whole, whoever panicked elsewhere.
fn whole_map<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Enough that tenants who have their first visitor rarely meet.
const SHARDS: usize = 64;
