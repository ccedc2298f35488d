//! `/v1/tenants/{tenant}/members`: who belongs to a tenant, as what.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Caller, Need, needs};
use super::answer::{Tagged, Written};
use super::body::{Body, maybe};
use super::edit::Edit;
use super::precondition::IfMatch;
use super::problem::Problem;
use super::query::{List, Listing, NoParams, PageParams, Params, Segment};
use crate::clock::Timestamp;
use crate::model::{MemberState, Role, Scope, UnitId};
use crate::store::{MemberFilter, MemberRow, MemberSearch};
use crate::tenancy::{Done, MemberChange, NewMember};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(needs(Need::Tenant(Scope::MembersRead), routes!(list)))
        .routes(needs(Need::Installation(Scope::MembersManage), routes!(add)))
        .routes(needs(Need::Tenant(Scope::MembersRead), routes!(show)))
        .routes(needs(Need::Tenant(Scope::MembersManage), routes!(change)))
        .routes(needs(Need::Tenant(Scope::MembersManage), routes!(remove)))
        .routes(needs(Need::Tenant(Scope::MembersManage), routes!(restore)))
}

/// Somebody who belongs to a tenant.
#[derive(Serialize, ToSchema)]
pub struct MemberView {
    /// The id of the person.
    person: String,
    email: String,
    name: String,
    state: MemberState,
    /// One of the built-in roles, or one of the tenant's own.
    role: String,
    /// The built-in role that counts as rank.
    rank: Role,
    /// The id of the business unit that they belong to; no right comes of it.
    unit: Option<String>,
    /// By being a member of the operator's own tenant; `role` and `state` are those there.
    shadow: bool,
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated: Timestamp,
    /// Since when they are no active member.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended: Option<Timestamp>,
    /// Until when they can be brought back, or the erasure be called off.
    #[schema(value_type = Option<String>, format = DateTime)]
    due: Option<Timestamp>,
    revision: i64,
}

/// Somebody who is to be a member at once.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddMember {
    /// Of a person, known or new.
    email: String,
    /// What a new person is called; left out: their address. Of one who is known it is not looked at.
    name: Option<String>,
    /// `guest`, `member`, `moderator`, `admin`, `owner`, or a role of the tenant's own.
    role: String,
    /// The id of a business unit.
    unit: Option<String>,
}

/// What is to change of a member. What is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchMember {
    role: Option<String>,
    /// The id of a business unit; `null`: none.
    #[serde(default, deserialize_with = "maybe")]
    #[schema(value_type = Option<String>)]
    unit: Option<Option<String>>,
}

/// Which members to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListMembers {
    /// How many to list, 1 to 200.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// `next_cursor` of the page before, for the same list: the same caller, path and parameters but `limit`. Opaque.
    cursor: Option<String>,
    /// `active` (the default), `removed` or `purging`.
    #[param(value_type = Option<MemberState>)]
    state: Option<String>,
    /// Only those of this role, built-in or the tenant's own.
    role: Option<String>,
    /// Only those of the business unit of this id; not of those beneath it.
    unit: Option<String>,
    /// Only addresses that begin like this, whatever the case. Not together with `name`.
    email: Option<String>,
    /// Only names that begin like this, whatever the case; sorted by name instead of address.
    name: Option<String>,
    /// `true`: those who are members by being members of the operator's own tenant, instead; for operators.
    #[param(value_type = Option<bool>)]
    shadow: Option<String>,
}

/// List the members of a tenant
#[utoipa::path(get, path = "/v1/tenants/{tenant}/members", operation_id = "listMembers", tag = "members",
    params(("tenant" = String, Path, description = "Id or slug"), ListMembers),
    responses(
        (status = 200, description = "A page of members, by address or by name", body = Listing<MemberView>)))]
async fn list(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Segment(key): Segment,
    list: List,
    Params(params): Params<ListMembers>,
) -> Result<Json<Listing<MemberView>>, Problem> {
    let filter = params.filter()?;
    let shadow = matches!(params.shadow.as_deref(), Some("true"));
    let by_name = matches!(filter.search, MemberSearch::Name(_));
    let paging = PageParams { limit: params.limit, cursor: params.cursor }.paging(list)?;
    let rows = match shadow {
        false => state.tenancy.members(&key, &filter, &paging.page()).await?,
        true if actor.rights.only().is_none() => state.tenancy.shadow_members(&key, &filter, &paging.page()).await?,
        true => return Err(Problem::insufficient(&[Scope::TenantsManage])),
    };
    let cursor = |row: &MemberRow| if by_name { row.name_cursor() } else { row.email.to_string() };
    paging.listing(rows, cursor, |row| MemberView { shadow, ..MemberView::from(row) })
}

/// Add a member without an invitation
///
/// For operators; a tenant invites. A person whom nobody knows is made, and signs in through a provider.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/members", operation_id = "addMember", tag = "members",
    params(("tenant" = String, Path, description = "Id or slug")), request_body = AddMember,
    responses(
        (status = 201, description = "A member", body = MemberView),
        (status = 402, description = "The plan has no room for more, or not this role"),
        (status = 409, description = "They are a member already")))]
async fn add(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Segment(key): Segment,
    Params(NoParams {}): Params<NoParams>,
    Body(body): Body<AddMember>,
) -> Result<Written, Problem> {
    let AddMember { email, name, role, unit } = body;
    let done = state.tenancy.add_member(&actor, &key, &NewMember { email, name, role, unit }).await?;
    let location = format!("/v1/tenants/{}/members/{}", done.value.tenant, done.value.person);
    Ok(written(done).created(location))
}

