//! The sitemap, file by file: where each begins, and its text. Each is dear (some megabytes for tens of thousands of
//! tenants) and made for all who ask; one who comes while it is made anew gets the one before.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use tracing::warn;

use super::resolve::Trouble;
use super::source::Source;
use crate::clock::Timestamp;
use crate::model::{Listed, Standing, Tenant, TenantId};
use crate::store::StoreError;

/// The most URLs of one file (<https://www.sitemaps.org/protocol.html>).
const MOST_URLS: u32 = 50_000;
/// The most files; nobody reads so far.
const MOST_FILES: usize = 100;

/// The files of the sitemap, and making them.
pub(super) struct Sitemap {
    /// The last tenant of each file but the final one.
    ends: Kept<Vec<TenantId>>,
    files: Mutex<HashMap<usize, Arc<Kept<File>>>>,
    /// How many changes of tenants there have been.
    changes: AtomicU64,
    source: Arc<dyn Source>,
}

/// The text of a file, and the way in which it was made.
struct File {
    way: String,
    text: Bytes,
}

/// Something dear that is made for all who ask.
struct Kept<T> {
    made: ArcSwapOption<Made<T>>,
    /// One makes it; whoever comes meanwhile gets what there is.
    making: tokio::sync::Mutex<()>,
}

struct Made<T> {
    value: T,
    at: Instant,
    took: Duration,
    /// How many changes there had been when it was begun.
    changes: u64,
}

impl Sitemap {
    pub fn new(source: Arc<dyn Source>) -> Self {
        Self { ends: Kept::default(), files: Mutex::default(), changes: AtomicU64::new(0), source }
    }

