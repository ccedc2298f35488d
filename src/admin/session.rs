//! `/v1/session` and `/v1/sessions` of whoever is signed in: who they are, which tenancy they have picked, where else they
//! are signed in, and signing out.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Caller, Need, Presented, needs};
use super::answer::Written;
use super::body::{Body, SmallBody};
use super::cookies::{self, SESSION, WithCookies};
use super::people::PersonSummary;
use super::problem::Problem;
use super::query::{List, Listing, NoParams, PageParams, Params, Segment};
use crate::clock::Timestamp;
use crate::model::{Role, Scope, SessionId, Status, TenantId};
use crate::store::SessionRow;
use crate::tenancy::{Membership, SessionState, csrf_token};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(needs(Need::Anyone, routes!(show)))
        .routes(needs(Need::Anyone, routes!(sign_out)))
        .routes(needs(Need::Anyone, routes!(change_password)))
        .routes(needs(Need::Anyone, routes!(tenancies)))
        .routes(needs(Need::Anyone, routes!(leave)))
        .routes(needs(Need::Anyone, routes!(pick)))
        .routes(needs(Need::Anyone, routes!(list)))
        .routes(needs(Need::Anyone, routes!(end_all)))
        .routes(needs(Need::Anyone, routes!(end)))
}

/// A session, without its secret.
#[derive(Serialize, ToSchema)]
pub struct SessionView {
    id: String,
    /// `password`, or the name of a provider.
    method: String,
    /// The id of the tenancy picked.
    tenant: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// When it was last used, to the minute.
    #[schema(value_type = String, format = DateTime)]
    seen: Timestamp,
    /// When it is over, used or not.
    #[schema(value_type = String, format = DateTime)]
    expires: Timestamp,
    address: Option<String>,
    agent: Option<String>,
    /// It is the one that asks.
    current: bool,
}

/// Who is signed in, and what they may do.
#[derive(Serialize, ToSchema)]
pub struct SessionDetail {
    person: PersonSummary,
    session: SessionView,
    /// To be sent in `X-CSRF-Token` with every write by the session's cookie.
    csrf_token: String,
    /// They look after all tenants.
    operator: bool,
    /// What they may do: as operators, else in the tenancy that they have picked.
    #[schema(value_type = Vec<String>)]
    scopes: Vec<Scope>,
}

/// A tenancy of whoever is signed in.
#[derive(Serialize, ToSchema)]
pub struct TenancyView {
    /// The tenant's id.
    tenant: String,
    slug: String,
    name: String,
    #[schema(value_type = String)]
    status: Status,
    #[schema(value_type = String)]
    role: Role,
    /// The role of the tenant's own that they have there.
    custom_role: Option<String>,
    /// The one that a new session begins in.
    default: bool,
    /// The one that this session has picked.
    picked: bool,
}

/// A tenancy to be picked.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pick {
    /// The tenant's id or slug.
    tenant: String,
}

/// A tenancy that was picked.
#[derive(Serialize, ToSchema)]
pub struct PickedView {
    tenant: String,
    /// The cookie's name, as `tenancy.session_cookie` has it; `null`: the edge reads none.
    cookie: Option<String>,
    /// Its value, for whoever sets it where this answer cannot: the admin API is not on the main site, or no browser asks.
    value: String,
    /// Whether this answer sets it.
    set: bool,
    #[schema(value_type = String, format = DateTime)]
    expires: Timestamp,
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    current: String,
    /// At least 12 characters.
    new: String,
}

/// Sessions that were ended.
#[derive(Serialize, ToSchema)]
pub struct Ended {
    sessions: u64,
}

/// Who am I
#[utoipa::path(get, path = "/v1/session", operation_id = "showSession", tag = "sessions",
    responses((status = 200, description = "Who is signed in", body = SessionDetail)))]
async fn show(
    State(state): State<AdminState>,
    SignedIn(known, secret): SignedIn,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<SessionDetail>, Problem> {
    Ok(Json(SessionDetail::of(&state, &known, &secret).await?))
}

/// Sign out
///
/// Ends this session, here and at the edge: what is open under it is closed.
#[utoipa::path(delete, path = "/v1/session", operation_id = "signOut", tag = "sessions",
    responses((status = 204, description = "Signed out")))]
