//! The order of the public directory: stretches of it, each read once for all who ask and remembered until some tenant
//! changes. Who is served is looked at again when a page is made.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tracing::warn;

use super::cache::{Cache, LoadFailed};
use super::resolve::Trouble;
use super::source::Source;
use crate::metrics::Metrics;
use crate::model::{DirectoryStretch, Slug};

/// Stretches by the slug that they begin behind; `None`: at the beginning.
pub(super) struct Listings {
    stretches: Arc<Cache<Option<Slug>, Arc<DirectoryStretch>>>,
    /// Since when they have been remembered, at the most.
    since: Mutex<Instant>,
}

impl Listings {
    pub fn new(source: Arc<dyn Source>, metrics: &Metrics) -> Self {
        let read = move |after: Option<Slug>| {
            let source = Arc::clone(&source);
            async move {
                let stretch = source.directory(after.as_ref(), STRETCH).await;
                let stretch = stretch.inspect_err(|error| warn!(%error, what = "listings", "directory.load_failed"));
                Ok(stretch.map_err(|error| LoadFailed::from(&error))?.map(Arc::new))
            }
            .boxed()
        };
        let stretches = Cache::new("listings", KEPT, NEGATIVES, MOST, Box::new(read), metrics);
        Self { stretches, since: Mutex::new(Instant::now()) }
    }

    /// What comes behind the tenant of this slug; `None` where nobody of that slug is listed. While the store cannot be
    /// asked, an older one counts.
    pub async fn behind(&self, after: Option<Slug>) -> Result<Option<Arc<DirectoryStretch>>, Trouble> {
        self.age();
        self.stretches.get(&after).await.map_err(|_| Trouble::Unavailable)
    }

    /// Some tenant has changed. Which stretches that changes is not known here, and each is read in a moment.
    pub fn touch(&self) {
        self.stretches.forget_all();
    }

    /// Members come and go without a word to the edges, and change the order.
    fn age(&self) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.elapsed() >= MOST {
            *since = Instant::now();
            self.stretches.forget_all();
        }
    }
}

const MOST: Duration = Duration::from_secs(60);
/// Tenants that are read at once: a page, and some who may not be served.
const STRETCH: u32 = 64;
/// Stretches that are remembered: some megabytes.
const KEPT: u64 = 1_000;
/// The same of slugs that are none of anybody listed.
const NEGATIVES: u64 = 1_000;
