//! What one request carries from step to step.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderValue, Method, Uri, Version};
use tracing::warn;

use super::access_log::{self, Outcome};
use super::connection::Connection;
use super::cors::Readers;
use super::forwarded::Origin;
use super::gates::Permit;
use super::limits::Quota;
use super::live::Live;
use super::patient;
use super::rejection::Rejection;
use super::spans::{self, Try};
use super::upstream::Lease;
use crate::config::Route;
use crate::directory::{Via, View};
use crate::metrics::Metrics;
use crate::model::Hostname;
use crate::traces::Tracer;
use crate::traffic::Place;

/// Made when a request begins, logged when it ends: also when it ends by being dropped with its connection.
pub struct RequestContext {
    pub started: Instant,
    metrics: Arc<Metrics>,
    logged: bool,
    /// Nobody sent it: it is only asked what would become of it.
    pub rehearsal: bool,
    /// What was asked for; kept for a log line that is written when the session is gone.
    pub asked: Option<Asked>,
    /// The configuration that this request began with; it ends with it, whatever is reloaded meanwhile.
    pub live: Arc<Live>,
    pub connection: Option<Arc<Connection>>,
    pub origin: Option<Origin>,
    pub host: Option<Hostname>,
    /// Whose host it is, as soon as that is known: refusals wear the tenant's branding, and the log names it.
    pub tenant: Option<(Arc<View>, Via)>,
    pub permit: Option<Permit>,
    /// The request's place among its tenant's, for as long as it is under way.
    pub place: Option<Place>,
    /// What is left of its tenant's rate.
    pub quota: Option<Quota>,
    /// The route that it took, to a backend or to an answer of the route's own.
    pub route: Option<Arc<Route>>,
    /// Who may read the answer, where the tenant has CORS set.
    pub readers: Option<Readers>,
    /// Which of the tenant's policies answered, in the place of a route.
    pub policy: Option<&'static str>,
    /// A cookie that the answer is to carry.
    pub cookie: Option<HeaderValue>,
    /// Why the edge answered instead of a backend.
    pub rejection: Option<Rejection>,
    /// The refusal has been written as a whole.
    pub refused: bool,
    /// Who is told of it in spans, when its trace is sampled.
    pub tracer: Option<Tracer>,
    pub body: BodyProgress,
    pub upstream: UpstreamProgress,
}

/// The request line.
pub struct Asked {
    pub method: Method,
    pub target: Uri,
    pub version: Version,
}

#[derive(Default)]
pub struct BodyProgress {
    pub received: u64,
    /// What a backend's answer has had so far.
    pub sent: u64,
    /// The stream counts as one that awaits a body (HTTP/2 only; see `Connection::body_started`).
    pub awaited: bool,
}

#[derive(Default)]
pub struct UpstreamProgress {
    pub tries: u32,
    /// Of the backend of this try.
    pub address: Option<Arc<str>>,
    /// The backend that failed this request: the next try goes elsewhere.
    pub avoid: Option<SocketAddr>,
    pub reused: bool,
    /// When the request was first given to a backend.
    pub begun: Option<Instant>,
    /// The span of this try, which the backend is told.
    pub span: u64,
    /// The tries, when spans tell of them.
    pub traced: Vec<Try>,
    /// To be told when this try has become a tunnel.
    pub tunnel: Option<patient::Tunnel>,
    /// The stay at the backend of this try.
    pub lease: Option<Lease>,
    /// Its answer goes on for as long as both sides like: a WebSocket, or a stream of events or calls.
    pub endless: bool,
    /// When its answer's head arrived, and with which status.
    pub answered: Option<(Instant, u16)>,
}

impl RequestContext {
    pub fn new(live: Arc<Live>, metrics: Arc<Metrics>) -> Self {
        metrics.requests_in_flight.inc();
        Self {
            started: Instant::now(),
            metrics,
            logged: false,
            rehearsal: false,
            asked: None,
            live,
            connection: None,
            origin: None,
            host: None,
            tenant: None,
            permit: None,
            place: None,
            quota: None,
            route: None,
            readers: None,
            policy: None,
            cookie: None,
            rejection: None,
            refused: false,
            tracer: None,
            body: BodyProgress::default(),
            upstream: UpstreamProgress::default(),
        }
    }

    /// Makes it one that is neither counted nor logged.
    pub fn rehearse(&mut self) {
        self.rehearsal = true;
        if !std::mem::replace(&mut self.logged, true) {
            self.metrics.requests_in_flight.dec();
        }
    }

    /// Writes the access line and counts the request, once.
    pub fn log(&mut self, outcome: &Outcome) {
        if !std::mem::replace(&mut self.logged, true) {
            self.end_body();
            self.metrics.requests_in_flight.dec();
            self.place = None;
            access_log::record(self, outcome, &self.metrics);
            if let Some(tracer) = self.tracer.take() {
                let (status, fault) = access_log::verdict(self, outcome);
                spans::tell(&tracer, self, status, fault);
            }
        }
    }

    /// No more of the request's body is awaited.
    pub fn end_body(&mut self) {
        if std::mem::take(&mut self.body.awaited)
            && let Some(connection) = &self.connection
        {
            connection.body_ended();
        }
    }

    /// The pool that it goes to, or went to.
    pub fn pool_name(&self) -> Option<&str> {
        let pool = self.permit.as_ref()?.pool();
        self.live.config.routing.pool(pool).map(|pool| pool.name.as_str())
    }

    /// Its tenant has been given a pool that the configuration does not have any more, so another one serves it. The log
    /// says so once for each pool, under each configuration.
    pub fn miss_pool(&self, pool: &str) {
        if self.rehearsal {
            return;
        }
        self.metrics.pool_missing.inc();
        if self.live.is_news(pool) {
            let tenant = self.tenant.as_ref().map(|(view, _)| view.tenant.slug.as_str());
            warn!(pool, tenant, "pool.missing: tenants have it for their own or as a canary, and get another one");
        }
    }

    pub fn request_id(&self) -> &str {
        self.origin.as_ref().map_or("", |origin| &origin.request_id)
    }
}

impl Drop for RequestContext {
    fn drop(&mut self) {
        self.log(&Outcome::CutOff);
    }
}