async fn sign_out(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    SignedIn(known, _): SignedIn,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, Problem> {
    let done = state.tenancy.end_session(&actor, known.person.id, known.session.id).await?;
    Ok(WithCookies(vec![cookies::gone(SESSION)], Written::new(&done)).into_response())
}

/// Change one's own password
///
/// All other sessions of the person end.
#[utoipa::path(put, path = "/v1/session/password", operation_id = "changePassword", tag = "sessions",
    request_body = ChangePassword,
    responses(
        (status = 200, description = "Changed; how many other sessions ended", body = Ended),
        (status = 422, description = "The current one is wrong, or the new one is not fit to be one"),
        (status = 429, description = "Too many attempts; see Retry-After")))]
async fn change_password(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    SignedIn(known, _): SignedIn,
    Params(NoParams {}): Params<NoParams>,
    Body(body): SmallBody<ChangePassword>,
) -> Result<Written, Problem> {
    let done = state.signin.change_password(&actor, &known, &body.current, &body.new).await?;
    Ok(Written::new(&done).body(&Ended { sessions: done.value }))
}

/// List the tenancies of whoever is signed in
///
/// Operators can pick any tenant besides; those are not listed.
#[utoipa::path(get, path = "/v1/session/tenancies", operation_id = "listOwnTenancies", tag = "sessions",
    params(PageParams),
    responses((status = 200, description = "A page of them, the oldest tenant first", body = Listing<TenancyView>)))]
async fn tenancies(
    State(state): State<AdminState>,
    SignedIn(known, _): SignedIn,
    list: List,
    Params(params): Params<PageParams>,
) -> Result<Json<Listing<TenancyView>>, Problem> {
    let paging = params.paging(list)?;
    let rows = state.tenancy.memberships(known.person.id, &paging.page()).await?;
    let picked = known.session.tenant;
    paging.listing(rows, |row| row.tenant.to_string(), |row| TenancyView::of(row, picked))
}

/// Leave a tenancy
///
/// Ends one's own membership at once, and what is open under it at the edge. The last owner cannot leave. For 30 days it can
/// be brought back, by whoever manages the tenant's members.
#[utoipa::path(delete, path = "/v1/session/tenancies/{tenant}", operation_id = "leaveTenancy", tag = "sessions",
    params(("tenant" = String, Path, description = "The tenant's id or slug")),
    responses(
        (status = 204, description = "They are a member no more"),
        (status = 404, description = "They are no member of such a tenant"),
        (status = 409, description = "They are its last owner")))]
async fn leave(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    SignedIn(known, _): SignedIn,
    Segment(tenant): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Written, Problem> {
    Ok(Written::new(&state.tenancy.leave(&actor, known.person.id, &tenant).await?))
}

/// Pick a tenancy
///
/// Membership is looked at again. The signed cookie that the edge reads on the main site is in the answer, and set by it
/// where the admin API is asked for on the main site's host or beneath it. It is worth something until the session ends, the
/// membership ends, or its time is over.
#[utoipa::path(post, path = "/v1/session/tenancy", operation_id = "pickTenancy", tag = "sessions", request_body = Pick,
    responses(
        (status = 200, description = "Picked", body = PickedView),
        (status = 404, description = "They are no member of such a tenant")))]
async fn pick(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    SignedIn(known, _): SignedIn,
    Asked(host): Asked,
    Params(NoParams {}): Params<NoParams>,
    Body(body): Body<Pick>,
) -> Result<Response, Problem> {
    let done = state.tenancy.pick_tenancy(&actor, &known, &body.tenant).await?;
    let config = state.tenancy.config();
    let (picked, name) = (&done.value, config.tenancy.session_cookie.clone());
    let life = picked.expires.since(state.tenancy.clock().now()).as_secs();
    let set = name
        .as_deref()
        .and_then(|name| cookies::for_main_site(name, &picked.cookie, host.as_deref(), &config.brand.base, life));
    let view = PickedView {
        tenant: picked.tenant.to_string(),
        cookie: name,
        value: picked.cookie.clone(),
        set: set.is_some(),
        expires: picked.expires,
    };
    Ok(WithCookies(set.into_iter().collect(), Written::new(&done).body(&view)).into_response())
}

