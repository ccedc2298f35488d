//! `/v1/tenants/{tenant}/caps`: the caps that count before the plan's.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Need, needs};
use super::answer::Written;
use super::body::Body;
use super::edit::Edit;
use super::precondition::IfMatch;
use super::problem::Problem;
use super::tenants::written;
use super::views::TenantView;
use crate::model::{Cap, Scope};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new().routes(needs(Need::Installation(Scope::TenantsManage), routes!(set)))
}

/// The caps that count before the plan's. Replaces what was, whoever has set it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetCaps {
    /// By name (`members`, `ai_tokens`): a number or `"unlimited"`; left out or `null`: the plan's holds.
    #[schema(value_type = Object)]
    caps: BTreeMap<String, Option<Cap>>,
}

/// Set the caps of a tenant's own
#[utoipa::path(put, path = "/v1/tenants/{tenant}/caps", operation_id = "setTenantCaps", tag = "billing",
    description = "A tenant's own caps count before those of its plan, and hold for its children that have no plan of their \
        own. What they come to is in `effective`. The billing system sets them, too; the last word counts.",
    params(("tenant" = String, Path, description = "Id or slug"), IfMatch),
    request_body = SetCaps,
    responses(
        (status = 200, description = "As it is now", body = TenantView),
        (status = 422, description = "No such cap, or no number for it")))]
async fn set(
    State(state): State<AdminState>,
    Edit { actor, key, expect, .. }: Edit,
    Body(SetCaps { caps }): Body<SetCaps>,
) -> Result<Written, Problem> {
    Ok(written(state.tenancy.set_caps(&actor, &key, &expect, &caps).await?))
}
