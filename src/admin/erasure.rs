//! The end of a membership, and what a tenant keeps of a member: purge, calling it off, export; and the tenancy that one's
//! own sessions begin in.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Caller, Need, needs};
use super::answer::Written;
use super::body::{Body, present};
use super::edit::Edit;
use super::members::{MemberView, written};
use super::precondition::IfMatch;
use super::problem::Problem;
use super::query::{NoParams, Params, Segment};
use super::session::SignedIn;
use crate::model::Scope;

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(needs(Need::Tenant(Scope::MembersManage), routes!(purge)))
        .routes(needs(Need::Tenant(Scope::MembersManage), routes!(cancel)))
        .routes(needs(Need::Tenant(Scope::DataExport), routes!(export)))
        .routes(needs(Need::Anyone, routes!(set_default)))
}

/// That it is meant.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PurgeMember {
    /// The member's e-mail address, typed back.
    email: String,
}

/// Where one's sessions begin.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetDefaultTenancy {
    /// The tenant's id or slug; `null`: nowhere.
    #[serde(deserialize_with = "present")]
    #[schema(required = true)]
    tenant: Option<String>,
}

/// Where one's sessions begin, as it is now.
#[derive(Serialize, ToSchema)]
pub struct DefaultTenancy {
    /// The tenant's id.
    tenant: Option<String>,
}

/// Have a member erased in 30 days
///
/// The membership ends at once. In 30 days what the tenant keeps of them is erased: in its part of the ledger as well, whose
/// lines stay and verify. Whoever is another tenant's member stays a person, and is erased when no tenant has them any more.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/members/{member}/purge", operation_id = "purgeMember", tag = "members",
    params(("tenant" = String, Path, description = "Id or slug"),
        ("member" = String, Path, description = "The person's id or e-mail address"), IfMatch),
    request_body = PurgeMember,
    responses(
        (status = 200, description = "To be erased; `due` says when", body = MemberView),
        (status = 409, description = "It is the last owner, or is to be erased already"),
        (status = 422, description = "Another address was typed")))]
async fn purge(
    State(state): State<AdminState>,
    Edit { actor, key: (key, who), expect, .. }: Edit<(String, String)>,
    Body(body): Body<PurgeMember>,
) -> Result<Written, Problem> {
    Ok(written(state.tenancy.purge_member(&actor, &key, &who, &expect, &body.email).await?))
}

/// Call an erasure off
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/members/{member}/purge", operation_id = "cancelPurge",
    tag = "members",
    params(("tenant" = String, Path, description = "Id or slug"),
        ("member" = String, Path, description = "The person's id or e-mail address"), IfMatch),
    responses(
        (status = 200, description = "Removed, and not to be erased", body = MemberView),
        (status = 409, description = "Nobody has asked to have them erased")))]
async fn cancel(
    State(state): State<AdminState>,
    Edit { actor, key: (key, who), expect, .. }: Edit<(String, String)>,
) -> Result<Written, Problem> {
    Ok(written(state.tenancy.cancel_purge(&actor, &key, &who, &expect).await?))
}

/// Export what the tenant keeps of a member
#[utoipa::path(post, path = "/v1/tenants/{tenant}/members/{member}/export", operation_id = "exportMember",
    tag = "members",
    params(("tenant" = String, Path, description = "Id or slug"),
        ("member" = String, Path, description = "The person's id or e-mail address")),
    responses(
        (status = 200, description = "Person, membership, and the ledger's lines by them, about them and with their \
            address: at most 10,000, or `audit_truncated`", body = serde_json::Value),
        (status = 429, description = "This node does as many exports and checks of the ledger as it does at once, or one \
            of the tenant's; see Retry-After", body = Problem, content_type = "application/problem+json")))]
async fn export(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Segment((key, who)): Segment<(String, String)>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, Problem> {
    let place = state.readings.place(&actor.rights)?;
    let done = place.during(state.tenancy.export_member(&actor, &key, &who)).await?;
    let name = format!("attachment; filename=\"member-{}.json\"", done.value.member.person);
    Ok(([(header::CONTENT_DISPOSITION, name)], Json(done.value.to_json())).into_response())
}

/// Choose the tenancy that one's own sessions begin in
#[utoipa::path(put, path = "/v1/session/default-tenancy", operation_id = "setDefaultTenancy", tag = "sessions",
    request_body = SetDefaultTenancy,
    responses(
        (status = 200, description = "As it is now", body = DefaultTenancy),
        (status = 404, description = "They are no member of such a tenant")))]
async fn set_default(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    SignedIn(known, _): SignedIn,
    Params(NoParams {}): Params<NoParams>,
    Body(body): Body<SetDefaultTenancy>,
) -> Result<Written, Problem> {
    let done = state.tenancy.set_default_tenancy(&actor, known.person.id, body.tenant.as_deref()).await?;
    let view = DefaultTenancy { tenant: done.value.default_tenant.map(|tenant| tenant.to_string()) };
    Ok(Written::new(&done).body(&view))
}
