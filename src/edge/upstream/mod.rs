//! Pools at run time: which backend a request goes to, which of them are well, and what was seen of the others. Nothing
//! here answers a request, and a request waits for nothing here.

mod backend;
mod balance;
mod budget;
mod discovery;
mod ejection;
mod gauges;
mod health;
mod peer;
mod roster;
mod shared;

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use http::HeaderValue;
use pingora_core::connectors::http::Connector;
use pingora_core::upstreams::peer::HttpPeer;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use self::balance::{Choice, Key};
use self::peer::Authorities;
use self::roster::Roster;
use self::shared::{Shared, lock};
use super::gates::Permit;
use crate::clock::Clock;
use crate::config::{self, Balance, PoolId, Protocol, Routing};
use crate::metrics::Metrics;
use crate::model::PoolStatus;

pub use self::backend::Lease;
pub use self::discovery::Resolver;
pub use self::gauges::Gauges;
pub use self::peer::address;

/// Every pool of one configuration, ready to hand out peers.
#[derive(Debug)]
pub struct Pools(Vec<Arc<Pool>>);

/// One pool: its backends with everything but the request decided.
#[derive(Debug)]
pub struct Pool {
    /// `aud` of the assertions that go there.
    pub name: Arc<str>,
    pub host_header: Option<HeaderValue>,
    pub total_timeout: Option<Duration>,
    pub connect_timeout: Duration,
    /// Its backends may be spoken to in HTTP/2, in HTTP/1.1.
    pub h2: bool,
    pub h1: bool,
    roster: Arc<Roster>,
    /// What looks at backends and asks for names; none where nothing is to be looked at. It ends with the pool, or with the
    /// configuration that puts another one in its place.
    tasks: Mutex<Vec<AbortOnDropHandle<()>>>,
}

/// Why a pool cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    #[error("pool {pool}: {path}: {why}")]
    Ca { pool: String, path: String, why: String },
}

/// What pools need of the process; one for all configurations.
#[derive(Clone)]
pub struct Surroundings {
    clock: Clock,
    metrics: Arc<Metrics>,
    resolver: Arc<dyn Resolver>,
    /// Where looks and questions run.
    runtime: Handle,
    /// Made when the first pool wants its backends looked at.
    connector: Arc<OnceLock<Arc<Connector>>>,
}

/// Why there is no backend for a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoBackend {
    /// Looks say of every one that it cannot take requests, or there is none.
    Unavailable,
    /// The breaker is open: too many are waiting already.
    Busy,
}

/// The type of pingora's error for [`NoBackend::Busy`].
pub const BUSY: &str = "upstream-busy";

impl Surroundings {
    /// To be called on the runtime that is to look at backends.
    pub fn new(clock: Clock, metrics: Arc<Metrics>, resolver: Arc<dyn Resolver>) -> Self {
        Self { clock, metrics, resolver, runtime: Handle::current(), connector: Arc::default() }
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    fn connector(&self) -> Arc<Connector> {
        Arc::clone(self.connector.get_or_init(|| Arc::new(Connector::new(None))))
    }
}

impl Pools {
    /// Builds the pools of a configuration that may be put in force. `previous` is what is in force: its pools that are the
    /// same are used again; of the others of the same name, the health of backends, the requests under way and the answers
    /// of DNS are kept. Nothing of what is in force is touched until [`Pools::take_over`]. Asks nobody.
    pub fn build(routing: &Routing, previous: Option<&Self>, around: &Surroundings) -> Result<Self, PoolError> {
        let before: HashMap<&str, &Arc<Pool>> =
            previous.into_iter().flat_map(|previous| &previous.0).map(|pool| (&*pool.name, pool)).collect();
        let mut pools = Vec::with_capacity(routing.pools.len());
        for config in &routing.pools {
            pools.push(Pool::build(config, before.get(&*config.name).copied(), around)?);
        }
        Ok(Self(pools))
    }

    /// These are in force from now on, in the place of `previous`: the old ones are looked at no longer, the new ones are.
    pub fn take_over(&self, previous: Option<&Self>, around: &Surroundings) {
        let now: HashMap<&str, &Arc<Pool>> = self.0.iter().map(|pool| (&*pool.name, pool)).collect();
        let mut kept: HashSet<&str> = HashSet::new();
        for old in previous.into_iter().flat_map(|previous| &previous.0) {
            match now.get(&*old.name) {
                Some(new) if Arc::ptr_eq(old, new) => {
                    kept.insert(&*old.name);
                    continue;
                }
                Some(_) => {}
                None => old.roster.shared.end(),
            }
            lock(&old.tasks).clear();
        }
        for pool in self.0.iter().filter(|pool| !kept.contains(&*pool.name)) {
            pool.roster.shared.begin();
            pool.watch(around);
        }
    }

