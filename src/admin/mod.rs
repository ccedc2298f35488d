//! The admin API: translates HTTP to the rooms behind it, nothing more. No rule about tenants is decided here, no SQL is
//! spoken, and every route says what it needs of its caller (`access.rs`).

mod access;
mod address;
mod answer;
mod audit;
mod audit_check;
mod billing;
mod body;
mod branding;
mod caps;
mod catalogue;
mod certificates;
mod codes;
mod config;
mod cookies;
mod descent;
mod domains;
mod edge;
mod edit;
mod effective;
mod erasure;
mod events;
mod export;
mod idempotency;
mod imports;
mod invitations;
mod layers;
mod members;
mod openapi;
mod orders;
mod password_tokens;
mod people;
mod plan_views;
mod plans;
mod precondition;
mod probes;
mod problem;
mod process;
mod query;
mod readings;
mod reference;
mod roles;
mod routes;
mod serve;
mod session;
mod settings;
mod signin;
mod status;
mod tenant_list;
mod tenants;
mod tokens;
mod traffic;
mod units;
mod views;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::middleware::from_fn_with_state;
use tokio::sync::Semaphore;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

pub use config::{ConfigState, Configuration, FaultView, LastReload, Refused, Reloaded};
pub use layers::HANDLER_TIMEOUT;
pub use probes::{Facts, Health};
pub use problem::Problem;
pub use process::{Process, ProcessState, Succession, UpgradeRefused};
pub use serve::serve;

use self::readings::Readings;
use crate::acme::Acme;
use crate::certificates::Certificates;
use crate::domains::Domains;
use crate::metrics::Metrics;
use crate::signin::SignIn;
use crate::tenancy::Tenancy;
use crate::traffic::Meters;

/// What the routes need. Clones share it.
#[derive(Clone)]
pub struct AdminState {
    tenancy: Tenancy,
    signin: SignIn,
    certificates: Certificates,
    domains: Domains,
    acme: Acme,
    traffic: Arc<Meters>,
    configuration: Arc<dyn Configuration>,
    process: Arc<dyn Process>,
    health: Arc<dyn Health>,
    metrics: Arc<Metrics>,
    /// The description of the routes, once they are all known.
    openapi: Arc<OnceLock<String>>,
    /// The same as a page, once somebody has asked for it.
    page: Arc<OnceLock<Option<Bytes>>>,
    /// One import at a time.
    imports: Arc<Semaphore>,
    /// A few exports and checks at a time.
    readings: Readings,
}

/// The rooms that the API translates to.
pub struct Services {
    pub tenancy: Tenancy,
    pub signin: SignIn,
    pub certificates: Certificates,
    pub domains: Domains,
    pub acme: Acme,
    /// What tenants do on this node.
    pub traffic: Arc<Meters>,
    pub configuration: Arc<dyn Configuration>,
    pub process: Arc<dyn Process>,
}

impl AdminState {
    pub fn new(services: Services, health: Arc<dyn Health>, metrics: Arc<Metrics>) -> Self {
        let Services { tenancy, signin, certificates, domains, acme, configuration, traffic, process } = services;
        let (openapi, page) = (Arc::default(), Arc::default());
        let (imports, readings) = (Arc::new(Semaphore::new(1)), Readings::default());
        Self {
            tenancy,
            signin,
            certificates,
            domains,
            acme,
            configuration,
            traffic,
            process,
            health,
            metrics,
            openapi,
            page,
            imports,
            readings,
        }
    }

    /// The largest body, in bytes, as configured at this moment.
    fn max_body(&self) -> usize {
        self.tenancy.config().admin.max_body
    }

    /// The largest table of an import, in bytes, as configured at this moment.
    fn max_import(&self) -> usize {
        self.tenancy.config().admin.max_import
    }
}

/// The probes alone, for a process that serves no API: health, readiness, metrics.
pub fn probes(state: AdminState) -> Router {
    let (router, _) = probes::routes().split_for_parts();
    router
        .fallback(layers::not_found)
        .method_not_allowed_fallback(layers::method_not_allowed)
        .layer(from_fn_with_state(state.clone(), layers::around))
        .with_state(state)
}

/// Every route of the admin API, ready to serve.
pub fn router(state: AdminState) -> Router {
    let guarded = OpenApiRouter::new()
        .merge(tenants::routes())
        .merge(tenant_list::routes())
        .merge(imports::routes())
        .merge(plans::routes())
        .merge(catalogue::routes())
        .merge(status::routes())
        .merge(descent::routes())
        .merge(caps::routes())
        .merge(billing::routes())
        .merge(settings::routes())
        .merge(effective::routes())
        .merge(export::routes())
        .merge(edge::routes())
        .merge(branding::routes())
        .merge(traffic::routes())
        .merge(domains::routes())
        .merge(certificates::routes())
        .merge(orders::routes())
        .merge(events::routes())
        .merge(process::routes())
        .merge(tokens::routes())
        .merge(signin::routes())
        .merge(session::routes())
        .merge(people::routes())
        .merge(password_tokens::routes())
        .merge(members::routes())
        .merge(erasure::routes())
        .merge(roles::routes())
        .merge(units::routes())
        .merge(invitations::routes())
        .merge(config::routes())
        .merge(routes::routes())
        .merge(audit::routes())
        .merge(audit_check::routes())
        .layer(from_fn_with_state(state.clone(), access::recognise));
    let (router, description) = OpenApiRouter::with_openapi(openapi::Description::openapi())
        .merge(guarded)
        .merge(probes::routes())
        .merge(reference::routes())
        .split_for_parts();
    state.openapi.get_or_init(|| openapi::finished(description));
    router
        .fallback(layers::not_found)
        .method_not_allowed_fallback(layers::method_not_allowed)
        .layer(from_fn_with_state(state.clone(), layers::around))
        .with_state(state)
}
