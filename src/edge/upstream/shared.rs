//! What a pool keeps across reloads, found by its name: the states of its backends, its turn, who waits, the retry budget,
//! and its series in the metrics, which end with it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};

use super::backend::State;
use super::budget::Budget;
use crate::clock::Clock;
use crate::config::Protocol;
use crate::metrics::Metrics;

#[derive(Debug)]
pub(super) struct Shared {
    pub name: Arc<str>,
    pub clock: Clock,
    pub series: Series,
    pub budget: Budget,
    /// Whose turn it is.
    next: AtomicUsize,
    /// Requests that wait for the head of their answer.
    pending: AtomicU64,
    states: Mutex<HashMap<(SocketAddr, Protocol), Weak<State>>>,
    /// Made with the first request: each is a dozen series.
    seconds: OnceLock<Histogram>,
    life: Mutex<Life>,
    metrics: Arc<Metrics>,
}

/// Whether the pool has series in the metrics: whoever still holds one of a pool that is gone must not bring it back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Life {
    /// Of a configuration that may yet be refused.
    Built,
    InForce,
    Gone,
}

/// The pool's own series, looked up once.
#[derive(Debug)]
pub(super) struct Series {
    pub in_flight: IntGauge,
    pub pending: IntGauge,
    pub retries: IntCounter,
    pub budget_exhausted: IntCounter,
    pub ejections: IntCounter,
    pub breaker_open: IntCounter,
}

impl Shared {
    pub fn new(name: &str, clock: &Clock, metrics: &Arc<Metrics>) -> Self {
        let label = &[name];
        let series = Series {
            in_flight: metrics.upstream_in_flight.with_label_values(label),
            pending: metrics.upstream_pending.with_label_values(label),
            retries: metrics.upstream_retries.with_label_values(label),
            budget_exhausted: metrics.upstream_retry_budget_exhausted.with_label_values(label),
            ejections: metrics.upstream_ejections.with_label_values(label),
            breaker_open: metrics.upstream_breaker_open.with_label_values(label),
        };
        Self {
            name: name.into(),
            clock: clock.clone(),
            series,
            budget: Budget::default(),
            next: AtomicUsize::new(0),
            pending: AtomicU64::new(0),
            states: Mutex::default(),
            seconds: OnceLock::new(),
            life: Mutex::new(Life::Built),
            metrics: Arc::clone(metrics),
        }
    }

    pub fn turn(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub fn pending(&self) -> u64 {
        self.pending.load(Ordering::Relaxed)
    }

    /// One more waits, unless `most` do already.
    pub fn begin_pending(&self, most: Option<u64>) -> bool {
        let before = self.pending.fetch_add(1, Ordering::Relaxed);
        if most.is_some_and(|most| before >= most) {
            self.pending.fetch_sub(1, Ordering::Relaxed);
            self.series.breaker_open.inc();
            return false;
        }
        self.series.pending.inc();
        true
    }

    pub fn end_pending(&self) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
        self.series.pending.dec();
    }

    /// The state of a backend, the one that it has already if somebody still knows it.
    pub fn state(&self, address: SocketAddr, protocol: Protocol) -> Arc<State> {
        let mut states = lock(&self.states);
        if let Some(state) = states.get(&(address, protocol)).and_then(Weak::upgrade) {
            return state;
        }
        states.retain(|_, state| state.strong_count() > 0);
        let state = Arc::new(State::new(address));
        states.insert((address, protocol), Arc::downgrade(&state));
        state
    }

    /// A request's time at the backends, from when it was given to the first until the head of an answer.
    pub fn observe(&self, time: Duration) {
        let seconds = self.seconds.get().or_else(|| {
            let life = lock(&self.life);
            let make = || self.metrics.upstream_seconds.with_label_values(&[&self.name]);
            (*life != Life::Gone).then(|| self.seconds.get_or_init(make))
        });
        if let Some(seconds) = seconds {
            seconds.observe(time.as_secs_f64());
        }
    }

    /// The configuration that has the pool is in force.
    pub fn begin(&self) {
        *lock(&self.life) = Life::InForce;
    }

    /// The pool is gone: so are its series.
    pub fn end(&self) {
        let mut life = lock(&self.life);
        if std::mem::replace(&mut *life, Life::Gone) == Life::Gone {
            return;
        }
        let label: &[&str] = &[&self.name];
        let _ = self.metrics.upstream_in_flight.remove_label_values(label);
        let _ = self.metrics.upstream_pending.remove_label_values(label);
        let _ = self.metrics.upstream_retries.remove_label_values(label);
        let _ = self.metrics.upstream_retry_budget_exhausted.remove_label_values(label);
        let _ = self.metrics.upstream_ejections.remove_label_values(label);
        let _ = self.metrics.upstream_breaker_open.remove_label_values(label);
        let _ = self.metrics.upstream_seconds.remove_label_values(label);
    }
}

impl Drop for Shared {
    /// What was built for a configuration that was refused leaves nothing behind. Of a pool that was in force, another one
    /// of the name may have come since.
    fn drop(&mut self) {
        if *lock(&self.life) == Life::Built {
            self.end();
        }
    }
}

/// Nothing that is locked here is left half-changed by a panic.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
