//! `/v1/tenants/{tenant}/roles`: the built-in roles, and those of the tenant's own.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Caller, Need, needs};
use super::answer::{Tagged, Written};
use super::body::Body;
use super::edit::Edit;
use super::precondition::IfMatch;
use super::problem::Problem;
use super::query::{Listing, NoParams, Params, Segment};
use crate::clock::Timestamp;
use crate::model::{Role, Scope};
use crate::store::{Page, RoleRow};
use crate::tenancy::{Done, NewRole, RoleChange};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(needs(Need::Tenant(Scope::MembersRead), routes!(list)))
        .routes(needs(Need::Tenant(Scope::RolesManage), routes!(create)))
        .routes(needs(Need::Tenant(Scope::MembersRead), routes!(show)))
        .routes(needs(Need::Tenant(Scope::RolesManage), routes!(change)))
        .routes(needs(Need::Tenant(Scope::RolesManage), routes!(delete)))
}

/// A role, and what it lets its members do.
#[derive(Serialize, ToSchema)]
pub struct RoleView {
    name: String,
    /// For people.
    title: String,
    /// One of the five that every tenant has.
    built_in: bool,
    /// The built-in role whose rank it has.
    base: Role,
    #[schema(value_type = Vec<String>)]
    scopes: BTreeSet<Scope>,
    #[schema(value_type = Option<String>, format = DateTime)]
    created: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    updated: Option<Timestamp>,
    revision: Option<i64>,
}

/// A role to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRole {
    /// 1–32 lowercase letters, digits and dashes, a letter first; never renamed.
    name: String,
    /// For people, 1–60 characters; left out: the name.
    title: Option<String>,
    /// The built-in role whose rank it has, up to `admin`; it stays. Left out: `member`.
    base: Option<Role>,
    /// None that you do not hold.
    scopes: Vec<String>,
}

/// What is to change of a role. What is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchRole {
    title: Option<String>,
    scopes: Option<Vec<String>>,
}

/// Who takes the place of a role that goes.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeleteRole {
    /// The role that its members get instead.
    replacement: Option<String>,
}

/// What a role that went was replaced for.
#[derive(Serialize, ToSchema)]
pub struct ReplacedView {
    /// In whatever state.
    members: u64,
    invitations: u64,
}

/// List the roles of a tenant
#[utoipa::path(get, path = "/v1/tenants/{tenant}/roles", operation_id = "listRoles", tag = "members",
    params(("tenant" = String, Path, description = "Id or slug")),
    responses(
        (status = 200, description = "All: the built-in ones, the lowest first, then the tenant's own by name",
            body = Listing<RoleView>)))]
async fn list(
    State(state): State<AdminState>,
    Segment(key): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<Listing<RoleView>>, Problem> {
    let own = state.tenancy.roles(&key, &Page { limit: Page::MOST, after: None }).await?;
    let items = Role::ALL.into_iter().map(RoleView::built_in).chain(own.into_iter().map(RoleView::from)).collect();
    Ok(Json(Listing { items, next_cursor: None }))
}

/// Make a role
#[utoipa::path(post, path = "/v1/tenants/{tenant}/roles", operation_id = "createRole", tag = "members",
    params(("tenant" = String, Path, description = "Id or slug")), request_body = CreateRole,
    responses(
        (status = 201, description = "Made", body = RoleView),
        (status = 402, description = "The plan does not have it"),
        (status = 409, description = "There is one of that name")))]
async fn create(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Segment(key): Segment,
    Params(NoParams {}): Params<NoParams>,
    Body(body): Body<CreateRole>,
) -> Result<Written, Problem> {
    let CreateRole { name, title, base, scopes } = body;
    let done = state.tenancy.create_role(&actor, &key, &NewRole { name, title, base, scopes }).await?;
    let location = format!("/v1/tenants/{}/roles/{}", done.value.tenant, done.value.name);
    Ok(written(done).created(location))
}

/// Show a role
#[utoipa::path(get, path = "/v1/tenants/{tenant}/roles/{role}", operation_id = "showRole", tag = "members",
    params(("tenant" = String, Path, description = "Id or slug"),
        ("role" = String, Path, description = "The role's name")),
    responses(
        (status = 200, description = "The role", body = RoleView,
            headers(("ETag", description = "Its revision, and a digest of this answer")))))]
async fn show(
    State(state): State<AdminState>,
    Segment((key, name)): Segment<(String, String)>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, Problem> {
    if let Some(role) = Role::parse(&name) {
        state.tenancy.show(&key).await?;
        return Ok(Json(RoleView::built_in(role)).into_response());
    }
    let row = state.tenancy.role(&key, &name).await?;
    Ok(Tagged(row.revision, RoleView::from(row)).into_response())
}

/// Change a role of the tenant's own
///
/// What those who have it may do changes with their next call.
#[utoipa::path(patch, path = "/v1/tenants/{tenant}/roles/{role}", operation_id = "changeRole", tag = "members",
    params(("tenant" = String, Path, description = "Id or slug"),
        ("role" = String, Path, description = "The role's name"), IfMatch),
    request_body = PatchRole,
    responses(
        (status = 200, description = "As it is now", body = RoleView),
        (status = 402, description = "The plan does not have it")))]
async fn change(
    State(state): State<AdminState>,
    Edit { actor, key: (key, name), expect, .. }: Edit<(String, String)>,
    Body(body): Body<PatchRole>,
) -> Result<Written, Problem> {
    let change = RoleChange { title: body.title, scopes: body.scopes };
    Ok(written(state.tenancy.change_role(&actor, &key, &name, &expect, &change).await?))
}

/// Delete a role of the tenant's own
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/roles/{role}", operation_id = "deleteRole", tag = "members",
    params(("tenant" = String, Path, description = "Id or slug"),
        ("role" = String, Path, description = "The role's name"), DeleteRole, IfMatch),
    responses(
        (status = 200, description = "Gone; for how many it was replaced", body = ReplacedView),
        (status = 409, description = "Somebody has it, and no replacement is named"),
        (status = 422, description = "The replacement is no role")))]
async fn delete(
    State(state): State<AdminState>,
    Edit { actor, key: (key, name), query: params, expect }: Edit<(String, String), DeleteRole>,
) -> Result<Written, Problem> {
    let done = state.tenancy.delete_role(&actor, &key, &name, &expect, params.replacement.as_deref()).await?;
    let view = ReplacedView { members: done.value.members, invitations: done.value.invitations };
    Ok(Written::new(&done).body(&view))
}

fn written(done: Done<RoleRow>) -> Written {
    let revision = done.value.revision;
    Written::new(&done).etag(revision).body(&RoleView::from(done.value))
}

impl RoleView {
    fn built_in(role: Role) -> Self {
        Self {
            name: role.to_string(),
            title: role.to_string(),
            built_in: true,
            base: role,
            scopes: role.scopes(),
            created: None,
            updated: None,
            revision: None,
        }
    }
}

impl From<RoleRow> for RoleView {
    fn from(row: RoleRow) -> Self {
        Self {
            name: row.name.to_string(),
            title: row.title,
            built_in: false,
            base: row.base,
            scopes: row.scopes,
            created: Some(row.created),
            updated: Some(row.updated),
            revision: Some(row.revision),
        }
    }
}
