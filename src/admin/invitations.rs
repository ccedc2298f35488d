//! `/v1/tenants/{tenant}/invitations` and `/v1/invitations`: asking somebody to be a member, and accepting. A token's text is
//! in exactly one answer: the one that made it.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Caller, Need, needs};
use super::answer::Written;
use super::body::{Body, SmallBody};
use super::members::MemberView;
use super::problem::Problem;
use super::query::{List, Listing, NoParams, PageParams, Params, Segment};
use super::session::SignedIn;
use super::signin::About;
use crate::clock::Timestamp;
use crate::model::{Role, Scope};
use crate::store::{InvitationRow, MemberRow};
use crate::tenancy::{Actor, Done, IssuedInvitation, Joiner, NewInvitation};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(needs(Need::Tenant(Scope::MembersRead), routes!(list)))
        .routes(needs(Need::Tenant(Scope::MembersManage), routes!(create)))
        .routes(needs(Need::Tenant(Scope::MembersManage), routes!(resend)))
        .routes(needs(Need::Tenant(Scope::MembersManage), routes!(revoke)))
        .routes(needs(Need::Anyone, routes!(accept)))
        .routes(needs(Need::Public, routes!(join)))
}

/// Whom to invite, as what.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateInvitation {
    email: String,
    /// `guest`, `member`, `moderator`, `admin`, `owner`, or a role of the tenant's own.
    role: String,
    /// The id of a business unit.
    unit: Option<String>,
    /// To the one who is invited, at most 500 characters.
    message: Option<String>,
}

/// An invitation, without its token.
#[derive(Serialize, ToSchema)]
pub struct InvitationView {
    id: String,
    /// The tenant's id.
    tenant: String,
    email: String,
    role: String,
    /// The built-in role that counts as rank.
    rank: Role,
    unit: Option<String>,
    message: Option<String>,
    /// Who invites, as the ledger knows them.
    inviter: String,
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// When the token was made that counts.
    #[schema(value_type = String, format = DateTime)]
    sent: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    expires: Timestamp,
    /// Its time is over: a new token can be made for it.
    expired: bool,
}

/// An invitation whose token was just made.
#[derive(Serialize, ToSchema)]
pub struct NewInvitationView<'a> {
    /// 64 hexadecimal digits, for the one who is invited. It is not shown again.
    token: &'a str,
    #[serde(flatten)]
    about: InvitationView,
}

/// An invitation to be accepted by whoever is signed in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptInvitation {
    token: String,
}

/// An invitation to be accepted by somebody who has no account yet.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinByInvitation {
    token: String,
    /// 1–120 characters.
    name: String,
    /// At least 12 characters.
    password: String,
}

/// What an invitation has made of somebody.
#[derive(Serialize, ToSchema)]
pub struct JoinedView {
    /// The tenant's id.
    tenant: String,
    member: MemberView,
}

/// List the invitations of a tenant by address
#[utoipa::path(get, path = "/v1/tenants/{tenant}/invitations", operation_id = "listInvitations", tag = "members",
    params(("tenant" = String, Path, description = "Id or slug"), PageParams),
    responses(
        (status = 200, description = "Those that were neither accepted nor revoked", body = Listing<InvitationView>)))]
async fn list(
    State(state): State<AdminState>,
    Segment(key): Segment,
    list: List,
    Params(params): Params<PageParams>,
) -> Result<Json<Listing<InvitationView>>, Problem> {
    let paging = params.paging(list)?;
    let now = state.tenancy.clock().now();
    let rows = state.tenancy.invitations(&key, &paging.page()).await?;
    paging.listing(rows, |row| row.email.to_string(), |row| InvitationView::of(row, now))
}

/// Invite somebody
#[utoipa::path(post, path = "/v1/tenants/{tenant}/invitations", operation_id = "createInvitation", tag = "members",
    params(("tenant" = String, Path, description = "Id or slug")), request_body = CreateInvitation,
    responses(
        (status = 201, description = "Invited for 7 days; the token is not shown again", body = NewInvitationView),
        (status = 402, description = "The plan has no room for more, or not this role"),
        (status = 409, description = "They are a member, or invited")))]
async fn create(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Segment(key): Segment,
    Params(NoParams {}): Params<NoParams>,
    Body(body): Body<CreateInvitation>,
) -> Result<Written, Problem> {
    let CreateInvitation { email, role, unit, message } = body;
    let done = state.tenancy.invite(&actor, &key, &NewInvitation { email, role, unit, message }).await?;
    let location = format!("/v1/tenants/{}/invitations/{}", done.value.row.tenant, done.value.row.id);
    Ok(issued(&state, done).created(location))
}

