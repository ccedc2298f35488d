//! `/v1/audit` and `/v1/tenants/{tenant}/audit`: the ledger listed, the newest first, and exported. It is only ever read
//! here.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Caller, Need, needs};
use super::problem::Problem;
use super::query::{List, Listing, PageParams, Paging, Params, Segment};
use crate::audit::{AuditError, Format, LineView, events};
use crate::clock::Timestamp;
use crate::model::{Scope, TenantId};
use crate::store::AuditFilter;
use crate::tenancy::TenancyError;

pub fn routes() -> OpenApiRouter<AdminState> {
    let (any, own) = (Need::Scoped(Scope::AuditRead), Need::Tenant(Scope::AuditRead));
    OpenApiRouter::new()
        .routes(needs(any, routes!(list)))
        .routes(needs(any, routes!(export)))
        .routes(needs(own, routes!(list_own)))
        .routes(needs(own, routes!(export_own)))
}

/// Declares the parameters of a listing with those that narrow it.
macro_rules! filtered {
    ($(#[$about:meta])* $name:ident { $($(#[$field:meta])* $extra:ident,)* }) => {
        $(#[$about])*
        #[derive(Deserialize, IntoParams)]
        #[serde(deny_unknown_fields)]
        #[into_params(parameter_in = Query)]
        pub struct $name {
            $($(#[$field])* $extra: Option<String>,)*
            /// Only what this actor did: `operator:deploy`, `person:<id>`, `system`.
            actor: Option<String>,
            /// Only this action, or those that begin so: `tenant.`
            action: Option<String>,
            /// Only what was done to this: a slug, a domain, a token's name. What names a person is not searched.
            subject: Option<String>,
            /// Only entries of this time (RFC 3339) or later.
            #[param(value_type = Option<String>, format = DateTime)]
            from: Option<String>,
            /// Only entries of before this time.
            #[param(value_type = Option<String>, format = DateTime)]
            until: Option<String>,
        }

        impl $name {
            fn filter(&mut self, tenant: Option<TenantId>) -> Result<AuditFilter, Problem> {
                Ok(AuditFilter {
                    tenant,
                    actor: self.actor.take(),
                    action: self.action.take(),
                    subject: self.subject.take(),
                    from: time("from", self.from.as_deref())?,
                    until: time("until", self.until.as_deref())?,
                })
            }
        }
    };
}

filtered! {
    /// Which entries to list.
    ListAudit {
        /// How many to list, 1 to 200.
        #[param(value_type = Option<u32>, minimum = 1, maximum = 200, default = 50)]
        limit,
        /// `next_cursor` of the page before, for the same list: the same caller, path and parameters but `limit`. Opaque.
        cursor,
        /// Only entries about this tenant: its id or slug; of one that is no more, its id.
        tenant,
    }
}

filtered! {
    /// Which entries of the tenant to list.
    ListOwnAudit {
        /// How many to list, 1 to 200.
        #[param(value_type = Option<u32>, minimum = 1, maximum = 200, default = 50)]
        limit,
        /// `next_cursor` of the page before, for the same list: the same caller, path and parameters but `limit`. Opaque.
        cursor,
    }
}

filtered! {
    /// Which entries to export.
    ExportAudit {
        /// `json` (an object a line, the default), `csv`, or `proof`: whole chains with all that their hashes cover, to be
        /// checked away from here.
        format,
        /// Only entries about this tenant: its id or slug; of one that is no more, its id.
        tenant,
    }
}

filtered! {
    /// Which entries of the tenant to export.
    ExportOwnAudit {
        /// `json` (an object a line, the default), `csv`, or `proof`: whole chains with all that their hashes cover, to be
        /// checked away from here.
        format,
    }
}

/// List the audit ledger, newest first
///
/// Where several things are asked for at once, a page may be short, or empty, and not be the last.
#[utoipa::path(get, path = "/v1/audit", operation_id = "listAudit", tag = "audit", params(ListAudit),
    responses(
        (status = 200, description = "A page of entries", body = Listing<LineView>)))]
async fn list(
    State(state): State<AdminState>,
    caller: Caller,
    list: List,
    Params(mut params): Params<ListAudit>,
) -> Result<Json<Listing<LineView>>, Problem> {
    let tenant = tenant_of(&state, &caller, params.tenant.take()).await?;
    let filter = params.filter(tenant)?;
    page(&state, filter, PageParams { limit: params.limit, cursor: params.cursor }.paging(list)?).await
}

/// List what happened to a tenant, newest first
///
/// Where several things are asked for at once, a page may be short, or empty, and not be the last.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/audit", operation_id = "listTenantAudit", tag = "audit",
    params(("tenant" = String, Path, description = "Its id or slug"), ListOwnAudit),
    responses(
        (status = 200, description = "A page of entries", body = Listing<LineView>)))]
