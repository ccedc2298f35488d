//! `/v1/tenants/{tenant}` and its parent: moving it beneath another, and its end.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Need, needs};
use super::answer::Written;
use super::body::{Body, present};
use super::edit::Edit;
use super::precondition::IfMatch;
use super::problem::Problem;
use super::tenants::written;
use super::views::TenantView;
use crate::model::Scope;
use crate::tenancy::{Deleted, Deletion};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(needs(Need::Installation(Scope::TenantsManage), routes!(set_parent)))
        .routes(needs(Need::Installation(Scope::TenantsDelete), routes!(delete)))
}

/// Beneath whom a tenant stands.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetParent {
    /// The parent's id or slug; `null`: it stands by itself.
    #[serde(deserialize_with = "present")]
    #[schema(required = true)]
    parent: Option<String>,
}

/// What is to be deleted, and that it is meant.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeleteTenant {
    /// The tenant's slug, typed back.
    slug: String,
    /// `true`: its descendants, 1,000 at most, go with it. Default: a tenant that has children stays.
    #[serde(default)]
    #[param(default = false)]
    children: bool,
}

/// What is gone for ever.
#[derive(Serialize, ToSchema)]
pub struct DeletedView {
    id: String,
    /// Never given out again.
    slug: String,
    /// How many of each kind: `tenants`, `domains`, `certificates`, …
    removed: BTreeMap<&'static str, u64>,
}

/// Put a tenant beneath another
#[utoipa::path(put, path = "/v1/tenants/{tenant}/parent", operation_id = "setTenantParent", tag = "tenants",
    description = "It takes everything beneath it along. What it inherits follows at once.",
    params(("tenant" = String, Path, description = "Id or slug"), IfMatch),
    request_body = SetParent,
    responses(
        (status = 200, description = "As it is now", body = TenantView),
        (status = 422, description = "No such parent, a loop, or too deep")))]
async fn set_parent(
    State(state): State<AdminState>,
    Edit { actor, key, expect, .. }: Edit,
    Body(body): Body<SetParent>,
) -> Result<Written, Problem> {
    Ok(written(state.tenancy.set_parent(&actor, &key, &expect, body.parent.as_deref()).await?))
}

/// Delete a tenant for ever
#[utoipa::path(delete, path = "/v1/tenants/{tenant}", operation_id = "deleteTenant", tag = "tenants",
    description = "Everything that is its alone goes, at once and whatever its status; its slug is never given out \
        again. Its lines in the audit ledger stay. To end a contract, cancel it instead.",
    params(("tenant" = String, Path, description = "Id or slug"), DeleteTenant, IfMatch),
    responses(
        (status = 200, description = "Gone, and what went with it", body = DeletedView),
        (status = 409, description = "It has children, or is the operator's own"),
        (status = 422, description = "Another slug was typed")))]
async fn delete(
    State(state): State<AdminState>,
    Edit { actor, key, query: params, expect }: Edit<String, DeleteTenant>,
) -> Result<Written, Problem> {
    let deletion = Deletion { slug: params.slug, with_children: params.children };
    let done = state.tenancy.delete(&actor, &key, &expect, &deletion).await?;
    Ok(Written::new(&done).body(&DeletedView::from(done.value)))
}

impl From<Deleted> for DeletedView {
    fn from(deleted: Deleted) -> Self {
        Self { id: deleted.id.to_string(), slug: deleted.slug.to_string(), removed: deleted.removed.0 }
    }
}
