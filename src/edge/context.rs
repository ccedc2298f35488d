//! What one request carries from step to step.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::connection::Connection;
use super::forwarded::Origin;
use super::gates::Permit;
use super::proxy::Live;
use super::rejection::Rejection;
use crate::directory::{Via, View};
use crate::model::Hostname;

/// Made when a request begins, logged when it ends.
pub struct RequestContext {
    pub started: Instant,
    /// The configuration that this request began with; it ends with it, whatever is reloaded meanwhile.
    pub live: Arc<Live>,
    pub connection: Option<Arc<Connection>>,
    pub origin: Option<Origin>,
    pub host: Option<Hostname>,
    /// Whose host it is, as soon as that is known: refusals wear the tenant's branding, and the log names it.
    pub tenant: Option<(Arc<View>, Via)>,
    pub permit: Option<Permit>,
    /// Why the edge answered instead of a backend.
    pub rejection: Option<Rejection>,
    /// The refusal has been written as a whole.
    pub refused: bool,
    pub body: BodyProgress,
    pub upstream: UpstreamProgress,
}

#[derive(Default)]
pub struct BodyProgress {
    pub received: u64,
    /// The stream counts as one that awaits a body (HTTP/2 only; see `Connection::body_started`).
    pub awaited: bool,
}

#[derive(Default)]
pub struct UpstreamProgress {
    pub tries: u32,
    pub address: Option<SocketAddr>,
    /// The backend that failed this request: the next try goes elsewhere.
    pub avoid: Option<SocketAddr>,
    pub reused: bool,
    /// When its answer's head arrived.
    pub answered: Option<Instant>,
}

impl RequestContext {
    pub fn new(live: Arc<Live>) -> Self {
        Self {
            started: Instant::now(),
            live,
            connection: None,
            origin: None,
            host: None,
            tenant: None,
            permit: None,
            rejection: None,
            refused: false,
            body: BodyProgress::default(),
            upstream: UpstreamProgress::default(),
        }
    }

    pub fn request_id(&self) -> &str {
        self.origin.as_ref().map_or("", |origin| &origin.request_id)
    }
}