    /// Asks for every name that nobody has asked for yet, for as long as `within`: what has no answer then is a fault of
    /// that backend alone.
    pub async fn resolve(&self, around: &Surroundings, within: Duration) {
        let names =
            self.0.iter().flat_map(|pool| pool.roster.names().into_iter().map(move |name| (&pool.roster, name)));
        let unasked = names.filter(|(roster, (index, _))| roster.due(*index).is_none());
        let asking = unasked.map(|(roster, (index, host))| async move {
            discovery::ask(roster, index, &host, &*around.resolver).await;
        });
        let _ = timeout(within, join_all(asking)).await;
    }

    pub fn get(&self, id: PoolId) -> Option<&Pool> {
        self.0.get(id.0).map(Arc::as_ref)
    }

    /// How all of them are doing.
    pub fn status(&self) -> Vec<PoolStatus> {
        self.0.iter().map(|pool| pool.status()).collect()
    }
}

impl Pool {
    fn build(config: &config::Pool, before: Option<&Arc<Self>>, around: &Surroundings) -> Result<Arc<Self>, PoolError> {
        let known = before.and_then(|before| before.roster.authorities.as_ref());
        // The same authorities too: the configuration holds what their file held.
        if let Some(before) = before.filter(|before| before.roster.config == *config) {
            return Ok(Arc::clone(before));
        }
        let authorities = Authorities::new(config, known)?;
        let shared = match before {
            Some(before) => Arc::clone(&before.roster.shared),
            None => Arc::new(Shared::new(&config.name, &around.clock, &around.metrics)),
        };
        Ok(Arc::new(Self {
            name: Arc::clone(&shared.name),
            host_header: config.host_header.clone(),
            total_timeout: config.total_timeout,
            connect_timeout: config.connect_timeout,
            h2: config.protocol != Protocol::H1,
            h1: config.protocol != Protocol::H2c,
            roster: Arc::new(Roster::new(
                shared,
                config,
                authorities,
                before.map(|before| &*before.roster),
                &around.runtime,
            )),
            tasks: Mutex::default(),
        }))
    }

    /// Starts what looks at backends and asks for names.
    fn watch(&self, around: &Surroundings) {
        let mut tasks = lock(&self.tasks);
        for (index, host) in self.roster.names() {
            let following = discovery::follow(Arc::clone(&self.roster), index, host, Arc::clone(&around.resolver));
            tasks.push(AbortOnDropHandle::new(around.runtime.spawn(following)));
        }
        if let Some(check) = &self.roster.config.balancing.health {
            let watching = health::watch(Arc::clone(&self.roster), check.clone(), around.connector());
            tasks.push(AbortOnDropHandle::new(around.runtime.spawn(watching)));
        } else {
            self.roster.forget_looks();
        }
    }

    /// The backend for a permitted request of `client`, another one than `avoid` (which failed it already) where there is
    /// one. A backend that looks say is down is never chosen. One that is out after failures is, when there is no other:
    /// requests that may fail are better than ones that must.
    pub fn choose(
        &self,
        permit: &Permit,
        client: Option<IpAddr>,
        avoid: Option<SocketAddr>,
    ) -> Result<(HttpPeer, Lease), NoBackend> {
        let (shared, settings) = (&self.roster.shared, &self.roster.config.balancing);
        let now = shared.clock.now();
        let by_client = || client.map(Key::client);
        let key = match settings.balance {
            Balance::HashTenant => permit.tenant().map(|(view, _)| Key::tenant(view.tenant.id.0)).or_else(by_client),
            Balance::HashClient => by_client(),
            Balance::RoundRobin | Balance::LeastConnections => None,
        };
        let members = self.roster.members.load();
        let slow_start = settings.ejection.slow_start;
        let choice = Choice {
            members: &members,
            balance: settings.balance,
            key,
            turn: shared.turn(),
            avoid,
            weight: |backend: &backend::Backend| {
                (!self.roster.is_down(&backend.state)).then(|| backend.state.weight(now, slow_start))
            },
        };
        let backend = choice.make().ok_or(NoBackend::Unavailable)?;
        if !shared.begin_pending(settings.max_pending) {
            return Err(NoBackend::Busy);
        }
        if avoid.is_none() {
            shared.budget.request(now);
        }
        Ok((backend.peer.clone(), Lease::new(&self.roster, &backend.state)))
    }

    /// Whether a second try can go somewhere else than to `failed`.
    pub fn has_another(&self, failed: Option<SocketAddr>) -> bool {
        let members = self.roster.members.load();
        members.all.iter().any(|other| Some(other.state.address) != failed && !self.roster.is_down(&other.state))
    }

    /// Whether the retry budget allows one more; it is counted then.
    pub fn may_retry(&self) -> bool {
        let shared = &self.roster.shared;
        let may = shared.budget.retry(shared.clock.now(), self.roster.config.balancing.retry_budget);
        if may {
            shared.series.retries.inc()
        } else {
            shared.series.budget_exhausted.inc()
        }
        may
    }

    /// A request's time at the backends, from when it was given to the first until the head of an answer.
    pub fn observe(&self, time: Duration) {
        self.roster.shared.observe(time);
    }

    pub fn status(&self) -> PoolStatus {
        let pending = self.roster.shared.pending();
        PoolStatus { name: self.name.to_string(), pending, backends: self.roster.status() }
    }
}
