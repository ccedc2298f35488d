//! `/v1/people`: those who can sign in, for operators: looked up, made, renamed, disabled, and signed out everywhere.

use axum::Json;
use axum::extract::State;
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
use super::query::{List, Listing, NoParams, PageParams, Params, Segment};
use super::session::SessionView;
use crate::clock::Timestamp;
use crate::model::{Person, Scope};
use crate::tenancy::PersonChange;

pub fn routes() -> OpenApiRouter<AdminState> {
    let need = Need::Installation(Scope::PeopleManage);
    OpenApiRouter::new()
        .routes(needs(need, routes!(list, create)))
        .routes(needs(need, routes!(show, change, erase)))
        .routes(needs(need, routes!(sessions, end_sessions)))
}

/// Who somebody is.
#[derive(Serialize, ToSchema)]
pub struct PersonSummary {
    /// UUIDv7.
    id: String,
    email: String,
    name: String,
}

/// Somebody who can sign in.
#[derive(Serialize, ToSchema)]
pub struct PersonView {
    #[serde(flatten)]
    who: PersonSummary,
    /// Cannot sign in.
    disabled: bool,
    /// The address is theirs. `false`: the account was made by whoever held an invitation to it.
    verified: bool,
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated: Timestamp,
    revision: i64,
}

/// A person to be made: they sign in through a provider, or by an invitation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePerson {
    /// One address is one person.
    email: String,
    /// 1–120 characters.
    name: String,
}

/// What can be changed of a person; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchPerson {
    /// 1–120 characters.
    name: Option<String>,
    /// `true`: cannot sign in, and every session of theirs ends.
    disabled: Option<bool>,
    /// `true`: you vouch that the address is theirs.
    verified: Option<bool>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListParams {
    /// Addresses that begin like this.
    email: Option<String>,
    /// How many to list, 1 to 200.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// `next_cursor` of the page before, for the same list: the same caller, path and parameters but `limit`. Opaque.
    cursor: Option<String>,
}

/// Sessions that were ended.
#[derive(Serialize, ToSchema)]
pub struct EndedSessions {
    pub sessions: u64,
}

/// Who is to be erased, and that it is meant.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ErasePerson {
    /// Their e-mail address, typed back.
    email: String,
}

/// What was erased.
#[derive(Serialize, ToSchema)]
pub struct ErasedPerson {
    /// Values in the audit ledger.
    values: u64,
}

/// List people
#[utoipa::path(get, path = "/v1/people", operation_id = "listPeople", tag = "people", params(ListParams),
    responses((status = 200, description = "By e-mail address", body = Listing<PersonView>)))]
async fn list(
    State(state): State<AdminState>,
    list: List,
    Params(params): Params<ListParams>,
) -> Result<Json<Listing<PersonView>>, Problem> {
    let ListParams { email, limit, cursor } = params;
    let paging = PageParams { limit, cursor }.paging(list)?;
    let rows = state.tenancy.people(email.as_deref(), &paging.page()).await?;
    paging.listing(rows, |person| person.email.to_string(), PersonView::from)
}

/// Make a person
#[utoipa::path(post, path = "/v1/people", operation_id = "createPerson", tag = "people", request_body = CreatePerson,
    responses(
        (status = 201, description = "Made", body = PersonView),
        (status = 409, description = "There is somebody of that address")))]
async fn create(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Params(NoParams {}): Params<NoParams>,
    Body(body): Body<CreatePerson>,
) -> Result<Written, Problem> {
    let done = state.tenancy.create_person(&actor, &body.email, &body.name, None, None).await?;
    let (answer, revision) = (Written::new(&done), done.value.revision);
    let location = format!("/v1/people/{}", done.value.id);
    Ok(answer.body(&PersonView::from(done.value)).created(location).etag(revision))
}

/// Show a person
#[utoipa::path(get, path = "/v1/people/{person}", operation_id = "showPerson", tag = "people",
    params(("person" = String, Path, description = "Id or e-mail address")),
    responses(
        (status = 200, description = "The person", body = PersonView)))]
