//! The composition root: only here do the parts meet. It opens the store, builds what the configuration asks for, binds
//! the sockets, and hands each part the others that it needs.

mod backup;
mod builder;
mod commands;
mod control;
mod drain;
mod health;
mod hosts;
mod keys;
mod last_good;
pub mod manager;
mod origin;
mod reload;
mod sockets;
mod told;
mod upgrade;

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info};

pub use crate::tls::PROVIDER as TLS_PROVIDER;
pub use backup::{backup, copy, restore};
pub use commands::{create_operator, create_token, reseal};
pub use origin::{Loaded, Origin};
pub use reload::Reloader;
pub use told::Teller;
pub use upgrade::{Inheritance, Predecessor, Upgrader};

use self::builder::Builder;
use self::health::Health;
use crate::acme::protocol::CaError;
use crate::audit::{AuditError, Ledger};
use crate::clock::Clock;
use crate::config::{Config, Faults, Sources};
use crate::directory::{Applied, Directory, Subscriber};
use crate::edge::listener::{Listeners, SocketError};
use crate::edge::{EdgeServer, PoolError};
use crate::jobs::{self, JobError};
use crate::keyring::KeyringError;
use crate::metrics::Metrics;
use crate::outbound::HttpsError;
use crate::seal::{SealError, Sealer};
use crate::signin::SignInError;
use crate::store::{Store, StoreError};
use crate::telemetry;
use crate::tenancy::{Tenancy, TenancyError, hash_token};
use crate::tls::{ForeignProvider, TlsError};
use crate::traces::{ExportError, Tracer};
use crate::traffic::Meters;

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
    #[error(transparent)]
    SignIn(#[from] SignInError),
    #[error("[[admin.oidc]]: {0}")]
    Providers(#[from] HttpsError),
    #[error(transparent)]
    Ledger(#[from] AuditError),
    #[error(transparent)]
    Traces(#[from] ExportError),
    #[error("the runtime refuses a socket: {0}")]
    Runtime(std::io::Error),
    #[error("the sockets that were handed over (LISTEN_FDS) cannot be taken: {0}")]
    Inherited(std::io::Error),
    #[error("{path}: {source}")]
    Backup { path: String, source: std::io::Error },
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
    origin: Option<(Origin, Sources, Option<Faults>)>,
    inheritance: Inheritance,
}

impl App {
    /// Opens (and migrates) the store and sees to the keys that sign assertions and the ledger's checkpoints.
    pub async fn open(config: Config, clock: Clock, roles: Roles) -> Result<Self, AppError> {
        let sealer = Sealer::load_all(&config.store.key, &config.store.old_keys)?;
        let store = Store::open(&config.store.url, config.store.max_connections, sealer, clock.clone()).await?;
        if store.has_old_keys() && store.sealed_under_old_keys().await? == 0 {
            info!("store.old_keys_unused: every secret is under store.key; run `tenantry store reseal` to be sure");
        }
        jobs::keep_signing_keys(&store, &clock).await?;
        Ledger::new(store.clone(), clock.clone()).keys().await?;
        Ok(Self { config, clock, roles, store, origin: None, inheritance: Inheritance::default() })
    }

    /// The same with a configuration that can be read again from where it came.
    pub async fn open_from(origin: Origin, loaded: Loaded, clock: Clock, roles: Roles) -> Result<Self, AppError> {
        let Loaded { config, sources, instead_of } = loaded;
        let app = Self::open(config, clock, roles).await?;
        Ok(Self { origin: Some((origin, sources, instead_of)), ..app })
    }

    /// With sockets of the process before, and so that a process after it can have them.
    pub fn inheriting(self, inheritance: Inheritance) -> Self {
        Self { inheritance, ..self }
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
    clock: Clock,
    store: Store,
    tenancy: Tenancy,
    applied: Applied,
    directory: Arc<Directory>,
    meters: Arc<Meters>,
    tracer: Option<Tracer>,
    metrics: Arc<Metrics>,
    listeners: Option<Listeners<EdgeServer>>,
    addresses: Vec<(String, SocketAddr)>,
    admin: SocketAddr,
    health: Arc<Health>,
    /// Of the edge, and of the private listener.
    shutdown: watch::Sender<bool>,
    shutdown_admin: watch::Sender<bool>,
    serving: JoinSet<()>,
    /// What must live for as long as anything is served.
    helping: JoinSet<()>,
    /// What works by itself, and what other nodes can do as well.
    working: JoinSet<()>,
    node: String,
    reloader: Arc<Reloader>,
    upgrader: Arc<Upgrader>,
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
        let ended = tokio::select! {
            Some(ended) = self.helping.join_next() => ended,
            Some(ended) = self.working.join_next() => ended,
            else => return,
        };
        error!(outcome = ?ended, "process.part_ended: this must not happen");
    }

    /// What is in force.
    pub fn config(&self) -> Arc<Config> {
        self.reloader.config()
    }

    /// Reloads change this log, too, and what it loses is counted.
    pub fn log_with(&self, log: telemetry::Handle) {
        log.count_in(&self.metrics);
        self.reloader.set_log(log);
    }

    /// Reads the configuration again, when it came from files.
    pub fn reloader(&self) -> &Arc<Reloader> {
        &self.reloader
    }

    /// Has another process take over.
    pub fn upgrader(&self) -> &Arc<Upgrader> {
        &self.upgrader
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

    /// Tells the ledger what this process was told to do.
    pub fn teller(&self) -> Teller {
        Teller::new(self.tenancy.clone())
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
}
