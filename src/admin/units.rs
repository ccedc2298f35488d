//! `/v1/tenants/{tenant}/units`: the business units of a tenant. A unit says where a member belongs, for people, lists and
//! exports; it gives no rights and takes none away. What a member may do is their role's to say, in the whole tenant.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Caller, Need, needs};
use super::answer::Written;
use super::body::{Body, maybe};
use super::edit::Edit;
use super::precondition::IfMatch;
use super::problem::Problem;
use super::query::{Listing, NoParams, Params, Segment};
use crate::clock::Timestamp;
use crate::model::Scope;
use crate::store::UnitRow;
use crate::tenancy::{Done, Heir, UnitChange};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(needs(Need::Tenant(Scope::MembersRead), routes!(list)))
        .routes(needs(Need::Tenant(Scope::MembersManage), routes!(create)))
        .routes(needs(Need::Tenant(Scope::MembersManage), routes!(change)))
        .routes(needs(Need::Tenant(Scope::MembersManage), routes!(delete)))
}

/// A business unit: where members belong, such as a branch or a department. Members are listed by it. It gives no rights and
/// takes none away: what a member may do is their role's to say, in the whole tenant.
#[derive(Serialize, ToSchema)]
pub struct UnitView {
    /// UUIDv7.
    id: String,
    name: String,
    /// The id of the unit that it stands beneath; `null`: at the top.
    parent: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated: Timestamp,
    /// What its ETag begins with; as `If-Match` it does by itself.
    revision: i64,
}

/// A unit to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUnit {
    /// 1–120 characters, no other one's in the same place.
    name: String,
    /// The id of the unit that it stands beneath; units stand at most 6 deep.
    parent: Option<String>,
}

/// What is to change of a unit. What is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchUnit {
    name: Option<String>,
    /// The id of another unit; `null`: to the top.
    #[serde(default, deserialize_with = "maybe")]
    #[schema(value_type = Option<String>)]
    parent: Option<Option<String>>,
}

/// What becomes of those who belong to a unit that goes.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeleteUnit {
    /// The id of the unit that its members belong to from now on, and that units beneath it stand beneath; `none`: no unit.
    /// Left out: only an empty unit goes.
    to: Option<String>,
}

/// What a unit that went left behind.
#[derive(Serialize, ToSchema)]
pub struct MovedView {
    /// Members who belong elsewhere now.
    members: u64,
}

/// List the business units of a tenant
#[utoipa::path(get, path = "/v1/tenants/{tenant}/units", operation_id = "listUnits", tag = "members",
    params(("tenant" = String, Path, description = "Id or slug")),
    responses(
        (status = 200, description = "All of them, the oldest first; at most 1,000", body = Listing<UnitView>)))]
async fn list(
    State(state): State<AdminState>,
    Segment(key): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<Listing<UnitView>>, Problem> {
    let items = state.tenancy.units(&key).await?.into_iter().map(UnitView::from).collect();
    Ok(Json(Listing { items, next_cursor: None }))
}

/// Make a business unit
///
/// It is a place to belong to, and carries no rights; see roles for those.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/units", operation_id = "createUnit", tag = "members",
    params(("tenant" = String, Path, description = "Id or slug")), request_body = CreateUnit,
    responses(
        (status = 201, description = "Made", body = UnitView),
        (status = 409, description = "There is one of that name there, or there are too many")))]
async fn create(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Segment(key): Segment,
    Params(NoParams {}): Params<NoParams>,
    Body(body): Body<CreateUnit>,
) -> Result<Written, Problem> {
    let done = state.tenancy.create_unit(&actor, &key, &body.name, body.parent.as_deref()).await?;
    let location = format!("/v1/tenants/{}/units/{}", done.value.tenant, done.value.node.id);
    Ok(written(done).created(location))
}

/// Rename or move a business unit
///
/// All that stands beneath it moves along.
#[utoipa::path(patch, path = "/v1/tenants/{tenant}/units/{unit}", operation_id = "changeUnit", tag = "members",
    params(("tenant" = String, Path, description = "Id or slug"),
        ("unit" = String, Path, description = "The unit's id"), IfMatch),
    request_body = PatchUnit,
    responses(
        (status = 200, description = "As it is now", body = UnitView),
        (status = 409, description = "There is one of that name there")))]
async fn change(
    State(state): State<AdminState>,
    Edit { actor, key: (key, unit), expect, .. }: Edit<(String, String)>,
    Body(body): Body<PatchUnit>,
) -> Result<Written, Problem> {
    let change = UnitChange { name: body.name, parent: body.parent };
    Ok(written(state.tenancy.change_unit(&actor, &key, &unit, &expect, &change).await?))
}

/// Delete a business unit
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/units/{unit}", operation_id = "deleteUnit", tag = "members",
    params(("tenant" = String, Path, description = "Id or slug"),
        ("unit" = String, Path, description = "The unit's id"), DeleteUnit, IfMatch),
    responses(
        (status = 200, description = "Gone; how many belong elsewhere now", body = MovedView),
        (status = 409, description = "It is not empty, and nobody says where its members go"),
        (status = 422, description = "There is no such unit to move to")))]
async fn delete(
    State(state): State<AdminState>,
    Edit { actor, key: (key, unit), query: params, expect }: Edit<(String, String), DeleteUnit>,
) -> Result<Written, Problem> {
    let heir = match params.to {
        None => Heir::Nobody,
        Some(word) if word == "none" => Heir::Top,
        Some(unit) => Heir::Unit(unit),
    };
    let done = state.tenancy.delete_unit(&actor, &key, &unit, &expect, &heir).await?;
    Ok(Written::new(&done).body(&MovedView { members: done.value }))
}

fn written(done: Done<UnitRow>) -> Written {
    let revision = done.value.revision;
    Written::new(&done).etag(revision).body(&UnitView::from(done.value))
}

impl From<UnitRow> for UnitView {
    fn from(row: UnitRow) -> Self {
        Self {
            id: row.node.id.to_string(),
            name: row.node.name,
            parent: row.node.parent.map(|parent| parent.to_string()),
            created: row.created,
            updated: row.updated,
            revision: row.revision,
        }
    }
}
