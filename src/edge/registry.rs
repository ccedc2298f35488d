//! The open connections, and who has to close some of them when a tenant or a host changes. A request in flight asks
//! the directory; a WebSocket or an idle connection asks nobody, so it must be told.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tracing::info;

use super::connection::{CloseReason, Connection, Visitor};
use super::gates::check_standing;
use super::limits::check_access;
use super::live::Live;
use super::maintenance;
use crate::directory::{Directory, EndedSessions, Resolution, Subscriber, View};
use crate::model::{Change, HostClass, Hostname, TenantId};

/// Every open connection of this process, by its id.
pub struct Registry {
    shards: Box<[Mutex<Open>]>,
    changes: mpsc::UnboundedSender<Touched>,
}

/// One shard's connections, by id.
type Open = HashMap<u64, Weak<Connection>>;

/// The changes that a registry has heard of.
pub struct Changes(mpsc::UnboundedReceiver<Touched>);

/// What a change may have ended.
enum Touched {
    Tenants,
    Sessions,
    Host(Hostname),
    Hosts,
    Everything,
}

/// What became of a host.
#[derive(Clone, Copy)]
enum Place {
    Tenant(TenantId),
    Nobody,
    CannotTell,
}

/// What becomes of the connections on which a tenant was served.
enum Verdict {
    CannotTell,
    /// Requests are told each for itself; only a WebSocket has none.
    GoOn(Arc<View>),
    Ended,
}

impl Place {
    /// Whether a connection on that host, on which these tenants were served, may go on.
    fn still_fits(self, seen: &[TenantId]) -> bool {
        match self {
            Self::Tenant(now) => seen.iter().all(|tenant| *tenant == now),
            // One that has served nobody has nothing to forget: it was made after the change.
            Self::Nobody => seen.is_empty(),
            Self::CannotTell => true,
        }
    }
}

/// Takes a connection out of the registry when it ends.
pub struct Registered {
    registry: Arc<Registry>,
    id: u64,
}

/// The other half: closes what changes have ended. [`Reaper::run`] is its whole life.
pub struct Reaper {
    registry: Arc<Registry>,
    changes: Changes,
    directory: Arc<Directory>,
    ended: Arc<EndedSessions>,
    live: Arc<ArcSwap<Live>>,
}

