//! A writing transaction: takes the next revision first, notes what it changes, and publishes both with its commit.
//! Nothing is announced that is not committed, and after a failed statement nothing is committed any more.

use std::collections::HashSet;
use std::ops::{Deref, DerefMut};

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, query};

use super::connect::{Lease, Statement, WRITE_WAIT};
use super::counts::Counted;
use super::feed::{CHANNEL, MOST_NEWS, columns_of, feed_row};
use super::values::{batches, places};
use super::{Store, StoreError};
use crate::clock::Timestamp;
use crate::model::Change;

/// A writing transaction. It holds the revision counter's row, so revisions commit in order. Dropped without
/// [`Write::commit`], it leaves nothing behind.
///
/// [`StoreError::Conflict`] and [`StoreError::Missing`] leave it usable; after any other error it can only be dropped.
pub struct Write {
    aside: Aside,
    revision: i64,
    changes: Vec<Change>,
    noted: HashSet<Change>,
    bulk: Bulk,
}

/// How far a transaction of very many rows is.
enum Bulk {
    /// It is none.
    No,
    /// Others write too; what is to be counted when the turn is taken.
    Beside(Counted),
    Turn,
}

/// A writing transaction beside the feed: for what churns (orders under way, buckets, looks at domains) and what no edge
/// remembers. It takes no revision and wakes nobody. Dropped without [`Aside::commit`], it leaves nothing behind.
///
/// To be begun with a statement that writes: SQLite waits for its lock only there.
pub struct Aside {
    lease: Lease,
    store: Store,
    now: Timestamp,
    failed: bool,
}

impl Store {
    /// Starts a writing transaction: takes the next revision. Waits its turn behind other writers, of this process and
    /// of others, up to ten seconds.
    pub async fn write(&self) -> Result<Write, StoreError> {
        let mut lease = Lease::of(&self.0.pools.writers).await?;
        lease.begin().await?;
        // First of all a write: SQLite takes its lock here, where waiting for it works (a transaction that has read
        // before fails instead); PostgreSQL locks the row until the commit, which puts the revisions in order.
        let sql = "UPDATE feed SET revision = revision + 1 WHERE id = $1 RETURNING revision";
        let rows = lease.all_within(WRITE_WAIT, query(sql).bind(1_i64)).await?;
        let revision = feed_row(rows.first())?.int("revision")?;
        let aside = Aside { lease, store: self.clone(), now: self.0.clock.now(), failed: false };
        Ok(Write { aside, revision, changes: Vec::new(), noted: HashSet::new(), bulk: Bulk::No })
    }

    /// Starts a writing transaction for very many rows: followers are told to forget everything, and each answer may take
    /// minutes. Where the engine can do it, others write meanwhile, and wait for nothing but [`Write::take_turn`] until the
    /// commit; until then the rows have the revision that was the last one. Otherwise they wait, or give up.
    pub async fn bulk(&self) -> Result<Write, StoreError> {
        let mut write = match self.0.engine.beside_others() {
            None => {
                let mut write = Write { bulk: Bulk::Turn, ..self.write().await? };
                if let Some(sql) = self.0.engine.alone() {
                    write.aside.lease.be_last();
                    write.aside.execute(query(sql)).await?;
                }
                write
            }
            Some(sql) => {
                let mut aside = self.aside().await?;
                aside.execute(query(sql)).await?;
                let row = aside.one(query("SELECT revision FROM feed WHERE id = 1")).await?;
                let revision = feed_row(row.as_ref())?.int("revision")?;
                let bulk = Bulk::Beside(Counted::default());
                Write { aside, revision, changes: Vec::new(), noted: HashSet::new(), bulk }
            }
        };
        write.aside.lease.be_patient();
        write.change(Change::Reset);
        Ok(write)
    }

    /// Starts a writing transaction beside the feed.
    pub async fn aside(&self) -> Result<Aside, StoreError> {
        let mut lease = Lease::of(&self.0.pools.writers).await?;
        lease.begin().await?;
        Ok(Aside { lease, store: self.clone(), now: self.0.clock.now(), failed: false })
    }
}

impl Store {
    /// Has the engine look at its tables. What has been written is written, whatever comes of it.
    async fn learn(&self, sql: &'static str) {
        let looking = async {
            let mut lease = Lease::of(&self.0.pools.writers).await?;
            lease.be_patient();
            lease.execute(query(sql)).await
        };
        if let Err(error) = looking.await {
            tracing::warn!(%error, "store.not_analyzed: plans may be slow until the server has done it by itself");
        }
    }
}