/// Show a member
#[utoipa::path(get, path = "/v1/tenants/{tenant}/members/{member}", operation_id = "showMember", tag = "members",
    params(("tenant" = String, Path, description = "Id or slug"),
        ("member" = String, Path, description = "The person's id or e-mail address")),
    responses(
        (status = 200, description = "The member, in whatever state", body = MemberView,
            headers(("ETag", description = "Its revision, and a digest of this answer")))))]
async fn show(
    State(state): State<AdminState>,
    Segment((key, who)): Segment<(String, String)>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<MemberView>, Problem> {
    let row = state.tenancy.member(&key, &who).await?;
    Ok(Tagged(row.revision, row.into()))
}

/// Give a member another role or unit
///
/// Counts with their next call. Nobody changes whom they do not outrank, or gives what they do not hold.
#[utoipa::path(patch, path = "/v1/tenants/{tenant}/members/{member}", operation_id = "changeMember", tag = "members",
    params(("tenant" = String, Path, description = "Id or slug"),
        ("member" = String, Path, description = "The person's id or e-mail address"), IfMatch),
    request_body = PatchMember,
    responses(
        (status = 200, description = "As it is now", body = MemberView),
        (status = 402, description = "The plan does not have roles of the tenant's own"),
        (status = 409, description = "It is the last owner, or nobody active")))]
async fn change(
    State(state): State<AdminState>,
    Edit { actor, key: (key, who), expect, .. }: Edit<(String, String)>,
    Body(body): Body<PatchMember>,
) -> Result<Written, Problem> {
    let change = MemberChange { role: body.role, unit: body.unit };
    Ok(written(state.tenancy.change_member(&actor, &key, &who, &expect, &change).await?))
}

/// Remove a member
///
/// At once: what they have open at the edge is closed. They can be brought back for 30 days.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/members/{member}", operation_id = "removeMember", tag = "members",
    params(("tenant" = String, Path, description = "Id or slug"),
        ("member" = String, Path, description = "The person's id or e-mail address"), IfMatch),
    responses(
        (status = 200, description = "Removed", body = MemberView),
        (status = 409, description = "It is the last owner, or nobody active")))]
async fn remove(
    State(state): State<AdminState>,
    Edit { actor, key: (key, who), expect, .. }: Edit<(String, String)>,
) -> Result<Written, Problem> {
    Ok(written(state.tenancy.remove_member(&actor, &key, &who, &expect).await?))
}

/// Bring a removed member back
#[utoipa::path(post, path = "/v1/tenants/{tenant}/members/{member}/restore", operation_id = "restoreMember",
    tag = "members",
    params(("tenant" = String, Path, description = "Id or slug"),
        ("member" = String, Path, description = "The person's id or e-mail address"), IfMatch),
    responses(
        (status = 200, description = "As they were", body = MemberView),
        (status = 402, description = "The plan has no room for more"),
        (status = 409, description = "They were not removed, or too long ago")))]
async fn restore(
    State(state): State<AdminState>,
    Edit { actor, key: (key, who), expect, .. }: Edit<(String, String)>,
) -> Result<Written, Problem> {
    Ok(written(state.tenancy.restore_member(&actor, &key, &who, &expect).await?))
}

/// The answer to a write of a member.
pub(super) fn written(done: Done<MemberRow>) -> Written {
    let revision = done.value.revision;
    Written::new(&done).etag(revision).body(&MemberView::from(done.value))
}

impl ListMembers {
    fn filter(&self) -> Result<MemberFilter, Problem> {
        let state = match self.state.as_deref() {
            None => MemberState::Active,
            Some(text) => MemberState::parse(text).ok_or_else(|| {
                let known = MemberState::ALL.map(MemberState::as_str).join(", ");
                let detail = format!("{text:?} is no state; there are {known}");
                Problem::parameter(Some("state"), "invalid-state", detail)
            })?,
        };
        let unit = match self.unit.as_deref() {
            None => None,
            Some(text) => Some(UnitId::parse(text).ok_or_else(|| {
                Problem::parameter(Some("unit"), "invalid-unit", format!("{text:?} is no id of a unit"))
            })?),
        };
        if !matches!(self.shadow.as_deref(), None | Some("true" | "false")) {
            return Err(Problem::parameter(Some("shadow"), "wrong-type", "shadow is true or false"));
        }
        let search = match (&self.email, &self.name) {
            (Some(_), Some(_)) => {
                let detail = "seek by email or by name: each has an order of its own";
                return Err(Problem::parameter(Some("name"), "contradiction", detail));
            }
            (None, Some(name)) => MemberSearch::Name(name.clone()),
            (email, None) => MemberSearch::Email(email.as_deref().unwrap_or_default().trim().to_lowercase()),
        };
        Ok(MemberFilter { state, role: self.role.clone(), unit, search })
    }
}

impl From<MemberRow> for MemberView {
    fn from(row: MemberRow) -> Self {
        Self {
            person: row.person.to_string(),
            email: row.email.to_string(),
            name: row.name,
            state: row.state,
            role: row.position.name().to_owned(),
            rank: row.position.rank,
            unit: row.unit.map(|unit| unit.to_string()),
            shadow: false,
            created: row.created,
            updated: row.updated,
            ended: row.ended,
            due: row.due,
            revision: row.revision,
        }
    }
}
