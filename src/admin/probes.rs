//! What machines ask: `/healthz`, `/readyz`, `/metrics`. No token, no store: these answer when nothing
//! else does.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;

/// How this process is, as the composition root knows it.
pub trait Health: Send + Sync {
    fn facts(&self) -> Facts;
}

/// One look at a process's health.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
    /// The first load is done: known tenants can be served.
    pub loaded: bool,
    /// It takes no new work and is about to end.
    pub draining: bool,
    /// The store answered when it was last asked.
    pub store_up: bool,
    /// The last revision of the change feed that this node has applied.
    pub revision: i64,
}

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(metrics))
}

/// What a readiness probe sees.
#[derive(Serialize, ToSchema)]
pub struct Readiness {
    /// `ready`, `starting` or `draining`.
    status: &'static str,
    /// `ok`, or `degraded`: known tenants are served, unknown ones cannot be looked up.
    store: &'static str,
    /// The last revision that this node has applied.
    revision: i64,
}

/// Is the process alive?
#[utoipa::path(get, path = "/healthz", operation_id = "healthz", tag = "probes", security(()),
    responses((status = 200, description = "Alive", body = String, content_type = "text/plain")))]
async fn healthz() -> &'static str {
    "ok\n"
}

/// Should it get traffic?
#[utoipa::path(get, path = "/readyz", operation_id = "readyz", tag = "probes", security(()),
    responses(
        (status = 200, description = "Yes, even while the store is away", body = Readiness),
        (status = 503, description = "Not yet, or no more", body = Readiness)))]
async fn readyz(State(state): State<AdminState>) -> (StatusCode, Json<Readiness>) {
    let facts = state.health.facts();
    let (code, status) = match facts {
        Facts { draining: true, .. } => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        Facts { loaded: false, .. } => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        _ => (StatusCode::OK, "ready"),
    };
    let store = if facts.store_up { "ok" } else { "degraded" };
    (code, Json(Readiness { status, store, revision: facts.revision }))
}

/// Metrics for Prometheus
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "probes", security(()),
    responses((status = 200, description = "Text exposition format 0.0.4", body = String,
        content_type = "text/plain")))]
async fn metrics(State(state): State<AdminState>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], state.metrics.render()).into_response()
}
