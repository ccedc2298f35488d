//! Configuration: loose files in, one checked [`Config`] out, or a list of every fault. Nothing that is configured is
//! ignored, and nothing here opens a socket or a store: only the files are read, and those that they name.

mod acme;
mod admin;
mod audit;
mod balancing;
mod beside;
mod billing;
mod brand;
mod compression;
mod diff;
mod directory;
mod dns;
mod domains;
mod faults;
mod file;
mod headers;
mod limits;
mod listener;
mod log;
mod metrics;
mod oidc;
mod parsers;
mod plans;
mod pools;
mod process;
mod reload;
mod route_actions;
mod route_edits;
mod route_index;
mod routes;
mod routing;
mod schema;
mod secrets;
mod section;
mod settings;
mod shadows;
mod shapes;
mod source;
mod store;
mod tenancy;
mod tls;
mod traces;
mod units;
mod values;
mod variables;

use std::path::Path;
use std::sync::Arc;

pub use acme::{
    Acme, Authority, AuthorityLimits, DnsProvider, DnsProviderKind, ExternalAccount, KeyKind, Rate, Rfc2136,
    TsigAlgorithm,
};
pub use admin::Admin;
pub use audit::Audit;
pub use balancing::{Balance, Balancing, CheckKind, Discovery, Ejection, HealthCheck};
pub use beside::PemFile;
pub use billing::Billing;
pub use compression::{Coding, Compression};
pub use diff::{Changes, Names, READ_AT_START, diff, hold_back};
pub use directory::Directory;
pub use dns::{Dns, Outbound};
pub use domains::Domains;
pub use faults::{Fault, Faults};
pub use headers::Headers;
pub use limits::Limits;
pub use listener::Listener;
pub use log::{Log, LogFormat, Output as LogOutput, Pattern as LogPattern, Sample};
pub use metrics::Metrics;
pub use oidc::OidcProvider;
pub use process::Process;
pub use reload::Reload;
pub use routing::{
    Action, Asked, HeaderEdits, HeaderMatch, HostMatch, Mismatch, Part, PathMatch, Pool, PoolId, Protocol, Route,
    RouteSettings, Routing, Target,
};
pub use schema::File;
pub use secrets::Secret;
pub use source::Sources;
pub use store::{KeySource, Store};
pub use tenancy::Tenancy;
pub use tls::{FallbackCertificate, Tls};
pub use traces::Traces;
pub use variables::Lookup;

use crate::model::{Brand, Catalogue, Setting};

/// Everything configured, checked. One value per load: whoever handles a request loads it once.
#[derive(Clone, Debug)]
pub struct Config {
    pub brand: Brand,
    pub listeners: Vec<Listener>,
    pub admin: Admin,
    pub store: Store,
    pub tls: Tls,
    pub limits: Limits,
    pub tenancy: Tenancy,
    pub audit: Audit,
    /// `None`: no billing system is listened to.
    pub billing: Option<Billing>,
    pub headers: Headers,
    pub compression: Compression,
    pub directory: Directory,
    pub dns: Dns,
    pub outbound: Outbound,
    pub domains: Domains,
    pub acme: Acme,
    pub log: Log,
    pub traces: Option<Traces>,
    pub metrics: Metrics,
    pub reload: Reload,
    pub process: Process,
    pub routing: Routing,
    pub catalogue: Arc<Catalogue>,
    /// What tenants can be set to, in the order of the configuration.
    pub settings: Arc<Vec<Setting>>,
}

impl Config {
    /// Reads `tenantry.toml`, `routing.toml` and `plans.toml` of a directory, with variables from the environment.
    pub fn load(dir: &Path) -> Result<Self, Faults> {
        Self::load_with(dir, &|name| std::env::var(name).ok())
    }

    /// Reads a directory, with variables from the caller.
    pub fn load_with(dir: &Path, lookup: &Lookup<'_>) -> Result<Self, Faults> {
        Self::parse(&Sources::read(dir), lookup)
    }

    /// Checks texts that are at hand already. Relative paths in them are left as they are: they count from the
    /// process's working directory.
    pub fn parse(sources: &Sources, lookup: &Lookup<'_>) -> Result<Self, Faults> {
        file::FileConfig::parse(sources).check(lookup)
    }

    /// The port that visitors see on the first TLS listener, if there is one: where plain HTTP is redirected to.
    pub fn https_port(&self) -> Option<u16> {
        self.listeners.iter().find(|listener| listener.tls).map(|listener| listener.public_port)
    }
}
