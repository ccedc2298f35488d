//! `/v1/session`: signing in, with a password or through a provider. Whoever is refused is told the same, whether there is
//! such a person or not.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Need, Peer, needs};
use super::body::{Body, SmallBody};
use super::cookies::{self, FLOW, SESSION, WithCookies};
use super::layers::RequestId;
use super::problem::Problem;
use super::query::{NoParams, Params, Segment};
use super::session::SessionDetail;
use crate::signin::{Callback, Circumstances, SignInError};
use crate::tenancy::{Done, NewSession, Origin};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(needs(Need::Public, routes!(sign_in)))
        .routes(needs(Need::Public, routes!(providers)))
        .routes(needs(Need::Public, routes!(start)))
        .routes(needs(Need::Public, routes!(callback)))
}

/// Who signs in, and the proof.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    email: String,
    password: String,
}

/// The ways to sign in without a password of our own.
#[derive(Serialize, ToSchema)]
pub struct Providers {
    /// Their names: `/v1/session/oidc/<name>/start` is where a browser begins.
    providers: Vec<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StartParams {
    /// Where the browser goes afterwards: a path of this site. Default `/`.
    return_to: Option<String>,
}

/// What a provider adds to the way back; what else it adds does not matter (RFC 6749 §4.1.2).
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CallbackParams {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// Sign in with a password
///
/// Answers with the cookie `__Host-tenantry`, always of a new session. Writes by that cookie need the header
/// `X-CSRF-Token` with the answer's `csrf_token`.
#[utoipa::path(post, path = "/v1/session", operation_id = "signIn", tag = "sessions", request_body = Credentials,
    responses(
        (status = 201, description = "Signed in", body = SessionDetail),
        (status = 401, description = "The address and the password do not belong together"),
        (status = 403, description = "It was another site that asked"),
        (status = 429, description = "Too many attempts; see Retry-After")))]
async fn sign_in(
    State(state): State<AdminState>,
    about: About,
    Params(NoParams {}): Params<NoParams>,
    Body(body): SmallBody<Credentials>,
) -> Result<Response, Problem> {
    if !about.same_site {
        return Err(Problem::forged());
    }
    let done = state.signin.with_password(&body.email, &body.password, about.circumstances(&state).await?).await?;
    let cookie = session_cookie(&state, &done);
    let detail = SessionDetail::of(&state, &done.value.state, &done.value.secret).await?;
    Ok(WithCookies(vec![cookie], (StatusCode::CREATED, Json(detail))).into_response())
}

/// List the providers through which people can sign in
#[utoipa::path(get, path = "/v1/session/providers", operation_id = "listProviders", tag = "sessions",
    responses((status = 200, description = "Their names", body = Providers)))]
async fn providers(State(state): State<AdminState>, Params(NoParams {}): Params<NoParams>) -> Json<Providers> {
    Json(Providers { providers: state.signin.providers().into_iter().map(str::to_owned).collect() })
}

/// Begin to sign in through a provider
#[utoipa::path(get, path = "/v1/session/oidc/{provider}/start", operation_id = "startSignIn", tag = "sessions",
    params(("provider" = String, Path, description = "Its name in the configuration"), StartParams),
    responses(
        (status = 303, description = "To the provider"),
        (status = 404, description = "There is no such provider"),
        (status = 429, description = "Too many attempts; see Retry-After"),
        (status = 502, description = "The provider cannot be reached")))]
async fn start(
    State(state): State<AdminState>,
    about: About,
    Segment(provider): Segment,
    Params(params): Params<StartParams>,
) -> Result<Response, Problem> {
    let return_to = params.return_to.unwrap_or_default();
    let started = state.signin.start(&provider, &return_to, about.from()).await?;
    let cookie = cookies::own(FLOW, &started.flow, state.tenancy.clock().now(), started.expires);
    Ok(WithCookies(vec![cookie], see_other(&started.url)?).into_response())
}

/// Finish signing in through a provider
#[utoipa::path(get, path = "/v1/session/oidc/{provider}/callback", operation_id = "finishSignIn", tag = "sessions",
    params(("provider" = String, Path, description = "Its name in the configuration"), CallbackParams),
    responses(
        (status = 303, description = "Signed in; to where the browser wanted to go"),
        (status = 400, description = "It was not begun here, by this browser, lately"),
        (status = 403, description = "The provider's word lets nobody in"),
        (status = 404, description = "There is no such provider"),
        (status = 429, description = "Too many attempts; see Retry-After"),
        (status = 502, description = "The provider cannot be reached")))]
