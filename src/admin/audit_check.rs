//! `…/audit/verify`, `…/audit/checkpoint`, `/v1/audit/keys`: how a reader of the ledger sees that nothing of it was changed,
//! and what they keep so that they see it tomorrow, too.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Caller, Need, needs};
use super::audit::{JSON_LINES, streamed, tenant_of};
use super::body::Body;
use super::problem::{FieldError, Problem};
use super::query::{NoParams, Params, Segment};
use crate::audit::{AuditError, Comparison, Ledger, events};
use crate::clock::Timestamp;
use crate::ledger::{Checkpoint, Fault, Hash, INSTALLATION, Signed};
use crate::model::{Scope, TenantId};
use crate::store::StoreError;

pub fn routes() -> OpenApiRouter<AdminState> {
    let (any, own) = (Need::Scoped(Scope::AuditRead), Need::Tenant(Scope::AuditRead));
    OpenApiRouter::new()
        .routes(needs(any, routes!(verify, compare)))
        .routes(needs(own, routes!(verify_own, compare_own)))
        .routes(needs(any, routes!(checkpoint)))
        .routes(needs(own, routes!(checkpoint_own)))
        .routes(needs(any, routes!(keys)))
}

/// The most checkpoints of one comparison.
const CHECKPOINTS: usize = 1_000;

/// Which chain is meant.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WhichChain {
    /// This tenant's: its id or slug; of one that is no more, its id. Left out: all, or the installation's own.
    tenant: Option<String>,
}

/// A line of the answer to a check. Which members it has says what it tells: how far it is (`lines` alone), a fault
/// (`chain`, `fault`, `detail`), or at last the sum (`done`).
#[derive(Serialize, ToSchema)]
pub struct CheckLine {
    /// So many lines were looked at so far, or in all.
    lines: Option<u64>,
    /// A tenant's id, or `installation`.
    chain: Option<String>,
    fault: Option<Fault>,
    /// For people: what is wrong.
    detail: Option<String>,
    /// There on the last line, always true: an answer without it broke off.
    done: Option<bool>,
    chains: Option<u64>,
    faults: Option<u64>,
    /// Lines from before there were chains, which nothing vouches for.
    unchained: Option<u64>,
}

/// A signed checkpoint: the chain's line `number` has that hash. Signed with Ed25519 is the text `tenantry audit checkpoint
/// v1`, chain, number, hash and time, each on a line of its own that is ended.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckpointView {
    /// A tenant's id, or `installation`.
    chain: String,
    /// How many lines the chain has had.
    number: i64,
    /// SHA-256 in hexadecimal.
    #[schema(value_type = String, example = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")]
    hash: Hash,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The id of the key; see `/v1/audit/keys`.
    key: String,
    /// Base64url.
    signature: String,
}

/// Checkpoints that were kept outside of the store.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Compare {
    /// 1 to 1,000, in any order.
    checkpoints: Vec<CheckpointView>,
}

/// Check every chain of the ledger, or a tenant's
#[utoipa::path(get, path = "/v1/audit/verify", operation_id = "verifyAudit", tag = "audit", params(WhichChain),
    description = "Reads the ledger from its first line to its last and tells which were changed, removed, moved or put in. \
        The answer is a JSON object a line, sent while it is found out; the last has `done`.",
    responses(
        (status = 200, description = "What is found", body = CheckLine, content_type = "application/x-ndjson"),
        (status = 429, description = "This node does as many exports and checks of the ledger as it does at once, or one \
            of the tenant's; see Retry-After", body = Problem, content_type = "application/problem+json")))]
async fn verify(
    State(state): State<AdminState>,
    caller: Caller,
    Params(which): Params<WhichChain>,
) -> Result<Response, Problem> {
    let tenant = tenant_of(&state, &caller, which.tenant).await?;
    checked(&state, &caller, tenant)
}

/// Check a tenant's chain of the ledger
#[utoipa::path(get, path = "/v1/tenants/{tenant}/audit/verify", operation_id = "verifyTenantAudit", tag = "audit",
    description = "The answer is a JSON object a line, sent while it is found out; the last has `done`.",
    params(("tenant" = String, Path, description = "Its id or slug")),
    responses(
        (status = 200, description = "What is found", body = CheckLine, content_type = "application/x-ndjson"),
        (status = 429, description = "This node does as many exports and checks of the ledger as it does at once, or one \
            of the tenant's; see Retry-After", body = Problem, content_type = "application/problem+json")))]
async fn verify_own(
    State(state): State<AdminState>,
    caller: Caller,
    Segment(tenant): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, Problem> {
    let tenant = state.tenancy.show(&tenant).await?.tenant.id;
    checked(&state, &caller, Some(tenant))
}

/// Hold the ledger against checkpoints that were kept outside
#[utoipa::path(post, path = "/v1/audit/verify", operation_id = "compareAudit", tag = "audit", request_body = Compare,
    description = "Tells of a tail that is gone, and of a chain that was made anew: neither shows in the chain itself.",
    responses(
        (status = 200, description = "What the checkpoints say", body = Comparison),
        (status = 422, description = "A checkpoint is of a chain that is not the caller's, or there are too many")))]
async fn compare(
    State(state): State<AdminState>,
    caller: Caller,
    Params(NoParams {}): Params<NoParams>,
    Body(body): Body<Compare>,
) -> Result<Json<Comparison>, Problem> {
    compared(&state.tenancy.ledger(), body, caller.0.rights.only().map(|own| own.to_string())).await
}