async fn show(
    State(state): State<AdminState>,
    Segment(key): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<PersonView>, Problem> {
    let person = state.tenancy.person(&key).await?;
    Ok(Tagged(person.revision, person.into()))
}

/// Rename, disable or verify a person
///
/// Whoever has a position in the operators' own tenant is for those to change who may change that.
#[utoipa::path(patch, path = "/v1/people/{person}", operation_id = "changePerson", tag = "people",
    request_body = PatchPerson,
    params(("person" = String, Path, description = "Id or e-mail address"), IfMatch),
    responses(
        (status = 200, description = "As they are now", body = PersonView),
        (status = 403, description = "They are of a higher rank than you among the operators"),
        (status = 409, description = "They are the last owner of a tenant")))]
async fn change(
    State(state): State<AdminState>,
    Edit { actor, key, expect, .. }: Edit,
    Body(body): Body<PatchPerson>,
) -> Result<Written, Problem> {
    let change = PersonChange { name: body.name, disabled: body.disabled, verified: body.verified };
    let done = state.tenancy.change_person(&actor, &key, &expect, &change).await?;
    let (answer, revision) = (Written::new(&done), done.value.revision);
    Ok(answer.body(&PersonView::from(done.value)).etag(revision))
}

/// Erase a person for ever
#[utoipa::path(delete, path = "/v1/people/{person}", operation_id = "erasePerson", tag = "people",
    description = "Their name, address, password and identities go, and what the audit ledger knows of them; the ledger's \
        lines stay and verify. Whoever is a member somewhere is removed there first.",
    params(("person" = String, Path, description = "Id or e-mail address"), ErasePerson, IfMatch),
    responses(
        (status = 200, description = "Erased", body = ErasedPerson),
        (status = 409, description = "A tenant has them as a member"),
        (status = 422, description = "Another address was typed")))]
async fn erase(
    State(state): State<AdminState>,
    Edit { actor, key, query: params, expect }: Edit<String, ErasePerson>,
) -> Result<Written, Problem> {
    let done = state.tenancy.erase_person(&actor, &key, &expect, &params.email).await?;
    Ok(Written::new(&done).body(&ErasedPerson { values: done.value }))
}

/// List the sessions of a person
#[utoipa::path(get, path = "/v1/people/{person}/sessions", operation_id = "listSessions", tag = "people",
    params(("person" = String, Path, description = "Id or e-mail address"), PageParams),
    responses(
        (status = 200, description = "Those that work, the oldest first", body = Listing<SessionView>),
        (status = 404, description = "There is no such person")))]
async fn sessions(
    State(state): State<AdminState>,
    Segment(key): Segment,
    list: List,
    Params(params): Params<PageParams>,
) -> Result<Json<Listing<SessionView>>, Problem> {
    let paging = params.paging(list)?;
    let person = state.tenancy.person(&key).await?;
    let rows = state.tenancy.sessions(person.id, &paging.page()).await?;
    paging.listing(rows, |row| row.id.to_string(), |row| SessionView::of(row, None))
}

/// Sign a person out everywhere
#[utoipa::path(delete, path = "/v1/people/{person}/sessions", operation_id = "endSessions", tag = "people",
    params(("person" = String, Path, description = "Id or e-mail address")),
    responses(
        (status = 200, description = "How many sessions ended", body = EndedSessions),
        (status = 404, description = "There is no such person")))]
async fn end_sessions(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Segment(key): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Written, Problem> {
    let person = state.tenancy.person(&key).await?;
    let done = state.tenancy.end_sessions(&actor, person.id).await?;
    Ok(Written::new(&done).body(&EndedSessions { sessions: done.value }))
}

impl From<Person> for PersonSummary {
    fn from(person: Person) -> Self {
        Self { id: person.id.to_string(), email: person.email.to_string(), name: person.name }
    }
}

impl From<Person> for PersonView {
    fn from(person: Person) -> Self {
        Self {
            disabled: person.disabled,
            verified: person.verified,
            created: person.created,
            updated: person.updated,
            revision: person.revision,
            who: person.into(),
        }
    }
}
