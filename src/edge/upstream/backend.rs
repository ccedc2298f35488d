//! One backend at run time: what is known of it, whatever configuration is in force, and the leases of those who are at it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use pingora_core::upstreams::peer::HttpPeer;
use tracing::warn;

use super::ejection::{self, Ejection};
use super::health::Looks;
use super::roster::Roster;
use super::shared::lock;
use crate::clock::Timestamp;

/// A backend under one configuration.
#[derive(Debug)]
pub(super) struct Backend {
    pub peer: HttpPeer,
    pub state: Arc<State>,
}

/// What outlives reloads: health, ejection, requests under way.
#[derive(Debug)]
pub(super) struct State {
    pub address: SocketAddr,
    /// The same as every access line says it.
    shown: Arc<str>,
    in_flight: AtomicUsize,
    /// Looks say that it cannot take requests.
    down: AtomicBool,
    pub looks: std::sync::Mutex<Looks>,
    /// Out until then, for those who choose: a copy of what `ejection` holds.
    out_until: AtomicI64,
    /// `ejection` is not clean.
    marred: AtomicBool,
    ejection: std::sync::Mutex<Ejection>,
}

impl State {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            shown: address.to_string().into(),
            in_flight: AtomicUsize::new(0),
            down: AtomicBool::new(false),
            looks: std::sync::Mutex::default(),
            out_until: AtomicI64::new(0),
            marred: AtomicBool::new(false),
            ejection: std::sync::Mutex::default(),
        }
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }

    /// Nobody looks at it any more: what looks said is forgotten.
    pub fn forget_looks(&self) {
        *lock(&self.looks) = Looks::default();
        self.set_down(false);
    }

    pub fn out_until(&self) -> Timestamp {
        Timestamp(self.out_until.load(Ordering::Relaxed))
    }

    /// Its share after ejections, in percent.
    pub fn weight(&self, now: Timestamp, slow_start: Duration) -> u8 {
        ejection::weight(self.out_until(), now, slow_start)
    }
}

/// A request's stay at a backend, from the choice to its end.
#[derive(Debug)]
pub struct Lease {
    roster: Arc<Roster>,
    state: Arc<State>,
    /// It waits for the head of its answer.
    pending: bool,
    judged: bool,
}

impl Lease {
    pub(super) fn new(roster: &Arc<Roster>, state: &Arc<State>) -> Self {
        state.in_flight.fetch_add(1, Ordering::Relaxed);
        roster.shared.series.in_flight.inc();
        Self { roster: Arc::clone(roster), state: Arc::clone(state), pending: true, judged: false }
    }

    /// The backend's address, as it is shown.
    pub fn address(&self) -> Arc<str> {
        Arc::clone(&self.state.shown)
    }

    /// The head of its answer has arrived.
    pub fn answered(&mut self) {
        if std::mem::take(&mut self.pending) {
            self.roster.shared.end_pending();
        }
    }

    /// It was answered in full.
    pub fn succeeded(&mut self) {
        if std::mem::replace(&mut self.judged, true) || !self.state.marred.load(Ordering::Relaxed) {
            return;
        }
        let mut ejection = lock(&self.state.ejection);
        ejection.succeeded(self.roster.shared.clock.now(), &self.roster.config.balancing.ejection);
        self.state.marred.store(!ejection.is_clean(), Ordering::Relaxed);
    }

    /// The backend did not do its part: no connection, no answer in time, a malformed answer or one cut short. What an
    /// answer says, 5xx included, is the application's word and counts as none of these.
    pub fn failed(&mut self, why: &str) {
        if std::mem::replace(&mut self.judged, true) {
            return;
        }
        let (shared, rules) = (&self.roster.shared, &self.roster.config.balancing.ejection);
        let now = shared.clock.now();
        let mut ejection = lock(&self.state.ejection);
        let until = ejection.failed(now, rules, self.roster.may_eject(now));
        self.state.marred.store(!ejection.is_clean(), Ordering::Relaxed);
        let Some(until) = until else { return };
        self.state.out_until.store(until.millis(), Ordering::Relaxed);
        drop(ejection);
        shared.series.ejections.inc();
        let (pool, address) = (&*shared.name, self.state.address);
        warn!(pool, backend = %address, why, until = %until, "upstream.ejected");
        self.roster.tell_return(&self.state, until, until.since(now));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.answered();
        self.state.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.roster.shared.series.in_flight.dec();
    }
}
