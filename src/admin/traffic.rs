//! `/v1/tenants/{tenant}/traffic`: what a tenant does on the node that answers. Counted elsewhere; shown here.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Need, needs};
use super::problem::Problem;
use super::query::{NoParams, Params, Segment};
use crate::clock::Timestamp;
use crate::model::{Limits, Scope};
use crate::traffic::{CLASSES, Counts, Kind, Limit, Meter};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new().routes(needs(Need::Tenant(Scope::TrafficRead), routes!(show)))
}

/// What a tenant has done on one node since its process began. Other nodes count for themselves.
#[derive(Serialize, ToSchema)]
pub struct TrafficView {
    /// The node that counted.
    node: String,
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// Requests that have ended, by status class; `none`: nothing was answered.
    requests: BTreeMap<String, u64>,
    requests_total: u64,
    /// Of these, how many the edge refused.
    refused: u64,
    /// Of the refused ones, how many for a limit of the tenant's, by limit: rate, concurrency, websockets, body, access.
    limited: BTreeMap<String, u64>,
    /// Bytes of request bodies.
    request_bytes: u64,
    /// Bytes of response bodies.
    response_bytes: u64,
    /// Requests under way, WebSockets not counted.
    requests_in_flight: u64,
    /// WebSockets open.
    websockets: u64,
    limits: TrafficLimits,
}

/// The limits in force on each node; `null`: none.
#[derive(Serialize, ToSchema)]
pub struct TrafficLimits {
    rate: Option<RateView>,
    concurrent_requests: Option<u64>,
    websockets: Option<u64>,
    body_bytes: Option<u64>,
}

/// A rate and what is left of it at this moment.
#[derive(Serialize, ToSchema)]
pub struct RateView {
    requests_per_second: u32,
    burst: u32,
    /// Requests that would pass now.
    remaining: u64,
}

/// Show a tenant's traffic on this node
#[utoipa::path(get, path = "/v1/tenants/{tenant}/traffic", operation_id = "showTenantTraffic", tag = "tenants",
    description = "Exact counts of the node that answers, since its process began. Limits hold on each node by itself, so \
        their levels are this node's too.",
    params(("tenant" = String, Path, description = "Id or slug")),
    responses(
        (status = 200, description = "Counts, what is under way, and limits with their levels", body = TrafficView)))]
async fn show(
    State(state): State<AdminState>,
    Segment(key): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<TrafficView>, Problem> {
    let found = state.tenancy.show(&key).await?;
    // Who has had no traffic has no meter.
    let meter = state.traffic.find(found.tenant.id);
    let meter = meter.as_deref();
    let counts = meter.map(Meter::counts).unwrap_or_default();
    let under_way = |kind| meter.map_or(0, |meter| meter.under_way(kind));
    let Counts { requests, refused, received, sent, limited } = counts;
    Ok(Json(TrafficView {
        node: state.traffic.node.clone(),
        since: state.traffic.since,
        requests: CLASSES.iter().map(|class| (*class).to_owned()).zip(requests).collect(),
        requests_total: counts.total(),
        refused,
        limited: Limit::ALL.iter().map(|limit| limit.as_str().to_owned()).zip(limited).collect(),
        request_bytes: received,
        response_bytes: sent,
        requests_in_flight: under_way(Kind::Request),
        websockets: under_way(Kind::WebSocket),
        limits: TrafficLimits::of(&found.effective.edge.limits, meter),
    }))
}

impl TrafficLimits {
    fn of(limits: &Limits, meter: Option<&Meter>) -> Self {
        Self {
            rate: limits.rate.map(|rate| RateView {
                requests_per_second: rate.per_second,
                burst: rate.burst,
                remaining: match meter {
                    Some(meter) => meter.level(rate).remaining,
                    None if rate.per_second == 0 => 0,
                    None => u64::from(rate.burst),
                },
            }),
            concurrent_requests: limits.concurrent_requests,
            websockets: limits.websockets,
            body_bytes: limits.body_bytes,
        }
    }
}
