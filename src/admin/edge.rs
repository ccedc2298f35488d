//! `/v1/tenants/{tenant}/edge`: what the edge does for one tenant. The shapes are the model's own; what they mean is
//! decided elsewhere.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Need, needs};
use super::answer::{Tagged, Written};
use super::body::Body;
use super::edit::Edit;
use super::precondition::IfMatch;
use super::problem::Problem;
use super::query::{NoParams, Params, Segment};
use crate::model::{Access, Canary, Cors, EdgeSettings, Limits, Maintenance, Scope, Www};
use crate::tenancy::{Done, TenantState};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(needs(Need::Tenant(Scope::TenantRead), routes!(show)))
        .routes(needs(Need::Tenant(Scope::EdgeManage), routes!(set)))
        .routes(needs(Need::Tenant(Scope::EdgeManage), routes!(patch)))
}

/// A tenant's own settings, and what holds for it together with its parents and its plan.
#[derive(Serialize, ToSchema)]
pub struct EdgeView {
    own: EdgeSettings,
    effective: EffectiveEdge,
}

/// What holds at the edge. A limit that is `null` is none.
#[derive(Serialize, ToSchema)]
pub struct EffectiveEdge {
    limits: EffectiveLimits,
    access: Access,
    cors: Option<Cors>,
    maintenance: Option<Maintenance>,
    primary_domain: Option<String>,
    www: Option<Www>,
    pools: BTreeMap<String, String>,
    canary: Option<Canary>,
}

/// Per node.
#[derive(Serialize, ToSchema)]
pub struct EffectiveLimits {
    requests_per_second: Option<u32>,
    burst: Option<u32>,
    concurrent_requests: Option<u64>,
    websockets: Option<u64>,
    body_bytes: Option<u64>,
}

/// Show what the edge does for a tenant
#[utoipa::path(get, path = "/v1/tenants/{tenant}/edge", operation_id = "showTenantEdge", tag = "tenants",
    params(("tenant" = String, Path, description = "Id or slug")),
    responses(
        (status = 200, description = "Its own settings and what holds", body = EdgeView,
            headers(("ETag", description = "The tenant's revision, and a digest of this answer")))))]
async fn show(
    State(state): State<AdminState>,
    Segment(key): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<EdgeView>, Problem> {
    let found = state.tenancy.show(&key).await?;
    Ok(Tagged(found.tenant.revision, found.into()))
}

/// Replace what the edge does for a tenant
#[utoipa::path(put, path = "/v1/tenants/{tenant}/edge", operation_id = "setTenantEdge", tag = "tenants",
    params(("tenant" = String, Path, description = "Id or slug"), IfMatch),
    request_body = EdgeSettings,
    responses(
        (status = 200, description = "As it is now, and in force", body = EdgeView)))]
async fn set(
    State(state): State<AdminState>,
    Edit { actor, key, expect, .. }: Edit,
    Body(body): Body<EdgeSettings>,
) -> Result<Written, Problem> {
    Ok(written(state.tenancy.set_edge(&actor, &key, &expect, body).await?))
}

/// Change some of what the edge does for a tenant
#[utoipa::path(patch, path = "/v1/tenants/{tenant}/edge", operation_id = "patchTenantEdge", tag = "tenants",
    description = "A JSON merge patch (RFC 7396): what it names is changed, `null` takes a setting back, so that the \
        parent's or the plan's word counts again.",
    params(("tenant" = String, Path, description = "Id or slug"), IfMatch),
    request_body = EdgeSettings,
    responses(
        (status = 200, description = "As it is now, and in force", body = EdgeView)))]
async fn patch(
    State(state): State<AdminState>,
    Edit { actor, key, expect, .. }: Edit,
    Body(body): Body<Value>,
) -> Result<Written, Problem> {
    Ok(written(state.tenancy.patch_edge(&actor, &key, &expect, &body).await?))
}

fn written(done: Done<TenantState>) -> Written {
    let revision = done.value.tenant.revision;
    Written::new(&done).etag(revision).body(&EdgeView::from(done.value))
}

impl From<TenantState> for EdgeView {
    fn from(state: TenantState) -> Self {
        let edge = state.effective.edge;
        Self {
            own: state.tenant.edge,
            effective: EffectiveEdge {
                limits: edge.limits.into(),
                access: edge.access,
                cors: edge.cors,
                maintenance: edge.maintenance,
                primary_domain: edge.primary_domain.map(|domain| domain.to_string()),
                www: edge.www,
                pools: edge.pools,
                canary: edge.canary,
            },
        }
    }
}

impl From<Limits> for EffectiveLimits {
    fn from(limits: Limits) -> Self {
        Self {
            requests_per_second: limits.rate.map(|rate| rate.per_second),
            burst: limits.rate.map(|rate| rate.burst),
            concurrent_requests: limits.concurrent_requests,
            websockets: limits.websockets,
            body_bytes: limits.body_bytes,
        }
    }
}
