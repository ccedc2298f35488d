//! The configured authorities: which of them to ask now, what each may still be asked for, and how long each is to be left
//! alone. All of it is in the store, so that the fleet has one budget and one memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::ca::Ca;
use super::limiter::{self, Scope};
use super::protocol::CaError;
use crate::clock::{Clock, Timestamp};
use crate::config::{self, AuthorityLimits, Rate};
use crate::store::{Aside, Store, StoreError};

pub(super) struct Authorities {
    all: Vec<Entry>,
    failover_after: Duration,
    store: Store,
    clock: Clock,
}

struct Entry {
    ca: Ca,
    limits: AuthorityLimits,
    /// It has failed since it last answered: the next answer is worth a write.
    failing: AtomicBool,
}

/// Which authority to ask.
pub(super) enum Choice<'a> {
    Use(&'a Ca),
    /// None before `until`.
    Wait {
        until: Timestamp,
        why: String,
    },
}

/// What one order takes out of which buckets.
pub(super) struct Reservation {
    pub authority: String,
    /// In the order of their ids, which is the order in which they are locked.
    buckets: Vec<(String, Rate)>,
    /// A failure bucket is only looked at.
    failures: Vec<(String, Rate)>,
    account: (String, Rate),
}

/// Failures in a row after which the next authority is asked, however soon this one may be asked again.
const DOWN: i64 = 3;

impl Authorities {
    pub fn new(all: Vec<Ca>, config: &config::Acme, store: Store, clock: Clock) -> Self {
        let limits: HashMap<&str, AuthorityLimits> =
            config.authorities.iter().map(|authority| (authority.name.as_str(), authority.limits)).collect();
        let entry = |ca: Ca| {
            let limits = limits.get(ca.name()).copied();
            // It may have failed before this process began.
            limits.map(|limits| Entry { ca, limits, failing: AtomicBool::new(true) })
        };
        Self { all: all.into_iter().filter_map(entry).collect(), failover_after: config.failover_after, store, clock }
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn get(&self, name: &str) -> Option<&Ca> {
        self.entry(name).map(|entry| &entry.ca)
    }

    /// The first one that is not to be left alone; one that is, but not for long, is waited for.
    pub async fn choose(&self) -> Result<Choice<'_>, StoreError> {
        let now = self.clock.now();
        let mut earliest: Option<(Timestamp, &str)> = None;
        for entry in &self.all {
            let row = self.store.bucket(&health(entry.ca.name())).await?;
            let Some(until) = limiter::blocked(&row, now) else { return Ok(Choice::Use(&entry.ca)) };
            if earliest.is_none_or(|(at, _)| until < at) {
                earliest = Some((until, entry.ca.name()));
            }
            if until.since(now) <= self.failover_after && row.failures < DOWN {
                break;
            }
        }
        let (until, name) = earliest.unwrap_or((now + self.failover_after, "nobody"));
        Ok(Choice::Wait { until, why: format!("the authority {name} is to be left alone until {until}") })
    }

    /// Until when this authority is to be left alone, if it is now.
    pub async fn blocked(&self, authority: &str) -> Result<Option<Timestamp>, StoreError> {
        Ok(limiter::blocked(&self.store.bucket(&health(authority)).await?, self.clock.now()))
    }

    /// Whether another one would be asked now, because this one is to be left alone.
    pub async fn stands_in_for(&self, authority: &str) -> Result<bool, StoreError> {
        Ok(matches!(self.choose().await?, Choice::Use(ca) if ca.name() != authority))
    }

    /// How many orders the authority that would be asked now has room for. One that has failed is tried with a single one
    /// first.
    pub async fn room(&self) -> Result<u32, StoreError> {
        let Choice::Use(ca) = self.choose().await? else { return Ok(0) };
        let Some(entry) = self.entry(ca.name()) else { return Ok(0) };
        let account = self.store.bucket(&limiter::bucket_ids(ca.name(), &[]).account).await?;
        let level = limiter::level(&account, entry.limits.orders, self.clock.now());
        let failing = self.store.bucket(&health(ca.name())).await?.failures > 0;
        Ok(if failing { level.min(1) } else { level })
    }

    /// What an order for these names takes. A renewal that says what it replaces costs nothing at the authority (RFC 9773
    /// §5; <https://letsencrypt.org/docs/rate-limits/#exemptions-for-ari-renewals>); only our own limit holds then, so that
    /// an authority that wishes for one renewal after the other does not get them.
    pub fn reservation(&self, authority: &str, names: &[String], exempt: bool) -> Reservation {
        let ids = limiter::bucket_ids(authority, names);
        let limits = self.entry(authority).map(|entry| entry.limits).unwrap_or(NONE);
        let account = (ids.account.clone(), limits.orders);
        if exempt {
            let authority = authority.to_owned();
            return Reservation { authority, buckets: vec![(ids.renewals, RENEWALS)], failures: Vec::new(), account };
        }
        let mut buckets = vec![(ids.account, limits.orders), (ids.set, limits.per_set)];
        buckets.extend(ids.domains.into_iter().map(|id| (id, limits.per_domain)));
        buckets.sort_by(|a, b| a.0.cmp(&b.0));
        let failures = ids.failures.into_iter().map(|id| (id, limits.failures)).collect();
        Reservation { authority: authority.to_owned(), buckets, failures, account }
    }

