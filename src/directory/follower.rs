//! Follows the change feed: asks what is newer than the last revision seen, tells every subscriber, then says that the
//! revision is applied. Notifications only make it ask sooner.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};

use super::source::Source;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::model::Change;
use crate::store::News;

/// Somebody who remembers things that changes make wrong.
pub trait Subscriber: Send + Sync {
    /// Forgets what this change touches. When it returns, nobody gets an older answer from this subscriber.
    fn apply(&self, change: &Change);
}

/// The reading half: which revision this process has applied, and whether the store answered when last asked.
#[derive(Clone)]
pub struct Applied {
    revision: watch::Receiver<i64>,
    store_up: watch::Receiver<bool>,
    turns: watch::Receiver<u64>,
}

impl Applied {
    pub fn revision(&self) -> i64 {
        *self.revision.borrow()
    }

    /// The revision, for whoever wants to hear of each.
    pub fn watch(&self) -> watch::Receiver<i64> {
        self.revision.clone()
    }

    /// How often the follower has begun to ask, for whoever wants to know that it lives.
    pub fn turns(&self) -> watch::Receiver<u64> {
        self.turns.clone()
    }

    pub fn store_up(&self) -> bool {
        *self.store_up.borrow()
    }

    /// Waits until `revision` is applied here; false when that takes longer than `at_most`.
    pub async fn wait_for(&self, revision: i64, at_most: Duration) -> bool {
        let mut seen = self.revision.clone();
        matches!(tokio::time::timeout(at_most, seen.wait_for(|r| *r >= revision)).await, Ok(Ok(_)))
    }

    /// Waits until the store's state is `up`; false when that takes longer than `at_most`.
    pub async fn wait_for_store(&self, up: bool, at_most: Duration) -> bool {
        let mut seen = self.store_up.clone();
        matches!(tokio::time::timeout(at_most, seen.wait_for(|now| *now == up)).await, Ok(Ok(_)))
    }
}

/// The writing half; [`Follower::run`] is its whole life.
pub struct Follower {
    source: Arc<dyn Source>,
    subscribers: Vec<Arc<dyn Subscriber>>,
    poll_interval: Duration,
    revision: watch::Sender<i64>,
    store_up: watch::Sender<bool>,
    turns: watch::Sender<u64>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Follower {
    /// `start` is the store's revision before the subscribers learnt anything.
    pub fn new(
        source: Arc<dyn Source>,
        subscribers: Vec<Arc<dyn Subscriber>>,
        start: i64,
        poll_interval: Duration,
        (clock, metrics): (Clock, Arc<Metrics>),
    ) -> (Self, Applied) {
        let (revision, revision_seen) = watch::channel(start);
        let (store_up, store_seen) = watch::channel(true);
        let (turns, turns_seen) = watch::channel(0);
        metrics.store_up.set(1);
        metrics.feed_revision.set(start);
        metrics.feed_read.set(clock.now().secs());
        let applied = Applied { revision: revision_seen, store_up: store_seen, turns: turns_seen };
        (Self { source, subscribers, poll_interval, revision, store_up, turns, clock, metrics }, applied)
    }

    /// Follows until the task is dropped.
    pub async fn run(self) {
        loop {
            self.turns.send_modify(|turns| *turns += 1);
            let cursor = *self.revision.borrow();
            match self.source.news(cursor).await {
                Ok(news) => {
                    self.note_store(true, "");
                    if self.take(news) {
                        continue;
                    }
                    self.metrics.feed_read.set(self.clock.now().secs());
                    self.source.wait_for_news(cursor, self.poll_interval).await;
                }
                Err(error) => {
                    self.note_store(false, &error.to_string());
                    tokio::time::sleep(self.poll_interval).await;
                }
            }
        }
    }

    /// True when there may be more to read at once.
    fn take(&self, news: News) -> bool {
        let (revision, any) = match news {
            News::TooOld { revision } => {
                info!(revision, "feed.reset");
                self.tell(&Change::Reset);
                (revision, true)
            }
            News::Changes { changes, revision } => {
                changes.iter().for_each(|change| self.tell(change));
                (revision, !changes.is_empty())
            }
        };
        self.metrics.feed_revision.set(revision);
        self.revision.send_if_modified(|seen| std::mem::replace(seen, revision) != revision);
        any
    }

    fn tell(&self, change: &Change) {
        self.subscribers.iter().for_each(|subscriber| subscriber.apply(change));
    }

    fn note_store(&self, up: bool, why: &str) {
        // The metric first: whoever is woken may look at it.
        self.metrics.store_up.set(i64::from(up));
        let changed = self.store_up.send_if_modified(|was| std::mem::replace(was, up) != up);
        match (changed, up) {
            (true, true) => info!("store.recovered"),
            (true, false) => warn!(error = why, "store.degraded: known tenants keep being served"),
            (false, _) => {}
        }
    }
}