impl Write {
    /// The revision that this transaction will have; of one from [`Store::bulk`] once it has taken its turn.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Ends the part of a transaction of very many rows in which others write as well: takes the revision, and counts what
    /// has come. What must still be true is to be asked behind this. Does nothing where the turn is taken already.
    pub async fn take_turn(&mut self) -> Result<(), StoreError> {
        let Bulk::Beside(counted) = &mut self.bulk else { return Ok(()) };
        let counted = std::mem::take(counted);
        self.bulk = Bulk::Turn;
        let sql = "UPDATE feed SET revision = revision + 1 WHERE id = $1 RETURNING revision";
        let rows = self.aside.all(query(sql).bind(1_i64)).await?;
        self.revision = feed_row(rows.first())?.int("revision")?;
        for statement in counted.statements() {
            self.execute(statement).await?;
        }
        Ok(())
    }

    /// Where what comes is to be counted later.
    pub(super) fn counted(&mut self) -> Option<&mut Counted> {
        match &mut self.bulk {
            Bulk::Beside(counted) => Some(counted),
            Bulk::No | Bulk::Turn => None,
        }
    }

    /// Adds a change beyond those that the other calls note by themselves. The same change counts once; more than
    /// [`MOST_NEWS`] become one [`Change::Reset`].
    pub fn change(&mut self, change: Change) {
        if self.changes.len() <= MOST_NEWS && self.noted.insert(change.clone()) {
            self.changes.push(change);
        }
    }

    /// Commits, wakes followers, and returns the revision. On [`StoreError::Unavailable`] the outcome is unknown.
    pub async fn commit(mut self) -> Result<i64, StoreError> {
        self.aside.usable()?;
        self.take_turn().await?;
        self.publish().await?;
        let store = self.aside.store.clone();
        self.aside.commit().await?;
        store.0.announced.announce(self.revision);
        if let Some(sql) = store.0.engine.learn().filter(|_| matches!(self.bulk, Bulk::Turn)) {
            store.learn(sql).await;
        }
        Ok(self.revision)
    }

    /// The time of this transaction, the same for all its rows.
    pub fn now(&self) -> Timestamp {
        self.aside.now
    }

    // Not through `Deref`: a call that borrows all of a `Write` could not name its time in its arguments.
    pub(super) async fn one(&mut self, statement: Statement<'_>) -> Result<Option<AnyRow>, StoreError> {
        self.aside.one(statement).await
    }

    pub(super) async fn all(&mut self, statement: Statement<'_>) -> Result<Vec<AnyRow>, StoreError> {
        self.aside.all(statement).await
    }

    pub(super) async fn execute(&mut self, statement: Statement<'_>) -> Result<u64, StoreError> {
        self.aside.execute(statement).await
    }

    async fn publish(&mut self) -> Result<(), StoreError> {
        let mut changes = std::mem::take(&mut self.changes);
        if changes.len() > MOST_NEWS {
            changes = vec![Change::Reset];
        }
        let changes: Vec<_> = changes.iter().map(columns_of).zip(0_i64..).collect();
        for some in batches(&changes, CHANGE_WIDTH) {
            let places = places(some.len(), CHANGE_WIDTH);
            let sql = format!("INSERT INTO changes (revision, seq, kind, subject) VALUES {places}");
            // Few texts are worth keeping prepared: most transactions note one to four changes.
            let mut statement = query(AssertSqlSafe(sql)).persistent(some.len() <= 4);
            for ((kind, subject), seq) in some {
                statement = statement.bind(self.revision).bind(*seq).bind(*kind).bind(subject.as_str());
            }
            self.execute(statement).await?;
        }
        if let Some(sql) = self.aside.store.0.engine.notification() {
            let payload = self.revision.to_string();
            self.execute(query(sql).bind(CHANNEL).bind(payload)).await?;
        }
        Ok(())
    }
}

impl Deref for Write {
    type Target = Aside;
    fn deref(&self) -> &Aside {
        &self.aside
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut Aside {
        &mut self.aside
    }
}

impl Aside {
    /// On [`StoreError::Unavailable`] the outcome is unknown.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        self.usable()?;
        self.lease.commit().await
    }

    fn usable(&self) -> Result<(), StoreError> {
        if self.failed {
            // PostgreSQL would answer a COMMIT with a silent rollback.
            return Err(StoreError::Unavailable("an earlier statement of this transaction failed".into()));
        }
        Ok(())
    }

    /// The time of this transaction, the same for all its rows.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) async fn one(&mut self, statement: Statement<'_>) -> Result<Option<AnyRow>, StoreError> {
        let answer = self.lease.one(statement).await;
        self.judge(answer)
    }

    pub(super) async fn all(&mut self, statement: Statement<'_>) -> Result<Vec<AnyRow>, StoreError> {
        let answer = self.lease.all(statement).await;
        self.judge(answer)
    }

    pub(super) async fn execute(&mut self, statement: Statement<'_>) -> Result<u64, StoreError> {
        let answer = self.lease.execute(statement).await;
        self.judge(answer)
    }

    /// An error of the database, of whatever kind, leaves PostgreSQL's transaction aborted. (The conflicts of the
    /// public calls are found without causing one.)
    fn judge<T>(&mut self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        self.failed |= answer.is_err();
        answer
    }
}

/// Parameters of a row of `changes`.
const CHANGE_WIDTH: usize = 4;
