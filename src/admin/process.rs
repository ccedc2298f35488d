//! `/v1/process`: the process that answers, and having it replaced by the program that now lies where its own came from.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Caller, Need, needs};
use super::problem::Problem;
use super::query::{NoParams, Params};
use crate::audit::events;
use crate::clock::Timestamp;
use crate::model::Scope;

/// The process that answers, as the composition root can have it replaced.
#[async_trait]
pub trait Process: Send + Sync {
    fn state(&self) -> ProcessState;

    /// Starts the program anew and hands over to it. Waits for what comes of it, but not for as long as that may take.
    async fn upgrade(self: Arc<Self>) -> Result<ProcessState, UpgradeRefused>;
}

/// The process that answers.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProcessState {
    pub pid: u32,
    pub version: &'static str,
    #[schema(value_type = String, format = DateTime)]
    pub started: Timestamp,
    pub succession: Succession,
}

/// Whether another process takes over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Succession {
    /// None was asked for.
    None,
    /// It has been started and does not serve yet.
    Starting,
    /// It serves; this process drains and ends.
    Replaced { pid: u32 },
    /// The last one that was started did not come to serve; everything is as it was.
    Failed { why: String },
}

/// Why a process is not replaced.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UpgradeRefused {
    #[error("another program is being started already, or has taken over; ask for /v1/process")]
    UnderWay,
    #[error("this process is not one of `tenantry serve`: stop it and start it again")]
    NotReplaceable,
    #[error("the program did not come to serve: {0}; everything stays as it was")]
    Failed(String),
}

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(needs(Need::Installation(Scope::ConfigRead), routes!(show)))
        .routes(needs(Need::Installation(Scope::ProcessManage), routes!(upgrade)))
}

/// The process that answers
#[utoipa::path(get, path = "/v1/process", operation_id = "showProcess", tag = "process",
    responses((status = 200, description = "As it is now", body = ProcessState)))]
async fn show(
    State(state): State<AdminState>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<ProcessState>, Problem> {
    Ok(Json(state.process.state()))
}

/// Replace the process by the program that lies where its own came from
#[utoipa::path(post, path = "/v1/process/upgrade", operation_id = "upgradeProcess", tag = "process",
    description = "The new process gets the listening sockets; the old one drains when the new one serves. A program that \
        does not come to serve changes nothing. Where the start takes longer than ten seconds, the answer comes before \
        its outcome, with `starting`: ask for `/v1/process`, which the new process answers once it serves.",
    responses(
        (status = 200, description = "Replaced, or being replaced", body = ProcessState),
        (status = 409, description = "Under way already, or it cannot be replaced"),
        (status = 502, description = "The program did not come to serve")))]
async fn upgrade(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<ProcessState>, Problem> {
    tracing::info!(actor = actor.name, "process.upgrade_asked");
    // Before it is done: whoever takes this process's place is another.
    state.tenancy.note(actor.entry(events::PROCESS_UPGRADE, None, "process", json!({ "by": "api" })));
    Arc::clone(&state.process).upgrade().await.map(Json).map_err(Problem::from)
}

impl From<UpgradeRefused> for Problem {
    fn from(refused: UpgradeRefused) -> Self {
        let detail = refused.to_string();
        match refused {
            UpgradeRefused::UnderWay => Self::new(StatusCode::CONFLICT, "upgrade-under-way", detail),
            UpgradeRefused::NotReplaceable => Self::new(StatusCode::CONFLICT, "not-replaceable", detail),
            UpgradeRefused::Failed(_) => Self::new(StatusCode::BAD_GATEWAY, "upgrade-failed", detail),
        }
    }
}
