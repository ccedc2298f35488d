//! Puts the parts together: builds what the configuration asks for, binds the sockets, and hands each part the others
//! that it needs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::control::{Control, Ear, Ground};
use super::health::{Health, Local};
use super::hosts::{NAMES_WAIT, surroundings};
use super::keys::{KeysEar, follow_keys, install_keys};
use super::reload::{EdgeParts, Reloader};
use super::sockets::{bind, fallback, reachable};
use super::{App, AppError, Running};
use crate::admin::{self, AdminState, Services};
use crate::config::{self, Config};
use crate::directory::{Allowance, Applied, Directory, DirectorySettings, Follower, Gate, Source, Subscriber};
use crate::edge::listener::{Listeners, Parts, Settings};
use crate::edge::{Assertions, Edge, EdgeServer, Live, Pools, Proxy, Reaper, Registry, server};
use crate::jobs;
use crate::metrics::Metrics;
use crate::tenancy::Tenancy;
use crate::tls::{CertificateCache, CertificateCacheSettings, ServerConfigs};

/// The parts, while they are being put together.
pub(super) struct Builder {
    app: App,
    metrics: Arc<Metrics>,
    source: Arc<dyn Source>,
    revision: i64,
    directory: Arc<Directory>,
    assertions: Arc<Assertions>,
    /// This process, as leases and reports name it.
    node: String,
}

impl Builder {
    pub async fn new(app: App) -> Result<Self, AppError> {
        let metrics = Arc::new(Metrics::new()?);
        let source: Arc<dyn Source> = Arc::new(app.store.clone());
        // Before anything is read: what changes from here on is heard of.
        let revision = source.revision().await?;
        let settings = DirectorySettings::from(&app.config.directory);
        let gate = Arc::new(Gate::new(&settings.gate, app.clock.clone()));
        let brand = app.config.brand.clone();
        let directory =
            Directory::new(Arc::clone(&source), &settings, brand, gate, app.clock.clone(), Arc::clone(&metrics));
        let issuer = app.config.headers.issuer.clone();
        let assertions = Arc::new(Assertions::new(issuer, KEPT_ASSERTIONS, app.clock.clone()));
        install_keys(&*source, &assertions).await?;
        let node = uuid::Uuid::now_v7().to_string();
        Ok(Self { app, metrics, source, revision, directory: Arc::new(directory), assertions, node })
    }

    pub async fn run(self, mut subscribers: Vec<Arc<dyn Subscriber>>) -> Result<Running, AppError> {
        let mut config = self.app.config.clone();
        let (shutdown, stopping) = watch::channel(false);
        let mut helping = JoinSet::new();
        let mut serving = JoinSet::new();
        let loaded = config.clone();
        let (sockets, private) = bind(&mut config, self.app.roles)?;
        let addresses = config.listeners.iter().zip(&sockets).map(|(l, (_, address))| (l.name.clone(), *address));
        let addresses: Vec<(String, SocketAddr)> = addresses.collect();
        let config = Arc::new(config);
        let shared = Arc::new(ArcSwap::new(Arc::clone(&config)));

        subscribers.push(Arc::clone(&self.directory) as Arc<dyn Subscriber>);
        let ear = Arc::new(Ear::default());
        subscribers.push(Arc::clone(&ear) as Arc<dyn Subscriber>);
        let (keys, keys_changed) = mpsc::unbounded_channel();
        subscribers.push(Arc::new(KeysEar(keys)));
        helping.spawn(follow_keys(Arc::clone(&self.source), Arc::clone(&self.assertions), keys_changed));
        let (mut listeners, mut edge) = (None, None);
        if self.app.roles.edge {
            let (parts, reaper, swapped) = self.serve_edge(&config, &stopping, &mut subscribers).await?;
            helping.spawn(reaper.run());
            (listeners, edge) = (Some(parts), Some(swapped));
        }
        let poll = config.store.poll_interval;
        let (follower, applied) =
            Follower::new(Arc::clone(&self.source), subscribers, self.revision, poll, Arc::clone(&self.metrics));
        helping.spawn(follower.run());
        helping.spawn(measure(Arc::clone(&self.directory)));
        let health = Arc::new(Health { draining: AtomicBool::new(false), applied: applied.clone() });
        let tenancy = self.tenancy(&shared, &applied);
        let control = self.control(&shared, &tenancy, &applied, (ear, &addresses))?;
        let reloader = self.reloader(loaded, shared, edge);
        let rooms = (&tenancy, &control, &reloader);
        let admin = self.serve_admin(private, rooms, &health, stopping, &mut serving)?;
        if let Some(every) = config.reload.watch {
            helping.spawn(Arc::clone(&reloader).watch(every));
        }
        helping.spawn(jobs::run(self.app.store.clone(), self.app.clock.clone()));
        helping.spawn(jobs::measure(self.app.store.clone(), self.app.clock.clone(), Arc::clone(&self.metrics)));
        if self.app.roles.edge {
            let (store, clock) = (self.app.store.clone(), self.app.clock.clone());
            helping.spawn(jobs::report_node(store, clock, self.node.clone(), applied.watch()));
        }
        if self.app.roles.admin {
            control.start(&mut helping).await?;
        }
        // Everything that it asks for could be had.
        if let Some((origin, sources, None)) = &self.app.origin {
            origin.keep(sources);
        }
        if let Some(listeners) = &listeners {
            // Last of all: from here on strangers come in.
            for (listener, (socket, _)) in config.listeners.iter().zip(sockets) {
                listeners.serve(Arc::new(listener.clone()), socket).map_err(AppError::Runtime)?;
            }
        }
        Ok(Running {
            clock: self.app.clock,
            store: self.app.store,
            tenancy,
            applied,
            directory: self.directory,
            metrics: self.metrics,
            listeners,
            addresses,
            admin,
            health,
            shutdown,
            serving,
            helping,
            node: self.node,
            reloader,
            kept: Vec::new(),
        })
    }

