//! `/v1/tenants/{tenant}/…`: what an operator does to a tenant's status.

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Need, needs};
use super::answer::Written;
use super::body::{Body, OptionalBody};
use super::edit::Edit;
use super::precondition::IfMatch;
use super::problem::Problem;
use super::tenants::written;
use super::views::TenantView;
use crate::model::Scope;
use crate::tenancy::Suspension;

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(needs(Need::Installation(Scope::TenantsManage), routes!(suspend)))
        .routes(needs(Need::Installation(Scope::TenantsManage), routes!(activate)))
        .routes(needs(Need::Installation(Scope::TenantsManage), routes!(extend_trial)))
        .routes(needs(Need::Installation(Scope::TenantsManage), routes!(cancel)))
        .routes(needs(Need::Installation(Scope::TenantsManage), routes!(restore)))
}

/// Why a tenant is suspended.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Suspend {
    /// At most 500 characters.
    reason: Option<String>,
    /// Show the reason to visitors.
    public: bool,
}

/// How much longer a trial lasts.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtendTrial {
    /// 1–365 days, from its end or from now, whichever is later.
    days: u32,
}

/// A body with nothing in it, which may as well be left out.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// Suspend a tenant and its children
#[utoipa::path(post, path = "/v1/tenants/{tenant}/suspend", operation_id = "suspendTenant", tag = "tenants",
    params(("tenant" = String, Path, description = "Id or slug"), IfMatch),
    request_body = Option<Suspend>,
    responses(
        (status = 200, description = "Suspended; its next request is refused", body = TenantView),
        (status = 409, description = "Not from its status")))]
async fn suspend(
    State(state): State<AdminState>,
    Edit { actor, key, expect, .. }: Edit,
    OptionalBody(body): OptionalBody<Suspend>,
) -> Result<Written, Problem> {
    let suspension = Suspension { reason: body.reason, public: body.public };
    Ok(written(state.tenancy.suspend(&actor, &key, &expect, &suspension).await?))
}

/// Activate a tenant, or lift its suspension
#[utoipa::path(post, path = "/v1/tenants/{tenant}/activate", operation_id = "activateTenant", tag = "tenants",
    description = "Makes a pending or trial tenant active. Lifts a suspension: a trial that was suspended and is not \
        over goes on as a trial, every other tenant is active.",
    params(("tenant" = String, Path, description = "Id or slug"), IfMatch),
    responses(
        (status = 200, description = "As it is now", body = TenantView),
        (status = 409, description = "Not from its status")))]
async fn activate(
    State(state): State<AdminState>,
    Edit { actor, key, expect, .. }: Edit,
    OptionalBody(Empty {}): OptionalBody<Empty>,
) -> Result<Written, Problem> {
    Ok(written(state.tenancy.activate(&actor, &key, &expect).await?))
}

/// Extend a trial
#[utoipa::path(post, path = "/v1/tenants/{tenant}/extend-trial", operation_id = "extendTrial", tag = "tenants",
    params(("tenant" = String, Path, description = "Id or slug"), IfMatch),
    request_body = ExtendTrial,
    responses(
        (status = 200, description = "As it is now", body = TenantView),
        (status = 409, description = "It is no trial")))]
async fn extend_trial(
    State(state): State<AdminState>,
    Edit { actor, key, expect, .. }: Edit,
    Body(body): Body<ExtendTrial>,
) -> Result<Written, Problem> {
    Ok(written(state.tenancy.extend_trial(&actor, &key, &expect, body.days).await?))
}

/// Cancel a tenant; nothing is deleted
#[utoipa::path(post, path = "/v1/tenants/{tenant}/cancel", operation_id = "cancelTenant", tag = "tenants",
    params(("tenant" = String, Path, description = "Id or slug"), IfMatch),
    responses(
        (status = 200, description = "Cancelled", body = TenantView),
        (status = 409, description = "Not from its status")))]
async fn cancel(
    State(state): State<AdminState>,
    Edit { actor, key, expect, .. }: Edit,
    OptionalBody(Empty {}): OptionalBody<Empty>,
) -> Result<Written, Problem> {
    Ok(written(state.tenancy.cancel(&actor, &key, &expect).await?))
}

/// Bring a cancelled or archived tenant back
#[utoipa::path(post, path = "/v1/tenants/{tenant}/restore", operation_id = "restoreTenant", tag = "tenants",
    description = "It is again what it was when it was cancelled: one that was suspended still is.",
    params(("tenant" = String, Path, description = "Id or slug"), IfMatch),
    responses(
        (status = 200, description = "As it is now", body = TenantView),
        (status = 409, description = "Not from its status")))]
async fn restore(
    State(state): State<AdminState>,
    Edit { actor, key, expect, .. }: Edit,
    OptionalBody(Empty {}): OptionalBody<Empty>,
) -> Result<Written, Problem> {
    Ok(written(state.tenancy.restore(&actor, &key, &expect).await?))
}
