//! Security-relevant events that are beside any change: a token that nobody knows, a refused access, a rejected webhook.
//! They are written as they come while they are few; a flood becomes a few lines that say how often, so that it can
//! neither fill the disk nor hold up whoever is refused.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::error;

use crate::store::{AuditEntry, Store, StoreError};

/// Takes events, and writes them by and by. Clones share it.
#[derive(Clone)]
pub struct Notes(Arc<Inner>);

struct Inner {
    store: Store,
    sender: OnceLock<mpsc::Sender<AuditEntry>>,
    /// Events that there was no room for.
    lost: Arc<AtomicU64>,
}

/// Lines that may be written at once, and how soon another may be.
const BURST: u32 = 100;
const EVERY: Duration = Duration::from_secs(6);
/// How often what was held back is summed up.
const SUMMED: Duration = Duration::from_secs(60);
/// Events that wait to be looked at, different ones that are held back, and lines that could not be written; more are only
/// counted.
const QUEUE: usize = 1_024;
const HELD: usize = 1_000;
const UNWRITTEN: usize = 1_000;

impl Notes {
    pub fn new(store: Store) -> Self {
        Self(Arc::new(Inner { store, sender: OnceLock::new(), lost: Arc::default() }))
    }

    /// Takes an event; never waits. To be called on a runtime. What is alike but for its `request_id` is one line that says
    /// how often.
    pub fn note(&self, entry: AuditEntry) {
        let sender = self.0.sender.get_or_init(|| {
            let (sender, receiver) = mpsc::channel(QUEUE);
            let book = Book::new(self.0.store.clone(), Arc::clone(&self.0.lost));
            // It ends when the last handle is gone, having written what it held.
            tokio::spawn(book.keep(receiver));
            sender
        });
        if sender.try_send(entry).is_err() {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What makes two events alike.
type Alike = (String, String, String, String, String, Option<String>);

struct Book {
    store: Store,
    lost: Arc<AtomicU64>,
    held: HashMap<Alike, (AuditEntry, u64)>,
    /// By action: those that were too different to be held.
    counted: HashMap<String, u64>,
    /// Lines that the store did not take, as they are to be written: what they sum up is not summed up again.
    unwritten: Vec<AuditEntry>,
    tokens: u32,
    refilled: Instant,
    summed: Instant,
}

impl Book {
    fn new(store: Store, lost: Arc<AtomicU64>) -> Self {
        let now = Instant::now();
        let (held, counted, unwritten) = (HashMap::new(), HashMap::new(), Vec::new());
        Self { store, lost, held, counted, unwritten, tokens: BURST, refilled: now, summed: now }
    }

    async fn keep(mut self, mut receiver: mpsc::Receiver<AuditEntry>) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                entry = receiver.recv() => match entry {
                    Some(entry) => {
                        self.hold(entry);
                        // All that have come meanwhile, so that a flood is summed up before it is written.
                        while let Ok(entry) = receiver.try_recv() {
                            self.hold(entry);
                        }
                    }
                    None => {
                        let last = self.sums();
                        self.write(last).await;
                        return;
                    }
                },
                _ = tick.tick() => {}
            }
            self.refill();
            let mut lines = self.single();
            if self.summed.elapsed() >= SUMMED {
                self.summed = Instant::now();
                lines.extend(self.sums());
            }
            self.write(lines).await;
        }
    }

    fn hold(&mut self, entry: AuditEntry) {
        let from = entry.from.map(|from| from.to_string()).unwrap_or_default();
        let tenant = entry.tenant.map(|tenant| tenant.to_string()).unwrap_or_default();
        let behalf = entry.on_behalf.clone();
        let alike = (entry.action.clone(), tenant, entry.actor.clone(), entry.subject.clone(), from, behalf);
        if self.held.len() >= HELD && !self.held.contains_key(&alike) {
            *self.counted.entry(entry.action).or_default() += 1;
            return;
        }
        self.held.entry(alike).or_insert((entry, 0)).1 += 1;
    }

    fn refill(&mut self) {
        let due = u32::try_from(self.refilled.elapsed().as_secs() / EVERY.as_secs()).unwrap_or(u32::MAX);
        self.refilled += EVERY * due;
        self.tokens = self.tokens.saturating_add(due).min(BURST);
    }