impl Registry {
    /// An empty registry, and what it hears of changes: that is for a [`Reaper`].
    pub fn new() -> (Arc<Self>, Changes) {
        let (sender, changes) = mpsc::unbounded_channel();
        (Arc::new(Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), changes: sender }), Changes(changes))
    }

    pub fn register(self: &Arc<Self>, connection: &Arc<Connection>) -> Registered {
        self.with_shard(connection.id, |shard| shard.insert(connection.id, Arc::downgrade(connection)));
        Registered { registry: Arc::clone(self), id: connection.id }
    }

    pub fn connections(&self) -> Vec<Arc<Connection>> {
        let each = |shard: &Mutex<Open>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.values().filter_map(Weak::upgrade).collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(each).collect()
    }

    /// Looks at the sessions again: the list of those that have ended was read afresh.
    pub fn look_at_sessions(&self) {
        let _ = self.changes.send(Touched::Sessions);
    }

    fn with_shard<R>(&self, id: u64, act: impl FnOnce(&mut Open) -> R) -> R {
        // Plain map operations leave the map whole, whoever panicked elsewhere.
        act(&mut self.shards[id as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.registry.with_shard(self.id, |shard| shard.remove(&self.id));
    }
}

impl Subscriber for Registry {
    fn apply(&self, change: &Change) {
        let touched = match change {
            Change::Tenant(_) => Touched::Tenants,
            Change::Reset => Touched::Everything,
            Change::Host(host) => Touched::Host(host.clone()),
            Change::Beneath(_) => Touched::Hosts,
            Change::Session(_) => Touched::Sessions,
            Change::Slug(_) | Change::Certificate(_) | Change::Challenge(_) | Change::Keys => {
                return;
            }
        };
        // The reaper lives as long as the process; without it there is nobody to tell.
        let _ = self.changes.send(touched);
    }
}

impl Reaper {
    pub fn new(
        registry: Arc<Registry>,
        changes: Changes,
        directory: Arc<Directory>,
        ended: Arc<EndedSessions>,
        live: Arc<ArcSwap<Live>>,
    ) -> Self {
        Self { registry, changes, directory, ended, live }
    }

    /// Works through changes until the registry is gone. Time ends tenants too (a trial that is over, where the
    /// configuration suspends those), so now and then it looks without being told.
    pub async fn run(mut self) {
        loop {
            let mut next = match tokio::time::timeout(LOOK_AGAIN, self.changes.0.recv()).await {
                Ok(None) => return,
                Ok(first) => first,
                Err(_) => Some(Touched::Tenants),
            };
            let (mut tenants, mut every_host) = (false, false);
            let mut hosts = Vec::new();
            // A burst of changes costs one pass over the connections.
            while let Some(touched) = next {
                match touched {
                    Touched::Tenants => tenants = true,
                    // Each pass looks at those.
                    Touched::Sessions => {}
                    Touched::Host(host) => hosts.push(host),
                    Touched::Hosts => every_host = true,
                    Touched::Everything => (tenants, every_host) = (true, true),
                }
                next = self.changes.0.try_recv().ok();
            }
            if every_host {
                hosts = self.hosts_in_use();
            }
            self.pass(tenants, &hosts).await;
        }
    }

    /// The custom domains that connections were made for.
    fn hosts_in_use(&self) -> Vec<Hostname> {
        let brand = &self.live.load().config.brand;
        let custom = |host: &Hostname| brand.classify(host) == HostClass::Custom;
        let names: HashSet<Hostname> =
            self.registry.connections().iter().filter_map(|c| c.sni.clone()).filter(custom).collect();
        names.into_iter().collect()
    }

    async fn pass(&self, tenants: bool, hosts: &[Hostname]) {
        let mut verdicts: HashMap<TenantId, Verdict> = HashMap::new();
        let mut places: HashMap<&Hostname, Place> = HashMap::new();
        for connection in self.registry.connections() {
            if connection.has_session(|cookie| self.ended.contains(cookie.session, cookie.expires)) {
                info!(connection.id = connection.id, "connection.closed_by_session");
                connection.close(CloseReason::Policy);
                continue;
            }
            // The next request will be told; only a WebSocket has none.
            if connection.has_session(|cookie| self.ended.expired(cookie.expires)) {
                connection.close_websocket(CloseReason::Policy);
            }
            let seen = connection.tenants();
            if let Some(host) = connection.sni.as_ref().and_then(|sni| hosts.iter().find(|host| *host == sni)) {
                let place = match places.get(host) {
                    Some(place) => *place,
                    None => *places.entry(host).or_insert(self.place_of(host).await),
                };
                if !place.still_fits(&seen) {
                    // Whosever host it is now, its next visit starts afresh.
                    connection.close(CloseReason::GoingAway);
                    continue;
                }
            }
            for tenant in seen.into_iter().filter(|_| tenants) {
                let verdict = match verdicts.entry(tenant) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(unknown) => unknown.insert(self.verdict(tenant).await),
                };
                match verdict {
                    Verdict::CannotTell => {}
                    Verdict::GoOn(view) => {
                        if let Some(reason) = connection.visitor().and_then(|visitor| unwelcome(view, visitor)) {
                            connection.close_websocket(reason);
                        }
                    }
                    Verdict::Ended => {
                        info!(tenant.id = %tenant, connection.id = connection.id, "connection.closed_by_policy");
                        connection.close(CloseReason::Policy);
                    }
                }
            }
        }
    }

    /// Whom a custom domain leads to after it has changed.
    async fn place_of(&self, host: &Hostname) -> Place {
        let live = self.live.load_full();
        let (class, suspend_expired) = (live.config.brand.classify(host), live.config.tenancy.suspend_expired_trials);
        let ours = IpAddr::V4(Ipv4Addr::LOCALHOST);
        match self.directory.resolve(host, &class, ours, &live.config.catalogue, suspend_expired).await {
            Ok(Resolution::Tenant(view, _)) => Place::Tenant(view.tenant.id),
            Ok(Resolution::Unknown) => Place::Nobody,
            Err(_) => Place::CannotTell,
        }
    }

    /// Trouble in finding out closes nothing: the next request will be told.
    async fn verdict(&self, tenant: TenantId) -> Verdict {
        let live = self.live.load_full();
        let suspend_expired = live.config.tenancy.suspend_expired_trials;
        match self.directory.tenant(tenant, &live.config.catalogue, suspend_expired).await {
            Ok(Some(view)) if check_standing(&view).is_err() => Verdict::Ended,
            Ok(Some(view)) => Verdict::GoOn(view),
            Err(_) => Verdict::CannotTell,
            Ok(None) => Verdict::Ended,
        }
    }
}

/// Why a visitor's WebSocket does not go on: as its request would be refused now.
fn unwelcome(view: &View, visitor: Visitor) -> Option<CloseReason> {
    if visitor.at_home && check_access(view, visitor.address).is_err() {
        return Some(CloseReason::Policy);
    }
    maintenance::check(view, visitor.address).is_err().then_some(CloseReason::TryLater)
}

const SHARDS: usize = 32;

/// How long after its time a tenant's idle connections may stay open.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
