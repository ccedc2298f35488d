//! `/v1/people/{person}/password-token` and `/v1/password-tokens/redeem`: a way to a first password, or to another one, that
//! an operator hands to somebody. A token's text is in exactly one answer: the one that made it.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Caller, Need, needs};
use super::answer::Written;
use super::body::{Body, SmallBody};
use super::people::EndedSessions;
use super::problem::Problem;
use super::query::{NoParams, Params, Segment};
use super::signin::About;
use crate::clock::Timestamp;
use crate::model::Scope;
use crate::tenancy::Actor;

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(needs(Need::Installation(Scope::PeopleManage), routes!(issue)))
        .routes(needs(Need::Public, routes!(redeem)))
}

/// A token that was just made.
#[derive(Serialize, ToSchema)]
pub struct PasswordTokenView<'a> {
    /// The person's id.
    person: String,
    /// 64 hexadecimal digits, for the person. It is not shown again.
    token: &'a str,
    #[schema(value_type = String, format = DateTime)]
    expires: Timestamp,
}

/// A password to be set.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RedeemPasswordToken {
    token: String,
    /// At least 12 characters.
    password: String,
}

/// Make a one-time password token
///
/// Whoever holds it sets the person's password with it, once, within an hour; the one before is worth nothing. It needs every
/// scope that can be held within a tenant as well, and for an operator their rank.
#[utoipa::path(post, path = "/v1/people/{person}/password-token", operation_id = "createPasswordToken", tag = "people",
    params(("person" = String, Path, description = "Id or e-mail address")),
    responses(
        (status = 200, description = "The token is not shown again", body = PasswordTokenView),
        (status = 403, description = "They may do what you may not"),
        (status = 404, description = "There is no such person"),
        (status = 409, description = "They are disabled")))]
async fn issue(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Segment(key): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Written, Problem> {
    let done = state.tenancy.issue_password_token(&actor, &key).await?;
    let (answer, issued) = (Written::new(&done), done.value);
    let view = PasswordTokenView { person: issued.person.to_string(), token: &issued.token, expires: issued.expires };
    Ok(answer.body(&view))
}

/// Set a password with a one-time token
///
/// All sessions of the person end; sign in with the password then.
#[utoipa::path(post, path = "/v1/password-tokens/redeem", operation_id = "redeemPasswordToken", tag = "people",
    request_body = RedeemPasswordToken,
    responses(
        (status = 200, description = "Set; how many sessions ended", body = EndedSessions),
        (status = 403, description = "It was another site that asked"),
        (status = 404, description = "No such token counts"),
        (status = 422, description = "The password is not fit to be one"),
        (status = 429, description = "Too many attempts; see Retry-After")))]
async fn redeem(
    State(state): State<AdminState>,
    about: About,
    Params(NoParams {}): Params<NoParams>,
    Body(body): SmallBody<RedeemPasswordToken>,
) -> Result<Written, Problem> {
    let (from, request_id) = about.same_site()?;
    state.signin.count_from(from)?;
    // The password is hashed only for whoever holds a token: that costs.
    let person = state.tenancy.password_token(body.token.trim()).await?;
    let password = state.signin.hash_for("/password", &body.password, &person.email, &person.name).await?;
    let actor = Actor { from, request_id, ..Actor::new("invited") };
    let done = state.tenancy.redeem_password_token(&actor, body.token.trim(), &password).await?;
    Ok(Written::new(&done).body(&EndedSessions { sessions: done.value }))
}
