//! `/v1/audit`: the ledger, newest first. It is only ever read here.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Caller, Need, needs};
use super::problem::Problem;
use super::query::{Listing, PageParams, Params, bad_cursor};
use crate::clock::Timestamp;
use crate::model::Scope;
use crate::store::AuditEntry;

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new().routes(needs(Need::Scoped(Scope::AuditRead), routes!(list)))
}

/// Which entries to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListAudit {
    /// How many to list, 1 to 200.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// `next_cursor` of the page before. Opaque.
    cursor: Option<String>,
    /// Only entries about this tenant: its id or slug.
    tenant: Option<String>,
}

/// One entry of the ledger.
#[derive(Serialize, ToSchema)]
pub struct AuditView {
    id: i64,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// `operator:<token name>`, `cli`, `system`.
    actor: String,
    /// `tenant.suspend`, `domain.add-verified`, …
    action: String,
    /// The id of the tenant that it is about.
    tenant: Option<String>,
    /// What it was done to: a slug, a domain, a token's name.
    subject: String,
    /// What was asked for or changed.
    #[schema(value_type = Object)]
    detail: Value,
    request_id: Option<String>,
}

/// List the audit ledger, newest first
#[utoipa::path(get, path = "/v1/audit", operation_id = "listAudit", tag = "audit", params(ListAudit),
    responses(
        (status = 200, description = "A page of entries", body = Listing<AuditView>),
        (status = 404, description = "There is no such tenant", body = Problem,
            content_type = "application/problem+json")))]
async fn list(
    State(state): State<AdminState>,
    caller: Caller,
    Params(params): Params<ListAudit>,
) -> Result<Json<Listing<AuditView>>, Problem> {
    let ListAudit { limit, cursor, tenant } = params;
    let paging = PageParams { limit, cursor }.paging("audit")?;
    if paging.after().is_some_and(|id| id.parse::<i64>().is_err()) {
        return Err(bad_cursor());
    }
    let tenant = match caller.whose(&state, tenant).await? {
        Some(key) => Some(state.tenancy.show(&key).await?.tenant.id),
        None => None,
    };
    let rows = state.tenancy.audit(tenant, &paging.page()).await?;
    Ok(Json(paging.listing(rows, |(id, ..)| id.to_string(), AuditView::from)))
}

impl From<(i64, Timestamp, AuditEntry)> for AuditView {
    fn from((id, at, entry): (i64, Timestamp, AuditEntry)) -> Self {
        let AuditEntry { actor, action, tenant, subject, detail, request_id } = entry;
        Self { id, at, actor, action, tenant: tenant.map(|id| id.to_string()), subject, detail, request_id }
    }
}