    /// Some tenant has changed.
    pub fn touch(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// How many files there are, at least one.
    pub async fn files(&self) -> Result<usize, Trouble> {
        Ok(self.ends().await?.value.len() + 1)
    }

    /// One file, counted from 0, as `make` makes it of whoever is in it; `way` names how it does. `None`: there are not so
    /// many.
    pub async fn file(
        &self,
        number: usize,
        way: &str,
        (suspend_expired, now): (bool, Timestamp),
        make: impl FnOnce(&[Listed]) -> String,
    ) -> Result<Option<Bytes>, Trouble> {
        let ends = self.ends().await?;
        if number > ends.value.len() {
            return Ok(None);
        }
        let file = Arc::clone(self.files.lock().unwrap_or_else(PoisonError::into_inner).entry(number).or_default());
        let after = number.checked_sub(1).and_then(|before| ends.value.get(before)).copied();
        let made = file.get(
            self.changes(),
            |file| file.way == way,
            async || {
                let entries = self.read(after, suspend_expired, now).await?;
                Ok(File { way: way.to_owned(), text: make(&entries).into() })
            },
        );
        Ok(Some(made.await?.value.text.clone()))
    }

    async fn ends(&self) -> Result<Arc<Made<Vec<TenantId>>>, Trouble> {
        let read = async || {
            let mut ends = self.source.listed_ends(MOST_URLS).await?;
            ends.truncate(MOST_FILES - 1);
            Ok(ends)
        };
        self.ends.get(self.changes(), |_| true, read).await
    }

    fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Those of one file who are served.
    async fn read(
        &self,
        mut after: Option<TenantId>,
        suspend_expired: bool,
        now: Timestamp,
    ) -> Result<Vec<Listed>, StoreError> {
        let is_served = |tenant: &Tenant| Standing::by_its_own_word(tenant, suspend_expired, now) == Standing::Served;
        let (mut entries, mut parents) = (Vec::new(), HashMap::new());
        for _ in 0..MOST_URLS / PAGE {
            let page = self.source.listed(after, PAGE).await?;
            for listed in &page {
                self.look_at(listed.parent, &mut parents, is_served).await?;
            }
            after = page.last().map(|last| last.id);
            let full = page.len() == PAGE as usize;
            entries.extend(page);
            if !full {
                break;
            }
        }
        entries.retain(|listed: &Listed| listed.parent.is_none_or(|parent| parents.get(&parent) == Some(&true)));
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

impl<T> Kept<T> {
    /// What there is if it is `fit` and young enough; else it is made, by one for all. An older one counts while another is
    /// making it, and while the store cannot be asked.
    async fn get(
        &self,
        changes: u64,
        fit: impl Fn(&T) -> bool,
        make: impl AsyncFnOnce() -> Result<T, StoreError>,
    ) -> Result<Arc<Made<T>>, Trouble> {
        let known = || self.made.load_full().filter(|made| fit(&made.value));
        let _turn = match known() {
            Some(made) if made.is_fresh(changes) => return Ok(made),
            Some(made) => match self.making.try_lock() {
                Ok(turn) => turn,
                Err(_) => return Ok(made),
            },
            None => self.making.lock().await,
        };
        // Somebody may have made it while this one waited.
        let old = known();
        if let Some(made) = old.as_ref().filter(|made| made.is_fresh(changes)) {
            return Ok(Arc::clone(made));
        }
        let at = Instant::now();
        match make().await {
            Ok(value) => {
                let made = Arc::new(Made { value, at: Instant::now(), took: at.elapsed(), changes });
                self.made.store(Some(Arc::clone(&made)));
                Ok(made)
            }
            Err(error) => {
                warn!(%error, what = "sitemap", "directory.load_failed");
                old.ok_or(Trouble::Unavailable)
            }
        }
    }
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { made: ArcSwapOption::empty(), making: tokio::sync::Mutex::default() }
    }
}

impl<T> Made<T> {
    /// Writes that follow each other closely do not each have it made, and what takes long to make is made more rarely.
    fn is_fresh(&self, changes: u64) -> bool {
        let (age, least) = (self.at.elapsed(), LEAST.max(self.took * SHARE));
        age < least || self.changes == changes && age < MOST.max(least)
    }
}

const LEAST: Duration = Duration::from_secs(2);
/// Trials end without a change.
const MOST: Duration = Duration::from_secs(60);
/// At least so many times as long as it takes to make it passes until it is made again.
const SHARE: u32 = 20;
/// Read at once.
const PAGE: u32 = 10_000;
/// Parents above each other; more would be a loop.
const DEEPEST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;

    #[tokio::test]
    async fn what_is_dear_is_made_again_when_something_has_changed_and_not_too_often() {
        let made = |age: Duration, took| Made { value: (), at: Instant::now() - age, took, changes: 7 };
        let second = Duration::from_secs(1);
        for (age, took, changes, fresh) in [
            (second, Duration::ZERO, 8, true),
            (3 * second, Duration::ZERO, 8, false),
            (3 * second, Duration::ZERO, 7, true),
            (61 * second, Duration::ZERO, 7, false),
            // It took long: a twentieth of the time is enough.
            (19 * second, second, 8, true),
            (21 * second, second, 8, false),
            (70 * second, 4 * second, 7, true),
        ] {
            assert_eq!(made(age, took).is_fresh(changes), fresh, "{age:?} {took:?} {changes}");
        }
    }

    #[tokio::test]
    async fn an_older_one_counts_while_the_store_is_away() {
        let kept = Kept::default();
        let get = async |answer: Result<u32, StoreError>, fit: bool| {
            kept.get(0, |_| fit, async || answer).await.map(|made| made.value)
        };
        let away = || Err(StoreError::Unavailable("away".into()));
        assert_eq!(get(away(), true).await, Err(Trouble::Unavailable));
        assert_eq!(get(Ok(1), true).await, Ok(1));
        assert_eq!(get(Ok(2), true).await, Ok(1), "it is fresh");
        assert_eq!(get(Ok(2), false).await, Ok(2), "and made in another way");
        let old = Made { value: 3, at: Instant::now() - 2 * MOST, took: Duration::ZERO, changes: 0 };
        kept.made.store(Some(Arc::new(old)));
        assert_eq!(get(away(), true).await, Ok(3));
        assert_eq!(get(Ok(4), true).await, Ok(4));
    }
}