/// Make a new token for an invitation
///
/// Good for another 7 days; the one before is worth nothing.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/invitations/{invitation}/resend", operation_id = "resendInvitation",
    tag = "members",
    params(("tenant" = String, Path, description = "Id or slug"),
        ("invitation" = String, Path, description = "The invitation's id")),
    responses(
        (status = 200, description = "The token is not shown again", body = NewInvitationView)))]
async fn resend(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Segment((key, id)): Segment<(String, String)>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Written, Problem> {
    let done = state.tenancy.resend_invitation(&actor, &key, &id).await?;
    Ok(issued(&state, done))
}

/// Revoke an invitation at once
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/invitations/{invitation}", operation_id = "revokeInvitation",
    tag = "members",
    params(("tenant" = String, Path, description = "Id or slug"),
        ("invitation" = String, Path, description = "The invitation's id")),
    responses(
        (status = 204, description = "Its token is worth nothing")))]
async fn revoke(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Segment((key, id)): Segment<(String, String)>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Written, Problem> {
    Ok(Written::new(&state.tenancy.revoke_invitation(&actor, &key, &id).await?))
}

/// Accept an invitation
///
/// By whoever is signed in with the e-mail address that was invited. A token counts once; one that does not count is the
/// same as none.
#[utoipa::path(post, path = "/v1/invitations/accept", operation_id = "acceptInvitation", tag = "members",
    request_body = AcceptInvitation,
    responses(
        (status = 200, description = "A member", body = JoinedView),
        (status = 402, description = "The plan has no room for more"),
        (status = 404, description = "No such invitation counts for whoever is signed in"),
        (status = 409, description = "They are a member already"),
        (status = 429, description = "Too many attempts; see Retry-After")))]
async fn accept(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    SignedIn(known, _): SignedIn,
    Params(NoParams {}): Params<NoParams>,
    Body(body): SmallBody<AcceptInvitation>,
) -> Result<Written, Problem> {
    state.signin.count_from(actor.from)?;
    let joiner = Joiner::Known(known.person.id);
    Ok(joined(state.tenancy.accept_invitation(&actor, body.token.trim(), joiner).await?))
}

/// Accept an invitation without an account
///
/// Makes one for the e-mail address that was invited, with a password. Sign in with it then. Nobody has verified the address
/// by that: until an operator or a provider has, no other tenant adds the account without an invitation of its own.
#[utoipa::path(post, path = "/v1/invitations/join", operation_id = "joinByInvitation", tag = "members",
    request_body = JoinByInvitation,
    responses(
        (status = 200, description = "A member, who can sign in", body = JoinedView),
        (status = 402, description = "The plan has no room for more"),
        (status = 403, description = "It was another site that asked"),
        (status = 404, description = "No such invitation counts"),
        (status = 409, description = "This one is accepted by signing in (`sign-in-to-accept`)"),
        (status = 422, description = "The name or the password is not fit to be one"),
        (status = 429, description = "Too many attempts; see Retry-After")))]
async fn join(
    State(state): State<AdminState>,
    about: About,
    Params(NoParams {}): Params<NoParams>,
    Body(body): SmallBody<JoinByInvitation>,
) -> Result<Written, Problem> {
    let (from, request_id) = about.same_site()?;
    state.signin.count_from(from)?;
    // The password is hashed only for whoever holds a token: that costs.
    let invitation = state.tenancy.invitation(body.token.trim()).await?;
    let password = state.signin.hash_for("/password", &body.password, &invitation.email, &body.name).await?;
    let actor = Actor { from, request_id, ..Actor::new("invited") };
    let joiner = Joiner::New { name: body.name, password };
    Ok(joined(state.tenancy.accept_invitation(&actor, body.token.trim(), joiner).await?))
}

fn issued(state: &AdminState, done: Done<IssuedInvitation>) -> Written {
    let answer = Written::new(&done);
    let IssuedInvitation { row, token } = done.value;
    let about = InvitationView::of(row, state.tenancy.clock().now());
    answer.body(&NewInvitationView { token: &token, about })
}

fn joined(done: Done<MemberRow>) -> Written {
    let answer = Written::new(&done);
    let tenant = done.value.tenant.to_string();
    answer.body(&JoinedView { tenant, member: done.value.into() })
}

impl InvitationView {
    fn of(row: InvitationRow, now: Timestamp) -> Self {
        Self {
            id: row.id.to_string(),
            tenant: row.tenant.to_string(),
            email: row.email.to_string(),
            role: row.position.name().to_owned(),
            rank: row.position.rank,
            unit: row.unit.map(|unit| unit.to_string()),
            message: row.message,
            inviter: row.inviter,
            created: row.created,
            sent: row.sent,
            expires: row.expires,
            expired: row.expires <= now,
        }
    }
}
