//! `/v1/tokens`: the operators' API tokens. A token's text is in exactly one answer: the one that made it.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::answer::Written;
use super::body::Body;
use super::layers::Operator;
use super::problem::Problem;
use super::query::{Listing, NoParams, Params, Segment};
use crate::clock::Timestamp;
use crate::store::TokenRow;

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(revoke))
}

/// A token to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// 1–64 letters, digits, dashes, underscores, dots and @; unique. The ledger shows it.
    name: String,
    /// When it stops working; left out: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires: Option<Timestamp>,
}

/// A token, without its text.
#[derive(Serialize, ToSchema)]
pub struct TokenView {
    name: String,
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires: Option<Timestamp>,
}

/// A token that was just made.
#[derive(Serialize, ToSchema)]
pub struct NewTokenView<'a> {
    /// `<brand>_live_<prefix>_<secret>`, such as `arc_live_0123abcd_…`. It is not shown again.
    token: &'a str,
    #[serde(flatten)]
    about: TokenView,
}

/// Make an operator's token
#[utoipa::path(post, path = "/v1/tokens", operation_id = "createToken", tag = "tokens", request_body = CreateToken,
    responses(
        (status = 201, description = "Made; its text is not shown again", body = NewTokenView),
        (status = 409, description = "There is one of that name", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "A field breaks a rule", body = Problem,
            content_type = "application/problem+json")))]
async fn create(
    State(state): State<AdminState>,
    Operator(actor): Operator,
    Params(NoParams {}): Params<NoParams>,
    Body(body): Body<CreateToken>,
) -> Result<Written, Problem> {
    let done = state.tenancy.create_token(&actor, &body.name, body.expires).await?;
    let location = format!("/v1/tokens/{}", done.value.row.name);
    let answer = Written::new(&done);
    let issued = done.value;
    Ok(answer.body(&NewTokenView { token: &issued.secret, about: issued.row.into() }).created(location))
}

/// List the operators' tokens
#[utoipa::path(get, path = "/v1/tokens", operation_id = "listTokens", tag = "tokens",
    responses((status = 200, description = "Every token, without its text", body = Listing<TokenView>)))]
async fn list(
    State(state): State<AdminState>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<Listing<TokenView>>, Problem> {
    let items = state.tenancy.tokens().await?.into_iter().map(TokenView::from).collect();
    Ok(Json(Listing { items, next_cursor: None }))
}

/// Revoke a token at once
#[utoipa::path(delete, path = "/v1/tokens/{name}", operation_id = "revokeToken", tag = "tokens",
    params(("name" = String, Path, description = "The token's name")),
    responses(
        (status = 204, description = "It works no more"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is the last that works", body = Problem,
            content_type = "application/problem+json")))]
async fn revoke(
    State(state): State<AdminState>,
    Operator(actor): Operator,
    Segment(name): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Written, Problem> {
    Ok(Written::new(&state.tenancy.revoke_token(&actor, &name).await?))
}

impl From<TokenRow> for TokenView {
    fn from(row: TokenRow) -> Self {
        Self { name: row.name, created: row.created, expires: row.expires }
    }
}
