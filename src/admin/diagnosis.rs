//! `/v1/domains/{domain}/verify` and `/v1/domains/{domain}/diagnosis`: what the DNS of a claim looks like at this moment,
//! and what to do about it. The looking is done by whoever implements [`Looks`]; a process without one has no such routes.

use async_trait::async_trait;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::domains::WhoseClaim;
use super::layers::Operator;
use super::problem::Problem;
use super::query::{Params, Segment};
use crate::clock::Timestamp;
use crate::model::DomainState;
use crate::tenancy::{Actor, TenancyError};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new().routes(routes!(verify)).routes(routes!(diagnose))
}

/// Looks at the DNS of claims.
#[async_trait]
pub trait Looks: Send + Sync {
    /// Looks now, and draws the consequences. `tenant`: whose claim, as id or slug.
    async fn verify(&self, actor: &Actor, name: &str, tenant: Option<&str>) -> Result<Diagnosis, TenancyError>;

    /// Looks now, and changes nothing.
    async fn diagnose(&self, name: &str, tenant: Option<&str>) -> Result<Diagnosis, TenancyError>;
}

/// What the DNS of a claim looks like.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Diagnosis {
    pub domain: String,
    /// The id of the tenant whose claim it is.
    pub tenant: String,
    pub state: DomainState,
    /// In one sentence: how it stands, and what to do next.
    pub summary: String,
    pub records: Vec<RecordDiagnosis>,
    /// When it is looked at next by itself; `null`: not any more.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_check: Option<Timestamp>,
}

/// One record, or one thing about a domain that has to be right.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RecordDiagnosis {
    /// `TXT`, `CNAME`, `A`, `AAAA`, `CAA`, …
    #[serde(rename = "type")]
    pub kind: String,
    pub name: String,
    /// `ok`, `wrong`, `missing`, or `unknown` where it could not be asked.
    pub status: &'static str,
    pub expected: Vec<String>,
    pub seen: Vec<String>,
    /// The name server that said so.
    pub server: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// In one plain sentence: what to do; empty when nothing is.
    pub advice: String,
}

/// Look at a claim's DNS now, and verify it if it is right
#[utoipa::path(post, path = "/v1/domains/{domain}/verify", operation_id = "verifyDomain", tag = "domains",
    params(("domain" = String, Path, description = "In any spelling"), WhoseClaim),
    responses(
        (status = 200, description = "What was seen; `state` says what came of it", body = Diagnosis),
        (status = 404, description = "Nobody claims it", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Several tenants claim it and none holds it, or another holds it", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "Looked at too often; see Retry-After", body = Problem,
            content_type = "application/problem+json")))]
async fn verify(
    State(state): State<AdminState>,
    Operator(actor): Operator,
    Segment(name): Segment,
    Params(WhoseClaim { tenant }): Params<WhoseClaim>,
) -> Result<Json<Diagnosis>, Problem> {
    let looks = state.looks.as_ref().ok_or_else(Problem::no_dns)?;
    Ok(Json(looks.verify(&actor, &name, tenant.as_deref()).await?))
}

/// Say what is right and wrong with a claim's DNS
#[utoipa::path(get, path = "/v1/domains/{domain}/diagnosis", operation_id = "diagnoseDomain", tag = "domains",
    params(("domain" = String, Path, description = "In any spelling"), WhoseClaim),
    responses(
        (status = 200, description = "Record by record", body = Diagnosis),
        (status = 404, description = "Nobody claims it", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Several tenants claim it, none holds it", body = Problem,
            content_type = "application/problem+json")))]
async fn diagnose(
    State(state): State<AdminState>,
    Segment(name): Segment,
    Params(WhoseClaim { tenant }): Params<WhoseClaim>,
) -> Result<Json<Diagnosis>, Problem> {
    let looks = state.looks.as_ref().ok_or_else(Problem::no_dns)?;
    Ok(Json(looks.diagnose(&name, tenant.as_deref()).await?))
}