/// Hold a tenant's chain against checkpoints that were kept outside
#[utoipa::path(post, path = "/v1/tenants/{tenant}/audit/verify", operation_id = "compareTenantAudit", tag = "audit",
    request_body = Compare, params(("tenant" = String, Path, description = "Its id or slug")),
    responses(
        (status = 200, description = "What the checkpoints say", body = Comparison),
        (status = 422, description = "A checkpoint is of another chain, or there are too many")))]
async fn compare_own(
    State(state): State<AdminState>,
    Segment(tenant): Segment,
    Params(NoParams {}): Params<NoParams>,
    Body(body): Body<Compare>,
) -> Result<Json<Comparison>, Problem> {
    let tenant = state.tenancy.show(&tenant).await?.tenant.id;
    compared(&state.tenancy.ledger(), body, Some(tenant.to_string())).await
}

/// Sign where a chain stands now
#[utoipa::path(get, path = "/v1/audit/checkpoint", operation_id = "getAuditCheckpoint", tag = "audit", params(WhichChain),
    description = "Without `tenant`: the installation's own chain. Keep it outside of the store; POST it to \
        /v1/audit/verify later.",
    responses(
        (status = 200, description = "The checkpoint", body = CheckpointView)))]
async fn checkpoint(
    State(state): State<AdminState>,
    caller: Caller,
    Params(which): Params<WhichChain>,
) -> Result<Json<CheckpointView>, Problem> {
    let tenant = tenant_of(&state, &caller, which.tenant).await?;
    let chain = tenant.map_or_else(|| INSTALLATION.to_owned(), |tenant| tenant.to_string());
    Ok(Json(state.tenancy.ledger().checkpoint(&chain).await?.into()))
}

/// Sign where a tenant's chain stands now
#[utoipa::path(get, path = "/v1/tenants/{tenant}/audit/checkpoint", operation_id = "getTenantAuditCheckpoint",
    tag = "audit", params(("tenant" = String, Path, description = "Its id or slug")),
    responses(
        (status = 200, description = "The checkpoint", body = CheckpointView)))]
async fn checkpoint_own(
    State(state): State<AdminState>,
    Segment(tenant): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<CheckpointView>, Problem> {
    let tenant = state.tenancy.show(&tenant).await?.tenant.id;
    Ok(Json(state.tenancy.ledger().checkpoint(&tenant.to_string()).await?.into()))
}

/// Show the public keys that checkpoints are signed with
#[utoipa::path(get, path = "/v1/audit/keys", operation_id = "getAuditKeys", tag = "audit",
    responses((status = 200, description = "A JSON Web Key Set (RFC 7517, RFC 8037)", body = Object)))]
async fn keys(
    State(state): State<AdminState>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<serde_json::Value>, Problem> {
    Ok(Json(state.tenancy.ledger().keys().await?.jwks()))
}

/// A JSON object a line, while the check runs. That it runs is in the ledger, too: whoever looks is seen.
fn checked(state: &AdminState, caller: &Caller, tenant: Option<TenantId>) -> Result<Response, Problem> {
    let place = state.readings.place(&caller.0.rights)?;
    state.tenancy.note(caller.0.entry(events::AUDIT_VERIFY, tenant, "audit", json!({})));
    let (ledger, chain) = (state.tenancy.ledger(), tenant.map(|tenant| tenant.to_string()));
    let (sender, receiver) = mpsc::channel(16);
    let (reports, mut told) = mpsc::channel(16);
    let work = async move {
        let check = ledger.verify(chain.as_deref(), reports);
        let pass_on = async {
            while let Some(report) = told.recv().await {
                let unwritable = |error: serde_json::Error| StoreError::Corrupt(error.to_string());
                let mut line = serde_json::to_vec(&report).map_err(unwritable)?;
                line.push(b'\n');
                if sender.send(line).await.is_err() {
                    break;
                }
            }
            Ok::<(), AuditError>(())
        };
        // The check ends the reports, and so what passes them on.
        let (checked, passed) = tokio::join!(check, pass_on);
        checked.map(drop).and(passed)
    };
    Ok(streamed(JSON_LINES, receiver, place.during(work)))
}

async fn compared(ledger: &Ledger, body: Compare, own: Option<String>) -> Result<Json<Comparison>, Problem> {
    let count = body.checkpoints.len();
    let fault = |pointer: String, code, detail| FieldError { pointer: Some(pointer), parameter: None, code, detail };
    if !(1..=CHECKPOINTS).contains(&count) {
        let detail = format!("there are {count} checkpoints; 1 to {CHECKPOINTS} are taken at once");
        return Err(Problem::invalid(vec![fault("/checkpoints".to_owned(), "out-of-range", detail)]));
    }
    let foreign =
        body.checkpoints.iter().enumerate().filter(|(_, told)| own.as_ref().is_some_and(|own| told.chain != *own));
    let foreign = foreign.map(|(at, _)| {
        let detail = "this is a checkpoint of another chain".to_owned();
        fault(format!("/checkpoints/{at}/chain"), "other-chain", detail)
    });
    let foreign: Vec<_> = foreign.collect();
    if !foreign.is_empty() {
        return Err(Problem::invalid(foreign));
    }
    let signed: Vec<_> = body.checkpoints.into_iter().map(Signed::from).collect();
    Ok(Json(ledger.compare(&signed).await?))
}

impl From<Signed> for CheckpointView {
    fn from(signed: Signed) -> Self {
        let Signed { checkpoint: Checkpoint { chain, number, hash, at }, key, signature } = signed;
        Self { chain, number, hash, at, key, signature }
    }
}

impl From<CheckpointView> for Signed {
    fn from(view: CheckpointView) -> Self {
        let CheckpointView { chain, number, hash, at, key, signature } = view;
        Self { checkpoint: Checkpoint { chain, number, hash, at }, key, signature }
    }
}