async fn callback(
    State(state): State<AdminState>,
    about: About,
    Segment(provider): Segment,
    Params(params): Params<CallbackParams>,
) -> Result<Response, Problem> {
    let CallbackParams { code, state: told, iss, error, error_description } = params;
    let told = Callback { code, state: told, iss, error, error_description };
    let flow = cookies::cookie(&about.headers, FLOW);
    let about_it = about.circumstances(&state).await?;
    let (done, return_to) = state.signin.finish(&provider, &told, flow, about_it).await?;
    let set = vec![session_cookie(&state, &done), cookies::gone(FLOW)];
    Ok(WithCookies(set, see_other(&return_to)?).into_response())
}

/// What is known of a call whoever makes it.
pub struct About {
    headers: HeaderMap,
    peer: Option<Peer>,
    request_id: Option<String>,
    same_site: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for About {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Ok(Self {
            same_site: cookies::is_same_site(&parts.headers, &parts.uri),
            headers: parts.headers.clone(),
            peer: parts.extensions.get::<Peer>().copied(),
            request_id: parts.extensions.get::<RequestId>().map(|id| id.0.clone()),
        })
    }
}

impl About {
    /// Where a call comes from, and its id; refused when it was another site that had the browser make it.
    pub fn same_site(self) -> Result<(Option<std::net::IpAddr>, Option<String>), Problem> {
        if self.same_site { Ok((self.from(), self.request_id)) } else { Err(Problem::forged()) }
    }

    fn from(&self) -> Option<std::net::IpAddr> {
        self.peer.map(|peer| peer.0)
    }

    async fn circumstances(&self, state: &AdminState) -> Result<Circumstances, Problem> {
        let former = match cookies::cookie(&self.headers, SESSION) {
            Some(secret) => state.tenancy.session(secret).await?.map(|known| known.session.id),
            None => None,
        };
        let agent = self.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let origin = Origin { method: String::new(), from: self.from(), agent };
        Ok(Circumstances { origin, former, request_id: self.request_id.clone() })
    }
}

fn session_cookie(state: &AdminState, done: &Done<NewSession>) -> String {
    let now = state.tenancy.clock().now();
    cookies::own(SESSION, &done.value.secret, now, done.value.state.session.expires)
}

fn see_other(url: &str) -> Result<Response, Problem> {
    let bad =
        |_| Problem::new(StatusCode::BAD_GATEWAY, "provider-unusable", "the provider's address cannot be followed");
    let mut response = StatusCode::SEE_OTHER.into_response();
    let _: Uri = url.parse().map_err(bad)?;
    let to = HeaderValue::try_from(url).map_err(|_| Problem::new(StatusCode::BAD_GATEWAY, "provider-unusable", ""))?;
    response.headers_mut().insert(header::LOCATION, to);
    Ok(response)
}

impl From<SignInError> for Problem {
    fn from(error: SignInError) -> Self {
        let detail = error.to_string();
        match error {
            SignInError::Refused => Self::new(StatusCode::UNAUTHORIZED, "sign-in-refused", detail),
            SignInError::TooOften { retry_after } => crate::tenancy::TenancyError::TooOften { retry_after }.into(),
            SignInError::Invalid(fault) => Self::invalid(vec![fault.into()]),
            SignInError::NoProvider(_) => Self::new(StatusCode::NOT_FOUND, "provider-not-found", detail),
            SignInError::Strange(_) => Self::new(StatusCode::BAD_REQUEST, "sign-in-not-begun", detail),
            SignInError::Provider(why) => {
                tracing::warn!(error = why, "signin.provider_refused");
                Self::new(StatusCode::FORBIDDEN, "provider-refused", detail)
            }
            SignInError::Stranger(_) => Self::new(StatusCode::FORBIDDEN, "stranger", detail),
            SignInError::Unreachable(why) => {
                tracing::warn!(error = why, "signin.provider_unreachable");
                let detail = "the provider cannot be reached; the log says why";
                Self::new(StatusCode::BAD_GATEWAY, "provider-unreachable", detail)
            }
            SignInError::Tenancy(error) => error.into(),
        }
    }
}
