//! `/v1/routes` and `/v1/pools`: what the edge would do with a request and why, and how its backends are doing.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Need, needs};
use super::body::Body;
use super::problem::{FieldError, Problem};
use super::query::{NoParams, Params};
use crate::model::{Explanation, PoolStatus, Question, Scope};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(needs(Need::Installation(Scope::ConfigRead), routes!(explain)))
        .routes(needs(Need::Installation(Scope::ConfigRead), routes!(pools)))
}

/// A request that nobody sends.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// `https://acme.connect.example.com/orders?page=2`
    url: String,
    /// Default GET.
    method: Option<String>,
    /// By name.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The visitor's address. Default 127.0.0.1.
    #[schema(value_type = Option<String>)]
    client: Option<IpAddr>,
}

/// Explain what the edge would do with a request
#[utoipa::path(post, path = "/v1/routes/explain", operation_id = "explainRoute", tag = "config", request_body = Explain,
    description = "The pipeline of this node decides about it as it would about a real one; nothing is forwarded, \
        counted or logged, and no limit is used up.",
    responses(
        (status = 200, description = "The steps, and what comes of them", body = Explanation),
        (status = 409, description = "This process is no edge"),
        (status = 422, description = "It is no request")))]
async fn explain(
    State(state): State<AdminState>,
    Params(NoParams {}): Params<NoParams>,
    Body(body): Body<Explain>,
) -> Result<Json<Explanation>, Problem> {
    let question = question(body)?;
    match state.configuration.explain(&question).await {
        Some(Ok(explanation)) => Ok(Json(explanation)),
        Some(Err(unclear)) => Err(invalid("/url", unclear.to_string())),
        None => Err(no_edge()),
    }
}

/// Show how the pools and their backends are doing on this node
#[utoipa::path(get, path = "/v1/pools", operation_id = "listPools", tag = "config",
    responses(
        (status = 200, description = "In the order of the configuration", body = Vec<PoolStatus>),
        (status = 409, description = "This process is no edge")))]
async fn pools(
    State(state): State<AdminState>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<Vec<PoolStatus>>, Problem> {
    state.configuration.pools().map(Json).ok_or_else(no_edge)
}

fn no_edge() -> Problem {
    let detail = "this process serves no visitors; ask one that has the edge role";
    Problem::new(StatusCode::CONFLICT, "no-edge", detail)
}

fn question(body: Explain) -> Result<Question, Problem> {
    let no_url = || invalid("/url", format!("{:?} is no URL such as https://acme.connect.example.com/", body.url));
    let url: Uri = body.url.parse().map_err(|_| no_url())?;
    if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none() {
        return Err(no_url());
    }
    let method = body.method.as_deref().unwrap_or("GET");
    let method =
        Method::from_bytes(method.as_bytes()).map_err(|_| invalid("/method", format!("{method:?} is no method")))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &body.headers {
        let parsed = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
        let (key, value) =
            parsed.ok_or_else(|| invalid(&format!("/headers/{name}"), "this is no header".to_owned()))?;
        headers.append(key, value);
    }
    let client = body.client.unwrap_or(Ipv4Addr::LOCALHOST.into());
    Ok(Question { url, method, headers, client })
}

fn invalid(pointer: &str, detail: String) -> Problem {
    Problem::invalid(vec![FieldError { pointer: Some(pointer.to_owned()), parameter: None, code: "invalid", detail }])
}