    /// As many as may be written now.
    fn single(&mut self) -> Vec<AuditEntry> {
        let keys: Vec<_> = self.held.keys().take(self.tokens as usize).cloned().collect();
        self.tokens -= keys.len() as u32;
        keys.iter().filter_map(|key| self.held.remove(key)).map(|(entry, times)| often(entry, times)).collect()
    }

    /// All that is held back, a line for each action.
    fn sums(&mut self) -> Vec<AuditEntry> {
        let mut sums: HashMap<String, (u64, u64)> = HashMap::new();
        for ((action, ..), (_, times)) in self.held.drain() {
            let sum = sums.entry(action).or_default();
            *sum = (sum.0 + times, sum.1 + 1);
        }
        for (action, times) in self.counted.drain() {
            sums.entry(action).or_default().0 += times;
        }
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let lost = (lost > 0).then(|| summed("audit.flood", json!({ "times": lost })));
        let lines = sums.into_iter().map(|(action, (times, held))| {
            summed(&action, json!({ "times": times, "different_at_least": held, "summed_up": true }))
        });
        lines.chain(lost).collect()
    }

    async fn write(&mut self, lines: Vec<AuditEntry>) {
        let mut all = std::mem::take(&mut self.unwritten);
        all.extend(lines);
        if all.is_empty() {
            return;
        }
        if let Err(error) = self.put(&all).await {
            error!(%error, lines = all.len(), "audit.notes_not_written: trying again");
            let lost = all.drain(UNWRITTEN.min(all.len())..).map(|line| times(&line)).sum();
            self.lost.fetch_add(lost, Ordering::Relaxed);
            self.unwritten = all;
        }
    }

    async fn put(&self, lines: &[AuditEntry]) -> Result<(), StoreError> {
        let mut aside = self.store.aside().await?;
        aside.audit_beside(lines).await?;
        aside.commit().await
    }
}

fn often(mut entry: AuditEntry, times: u64) -> AuditEntry {
    if times > 1 {
        let detail = std::mem::take(&mut entry.detail);
        entry.detail = match detail {
            Value::Object(mut members) => {
                members.insert("times".to_owned(), times.into());
                Value::Object(members)
            }
            Value::Null => json!({ "times": times }),
            other => json!({ "times": times, "detail": other }),
        };
    }
    entry
}

/// How many events a line tells of.
fn times(line: &AuditEntry) -> u64 {
    line.detail["times"].as_u64().unwrap_or(1)
}

fn summed(action: &str, detail: Value) -> AuditEntry {
    let (actor, action) = ("system".to_owned(), action.to_owned());
    AuditEntry { actor, action, subject: "many".to_owned(), detail, ..AuditEntry::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, Timestamp};
    use crate::seal::Sealer;

    #[tokio::test]
    async fn what_the_store_does_not_take_is_neither_forgotten_nor_counted_anew() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("store.db").display());
        let (sealer, clock) = (Sealer::from_key_bytes(&[7; 32]).unwrap(), Clock::manual(Timestamp(0)));
        let store = Store::open(&url, 4, sealer, clock).await.unwrap();
        let mut book = Book::new(store.clone(), Arc::default());
        store.close().await;
        let event = |at: usize| AuditEntry {
            action: "access.refused".into(),
            subject: format!("s{}", at % 3),
            ..AuditEntry::default()
        };
        let known = |book: &Book| book.unwritten.iter().map(times).sum::<u64>() + book.lost.load(Ordering::Relaxed);
        for round in 1..=3 {
            (0..500).map(event).for_each(|event| book.hold(event));
            let lines = if round == 2 { book.sums() } else { book.single() };
            book.write(lines).await;
            assert_eq!((known(&book), book.unwritten.len() <= UNWRITTEN), (500 * round, true));
        }
        let different = |at| AuditEntry { subject: format!("d{at}"), ..event(0) };
        let many = (0..2 * UNWRITTEN).map(different).collect();
        book.write(many).await;
        assert_eq!((known(&book), book.unwritten.len()), (1_500 + 2 * UNWRITTEN as u64, UNWRITTEN));
    }
}
