//! The composition root: only here do the parts meet. It opens the store, builds what the configuration asks for, binds
//! the sockets, and hands each part the others that it needs.

mod commands;
mod control;
mod keys;
mod sockets;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

pub use commands::{create_token, reseal};

use self::control::{Control, Ear, Ground};
use self::keys::{KeysEar, follow_keys, install_keys};
use self::sockets::{bind, fallback, reachable};
use crate::acme::protocol::CaError;
use crate::admin::{self, AdminState, Services};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::directory::{Allowance, Applied, Directory, DirectorySettings, Follower, Gate, Source, Subscriber};
use crate::edge::listener::{Listeners, Parts, Settings, SocketError};
use crate::edge::{Assertions, Edge, EdgeServer, Live, PoolError, Pools, Proxy, Reaper, Registry, server};
use crate::jobs::{self, JobError};
use crate::keyring::KeyringError;
use crate::metrics::Metrics;
use crate::seal::{SealError, Sealer};
use crate::store::{Store, StoreError};
use crate::tenancy::{self, Tenancy, TenancyError, hash_token};
use crate::tls::{CertificateCache, CertificateCacheSettings, ForeignProvider, ServerConfigs, TlsError};
use crate::traffic::{Busiest, Meters};

/// Which parts of the house run in this process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Roles {
    pub edge: bool,
    pub admin: bool,
}

impl Roles {
    pub const ALL: Self = Self { edge: true, admin: true };
    pub const EDGE: Self = Self { edge: true, admin: false };
    pub const ADMIN: Self = Self { edge: false, admin: true };
}

