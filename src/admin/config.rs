//! `/v1/config`: what is in force, and reading the files again. Values are never shown: some are secret.

use std::fmt;

use async_trait::async_trait;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Caller, Need, needs};
use super::body::OptionalBody;
use super::problem::Problem;
use super::query::{NoParams, Params};
use crate::audit::events;
use crate::clock::Timestamp;
use crate::config::{Changes, Faults};
use crate::model::{Explanation, PoolStatus, Question, Scope, Unclear};

/// The configuration of this process, as the composition root can read it again.
#[async_trait]
pub trait Configuration: Send + Sync {
    fn state(&self) -> ConfigState;

    /// Reads the files and puts them into force; with `dry_run`, only says what that would change.
    async fn reload(&self, dry_run: bool) -> Result<Reloaded, Refused>;

    /// How the pools are doing; `None`: this process is no edge.
    fn pools(&self) -> Option<Vec<PoolStatus>>;

    /// What the edge would do with a request; `None`: this process is no edge.
    async fn explain(&self, question: &Question) -> Option<Result<Explanation, Unclear>>;
}

/// The configuration that is in force.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ConfigState {
    /// Where the files are; `null`: this process was given its configuration otherwise.
    pub directory: Option<String>,
    /// How often it has changed since the process started.
    pub revision: i64,
    #[schema(value_type = String, format = DateTime)]
    pub loaded: Timestamp,
    /// `files`, or `last-good`: the files were broken when the process started.
    pub source: &'static str,
    /// What the files have otherwise, and only a restart changes.
    pub needs_restart: Vec<&'static str>,
    pub last_reload: Option<LastReload>,
}

/// What came of reading the files last.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LastReload {
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// `applied`, `unchanged` or `refused`.
    pub result: &'static str,
    /// Why it was refused.
    pub faults: Vec<FaultView>,
}

/// One thing that is wrong in a file.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FaultView {
    pub file: String,
    /// From 1; 0: the file as a whole.
    pub line: usize,
    pub column: usize,
    /// Such as `limits.head_timeout`; empty: the file as a whole.
    pub key: String,
    pub message: String,
}

/// A reload that was not refused.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Reloaded {
    /// `false`: only looked at.
    pub applied: bool,
    pub revision: i64,
    /// From reading the files to the swap, in milliseconds.
    pub took_ms: f64,
    pub changes: Changes,
}

/// Why everything stays as it was.
#[derive(Debug)]
pub enum Refused {
    NoFiles,
    Faults(Faults),
    /// The files are right, and what they ask for cannot be had.
    Build(String),
}

/// How to reload.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReloadParams {
    /// `true`: only say what a reload would change.
    #[param(value_type = Option<bool>)]
    dry_run: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {}

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(needs(Need::Installation(Scope::ConfigRead), routes!(show)))
        .routes(needs(Need::Installation(Scope::ConfigManage), routes!(reload)))
}

/// Show which configuration is in force
#[utoipa::path(get, path = "/v1/config", operation_id = "showConfig", tag = "config",
    responses((status = 200, description = "What is in force", body = ConfigState)))]
async fn show(State(state): State<AdminState>, Params(NoParams {}): Params<NoParams>) -> Json<ConfigState> {
    Json(state.configuration.state())
}

/// Read the configuration again
#[utoipa::path(post, path = "/v1/config/reload", operation_id = "reloadConfig", tag = "config", params(ReloadParams),
    description = "Reads the files of this node and puts them into force as a whole, or refuses them as a whole. \
        Requests that are under way end with what they began with. The same as SIGHUP.",
    responses(
        (status = 200, description = "In force, or (dry run) what would change", body = Reloaded),
        (status = 409, description = "This process has no files to read again"),
        (status = 422, description = "The files are broken; everything stays as it was")))]
async fn reload(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Params(params): Params<ReloadParams>,
    OptionalBody(Empty {}): OptionalBody<Empty>,
) -> Result<Json<Reloaded>, Problem> {
    let dry_run = match params.dry_run.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            let detail = format!("{other:?} is neither true nor false");
            return Err(Problem::parameter(Some("dry_run"), "invalid-flag", detail));
        }
    };
    tracing::info!(actor = actor.name, dry_run, "config.reload_asked");
    let before = state.configuration.state().revision;
    let reloaded = state.configuration.reload(dry_run).await;
    if !dry_run {
        let refused = reloaded.as_ref().err().map(ToString::to_string);
        let after = reloaded.as_ref().map_or(before, |reloaded| reloaded.revision);
        let result = if refused.is_none() { "taken" } else { "refused" };
        let detail = json!({ "by": "api", "result": result, "refused": refused });
        let entry = actor.entry(events::CONFIG_RELOAD, None, "configuration", detail);
        state.tenancy.note(entry.changed(json!({ "revision": before }), json!({ "revision": after })));
    }
    reloaded.map(Json).map_err(Problem::from)
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let detail = refused.to_string();
        match refused {
            Refused::NoFiles => Self::new(StatusCode::CONFLICT, "no-configuration-files", detail),
            Refused::Build(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "configuration-refused", detail),
            Refused::Faults(faults) => {
                let faults = serde_json::to_value(views(&faults)).unwrap_or_default();
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "configuration-refused", detail).fact("faults", faults)
            }
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFiles => f.write_str("this process was given its configuration, and has no files to read again"),
            Self::Build(why) => write!(f, "{why}; everything stays as it was"),
            Self::Faults(faults) => {
                let (count, first) = (faults.iter().len(), faults.iter().next());
                let first = first.map(ToString::to_string).unwrap_or_default();
                let more = if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
                write!(f, "{first}{more}; everything stays as it was")
            }
        }
    }
}

impl LastReload {
    pub fn took(at: Timestamp, result: &'static str) -> Self {
        Self { at, result, faults: Vec::new() }
    }

    pub fn refused(at: Timestamp, faults: &Faults) -> Self {
        Self { at, result: "refused", faults: views(faults) }
    }

    pub fn failed(at: Timestamp, why: &Refused) -> Self {
        let message = why.to_string();
        let fault = FaultView { file: String::new(), line: 0, column: 0, key: String::new(), message };
        Self { at, result: "refused", faults: vec![fault] }
    }
}

fn views(faults: &Faults) -> Vec<FaultView> {
    let view = |fault: &crate::config::Fault| FaultView {
        file: fault.file.clone(),
        line: fault.line,
        column: fault.column,
        key: fault.key.clone(),
        message: fault.message.clone(),
    };
    faults.iter().map(view).collect()
}
