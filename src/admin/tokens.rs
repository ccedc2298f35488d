//! `/v1/tokens` and `/v1/tenants/{tenant}/tokens`: API tokens of the operators and of tenants. A token's text is in
//! exactly one answer: the one that made it.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Caller, Need, needs};
use super::answer::Written;
use super::body::Body;
use super::problem::Problem;
use super::query::{List, Listing, NoParams, PageParams, Params, Segment};
use crate::clock::Timestamp;
use crate::model::{Scope, within_a_tenant};
use crate::store::TokenRow;
use crate::tenancy::{Done, Impersonation, IssuedToken, NewToken};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(needs(Need::Installation(Scope::TokensRead), routes!(list)))
        .routes(needs(Need::Installation(Scope::TokensManage), routes!(create)))
        .routes(needs(Need::Installation(Scope::TokensManage), routes!(revoke)))
        .routes(needs(Need::Tenant(Scope::TokensRead), routes!(list_of_tenant)))
        .routes(needs(Need::Tenant(Scope::TokensManage), routes!(create_for_tenant)))
        .routes(needs(Need::Tenant(Scope::TokensManage), routes!(revoke_of_tenant)))
        .routes(needs(Need::Installation(Scope::TenantsImpersonate), routes!(impersonate)))
        .routes(needs(Need::Anyone, routes!(end_impersonation)))
        .routes(needs(Need::Anyone, routes!(scopes)))
}

/// A token to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// 1–64 letters, digits, dashes, underscores, dots and @; unique. The ledger shows it.
    name: String,
    /// When it stops working, no later than the token that asks; left out: when that does, or never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires: Option<Timestamp>,
    /// What it may do (`domains:manage`), none that you do not hold; left out: all that you may.
    scopes: Option<Vec<String>>,
}

/// Acting within a tenant, as one of its admins would.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Impersonate {
    /// Why: the tenant's ledger shows it. 1–500 characters.
    reason: String,
    /// For how long, 1–60.
    minutes: u32,
}

/// A token, without its text.
#[derive(Serialize, ToSchema)]
pub struct TokenView {
    name: String,
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires: Option<Timestamp>,
    /// What it may do.
    #[schema(value_type = Vec<String>)]
    scopes: BTreeSet<Scope>,
    /// Who made it; `null`: not known.
    maker: Option<String>,
    /// The id of the person by whose rights it stands: it does no more than they may, and ends when they leave. `null`: it
    /// stands by itself.
    made_by: Option<String>,
    /// The operator who acts within the tenant by it.
    operator: Option<String>,
}

/// A token that was just made.
#[derive(Serialize, ToSchema)]
pub struct NewTokenView<'a> {
    /// `<brand>_live_<prefix>_<secret>`, such as `arc_live_0123abcd_…`. It is not shown again.
    token: &'a str,
    #[serde(flatten)]
    about: TokenView,
}

/// One thing that a token can be allowed to do.
#[derive(Serialize, ToSchema)]
pub struct ScopeView {
    scope: &'static str,
    /// For people.
    meaning: &'static str,
    /// It can be held within a tenant; otherwise by operators only.
    within_a_tenant: bool,
}

/// Make an operator's token
#[utoipa::path(post, path = "/v1/tokens", operation_id = "createToken", tag = "tokens", request_body = CreateToken,
    responses(
        (status = 201, description = "Made; its text is not shown again", body = NewTokenView),
        (status = 409, description = "There is one of that name")))]
async fn create(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Params(NoParams {}): Params<NoParams>,
    Body(body): Body<CreateToken>,
) -> Result<Written, Problem> {
    let done = state.tenancy.create_token(&actor, None, &body.into()).await?;
    let location = format!("/v1/tokens/{}", done.value.row.name);
    Ok(issued(done, location))
}

/// List the operators' tokens by name
///
/// Expired ones too, for 30 days after their end.
#[utoipa::path(get, path = "/v1/tokens", operation_id = "listTokens", tag = "tokens", params(PageParams),
    responses((status = 200, description = "A page of tokens, without their texts", body = Listing<TokenView>)))]
async fn list(
    State(state): State<AdminState>,
    list: List,
    Params(params): Params<PageParams>,
) -> Result<Json<Listing<TokenView>>, Problem> {
    let paging = params.paging(list)?;
    let rows = state.tenancy.tokens(None, &paging.page()).await?;
    paging.listing(rows, |row| row.name.clone(), TokenView::from)
}

/// Revoke an operator's token at once
#[utoipa::path(delete, path = "/v1/tokens/{name}", operation_id = "revokeToken", tag = "tokens",
    params(("name" = String, Path, description = "The token's name")),
    responses(
        (status = 204, description = "It works no more"),
        (status = 403, description = "It holds what the caller does not, or is of a higher rank"),
        (status = 409, description = "It is the last that may do everything")))]