async fn list_own(
    State(state): State<AdminState>,
    Segment(tenant): Segment,
    list: List,
    Params(mut params): Params<ListOwnAudit>,
) -> Result<Json<Listing<LineView>>, Problem> {
    let filter = params.filter(Some(state.tenancy.show(&tenant).await?.tenant.id))?;
    page(&state, filter, PageParams { limit: params.limit, cursor: params.cursor }.paging(list)?).await
}

/// Export the audit ledger, oldest first
#[utoipa::path(get, path = "/v1/audit/export", operation_id = "exportAudit", tag = "audit", params(ExportAudit),
    responses(
        (status = 200, description = "All entries that were asked for, as they are read. An answer that breaks off is not \
            whole", content((LineView = "application/x-ndjson"), (String = "text/csv"))),
        (status = 429, description = "This node does as many exports and checks of the ledger as it does at once, or one \
            of the tenant's; see Retry-After", body = Problem, content_type = "application/problem+json")))]
async fn export(
    State(state): State<AdminState>,
    caller: Caller,
    Params(mut params): Params<ExportAudit>,
) -> Result<Response, Problem> {
    let tenant = tenant_of(&state, &caller, params.tenant.take()).await?;
    exported(&state, &caller, params.format.take(), params.filter(tenant)?)
}

/// Export what happened to a tenant, oldest first
#[utoipa::path(get, path = "/v1/tenants/{tenant}/audit/export", operation_id = "exportTenantAudit", tag = "audit",
    params(("tenant" = String, Path, description = "Its id or slug"), ExportOwnAudit),
    responses(
        (status = 200, description = "All entries that were asked for, as they are read. An answer that breaks off is not \
            whole", content((LineView = "application/x-ndjson"), (String = "text/csv"))),
        (status = 429, description = "This node does as many exports and checks of the ledger as it does at once, or one \
            of the tenant's; see Retry-After", body = Problem, content_type = "application/problem+json")))]
async fn export_own(
    State(state): State<AdminState>,
    caller: Caller,
    Segment(tenant): Segment,
    Params(mut params): Params<ExportOwnAudit>,
) -> Result<Response, Problem> {
    let tenant = state.tenancy.show(&tenant).await?.tenant.id;
    exported(&state, &caller, params.format.take(), params.filter(Some(tenant))?)
}

async fn page(state: &AdminState, filter: AuditFilter, paging: Paging) -> Result<Json<Listing<LineView>>, Problem> {
    let lines = state.tenancy.ledger().lines(&filter, &paging.exact()).await?;
    paging.found(lines, LineView::from)
}