    /// Takes it, all or nothing: how many orders the account has left, or when there will be room.
    pub async fn take_budget(
        &self,
        aside: &mut Aside,
        reservation: &Reservation,
    ) -> Result<Result<u32, Timestamp>, StoreError> {
        let now = self.clock.now();
        let mut until = None;
        let mut taken = Vec::with_capacity(reservation.buckets.len());
        for (id, rate) in &reservation.buckets {
            let mut row = aside.lock_bucket(id).await?;
            let room = limiter::blocked(&row, now).map_or_else(|| limiter::take(&mut row, *rate, now), Err);
            until = until.max(room.err());
            taken.push((id, row));
        }
        for (id, rate) in &reservation.failures {
            let mut row = aside.lock_bucket(id).await?;
            let room = limiter::blocked(&row, now).map_or_else(|| limiter::take(&mut row, *rate, now), Err);
            until = until.max(room.err());
        }
        if let Some(until) = until {
            return Ok(Err(until));
        }
        for (id, row) in taken {
            aside.save_bucket(id, row).await?;
        }
        let account = aside.lock_bucket(&reservation.account.0).await?;
        Ok(Ok(limiter::level(&account, reservation.account.1, now)))
    }

    /// The authority has answered: it is not failing.
    pub async fn answered(&self, authority: &str) -> Result<(), StoreError> {
        let Some(entry) = self.entry(authority) else { return Ok(()) };
        if !entry.failing.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let id = health(authority);
        let mut aside = self.store.aside().await?;
        let mut row = aside.lock_bucket(&id).await?;
        if row.failures == 0 {
            return Ok(());
        }
        row.failures = 0;
        aside.save_bucket(&id, row).await?;
        aside.commit().await
    }

    /// An authority's names were looked at, and not believed: its budget of failures shrinks.
    pub async fn failed(&self, authority: &str, names: &[String]) -> Result<(), StoreError> {
        let Some(entry) = self.entry(authority) else { return Ok(()) };
        let now = self.clock.now();
        let mut ids = limiter::bucket_ids(authority, names).failures;
        ids.sort();
        let mut aside = self.store.aside().await?;
        for id in &ids {
            let mut row = aside.lock_bucket(id).await?;
            // One that is empty already stays so.
            let _ = limiter::take(&mut row, entry.limits.failures, now);
            aside.save_bucket(id, row).await?;
        }
        aside.commit().await
    }

    /// Learns from what went wrong, and says until when the order in question is to wait.
    pub async fn note(&self, authority: &str, names: &[String], error: CaError) -> Result<CaError, StoreError> {
        let now = self.clock.now();
        match error {
            CaError::RateLimited { retry_after, detail } => {
                let scope = limiter::scope(&detail, names);
                let until = retry_after.unwrap_or(now + UNTOLD).max(now + SOONEST);
                let ids = limiter::bucket_ids(authority, names);
                match scope {
                    Scope::Domain => self.block(ids.domains, until).await?,
                    Scope::Set => self.block(vec![ids.set], until).await?,
                    Scope::Failures => self.block(ids.failures, until).await?,
                    Scope::Authority => self.leave_alone(authority, Some(until)).await.map(drop)?,
                }
                Ok(CaError::RateLimited { retry_after: Some(until), detail })
            }
            CaError::Unavailable { retry_after, why } => {
                let until = self.leave_alone(authority, retry_after).await?;
                Ok(CaError::Unavailable { retry_after: Some(until), why })
            }
            other => Ok(other),
        }
    }

    /// Nobody asks this authority before `told`, or before a pause that grows with each failure.
    async fn leave_alone(&self, authority: &str, told: Option<Timestamp>) -> Result<Timestamp, StoreError> {
        let now = self.clock.now();
        if let Some(entry) = self.entry(authority) {
            entry.failing.store(true, Ordering::Release);
        }
        let id = health(authority);
        let mut aside = self.store.aside().await?;
        let mut row = aside.lock_bucket(&id).await?;
        // Many orders run into the same outage: together they are one failure.
        if limiter::blocked(&row, now).is_none() {
            row.failures += 1;
        }
        let until = told.unwrap_or(now + limiter::pause(row.failures)).max(row.blocked);
        row.blocked = until;
        aside.save_bucket(&id, row).await?;
        aside.commit().await?;
        Ok(until)
    }

    async fn block(&self, mut ids: Vec<String>, until: Timestamp) -> Result<(), StoreError> {
        ids.sort();
        let mut aside = self.store.aside().await?;
        for id in &ids {
            let mut row = aside.lock_bucket(id).await?;
            row.blocked = row.blocked.max(until);
            aside.save_bucket(id, row).await?;
        }
        aside.commit().await
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.all.iter().find(|entry| entry.ca.name() == name)
    }
}

fn health(authority: &str) -> String {
    format!("authority/{authority}")
}

/// A limit without a time: an hour is what most limits are counted in.
const UNTOLD: Duration = Duration::from_secs(3600);
/// Of one certificate.
const RENEWALS: Rate = Rate { number: 3, per: Duration::from_secs(86_400) };
const SOONEST: Duration = Duration::from_secs(1);
/// For an authority that was taken out of the configuration meanwhile: it is not asked for anything more.
const NONE: AuthorityLimits = {
    let none = Rate { number: 1, per: Duration::from_secs(86_400) };
    AuthorityLimits { orders: none, per_domain: none, per_set: none, failures: none }
};