    /// The edge's parts, ready to be given sockets.
    async fn serve_edge(
        &self,
        config: &Arc<Config>,
        stopping: &watch::Receiver<bool>,
        subscribers: &mut Vec<Arc<dyn Subscriber>>,
    ) -> Result<(Listeners<EdgeServer>, Reaper, EdgeParts), AppError> {
        let around = surroundings(config, &self.app.clock, &self.metrics);
        let pools = Pools::build(&config.routing, None, &around)?;
        pools.resolved(NAMES_WAIT).await;
        let live = Live { pools, config: Arc::clone(config) };
        let live = Arc::new(ArcSwap::from_pointee(live));
        let certificates = self.certificates(config)?;
        let (registry, changes) = Registry::new();
        let reaper = Reaper::new(Arc::clone(&registry), changes, Arc::clone(&self.directory), Arc::clone(&live));
        subscribers.push(Arc::clone(&certificates) as Arc<dyn Subscriber>);
        // After the directory: whoever is told to look again must find the new truth.
        subscribers.push(Arc::clone(&registry) as Arc<dyn Subscriber>);
        let edge = Arc::new(Edge {
            directory: Arc::clone(&self.directory),
            assertions: Arc::clone(&self.assertions),
            certificates: Arc::clone(&certificates),
            by_host: Allowance::new(BY_HOST_RATE, BY_HOST_BURST, self.app.clock.clone()),
            metrics: Arc::clone(&self.metrics),
        });
        let workers = tokio::runtime::Handle::current().metrics().num_workers();
        let settings = Settings { limits: config.limits.clone(), handshake_timeout: config.tls.handshake_timeout };
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let swapped =
            EdgeParts { edge: Arc::clone(&edge), live: Arc::clone(&live), around, settings: Arc::clone(&settings) };
        let listeners = Listeners::new(Parts {
            app: server(Proxy { edge, live }, &config.limits, workers),
            certificates,
            settings,
            registry,
            metrics: Arc::clone(&self.metrics),
            shutdown: stopping.clone(),
        });
        Ok((listeners, reaper, swapped))
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

    fn reloader(&self, loaded: Config, shared: Arc<ArcSwap<Config>>, edge: Option<EdgeParts>) -> Arc<Reloader> {
        let (origin, instead_of) = match &self.app.origin {
            Some((origin, _, instead_of)) => (Some(origin.clone()), instead_of.as_ref()),
            None => (None, None),
        };
        let measured = (self.app.clock.clone(), Arc::clone(&self.metrics));
        Reloader::new(origin, measured, loaded, shared, edge, instead_of)
    }

    fn tenancy(&self, shared: &Arc<ArcSwap<Config>>, applied: &Applied) -> Tenancy {
        let shared = Arc::clone(shared);
        Tenancy::new(self.app.store.clone(), shared, self.app.clock.clone(), Arc::new(Local(applied.clone())))
    }

    fn control(
        &self,
        shared: &Arc<ArcSwap<Config>>,
        tenancy: &Tenancy,
        applied: &Applied,
        (ear, addresses): (Arc<Ear>, &[(String, SocketAddr)]),
    ) -> Result<Control, AppError> {
        let open = |listener: &&config::Listener| listener.tls && listener.proxy_protocol.is_none();
        let config = shared.load();
        let own =
            config.listeners.iter().find(open).and_then(|own| addresses.iter().find(|(name, _)| *name == own.name));
        Control::build(Ground {
            store: self.app.store.clone(),
            clock: self.app.clock.clone(),
            config: Arc::clone(shared),
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
        (tenancy, control, reloader): (&Tenancy, &Control, &Arc<Reloader>),
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
            configuration: Arc::clone(reloader) as Arc<dyn admin::Configuration>,
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

/// A tenant, a pool and a host each have one; ten thousand hot hosts fit.
const KEPT_ASSERTIONS: u64 = 65_536;
/// `/tenants/by-host/` per client and second.
const BY_HOST_RATE: u32 = 20;
const BY_HOST_BURST: u32 = 60;
const MEASURE_EVERY: Duration = Duration::from_secs(15);
