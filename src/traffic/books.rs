//! What is exported of each tenant: the busiest by name, all others together as `_other`, so that the number of series is
//! bounded. A request is counted in one of the two and never moves: `_other` never goes back, and neither does a name
//! that comes back after others had its place.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::Meters;
use super::meter::{CLASSES, Counts, Kind, Limit, Meter};
use super::top::{Moves, Top};
use crate::clock::Timestamp;
use crate::metrics::TenantMetrics;
use crate::model::TenantId;

/// The per-tenant metrics of one node: a collector for its registry. Clones share the books.
#[derive(Clone)]
pub struct Busiest(Arc<Inner>);

struct Inner {
    meters: Arc<Meters>,
    most: AtomicUsize,
    books: Mutex<Books>,
    descs: Vec<Desc>,
}

/// Who is named, and what counts for whom.
#[derive(Default)]
struct Books {
    top: Top,
    ranked: Option<Timestamp>,
    /// What each tenant that is or was named has counted while it was not: that is `_other`'s.
    others: HashMap<TenantId, Others>,
}

#[derive(Clone, Copy)]
enum Others {
    /// Named now: what it had counted when it was named stays `_other`'s. What was last told of it by name is its own for
    /// ever.
    Named { others: Counts, told: Counts },
    /// Not named now: whatever it counts beyond this is `_other`'s.
    Beyond(Counts),
}

/// One scrape's sums.
#[derive(Clone, Copy, Default)]
struct Sum {
    counts: Counts,
    requests: u64,
    websockets: u64,
}

impl Busiest {
    /// Names at most `most` tenants. The only errors are mistakes in the list of metrics.
    pub fn new(meters: Arc<Meters>, most: usize) -> Result<Self, prometheus::Error> {
        let metrics = TenantMetrics::new()?;
        let descs = metrics.families().iter().flat_map(|family| family.desc()).cloned().collect();
        Ok(Self(Arc::new(Inner { meters, most: AtomicUsize::new(most), books: Mutex::default(), descs })))
    }

    /// Names at most so many from the next scrape on.
    pub fn set_most(&self, most: usize) {
        self.0.most.store(most, Ordering::Relaxed);
    }
}

impl Collector for Busiest {
    fn desc(&self) -> Vec<&Desc> {
        self.0.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let inner = &self.0;
        let mut books = inner.books.lock().unwrap_or_else(PoisonError::into_inner);
        books.rank(&inner.meters, inner.most.load(Ordering::Relaxed));
        // They were made once already: the list has no mistakes.
        let Ok(metrics) = TenantMetrics::new() else { return Vec::new() };
        let mut other = Sum::default();
        inner.meters.for_each(|meter| match books.share(meter) {
            (Some(own), rest) => {
                other.counts = other.counts.plus(rest);
                let sum = Sum { counts: own, ..Sum::of(meter) };
                sum.write(&metrics, meter.slug.as_str());
            }
            (None, rest) => {
                meter.rank.told.store(true, Ordering::Relaxed);
                other.add(Sum { counts: rest, ..Sum::of(meter) });
            }
        });
        other.write(&metrics, OTHER);
        metrics.families().iter().flat_map(|family| family.collect()).collect()
    }
}

impl Books {
    /// Chooses anew who is named: now and then, and whenever there are places left.
    fn rank(&mut self, meters: &Meters, most: usize) {
        let now = meters.now();
        let since = self.ranked.map(|at| now.since(at));
        if since.is_some_and(|since| since < RANK_EVERY) && self.top.len() == most {
            return;
        }
        self.ranked = Some(now);
        let fade = 0.5f64.powf(since.unwrap_or_default().as_secs_f64() / HALF_LIFE.as_secs_f64());
        let mut scores = Vec::new();
        meters.for_each(|meter| scores.push((meter.tenant, fresh_score(meter, fade))));
        let Moves { enter, leave } = self.top.choose(now, most, &scores);
        let counts = |tenant: &TenantId| meters.find(*tenant).map(|meter| meter.counts()).unwrap_or_default();
        for tenant in leave {
            if let Some(Others::Named { told, .. }) = self.others.get(&tenant).copied() {
                self.others.insert(tenant, Others::Beyond(told));
            }
        }
        for tenant in enter {
            let own = match self.others.get(&tenant) {
                Some(Others::Beyond(own)) => *own,
                // What nobody has been told of yet may as well bear its name.
                _ if meters.find(tenant).is_some_and(|meter| !meter.rank.told.load(Ordering::Relaxed)) => {
                    counts(&tenant)
                }
                _ => Counts::default(),
            };
            self.others.insert(tenant, Others::Named { others: counts(&tenant).minus(own), told: own });
        }
    }

    /// What of a tenant's counts bears its name (`None`: it is not named now), and what is `_other`'s.
    fn share(&mut self, meter: &Meter) -> (Option<Counts>, Counts) {
        let counts = meter.counts();
        match self.others.get_mut(&meter.tenant) {
            Some(Others::Named { others, told }) => {
                *told = counts.minus(*others);
                (Some(*told), *others)
            }
            Some(Others::Beyond(own)) => (None, counts.minus(*own)),
            None => (None, counts),
        }
    }
}

/// Takes the requests since the last time into account.
fn fresh_score(meter: &Meter, fade: f64) -> f64 {
    let total = meter.counts().total();
    let new = total.saturating_sub(meter.rank.seen.swap(total, Ordering::Relaxed));
    let score = f64::from_bits(meter.rank.score.load(Ordering::Relaxed)) * fade + new as f64;
    meter.rank.score.store(score.to_bits(), Ordering::Relaxed);
    score
}

impl Sum {
    fn of(meter: &Meter) -> Self {
        let (requests, websockets) = (meter.under_way(Kind::Request), meter.under_way(Kind::WebSocket));
        Self { counts: Counts::default(), requests, websockets }
    }

    fn add(&mut self, other: Self) {
        self.counts = self.counts.plus(other.counts);
        self.requests += other.requests;
        self.websockets += other.websockets;
    }

    fn write(&self, metrics: &TenantMetrics, tenant: &str) {
        let Counts { requests, received, sent, limited, .. } = &self.counts;
        for (class, count) in CLASSES.iter().zip(requests).filter(|(_, count)| **count > 0) {
            metrics.requests.with_label_values(&[tenant, *class]).inc_by(*count);
        }
        for (limit, count) in Limit::ALL.iter().zip(limited).filter(|(_, count)| **count > 0) {
            metrics.limited.with_label_values(&[tenant, limit.as_str()]).inc_by(*count);
        }
        metrics.request_bytes.with_label_values(&[tenant]).inc_by(*received);
        metrics.response_bytes.with_label_values(&[tenant]).inc_by(*sent);
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        metrics.requests_in_flight.with_label_values(&[tenant]).set(gauge(self.requests));
        metrics.websockets.with_label_values(&[tenant]).set(gauge(self.websockets));
    }
}

/// No slug looks like this.
const OTHER: &str = "_other";
/// How often places are given anew when all are taken.
const RANK_EVERY: Duration = Duration::from_secs(60);
/// After so long a request counts half.
const HALF_LIFE: Duration = Duration::from_secs(300);