async fn revoke(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Segment(name): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Written, Problem> {
    Ok(Written::new(&state.tenancy.revoke_token(&actor, None, &name).await?))
}

/// Make a tenant's token
#[utoipa::path(post, path = "/v1/tenants/{tenant}/tokens", operation_id = "createTenantToken", tag = "tokens",
    params(("tenant" = String, Path, description = "Id or slug")), request_body = CreateToken,
    responses(
        (status = 201, description = "Made; its text is not shown again", body = NewTokenView),
        (status = 409, description = "There is one of that name")))]
async fn create_for_tenant(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Segment(key): Segment,
    Params(NoParams {}): Params<NoParams>,
    Body(body): Body<CreateToken>,
) -> Result<Written, Problem> {
    let done = state.tenancy.create_token(&actor, Some(&key), &body.into()).await?;
    let location = format!("/v1/tenants/{key}/tokens/{}", done.value.row.name);
    Ok(issued(done, location))
}

/// List a tenant's tokens by name
///
/// Expired ones too, for 30 days after their end.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/tokens", operation_id = "listTenantTokens", tag = "tokens",
    params(("tenant" = String, Path, description = "Id or slug"), PageParams),
    responses(
        (status = 200, description = "A page of tokens, without their texts", body = Listing<TokenView>)))]
async fn list_of_tenant(
    State(state): State<AdminState>,
    Segment(key): Segment,
    list: List,
    Params(params): Params<PageParams>,
) -> Result<Json<Listing<TokenView>>, Problem> {
    let paging = params.paging(list)?;
    let rows = state.tenancy.tokens(Some(&key), &paging.page()).await?;
    paging.listing(rows, |row| row.name.clone(), TokenView::from)
}

/// Revoke a tenant's token at once
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/tokens/{name}", operation_id = "revokeTenantToken", tag = "tokens",
    params(("tenant" = String, Path, description = "Id or slug"),
        ("name" = String, Path, description = "The token's name")),
    responses(
        (status = 204, description = "It works no more")))]
async fn revoke_of_tenant(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Segment((key, name)): Segment<(String, String)>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Written, Problem> {
    Ok(Written::new(&state.tenancy.revoke_token(&actor, Some(&key), &name).await?))
}

/// Act within a tenant for a while
///
/// The token that this makes does what one of the tenant's admins can, but for making tokens, members and roles, which would
/// be there when it is over. It ends with the session or token that asks at the latest; the tenant's ledger names
/// the operator with everything that is done by it.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/impersonate", operation_id = "impersonateTenant", tag = "tokens",
    params(("tenant" = String, Path, description = "Id or slug")), request_body = Impersonate,
    responses(
        (status = 201, description = "Made; its text is not shown again", body = NewTokenView)))]
async fn impersonate(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Segment(key): Segment,
    Params(NoParams {}): Params<NoParams>,
    Body(Impersonate { reason, minutes }): Body<Impersonate>,
) -> Result<Written, Problem> {
    let done = state.tenancy.impersonate(&actor, &key, &Impersonation { reason, minutes }).await?;
    let location = format!("/v1/tenants/{key}/tokens/{}", done.value.row.name);
    Ok(issued(done, location))
}

/// Stop acting within a tenant
///
/// For the token that an operator acts within a tenant by: it works no more.
#[utoipa::path(delete, path = "/v1/impersonation", operation_id = "endImpersonation", tag = "tokens",
    responses(
        (status = 204, description = "It is over"),
        (status = 404, description = "This was asked with something else")))]
async fn end_impersonation(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Written, Problem> {
    Ok(Written::new(&state.tenancy.end_impersonation(&actor).await?))
}

/// List what tokens and roles can be allowed to do
#[utoipa::path(get, path = "/v1/scopes", operation_id = "listScopes", tag = "tokens",
    responses((status = 200, description = "Every scope", body = Listing<ScopeView>)))]
async fn scopes(Params(NoParams {}): Params<NoParams>) -> Json<Listing<ScopeView>> {
    let within = within_a_tenant();
    let view = |scope: &Scope| ScopeView {
        scope: scope.as_str(),
        meaning: scope.meaning(),
        within_a_tenant: within.contains(scope),
    };
    Json(Listing { items: Scope::ALL.iter().map(view).collect(), next_cursor: None })
}

fn issued(done: Done<IssuedToken>, location: String) -> Written {
    let answer = Written::new(&done);
    let IssuedToken { row, secret } = done.value;
    answer.body(&NewTokenView { token: &secret, about: row.into() }).created(location)
}

impl From<CreateToken> for NewToken {
    fn from(CreateToken { name, expires, scopes }: CreateToken) -> Self {
        Self { name, expires, scopes }
    }
}

impl From<TokenRow> for TokenView {
    fn from(row: TokenRow) -> Self {
        let all: Vec<Scope> = match row.tenant {
            None => Scope::ALL.to_vec(),
            Some(_) => within_a_tenant().into_iter().collect(),
        };
        let TokenRow { name, created, expires, maker, operator, .. } = row;
        let made_by = row.made_by.map(|person| person.to_string());
        Self { name, created, expires, scopes: row.scopes.held(&all), maker, made_by, operator }
    }
}