fn exported(
    state: &AdminState,
    caller: &Caller,
    format: Option<String>,
    filter: AuditFilter,
) -> Result<Response, Problem> {
    let ledger = state.tenancy.ledger();
    let detail = json!({ "format": format, "actor": filter.actor, "action": filter.action, "from": filter.from,
        "until": filter.until });
    let entry = caller.0.entry(events::AUDIT_EXPORT, filter.tenant, "audit", detail);
    let place = state.readings.place(&caller.0.rights)?;
    let (sender, receiver) = mpsc::channel(2);
    if format.as_deref() == Some("proof") {
        let whole = AuditFilter { tenant: filter.tenant, ..AuditFilter::default() };
        if filter != whole {
            let detail = "a proof is of whole chains: it can be narrowed by tenant alone";
            return Err(Problem::parameter(Some("format"), "whole-chains", detail.to_owned()));
        }
        let chain = filter.tenant.map(|tenant| tenant.to_string());
        state.tenancy.note(entry);
        let work = async move { place.during(ledger.prove(chain.as_deref(), sender)).await };
        let response = streamed(JSON_LINES, receiver, work);
        return Ok(attached(response, "attachment; filename=\"audit-proof.jsonl\""));
    }
    let format = self::format(format)?;
    state.tenancy.note(entry);
    let (kind, name) = match format {
        Format::Csv => ("text/csv; charset=utf-8; header=present", "attachment; filename=\"audit.csv\""),
        Format::JsonLines => (JSON_LINES, "attachment; filename=\"audit.jsonl\""),
    };
    let work = async move { place.during(ledger.export(&filter, format, sender)).await.map(drop) };
    Ok(attached(streamed(kind, receiver, work), name))
}

fn attached(mut response: Response, name: &'static str) -> Response {
    response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(name));
    response
}

/// An answer that is made while it is sent. It breaks off, instead of ending, when the work fails.
pub(super) fn streamed(
    kind: &'static str,
    receiver: mpsc::Receiver<Vec<u8>>,
    work: impl Future<Output = Result<(), AuditError>> + Send + 'static,
) -> Response {
    let working = AbortOnDropHandle::new(tokio::spawn(work));
    let stream = futures_util::stream::unfold(Some((receiver, working)), |open| async move {
        let (mut receiver, working) = open?;
        if let Some(bytes) = receiver.recv().await {
            return Some((Ok(bytes), Some((receiver, working))));
        }
        match working.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => {
                tracing::warn!(%error, "audit.answer_breaks_off");
                Some((Err(std::io::Error::other(error)), None))
            }
            Err(gone) => Some((Err(std::io::Error::other(gone)), None)),
        }
    });
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], Body::from_stream(stream)).into_response()
}

/// Whose lines are meant. Those of a tenant that is no more are an operator's to see.
pub(super) async fn tenant_of(
    state: &AdminState,
    caller: &Caller,
    named: Option<String>,
) -> Result<Option<TenantId>, Problem> {
    let Some(key) = caller.whose(state, named).await? else { return Ok(None) };
    match state.tenancy.show(&key).await {
        Ok(found) => Ok(Some(found.tenant.id)),
        Err(TenancyError::NotFound(..)) if caller.0.rights.only().is_none() && TenantId::parse(&key).is_some() => {
            Ok(TenantId::parse(&key))
        }
        Err(error) => Err(error.into()),
    }
}

fn format(text: Option<String>) -> Result<Format, Problem> {
    match text.as_deref() {
        None | Some("json") => Ok(Format::JsonLines),
        Some("csv") => Ok(Format::Csv),
        Some(other) => {
            let detail = format!("format is json, csv or proof, not {other:?}");
            Err(Problem::parameter(Some("format"), "unknown-format", detail))
        }
    }
}

fn time(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let wrong = || {
        let detail = format!("{name} is a time as RFC 3339 writes it, such as 2026-11-21T12:00:00Z, not {text:?}");
        Problem::parameter(Some(name), "bad-time", detail)
    };
    Timestamp::parse(text).map(Some).ok_or_else(wrong)
}

impl From<AuditError> for Problem {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Store(error) => error.into(),
            other => crate::store::StoreError::Corrupt(other.to_string()).into(),
        }
    }
}

/// Newline-delimited JSON.
pub(super) const JSON_LINES: &str = "application/x-ndjson";
