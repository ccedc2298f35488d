//! `/v1/tenants`: create, list, show, change in place, features.

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Caller, Need, needs};
use super::answer::{Tagged, Written};
use super::body::{Body, filled, maybe};
use super::edit::Edit;
use super::precondition::IfMatch;
use super::problem::Problem;
use super::query::{NoParams, Params, Segment};
use super::views::TenantView;
use crate::model::{Scope, Status};
use crate::tenancy::{Done, NewTenant, TenantChange, TenantState};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(needs(Need::Installation(Scope::TenantRead), routes!(super::tenant_list::list)))
        .routes(needs(Need::Installation(Scope::TenantsCreate), routes!(create)))
        .routes(needs(Need::Tenant(Scope::TenantRead), routes!(show)))
        .routes(needs(Need::Tenant(Scope::TenantManage), routes!(change)))
        .routes(needs(Need::Installation(Scope::TenantsManage), routes!(set_features)))
}

/// A tenant to be created.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTenant {
    /// 1–63 lowercase letters, digits and dashes; never renamed.
    slug: String,
    /// The display name, 1–120 characters.
    name: String,
    /// A plan of the catalogue; left out: the parent's, or the catalogue's default.
    plan: Option<String>,
    /// The parent's id or slug.
    parent: Option<String>,
    /// `trial` (the default), `active` or `pending`.
    status: Option<Status>,
    /// How long the trial lasts, 1–365 days.
    trial_days: Option<u32>,
}

/// What can be changed of a tenant in place.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchTenant {
    /// The display name, 1–120 characters.
    #[serde(default, deserialize_with = "filled")]
    #[schema(value_type = Option<String>)]
    name: Option<String>,
    /// For operators: what the billing system calls it, 1–255 characters, or `null` for nothing any more. No two tenants have
    /// the same.
    #[serde(default, deserialize_with = "maybe")]
    #[schema(value_type = Option<String>)]
    billing_ref: Option<Option<String>>,
}

/// The features switched on and off beyond what the plan says. Replaces what was.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetFeatures {
    #[serde(default)]
    on: Vec<String>,
    #[serde(default)]
    off: Vec<String>,
}

/// Create a tenant
#[utoipa::path(post, path = "/v1/tenants", operation_id = "createTenant", tag = "tenants", request_body = CreateTenant,
    responses(
        (status = 201, description = "Created", body = TenantView,
            headers(("Location", description = "Where it is"),
                ("ETag", description = "Its revision, and a digest of this answer"))),
        (status = 409, description = "The slug is taken or retired")))]
async fn create(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Params(NoParams {}): Params<NoParams>,
    Body(body): Body<CreateTenant>,
) -> Result<Written, Problem> {
    let CreateTenant { slug, name, plan, parent, status, trial_days } = body;
    let new = NewTenant { slug, name, plan, parent, status, trial_days };
    let done = state.tenancy.create(&actor, &new).await?;
    let location = format!("/v1/tenants/{}", done.value.tenant.id);
    Ok(written(done).created(location))
}

/// Show a tenant
#[utoipa::path(get, path = "/v1/tenants/{tenant}", operation_id = "showTenant", tag = "tenants",
    params(("tenant" = String, Path, description = "Id or slug")),
    responses(
        (status = 200, description = "The tenant", body = TenantView,
            headers(("ETag", description = "Its revision, and a digest of this answer")))))]
async fn show(
    State(state): State<AdminState>,
    Segment(key): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<TenantView>, Problem> {
    let found = state.tenancy.show(&key).await?;
    Ok(Tagged(found.tenant.revision, found.into()))
}

/// Change a tenant in place: its display name, what the billing system calls it
#[utoipa::path(patch, path = "/v1/tenants/{tenant}", operation_id = "changeTenant", tag = "tenants",
    params(("tenant" = String, Path, description = "Id or slug"), IfMatch),
    request_body = PatchTenant,
    responses(
        (status = 200, description = "As it is now", body = TenantView),
        (status = 409, description = "Its billing_ref is another tenant's")))]
async fn change(
    State(state): State<AdminState>,
    Edit { actor, key, expect, .. }: Edit,
    Body(body): Body<PatchTenant>,
) -> Result<Written, Problem> {
    let PatchTenant { name, billing_ref } = body;
    Ok(written(state.tenancy.amend(&actor, &key, &expect, &TenantChange { name, billing_ref }).await?))
}

/// Switch features on and off
#[utoipa::path(put, path = "/v1/tenants/{tenant}/features", operation_id = "setTenantFeatures", tag = "tenants",
    params(("tenant" = String, Path, description = "Id or slug"), IfMatch),
    request_body = SetFeatures,
    responses(
        (status = 200, description = "As it is now", body = TenantView),
        (status = 422, description = "An unknown feature, or one both on and off")))]
async fn set_features(
    State(state): State<AdminState>,
    Edit { actor, key, expect, .. }: Edit,
    Body(body): Body<SetFeatures>,
) -> Result<Written, Problem> {
    Ok(written(state.tenancy.set_features(&actor, &key, &expect, &body.on, &body.off).await?))
}

/// The answer to a write of a tenant.
pub(super) fn written(done: Done<TenantState>) -> Written {
    let revision = done.value.tenant.revision;
    Written::new(&done).etag(revision).body(&TenantView::from(done.value))
}