/// Why it cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Provider(#[from] ForeignProvider),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    #[error(transparent)]
    Job(#[from] JobError),
    #[error(transparent)]
    Tenancy(#[from] TenancyError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error("the runtime refuses a socket: {0}")]
    Runtime(std::io::Error),
    #[error("the metrics contradict each other: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("tls.fallback: {path}: {source}")]
    Fallback { path: String, source: std::io::Error },
}

/// Makes aws-lc-rs the process's TLS provider, with its post-quantum key exchange; pingora would otherwise choose
/// another. To be called before anything else.
pub fn install_crypto() -> Result<(), AppError> {
    Ok(crate::tls::install_provider()?)
}

/// A store that is open, and a configuration: all that is needed to start.
pub struct App {
    config: Config,
    clock: Clock,
    roles: Roles,
    store: Store,
}

impl App {
    /// Opens (and migrates) the store and sees to the signing keys.
    pub async fn open(config: Config, clock: Clock, roles: Roles) -> Result<Self, AppError> {
        let sealer = Sealer::load_all(&config.store.key, &config.store.old_keys)?;
        let store = Store::open(&config.store.url, config.store.max_connections, sealer, clock.clone()).await?;
        if store.has_old_keys() && store.sealed_under_old_keys().await? == 0 {
            info!("store.old_keys_unused: every secret is under store.key; run `tenantry store reseal` to be sure");
        }
        jobs::keep_signing_keys(&store, &clock).await?;
        Ok(Self { config, clock, roles, store })
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The rules over the store alone, for commands that run beside no directory.
    pub fn tenancy(&self) -> Tenancy {
        let config = Arc::new(ArcSwap::from_pointee(self.config.clone()));
        Tenancy::new(self.store.clone(), config, self.clock.clone(), Arc::new(()))
    }

    /// Binds every socket, then serves. `subscribers` hear every change besides the edge's own parts.
    pub async fn start(self, subscribers: Vec<Arc<dyn Subscriber>>) -> Result<Running, AppError> {
        Builder::new(self).await?.run(subscribers).await
    }
}

/// A process that serves. Dropping it ends everything at once; [`Running::stop`] does it gently.
pub struct Running {
    config: Arc<Config>,
    clock: Clock,
    store: Store,
    tenancy: Tenancy,
    applied: Applied,
    directory: Arc<Directory>,
    meters: Arc<Meters>,
    metrics: Arc<Metrics>,
    listeners: Option<Listeners<EdgeServer>>,
    addresses: Vec<(String, SocketAddr)>,
    admin: SocketAddr,
    health: Arc<Health>,
    shutdown: watch::Sender<bool>,
    serving: JoinSet<()>,
    helping: JoinSet<()>,
    node: String,
    /// Others' things that are to live as long.
    kept: Vec<Box<dyn std::any::Any + Send + Sync>>,
}

impl Running {
    /// Keeps something for as long as it serves.
    pub fn keep(&mut self, thing: impl Send + Sync + 'static) {
        self.kept.push(Box::new(thing));
    }

    /// Where a listener of the configuration really listens.
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        self.addresses.iter().find(|(name, _)| name == listener).map(|(_, address)| *address)
    }

    /// Where the private listener really listens.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Returns when a part that must never end has ended (it panicked): the process then knows no more what is true, and
    /// has to go.
    pub async fn broken(&mut self) {
        let ended = self.helping.join_next().await;
        error!(outcome = ?ended, "process.part_ended: this must not happen");
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn tenancy(&self) -> &Tenancy {
        &self.tenancy
    }

    pub fn applied(&self) -> &Applied {
        &self.applied
    }

    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// What tenants do on this node.
    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Whether this text is an operator's token that works.
    pub async fn knows_token(&self, token: &str) -> bool {
        let now = self.clock.now();
        let row = self.store.token_by_hash(&hash_token(token)).await;
        matches!(row, Ok(Some(row)) if row.expires.is_none_or(|at| at > now))
    }

    /// Stops accepting, lets what is under way end for as long as `grace`, then ends the rest.
    pub async fn stop(mut self, grace: Duration) {
        self.health.draining.store(true, Ordering::Release);
        info!("process.draining");
        let _ = self.shutdown.send(true);
        if let Some(listeners) = &self.listeners {
            listeners.drain(grace).await;
        }
        let ended = async { while self.serving.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, ended).await.is_err() {
            warn!("process.drain_deadline: ending what is left");
        }
        self.helping.shutdown().await;
        control::farewell(&self.store, &self.node).await;
        self.store.close().await;
    }
}

/// The parts, while they are being put together.
struct Builder {
    app: App,
    metrics: Arc<Metrics>,
    source: Arc<dyn Source>,
    revision: i64,
    directory: Arc<Directory>,
    assertions: Arc<Assertions>,
    /// This process, as leases and reports name it.
    node: String,
    /// What tenants do on this node.
    meters: Arc<Meters>,
}

impl Builder {
    async fn new(app: App) -> Result<Self, AppError> {
        let metrics = Arc::new(Metrics::new()?);
        let source: Arc<dyn Source> = Arc::new(app.store.clone());
        // Before anything is read: what changes from here on is heard of.
        let revision = source.revision().await?;
        let settings = DirectorySettings::from(&app.config.directory);
        let gate = Arc::new(Gate::new(&settings.gate, app.clock.clone()));
        let brand = app.config.brand.clone();
        let node = uuid::Uuid::now_v7().to_string();
        let (clock, counters) = (app.clock.clone(), Arc::clone(&metrics));
        let meters = Arc::new(Meters::new(node.clone(), clock.clone()));
        metrics.collect_from(Busiest::new(Arc::clone(&meters), app.config.metrics.tenants)?)?;
        let told = Arc::clone(&meters);
        let directory = Directory::new(Arc::clone(&source), &settings, brand, gate, clock, counters, told);
        let issuer = app.config.headers.issuer.clone();
        let assertions = Arc::new(Assertions::new(issuer, KEPT_ASSERTIONS, app.clock.clone()));
        install_keys(&*source, &assertions).await?;
        Ok(Self { app, metrics, source, revision, directory: Arc::new(directory), assertions, node, meters })
    }

    async fn run(self, mut subscribers: Vec<Arc<dyn Subscriber>>) -> Result<Running, AppError> {
        let mut config = self.app.config.clone();
        let (shutdown, stopping) = watch::channel(false);
        let mut helping = JoinSet::new();
        let mut serving = JoinSet::new();
        let (sockets, private) = bind(&mut config, self.app.roles)?;
        let addresses = config.listeners.iter().zip(&sockets).map(|(l, (_, address))| (l.name.clone(), *address));
        let addresses: Vec<(String, SocketAddr)> = addresses.collect();
        let config = Arc::new(config);

        subscribers.push(Arc::clone(&self.directory) as Arc<dyn Subscriber>);
        let ear = Arc::new(Ear::default());
        subscribers.push(Arc::clone(&ear) as Arc<dyn Subscriber>);
        let (keys, keys_changed) = mpsc::unbounded_channel();
        subscribers.push(Arc::new(KeysEar(keys)));
        helping.spawn(follow_keys(Arc::clone(&self.source), Arc::clone(&self.assertions), keys_changed));
        let listeners = match self.app.roles.edge {
            true => {
                let (listeners, reaper) = self.serve_edge(&config, &stopping, &mut subscribers)?;
                helping.spawn(reaper.run());
                Some(listeners)
            }
            false => None,
        };
        let poll = config.store.poll_interval;
        let (follower, applied) =
            Follower::new(Arc::clone(&self.source), subscribers, self.revision, poll, Arc::clone(&self.metrics));
        helping.spawn(follower.run());
        helping.spawn(measure(Arc::clone(&self.directory)));
        let health = Arc::new(Health { draining: AtomicBool::new(false), applied: applied.clone() });
        let tenancy = self.tenancy(&config, &applied);
        let control = self.control(&config, &tenancy, &applied, (ear, &addresses))?;
        let admin = self.serve_admin(private, (&tenancy, &control), &health, stopping, &mut serving)?;
        helping.spawn(jobs::run(self.app.store.clone(), self.app.clock.clone()));
        helping.spawn(jobs::measure(self.app.store.clone(), self.app.clock.clone(), Arc::clone(&self.metrics)));
        if self.app.roles.edge {
            let (store, clock) = (self.app.store.clone(), self.app.clock.clone());
            helping.spawn(jobs::report_node(store, clock, self.node.clone(), applied.watch()));
        }
        if self.app.roles.admin {
            control.start(&mut helping).await?;
        }
        if let Some(listeners) = &listeners {
            // Last of all: from here on strangers come in.
            for (listener, (socket, _)) in config.listeners.iter().zip(sockets) {
                listeners.serve(Arc::new(listener.clone()), socket).map_err(AppError::Runtime)?;
            }
        }
        Ok(Running {
            config,
            clock: self.app.clock,
            store: self.app.store,
            tenancy,
            applied,
            directory: self.directory,
            meters: self.meters,
            metrics: self.metrics,
            listeners,
            addresses,
            admin,
            health,
            shutdown,
            serving,
            helping,
            node: self.node,
            kept: Vec::new(),
        })
    }

    /// The edge's parts, ready to be given sockets.
    fn serve_edge(
        &self,
        config: &Arc<Config>,
        stopping: &watch::Receiver<bool>,
        subscribers: &mut Vec<Arc<dyn Subscriber>>,
    ) -> Result<(Listeners<EdgeServer>, Reaper), AppError> {
        let live = Live { pools: Pools::build(&config.routing)?, config: Arc::clone(config) };
        let live = Arc::new(ArcSwap::from_pointee(live));
        let certificates = self.certificates(config)?;
        let (registry, changes) = Registry::new();
        let reaper = Reaper::new(Arc::clone(&registry), changes, Arc::clone(&self.directory), Arc::clone(&live));
        subscribers.push(Arc::clone(&certificates) as Arc<dyn Subscriber>);
        // After the directory: whoever is told to look again must find the new truth.
        subscribers.push(Arc::clone(&registry) as Arc<dyn Subscriber>);
        let edge = Edge {
            directory: Arc::clone(&self.directory),
            assertions: Arc::clone(&self.assertions),
            certificates: Arc::clone(&certificates),
            by_host: Allowance::new(BY_HOST_RATE, BY_HOST_BURST, self.app.clock.clone()),
            metrics: Arc::clone(&self.metrics),
        };
        let workers = tokio::runtime::Handle::current().metrics().num_workers();
        let settings = Settings { limits: config.limits.clone(), handshake_timeout: config.tls.handshake_timeout };
        let listeners = Listeners::new(Parts {
            app: server(Proxy { edge, live }, &config.limits, workers),
            certificates,
            settings: Arc::new(ArcSwap::from_pointee(settings)),
            registry,
            metrics: Arc::clone(&self.metrics),
            clock: self.app.clock.clone(),
            shutdown: stopping.clone(),
        });
        Ok((listeners, reaper))
    }

    fn certificates(&self, config: &Config) -> Result<Arc<CertificateCache>, AppError> {
        let configs = Arc::new(ServerConfigs::new(config.tls.min_version_13)?);
        let fallback = config.tls.fallback.as_ref().map(|files| fallback(files, &configs)).transpose()?;
        let settings = CertificateCacheSettings {
            base: config.brand.base.clone(),
            capacity: config.tls.cache,
            negatives: config.directory.negatives,
            negative_ttl: config.directory.negative_ttl,
            wait: config.tls.certificate_wait,
        };
        Ok(CertificateCache::new(
            Arc::clone(&self.source),
            &settings,
            Arc::clone(&self.directory),
            configs,
            fallback,
            self.app.clock.clone(),
            &self.metrics,
        ))
    }

    fn tenancy(&self, config: &Arc<Config>, applied: &Applied) -> Tenancy {
        let shared = Arc::new(ArcSwap::new(Arc::clone(config)));
        Tenancy::new(self.app.store.clone(), shared, self.app.clock.clone(), Arc::new(Local(applied.clone())))
    }

    fn control(
        &self,
        config: &Arc<Config>,
        tenancy: &Tenancy,
        applied: &Applied,
        (ear, addresses): (Arc<Ear>, &[(String, SocketAddr)]),
    ) -> Result<Control, AppError> {
        let open = |listener: &&config::Listener| listener.tls && listener.proxy_protocol.is_none();
        let own =
            config.listeners.iter().find(open).and_then(|own| addresses.iter().find(|(name, _)| *name == own.name));
        Control::build(Ground {
            store: self.app.store.clone(),
            clock: self.app.clock.clone(),
            config: Arc::new(ArcSwap::new(Arc::clone(config))),
            tenancy: tenancy.clone(),
            applied: Arc::new(Local(applied.clone())),
            metrics: Arc::clone(&self.metrics),
            node: self.node.clone(),
            ear,
            listener: own.map(|(_, address)| reachable(*address)),
        })
    }

    /// The private listener: the API where this process has that role, and the probes in any case.
    fn serve_admin(
        &self,
        socket: std::net::TcpListener,
        (tenancy, control): (&Tenancy, &Control),
        health: &Arc<Health>,
        stopping: watch::Receiver<bool>,
        serving: &mut JoinSet<()>,
    ) -> Result<SocketAddr, AppError> {
        let listener = TcpListener::from_std(socket).map_err(AppError::Runtime)?;
        let bound = listener.local_addr().map_err(AppError::Runtime)?;
        let health = Arc::clone(health) as Arc<dyn admin::Health>;
        let services = Services {
            tenancy: tenancy.clone(),
            certificates: control.certificates.clone(),
            domains: control.domains.clone(),
            acme: control.acme.clone(),
            traffic: Arc::clone(&self.meters),
        };
        let state = AdminState::new(services, health, Arc::clone(&self.metrics));
        let router = if self.app.roles.admin { admin::router(state) } else { admin::probes(state) };
        serving.spawn(admin::serve(listener, router, stopping));
        Ok(bound)
    }
}

/// Keeps the gauges of the caches' sizes current.
async fn measure(directory: Arc<Directory>) {
    loop {
        directory.stats();
        tokio::time::sleep(MEASURE_EVERY).await;
    }
}

/// The directory of this process, as those who write wait for it.
struct Local(Applied);

#[async_trait]
impl tenancy::Applied for Local {
    async fn applied(&self, revision: i64) -> bool {
        self.0.wait_for(revision, APPLY_PATIENCE).await
    }
}

struct Health {
    draining: AtomicBool,
    applied: Applied,
}

impl admin::Health for Health {
    fn facts(&self) -> admin::Facts {
        admin::Facts {
            // Nothing is served before the revision is known and the signing keys are there.
            loaded: true,
            draining: self.draining.load(Ordering::Acquire),
            store_up: self.applied.store_up(),
            revision: self.applied.revision(),
        }
    }
}

/// A tenant, a pool and a host each have one; ten thousand hot hosts fit.
const KEPT_ASSERTIONS: u64 = 65_536;
/// `/tenants/by-host/` per client and second.
const BY_HOST_RATE: u32 = 20;
const BY_HOST_BURST: u32 = 60;
const APPLY_PATIENCE: Duration = Duration::from_secs(5);
const MEASURE_EVERY: Duration = Duration::from_secs(15);
