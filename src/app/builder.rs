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
use super::keys::{KeysEar, ResetEar, follow_keys, follow_sessions, install_keys};
use super::reload::{EdgeParts, Reloader};
use super::sockets::{Bound, bind, fallback, reachable};
use super::told::Teller;
use super::upgrade::Upgrader;
use super::{App, AppError, Running, manager};
use crate::admin::{self, AdminState, Services};
use crate::config::{self, Config};
use crate::directory::{
    Allowance, Applied, Directory, DirectorySettings, EndedSessions, Follower, Gate, Source, Subscriber,
};
use crate::edge::listener::{Listeners, Parts, Settings};
use crate::edge::{self, Assertions, Edge, EdgeServer, Gauges, Live, Proxy, Reaper, Registry, server};
use crate::jobs;
use crate::metrics::Metrics;
use crate::tenancy::Tenancy;
use crate::tls::{CertificateCache, CertificateCacheSettings, ServerConfigs};
use crate::traces::Tracer;
use crate::traffic::{Busiest, Meters};

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
    /// What tenants do on this node, and which of them metrics name.
    meters: Arc<Meters>,
    busiest: Busiest,
    tracer: Option<Tracer>,
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
        let node = uuid::Uuid::now_v7().to_string();
        let meters = Arc::new(Meters::new(node.clone(), app.clock.clone()));
        let busiest = Busiest::new(Arc::clone(&meters), app.config.metrics.tenants)?;
        metrics.collect_from(busiest.clone())?;
        let (clock, counters, told) = (app.clock.clone(), Arc::clone(&metrics), Arc::clone(&meters));
        let directory = Directory::new(Arc::clone(&source), &settings, brand, gate, clock, counters, told);
        let issuer = app.config.headers.issuer.clone();
        let assertions = Arc::new(Assertions::new(issuer, KEPT_ASSERTIONS, app.clock.clone()));
        install_keys(&*source, &assertions).await?;
        let directory = Arc::new(directory);
        Ok(Self { app, metrics, source, revision, directory, assertions, node, meters, busiest, tracer: None })
    }

    pub async fn run(mut self, mut subscribers: Vec<Arc<dyn Subscriber>>) -> Result<Running, AppError> {
        let mut config = self.app.config.clone();
        let (shutdown, stopping) = watch::channel(false);
        let (shutdown_admin, stopping_admin) = watch::channel(false);
        let mut helping = JoinSet::new();
        let mut serving = JoinSet::new();
        let loaded = config.clone();
        let inheritance = std::mem::take(&mut self.app.inheritance);
        let (sockets, private) = bind(&mut config, self.app.roles, inheritance.sockets)?;
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
            if let Some(traces) = &config.traces {
                let (tracer, sending) = Tracer::new(traces, self.app.clock.clone(), Arc::clone(&self.metrics))?;
                self.tracer = Some(tracer);
                tokio::spawn(sending);
            }
            let (parts, swapped) = self.serve_edge(&config, &stopping, &mut subscribers, &mut helping).await?;
            (listeners, edge) = (Some(parts), Some(swapped));
        }
        let poll = config.store.poll_interval;
        let told = (self.app.clock.clone(), Arc::clone(&self.metrics));
        let (follower, applied) = Follower::new(Arc::clone(&self.source), subscribers, self.revision, poll, told);
        helping.spawn(follower.run());
        helping.spawn(measure(Arc::clone(&self.directory)));
        let health = Arc::new(Health { draining: AtomicBool::new(false), applied: applied.clone() });
        let tenancy = self.tenancy(&shared, &applied);
        let control = self.control(&shared, &tenancy, &applied, (ear, &addresses))?;
        let handles = handles(&config, &sockets, &private)?;
        let since = (self.app.clock.now(), Arc::clone(&self.metrics));
        let upgrader = Upgrader::new(inheritance.program, handles, Arc::clone(&shared), since);
        let reloader = self.reloader(loaded, shared, edge);
        let rooms = (&tenancy, &control, (&reloader, &upgrader));
        let admin = self.serve_admin(private, rooms, &health, stopping_admin, &mut serving)?;
        if let Some(every) = config.reload.watch {
            let teller = Teller::new(tenancy.clone());
            let told = move |done: &Result<_, _>| teller.reloaded("watch", done);
            helping.spawn(Arc::clone(&reloader).watch(every, told));
        }
        helping.spawn(manager::keep_watchdog(applied.turns()));
        let working = self.work(&control, &tenancy, &applied).await?;
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
            meters: self.meters,
            tracer: self.tracer,
            metrics: self.metrics,
            listeners,
            addresses,
            admin,
            health,
            shutdown,
            shutdown_admin,
            serving,
            helping,
            working,
            node: self.node,
            reloader,
            upgrader,
            kept: Vec::new(),
        })
    }

    /// What works by itself.
    async fn work(&self, control: &Control, tenancy: &Tenancy, applied: &Applied) -> Result<JoinSet<()>, AppError> {
        let mut working = JoinSet::new();
        let (store, clock) = (&self.app.store, &self.app.clock);
        working.spawn(jobs::run(store.clone(), clock.clone()));
        working.spawn(jobs::measure(store.clone(), clock.clone(), Arc::clone(&self.metrics)));
        if self.app.roles.edge {
            working.spawn(jobs::report_node(store.clone(), clock.clone(), self.node.clone(), applied.watch()));
        }
        if self.app.roles.admin {
            control.start(&mut working).await?;
            working.spawn(tenancy.clone().keep_time(self.node.clone()));
            working.spawn(tenancy.clone().keep_members(self.node.clone()));
            working.spawn(tenancy.clone().keep_ledger(self.node.clone()));
        }
        Ok(working)
    }

    /// The edge's parts, ready to be given sockets.
    async fn serve_edge(
        &self,
        config: &Arc<Config>,
        stopping: &watch::Receiver<bool>,
        subscribers: &mut Vec<Arc<dyn Subscriber>>,
        helping: &mut JoinSet<()>,
    ) -> Result<(Listeners<EdgeServer>, EdgeParts), AppError> {
        let around = surroundings(config, &self.app.clock, &self.metrics);
        let live = Live::build(config, None, &around)?;
        live.pools.resolve(&around, NAMES_WAIT).await;
        live.take_over(None, &around);
        let live = Arc::new(ArcSwap::from_pointee(live));
        edge::show_all(&self.metrics);
        self.metrics.collect_from(Gauges::new(Arc::downgrade(&live))?)?;
        let certificates = self.certificates(config)?;
        let (registry, changes) = Registry::new();
        let ended = self.ended_sessions(&registry, subscribers, helping).await?;
        let (directory, over) = (Arc::clone(&self.directory), Arc::clone(&ended));
        helping.spawn(Reaper::new(Arc::clone(&registry), changes, directory, over, Arc::clone(&live)).run());
        subscribers.push(Arc::clone(&certificates) as Arc<dyn Subscriber>);
        // After the directory: whoever is told to look again must find the new truth.
        subscribers.push(Arc::clone(&registry) as Arc<dyn Subscriber>);
        let edge = Arc::new(Edge {
            directory: Arc::clone(&self.directory),
            ended,
            assertions: Arc::clone(&self.assertions),
            certificates: Arc::clone(&certificates),
            by_host: Allowance::new(BY_HOST_RATE, BY_HOST_BURST, self.app.clock.clone()),
            metrics: Arc::clone(&self.metrics),
            clock: self.app.clock.clone(),
            tracer: self.tracer.clone(),
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
            clock: self.app.clock.clone(),
            shutdown: stopping.clone(),
        });
        Ok((listeners, swapped))
    }

    /// The sessions that are over, kept current.
    async fn ended_sessions(
        &self,
        registry: &Arc<Registry>,
        subscribers: &mut Vec<Arc<dyn Subscriber>>,
        helping: &mut JoinSet<()>,
    ) -> Result<Arc<EndedSessions>, AppError> {
        let ended = Arc::new(EndedSessions::new(EndedSessions::MOST, self.app.clock.clone()));
        ended.load(&*self.source).await?;
        subscribers.push(Arc::clone(&ended) as Arc<dyn Subscriber>);
        let (reset, must_read) = mpsc::unbounded_channel();
        subscribers.push(Arc::new(ResetEar(reset)));
        let (source, registry) = (Arc::clone(&self.source), Arc::clone(registry));
        helping.spawn(follow_sessions(source, Arc::clone(&ended), registry, must_read));
        Ok(ended)
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
        let measured = (self.app.clock.clone(), Arc::clone(&self.metrics), self.busiest.clone());
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
        (tenancy, control, (reloader, upgrader)): (&Tenancy, &Control, (&Arc<Reloader>, &Arc<Upgrader>)),
        health: &Arc<Health>,
        stopping: watch::Receiver<bool>,
        serving: &mut JoinSet<()>,
    ) -> Result<SocketAddr, AppError> {
        let listener = TcpListener::from_std(socket).map_err(AppError::Runtime)?;
        let bound = listener.local_addr().map_err(AppError::Runtime)?;
        let health = Arc::clone(health) as Arc<dyn admin::Health>;
        let services = Services {
            tenancy: tenancy.clone(),
            signin: control.signin.clone(),
            certificates: control.certificates.clone(),
            domains: control.domains.clone(),
            acme: control.acme.clone(),
            configuration: Arc::clone(reloader) as Arc<dyn admin::Configuration>,
            traffic: Arc::clone(&self.meters),
            process: Arc::clone(upgrader) as Arc<dyn admin::Process>,
        };
        let state = AdminState::new(services, health, Arc::clone(&self.metrics));
        let router = if self.app.roles.admin { admin::router(state) } else { admin::probes(state) };
        serving.spawn(admin::serve(listener, router, stopping));
        Ok(bound)
    }
}

/// Second handles of all listening sockets, by name.
fn handles(
    config: &Config,
    sockets: &[Bound],
    private: &std::net::TcpListener,
) -> Result<Vec<(String, std::net::TcpListener)>, AppError> {
    let listeners = config.listeners.iter().zip(sockets).map(|(listener, (socket, _))| (&*listener.name, socket));
    let second = |(name, socket): (&str, &std::net::TcpListener)| {
        Ok((name.to_owned(), socket.try_clone().map_err(AppError::Runtime)?))
    };
    listeners.chain([("admin", private)]).map(second).collect()
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
