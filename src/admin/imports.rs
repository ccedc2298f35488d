//! `/v1/imports`: whole tables of tenants and of domains, as CSV. Their bodies may be large and their calls long, within
//! bounds of their own.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::sync::SemaphorePermit;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Caller, Need, needs};
use super::answer::Written;
use super::body::collect;
use super::problem::Problem;
use super::query::{Params, word};
use crate::model::Scope;
use crate::tenancy::{Done, Imported, TenancyError};

/// What the paths of these routes begin with.
pub const PATHS: &str = "/v1/imports/";
/// The most time that an import may take, from its head to its answer's.
pub const TIMEOUT: Duration = Duration::from_secs(15 * 60);

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(needs(Need::Installation(Scope::TenantsCreate), routes!(tenants)))
        .routes(needs(Need::Installation(Scope::DomainsManage), routes!(domains)))
}

/// How to import.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImportParams {
    /// `true`: look at the table as an import would, and change nothing.
    #[param(value_type = Option<bool>, default = false)]
    dry_run: Option<String>,
}

/// What came of an import, or would.
#[derive(Serialize, ToSchema)]
pub struct ImportView {
    /// Rows of the table, without its heading.
    rows: u64,
    /// Rows that were imported: all, or with `dry_run` none.
    imported: u64,
    dry_run: bool,
    /// SHA-256 of the table, in hexadecimal; the audit ledger has the same.
    sha256: String,
}

/// A table as it was sent.
pub struct Table(Bytes);

impl FromRequest<AdminState> for Table {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AdminState) -> Result<Self, Problem> {
        require_csv(request.headers())?;
        collect(request.into_body(), state.max_import()).await.map(Self)
    }
}

/// Import tenants
///
/// A table with a heading and the columns `slug`, `name`, and if wanted `plan`, `parent` (in the store, or in a line
/// above), `status` and `trial_days`. All of it is imported, or nothing. Faults are named by line and column: `/12/slug`.
///
/// The installation's ledger has one line of it: how many rows, and the SHA-256 of the table as it was sent, which is what
/// `sha256sum` says of the file. Keep the file: that line stands for it. A tenant's own ledger begins with what is done
/// to it afterwards.
///
/// With PostgreSQL others write meanwhile. SQLite has one writer: others wait, and after ten seconds are refused with 503,
/// and the import takes up to 1 GiB of memory; tables of some ten thousand rows each keep both short.
#[utoipa::path(post, path = "/v1/imports/tenants", operation_id = "importTenants", tag = "tenants", params(ImportParams),
    request_body(content = String, content_type = "text/csv"),
    responses(
        (status = 200, description = "Imported, or with `dry_run` found without fault", body = ImportView),
        (status = 409, description = "Something has changed meanwhile"),
        (status = 422, description = "Rows break a rule; the first hundred faults"),
        (status = 429, description = "Another import is under way")))]
async fn tenants(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Params(params): Params<ImportParams>,
    Table(table): Table,
) -> Result<Response, Problem> {
    let (check, import) = (state.tenancy.check_tenants(&table), state.tenancy.import_tenants(&actor, &table));
    imported(&state, &params, check, import).await
}

/// Import domains
///
/// A table with a heading and the columns `domain`, `tenant` (its id or slug), and if wanted `verified` (`true`: you vouch
/// that the tenant owns it, which needs `tenants:manage`). All of it is imported, or nothing. Faults are named by line and
/// column: `/12/domain`.
///
/// The installation's ledger has one line of it: how many rows, and the SHA-256 of the table as it was sent, which is what
/// `sha256sum` says of the file. Keep the file: that line stands for it. Nothing is written into the tenants' own.
#[utoipa::path(post, path = "/v1/imports/domains", operation_id = "importDomains", tag = "domains", params(ImportParams),
    request_body(content = String, content_type = "text/csv"),
    responses(
        (status = 200, description = "Imported, or with `dry_run` found without fault", body = ImportView),
        (status = 409, description = "Something has changed meanwhile"),
        (status = 422, description = "Rows break a rule; the first hundred faults"),
        (status = 429, description = "Another import is under way")))]
async fn domains(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Params(params): Params<ImportParams>,
    Table(table): Table,
) -> Result<Response, Problem> {
    let (check, import) = (state.tenancy.check_domains(&actor, &table), state.tenancy.import_domains(&actor, &table));
    imported(&state, &params, check, import).await
}

/// Does one of the two, alone of all imports.
async fn imported(
    state: &AdminState,
    params: &ImportParams,
    check: impl Future<Output = Result<Imported, TenancyError>>,
    import: impl Future<Output = Result<Done<Imported>, TenancyError>>,
) -> Result<Response, Problem> {
    let _place = place(state)?;
    if params.is_dry()? {
        return Ok(Json(ImportView::of(check.await?, true)).into_response());
    }
    let done = import.await?;
    let answer = Written::new(&done);
    Ok(answer.body(&ImportView::of(done.value, false)).into_response())
}

impl ImportParams {
    fn is_dry(&self) -> Result<bool, Problem> {
        let words = [("true", true), ("false", false)];
        Ok(word("dry_run", "invalid-value", self.dry_run.as_deref(), &words)?.unwrap_or(false))
    }
}

impl ImportView {
    fn of(imported: Imported, dry_run: bool) -> Self {
        let Imported { rows, sha256 } = imported;
        Self { rows, imported: if dry_run { 0 } else { rows }, dry_run, sha256 }
    }
}

/// One import at a time: each has its table in memory, and with SQLite keeps everybody else from writing.
fn place(state: &AdminState) -> Result<SemaphorePermit<'_>, Problem> {
    state.imports.try_acquire().map_err(|_| {
        let detail = "this node is busy with another import; try again when it is done";
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "import-under-way", detail).retry_after(30)
    })
}

/// `text/csv` (RFC 7111), in UTF-8.
fn require_csv(headers: &HeaderMap) -> Result<(), Problem> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
    let parameters = parameters.to_ascii_lowercase();
    let charset = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("charset="));
    if essence.trim().eq_ignore_ascii_case("text/csv") && charset.is_none_or(|name| name.trim_matches('"') == "utf-8") {
        return Ok(());
    }
    let detail = "the body is to be a table, with Content-Type: text/csv, in UTF-8";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail))
}