/// List one's own sessions
#[utoipa::path(get, path = "/v1/sessions", operation_id = "listOwnSessions", tag = "sessions", params(PageParams),
    responses((status = 200, description = "Those that work, the oldest first", body = Listing<SessionView>)))]
async fn list(
    State(state): State<AdminState>,
    SignedIn(known, _): SignedIn,
    list: List,
    Params(params): Params<PageParams>,
) -> Result<Json<Listing<SessionView>>, Problem> {
    let paging = params.paging(list)?;
    let rows = state.tenancy.sessions(known.person.id, &paging.page()).await?;
    let current = Some(known.session.id);
    paging.listing(rows, |row| row.id.to_string(), |row| SessionView::of(row, current))
}

/// Sign out everywhere
#[utoipa::path(delete, path = "/v1/sessions", operation_id = "signOutEverywhere", tag = "sessions",
    responses((status = 200, description = "How many sessions ended", body = Ended)))]
async fn end_all(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    SignedIn(known, _): SignedIn,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, Problem> {
    let done = state.tenancy.end_sessions(&actor, known.person.id).await?;
    let answer = Written::new(&done).body(&Ended { sessions: done.value });
    Ok(WithCookies(vec![cookies::gone(SESSION)], answer).into_response())
}

/// End one of one's own sessions
#[utoipa::path(delete, path = "/v1/sessions/{session}", operation_id = "endOwnSession", tag = "sessions",
    params(("session" = String, Path, description = "The session's id")),
    responses(
        (status = 204, description = "It is over")))]
async fn end(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    SignedIn(known, _): SignedIn,
    Segment(id): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Written, Problem> {
    let id = SessionId::parse(&id).ok_or_else(|| Problem::no_session(&id))?;
    Ok(Written::new(&state.tenancy.end_session(&actor, known.person.id, id).await?))
}

/// A person who is signed in, and their session's secret.
pub struct SignedIn(pub SessionState, pub String);

impl<S: Send + Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let presented = parts.extensions.get::<Presented>().cloned();
        presented.map(|presented| Self(presented.state, presented.secret)).ok_or_else(Problem::sign_in_first)
    }
}

/// The host that was asked for.
struct Asked(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Ok(Self(cookies::host(&parts.headers, &parts.uri).map(str::to_owned)))
    }
}

impl SessionView {
    pub fn of(row: SessionRow, current: Option<SessionId>) -> Self {
        Self {
            id: row.id.to_string(),
            method: row.method,
            tenant: row.tenant.map(|tenant| tenant.to_string()),
            created: row.created,
            seen: row.seen,
            expires: row.expires,
            address: row.address,
            agent: row.agent,
            current: current == Some(row.id),
        }
    }
}

impl SessionDetail {
    pub async fn of(state: &AdminState, known: &SessionState, secret: &str) -> Result<Self, Problem> {
        let rights = state.tenancy.rights_of_session(known, None).await?;
        Ok(Self {
            person: known.person.clone().into(),
            session: SessionView::of(known.session.clone(), Some(known.session.id)),
            csrf_token: csrf_token(secret),
            operator: rights.only().is_none(),
            scopes: rights.scopes.into_iter().collect(),
        })
    }
}

impl TenancyView {
    fn of(membership: Membership, picked: Option<TenantId>) -> Self {
        Self {
            picked: picked == Some(membership.tenant),
            tenant: membership.tenant.to_string(),
            slug: membership.slug.to_string(),
            name: membership.name,
            status: membership.status,
            role: membership.role,
            custom_role: membership.custom_role.map(|name| name.to_string()),
            default: membership.default,
        }
    }
}
