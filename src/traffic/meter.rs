//! What one tenant does on this node: exact counts since the process began, what is under way, and its token bucket.
//! Counting takes no lock and never waits.

use std::array::from_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::bucket::{Bucket, Level};
use crate::clock::Clock;
use crate::model::{Rate, Slug, Tenant, TenantId};

/// One tenant's meter. It outlives what the directory remembers of the tenant.
#[derive(Debug)]
pub struct Meter {
    pub tenant: TenantId,
    /// Slugs never change.
    pub slug: Slug,
    clock: Clock,
    bucket: Bucket,
    requests: [AtomicU64; CLASSES.len()],
    refused: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    limited: [AtomicU64; Limit::ALL.len()],
    under_way: [AtomicU64; 2],
    pub(super) rank: Rank,
}

/// How busy it has been lately; written by whoever ranks, one at a time.
#[derive(Debug, Default)]
pub(super) struct Rank {
    /// Requests that have been taken into account.
    pub seen: AtomicU64,
    /// Requests, each worth less the longer it is ago: the bits of an `f64`.
    pub score: AtomicU64,
    /// It has been exported among the others.
    pub told: AtomicBool,
}

/// The limits of a tenant, as metrics and the API call them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    Rate,
    Concurrency,
    WebSockets,
    Body,
    Access,
}

/// What may be under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Request,
    WebSocket,
}

/// A request or a WebSocket under way. Dropping it ends it, however that comes about.
#[derive(Debug)]
pub struct Place {
    meter: Arc<Meter>,
    kind: Kind,
}

/// A request that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// 0: nothing was answered.
    pub status: u16,
    /// Bytes of the bodies, without heads and framing.
    pub received: u64,
    pub sent: u64,
    /// The edge answered instead of a backend.
    pub refused: bool,
    /// The limit that it was refused for.
    pub limited: Option<Limit>,
}

/// Everything that only grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// By [`CLASSES`].
    pub requests: [u64; CLASSES.len()],
    pub refused: u64,
    pub received: u64,
    pub sent: u64,
    /// By [`Limit::ALL`].
    pub limited: [u64; Limit::ALL.len()],
}

/// The classes of a status.
pub const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

impl Limit {
    pub const ALL: [Self; 5] = [Self::Rate, Self::Concurrency, Self::WebSockets, Self::Body, Self::Access];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Concurrency => "concurrency",
            Self::WebSockets => "websockets",
            Self::Body => "body",
            Self::Access => "access",
        }
    }
}

impl Meter {
    pub(super) fn new(tenant: &Tenant, clock: Clock) -> Self {
        Self {
            tenant: tenant.id,
            slug: tenant.slug.clone(),
            clock,
            bucket: Bucket::default(),
            requests: from_fn(|_| AtomicU64::new(0)),
            refused: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            limited: from_fn(|_| AtomicU64::new(0)),
            under_way: from_fn(|_| AtomicU64::new(0)),
            rank: Rank::default(),
        }
    }

    /// Takes one request from the bucket if there is one.
    pub fn take(&self, rate: Rate) -> Level {
        self.bucket.take(rate, self.clock.now())
    }

    /// What is in the bucket.
    pub fn level(&self, rate: Rate) -> Level {
        self.bucket.look(rate, self.clock.now())
    }

    /// A place among `most` of this kind; `None` when all are taken.
    pub fn enter(self: &Arc<Self>, kind: Kind, most: Option<u64>) -> Option<Place> {
        let more = |now: u64| most.is_none_or(|most| now < most).then_some(now + 1);
        let counter = &self.under_way[kind as usize];
        counter.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Place { meter: Arc::clone(self), kind })
    }

    /// Whether [`Meter::enter`] would find a place now.
    pub fn has_place(&self, kind: Kind, most: Option<u64>) -> bool {
        most.is_none_or(|most| self.under_way(kind) < most)
    }

    pub fn under_way(&self, kind: Kind) -> u64 {
        self.under_way[kind as usize].load(Ordering::Acquire)
    }

    /// Counts a request that has ended.
    pub fn count(&self, ended: Ended) {
        let class = usize::from(ended.status / 100);
        let add = |counter: &AtomicU64, by: u64| {
            if by > 0 {
                counter.fetch_add(by, Ordering::Relaxed);
            }
        };
        add(&self.requests[if class < CLASSES.len() { class } else { 0 }], 1);
        add(&self.received, ended.received);
        add(&self.sent, ended.sent);
        add(&self.refused, u64::from(ended.refused));
        if let Some(limit) = ended.limited {
            add(&self.limited[limit as usize], 1);
        }
    }

    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            requests: from_fn(|class| read(&self.requests[class])),
            refused: read(&self.refused),
            received: read(&self.received),
            sent: read(&self.sent),
            limited: from_fn(|limit| read(&self.limited[limit])),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.meter.under_way[self.kind as usize].fetch_sub(1, Ordering::AcqRel);
    }
}

impl Counts {
    /// All requests.
    pub fn total(&self) -> u64 {
        self.requests.iter().sum()
    }

    pub fn plus(self, other: Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    pub fn minus(self, other: Self) -> Self {
        self.with(other, u64::saturating_sub)
    }

    fn with(self, other: Self, join: fn(u64, u64) -> u64) -> Self {
        Self {
            requests: from_fn(|class| join(self.requests[class], other.requests[class])),
            refused: join(self.refused, other.refused),
            received: join(self.received, other.received),
            sent: join(self.sent, other.sent),
            limited: from_fn(|limit| join(self.limited[limit], other.limited[limit])),
        }
    }
}
