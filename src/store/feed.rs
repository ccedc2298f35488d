//! The change feed: what happened after a cursor, and a wake-up that makes followers ask sooner. The `changes` table is
//! the truth; a notification that is lost costs a poll interval and nothing else.

use std::sync::Arc;
use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::query;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::connect::{Lease, WRITE_WAIT};
use super::row::Row;
use super::{Store, StoreError};
use crate::model::{Change, Hostname, SessionId, Slug, TenantId};

/// The most changes that one answer of [`Store::news`] carries, and that one transaction publishes one by one: a
/// transaction with more publishes a single [`Change::Reset`].
pub const MOST_NEWS: usize = 1_000;

/// The PostgreSQL notification channel. Its payload is the revision, in decimal.
pub(super) const CHANNEL: &str = "tenantry_changes";

/// What a follower learns when it asks for news.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// Changes after the cursor, oldest first, and the revision they reach: the next cursor. May be empty. There may
    /// be more after `revision`; ask again until `changes` is empty.
    Changes { changes: Vec<Change>, revision: i64 },
    /// The cursor is older than the oldest kept change, or newer than the store (a backup was restored): forget
    /// everything, go on from here.
    TooOld { revision: i64 },
}

impl Store {
    /// The revision of the last committed write.
    pub async fn revision(&self) -> Result<i64, StoreError> {
        Ok(self.standing(&mut self.reader().await?).await?.revision)
    }

    /// What happened after `cursor`: at most [`MOST_NEWS`] changes, in whole revisions.
    pub async fn news(&self, cursor: i64) -> Result<News, StoreError> {
        let announced = *self.0.announced.0.borrow();
        let mut lease = self.reader().await?;
        let Standing { revision, pruned } = self.standing(&mut lease).await?;
        self.0.announced.correct(announced, revision);
        if cursor < pruned || cursor > revision {
            return Ok(News::TooOld { revision });
        }
        if cursor == revision {
            return Ok(News::Changes { changes: Vec::new(), revision });
        }
        // One statement sees one state of the database: had these changes been pruned since, `pruned` would say so.
        let sql = "SELECT revision, kind, subject, (SELECT pruned FROM feed WHERE id = 1) AS pruned FROM changes \
                   WHERE revision > $1 ORDER BY revision, seq LIMIT $2";
        let rows = lease.all(query(sql).bind(cursor).bind(MOST_NEWS as i64 + 1)).await?;
        let pruned = match rows.first() {
            Some(row) => Row::new(row, "changes", "revision").int("pruned")?,
            None => self.standing(&mut lease).await?.pruned,
        };
        if cursor < pruned {
            return Ok(News::TooOld { revision });
        }
        collect(&rows, revision)
    }

    /// Returns when a write after `cursor` was announced (by this process, or by PostgreSQL), or after `at_most`.
    /// Returns at once when one has been announced already, so that none is missed between asking and waiting.
    pub async fn wait_for_news(&self, cursor: i64, at_most: Duration) {
        let mut announced = self.0.announced.0.subscribe();
        // Either way the follower asks now; an error would mean that the sender, which `self` holds, is gone.
        let _ = tokio::time::timeout(at_most, announced.wait_for(|revision| *revision > cursor)).await;
    }

    /// Forgets the changes of all but the last `keep` revisions; returns how many rows went. Followers with an older
    /// cursor are told [`News::TooOld`].
    pub async fn prune_changes(&self, keep: i64) -> Result<u64, StoreError> {
        let mut lease = Lease::of(&self.0.pools.writers).await?;
        lease.begin().await?;
        let sql = "UPDATE feed SET pruned = CASE WHEN revision - $1 > pruned THEN revision - $1 ELSE pruned END \
                   WHERE id = 1 RETURNING pruned";
        let rows = lease.all_within(WRITE_WAIT, query(sql).bind(keep.max(0))).await?;
        let pruned = feed_row(rows.first())?.int("pruned")?;
        let gone = lease.execute(query("DELETE FROM changes WHERE revision <= $1").bind(pruned)).await?;
        lease.commit().await?;
        Ok(gone)
    }

    async fn standing(&self, lease: &mut Lease) -> Result<Standing, StoreError> {
        let row = lease.one(query("SELECT revision, pruned FROM feed WHERE id = $1").bind(1_i64)).await?;
        let row = feed_row(row.as_ref())?;
        Ok(Standing { revision: row.int("revision")?, pruned: row.int("pruned")? })
    }
}

struct Standing {
    revision: i64,
    pruned: i64,
}

/// The feed's only row, which the first migration wrote.
pub(super) fn feed_row(row: Option<&AnyRow>) -> Result<Row<'_>, StoreError> {
    row.map(|row| Row::new(row, "feed", "id")).ok_or_else(|| StoreError::Corrupt("the table feed has no row".into()))
}

/// Cuts at the end of a revision when there are more rows than one answer carries.
fn collect(rows: &[AnyRow], revision: i64) -> Result<News, StoreError> {
    let mut changes = Vec::with_capacity(rows.len());
    let mut reached = revision;
    let at = |row: &AnyRow| Row::new(row, "changes", "revision").int("revision");
    let cut = if rows.len() > MOST_NEWS { rows.last().map(at).transpose()? } else { None };
    for row in rows {
        let of = at(row)?;
        if cut == Some(of) {
            break;
        }
        // A write may have been committed since the revision was read.
        reached = reached.max(of);
        changes.push(change_of(&Row::new(row, "changes", "revision"))?);
    }
    match cut {
        None => Ok(News::Changes { changes, revision: reached }),
        // No transaction writes so many changes; whoever did, forgetting everything is right.
        Some(cut) if changes.is_empty() => Ok(News::TooOld { revision: cut }),
        Some(cut) => Ok(News::Changes { changes, revision: cut - 1 }),
    }
}

/// A change as its two columns.
pub(super) fn columns_of(change: &Change) -> (&'static str, String) {
    match change {
        Change::Tenant(id) => ("tenant", id.to_string()),
        Change::Host(host) => ("host", host.to_string()),
        Change::Beneath(host) => ("beneath", host.to_string()),
        Change::Slug(slug) => ("slug", slug.to_string()),
        Change::Certificate(name) => ("certificate", name.clone()),
        Change::Challenge(key) => ("challenge", key.clone()),
        Change::Session(id) => ("session", id.to_string()),
        Change::Keys => ("keys", String::new()),
        Change::Reset => ("reset", String::new()),
    }
}

/// A row that cannot be read, or is of a kind that a newer program writes, says all the same that something changed: what
/// follows from that is to forget everything, not to stop following.
fn change_of(row: &Row<'_>) -> Result<Change, StoreError> {
    let subject = row.text("subject")?;
    let change = match row.text("kind")? {
        "tenant" => TenantId::parse(subject).map(Change::Tenant),
        "host" => Hostname::parse(subject).ok().map(Change::Host),
        "beneath" => Hostname::parse(subject).ok().map(Change::Beneath),
        "slug" => Slug::parse(subject).ok().map(Change::Slug),
        "certificate" => Some(Change::Certificate(subject.into())),
        "challenge" => Some(Change::Challenge(subject.into())),
        "session" => SessionId::parse(subject).map(Change::Session),
        "keys" => Some(Change::Keys),
        _ => None,
    };
    Ok(change.unwrap_or(Change::Reset))
}

/// The highest revision that anybody has said was committed; clones share it.
#[derive(Clone)]
pub(super) struct Announced(Arc<watch::Sender<i64>>);

impl Announced {
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// To be called after the commit, never before: whoever is woken must find it.
    pub fn announce(&self, revision: i64) {
        self.0.send_if_modified(|known| {
            let newer = revision > *known;
            *known = revision.max(*known);
            newer
        });
    }

    /// The store was asked after `announced` had been announced, and stands at `revision`. When that is less, then a
    /// backup was restored, or the announcement was another installation's: without a correction, waiting would
    /// never wait again.
    fn correct(&self, announced: i64, revision: i64) {
        self.0.send_if_modified(|known| {
            if announced > revision && *known == announced {
                *known = revision;
            }
            false
        });
    }
}

/// Listens for PostgreSQL's notifications for as long as the handle lives, whatever becomes of the server.
pub(super) fn listen(options: PgConnectOptions, announced: Announced) -> AbortOnDropHandle<()> {
    const FIRST_PAUSE: Duration = Duration::from_millis(100);
    const LONGEST_PAUSE: Duration = Duration::from_secs(5);
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut pause = FIRST_PAUSE;
        loop {
            let mut heard = false;
            if let Err(error) = follow(&options, &announced, &mut heard).await
                && (heard || pause == FIRST_PAUSE)
            {
                tracing::warn!(%error, "store.listener.lost; until it is back, polling finds what others write");
            }
            pause = if heard { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            tokio::time::sleep(pause).await;
        }
    }))
}

/// One connection's life; ends with the error that ended it. `heard` becomes true once it listens.
async fn follow(options: &PgConnectOptions, announced: &Announced, heard: &mut bool) -> Result<(), sqlx::Error> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .acquire_timeout(WRITE_WAIT)
        .connect_with(options.clone())
        .await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    // What was announced while nobody listened.
    let missed: i64 = sqlx::query_scalar("SELECT revision FROM feed WHERE id = 1").fetch_one(&mut listener).await?;
    announced.announce(missed);
    *heard = true;
    while let Some(notification) = listener.try_recv().await? {
        if let Ok(revision) = notification.payload().parse() {
            announced.announce(revision);
        }
    }
    Err(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_that_the_store_belies_is_taken_back_and_a_fresh_one_is_not() {
        let announced = Announced::new();
        announced.announce(7);
        announced.announce(5);
        assert_eq!(*announced.0.borrow(), 7);
        announced.correct(7, 4);
        assert_eq!(*announced.0.borrow(), 4, "a restored backup stands at 4");
        announced.announce(5);
        announced.correct(4, 4);
        assert_eq!(*announced.0.borrow(), 5, "announced since the store was asked");
    }

    #[test]
    fn every_change_has_its_two_columns() {
        let host = Hostname::parse("a.example").unwrap();
        let slug = Slug::parse("a").unwrap();
        for (change, kind) in [
            (Change::Tenant(TenantId::new()), "tenant"),
            (Change::Beneath(host.clone()), "beneath"),
            (Change::Host(host), "host"),
            (Change::Slug(slug), "slug"),
            (Change::Certificate("*.a.example".into()), "certificate"),
            (Change::Challenge("x".into()), "challenge"),
            (Change::Session(SessionId::new()), "session"),
            (Change::Keys, "keys"),
            (Change::Reset, "reset"),
        ] {
            assert_eq!(columns_of(&change).0, kind);
        }
    }
}
