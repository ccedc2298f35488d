//! `/v1/certificates`: what is served, what was brought, and an end to either. A key comes in with an upload and is never
//! part of an answer.

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::AdminState;
use super::access::{Caller, Need, Presented, needs};
use super::answer::Written;
use super::body::{Body, OptionalBody};
use super::problem::Problem;
use super::query::{List, Listing, NoParams, PageParams, Params, Segment, time, word};
use crate::certificates::{CertificateQuery, CertificateState, NewCertificate, Reach, Reason, Uploaded, Warning};
use crate::clock::Timestamp;
use crate::model::{CertificateSource, Scope};
use crate::store::{CertificateSort, Span};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(needs(Need::Scoped(Scope::CertificatesRead), routes!(list)))
        .routes(needs(Need::Body(Scope::CertificatesManage), routes!(upload)))
        .routes(needs(Need::Scoped(Scope::CertificatesRead), routes!(show)))
        .routes(needs(Need::Scoped(Scope::CertificatesManage), routes!(delete)))
        .routes(needs(Need::Scoped(Scope::CertificatesManage), routes!(revoke)))
}

/// A certificate with its chain, and without its key.
#[derive(Debug, Serialize, ToSchema)]
pub struct CertificateView {
    id: String,
    /// What it is served for.
    names: Vec<String>,
    source: CertificateSource,
    /// The configured name of the authority; `null` where that is not known.
    authority: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    not_before: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    not_after: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked: Option<Timestamp>,
    /// Those of its names that are served with it at this moment.
    in_use: Vec<String>,
    /// PEM, leaf first.
    chain: String,
}

/// A certificate that was just stored.
#[derive(Debug, Serialize, ToSchema)]
pub struct UploadedView {
    #[serde(flatten)]
    certificate: CertificateView,
    /// What is allowed, but perhaps not meant.
    warnings: Vec<WarningView>,
}

/// What is allowed, but perhaps not meant.
#[derive(Debug, Serialize, ToSchema)]
pub struct WarningView {
    /// Stable, for programs: `expires-soon`, `no-intermediate`, `root-included`, `name-not-served`.
    code: &'static str,
    /// For people.
    detail: String,
}

/// Which certificates to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListCertificates {
    /// How many to list, 1 to 200.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// `next_cursor` of the page before, for the same list: the same caller, path and parameters but `limit`. Opaque.
    cursor: Option<String>,
    /// Only those for this name, in any spelling; a wildcard is a name of its own.
    name: Option<String>,
    /// Only those for a name that begins like this: for operators. Orders the list by these names.
    prefix: Option<String>,
    /// Only those from there.
    #[param(value_type = Option<CertificateSource>)]
    source: Option<String>,
    /// Only those that end at this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    not_after_from: Option<String>,
    /// Only those that end before this time, or have ended.
    #[param(value_type = Option<String>, format = DateTime)]
    not_after_before: Option<String>,
    /// `created` or `not_after`, with `-` before it from the last to the first. By default `created`, or `not_after` where
    /// that is filtered by.
    sort: Option<String>,
}

/// A certificate and its key, brought by their owner.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UploadCertificate {
    /// PEM, the server's certificate first, each signed by the next. At most 10 certificates and 64 KiB.
    chain: String,
    /// PEM: PKCS#8, PKCS#1 or SEC1, without a passphrase. RSA from 2048 bits, P-256, P-384 or Ed25519.
    #[schema(write_only)]
    key: String,
    /// Id or slug: whose it is, where a wildcard covers domains of several tenants.
    #[serde(default)]
    tenant: Option<String>,
}

/// How to revoke.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeCertificate {
    #[serde(default)]
    reason: Reason,
    /// Do not tell the authority: it has been told otherwise, or is gone.
    #[serde(default)]
    only_here: bool,
}

/// List certificates
#[utoipa::path(get, path = "/v1/certificates", operation_id = "listCertificates", tag = "certificates",
    params(ListCertificates),
    responses((status = 200, description = "A page of certificates, ended and revoked ones included",
        body = Listing<CertificateView>)))]
async fn list(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    list: List,
    Params(params): Params<ListCertificates>,
) -> Result<Json<Listing<CertificateView>>, Problem> {
    let (limit, cursor) = (params.limit.clone(), params.cursor.clone());
    let query = query(params, actor.rights.only().is_some())?;
    let paging = PageParams { limit, cursor }.paging(list)?;
    let found = state.certificates.list(&actor.rights, &query, &paging.exact()).await?;
    paging.found(found, CertificateView::from)
}

/// Bring a certificate
///
/// It is served at once, before any that this installation has had from an authority, until it ends, is deleted or is
/// revoked. Its names are verified domains of one tenant, or the operator's own; a wildcard is served for the tenant's
/// domains right beneath it, and for all names there when the tenant holds the wildcard.
#[utoipa::path(post, path = "/v1/certificates", operation_id = "uploadCertificate", tag = "certificates",
    request_body = UploadCertificate,
    responses(
        (status = 201, description = "Stored and served", body = UploadedView,
            headers(("Location", description = "Where it is"))),
        (status = 404, description = "There is no such tenant"),
        (status = 409, description = "A name has been released meanwhile"),
        (status = 422, description = "The chain or the key cannot be served")))]
async fn upload(
    State(state): State<AdminState>,
    caller: Caller,
    known: Option<Extension<Presented>>,
    Params(NoParams {}): Params<NoParams>,
    Body(body): Body<UploadCertificate>,
) -> Result<Written, Problem> {
    let UploadCertificate { chain, key, tenant } = body;
    let key = Zeroizing::new(key);
    let caller = caller.named(&state, known, tenant.as_deref(), Scope::CertificatesManage).await?;
    let tenant = caller.whose(&state, tenant).await?;
    let new = NewCertificate { chain, key, tenant };
    let Caller(actor) = caller;
    let done = state.certificates.upload(&actor, &new).await?;
    let location = format!("/v1/certificates/{}", done.value.certificate.row.id);
    let answer = Written::new(&done);
    Ok(answer.body(&UploadedView::from(done.value)).created(location))
}

/// Show a certificate
#[utoipa::path(get, path = "/v1/certificates/{id}", operation_id = "showCertificate", tag = "certificates",
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "The certificate", body = CertificateView),
        (status = 404, description = "There is none of that id")))]
async fn show(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Segment(id): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<CertificateView>, Problem> {
    Ok(Json(state.certificates.show(&actor.rights, &id).await?.into()))
}

/// Delete a certificate that was brought, and its key
#[utoipa::path(delete, path = "/v1/certificates/{id}", operation_id = "deleteCertificate", tag = "certificates",
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 204, description = "Gone; its names are served with what is left, and ordered again"),
        (status = 404, description = "There is none of that id"),
        (status = 409, description = "It was not uploaded, or is for names of other tenants as well")))]
async fn delete(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Segment(id): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Written, Problem> {
    Ok(Written::new(&state.certificates.delete(&actor, &id).await?))
}

/// Revoke a certificate
///
/// Its authority is told first; when that agrees, the certificate is served no more and a new one is ordered.
#[utoipa::path(post, path = "/v1/certificates/{id}/revoke", operation_id = "revokeCertificate", tag = "certificates",
    params(("id" = String, Path, description = "Its id")), request_body = Option<RevokeCertificate>,
    responses(
        (status = 200, description = "Revoked", body = CertificateView),
        (status = 404, description = "There is none of that id"),
        (status = 409, description = "Revoked already, not from an authority of ours, for names of other tenants as well, or \
            the authority refuses"),
        (status = 422, description = "The body has something unknown in it")))]
async fn revoke(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Segment(id): Segment,
    Params(NoParams {}): Params<NoParams>,
    OptionalBody(body): OptionalBody<RevokeCertificate>,
) -> Result<Written, Problem> {
    let reach = if body.only_here { Reach::OnlyHere } else { Reach::Authority };
    let done = state.certificates.revoke(&actor, &id, body.reason, reach).await?;
    Ok(Written::new(&done).body(&CertificateView::from(done.value)))
}

/// What is asked for.
fn query(params: ListCertificates, is_tenant: bool) -> Result<CertificateQuery, Problem> {
    let ListCertificates { name, prefix, source, not_after_from, not_after_before, sort, .. } = params;
    let contradiction = |name: &str, detail: &str| Err(Problem::parameter(Some(name), "contradiction", detail));
    if prefix.is_some() && (sort.is_some() || name.is_some()) {
        return contradiction(
            "prefix",
            "a list by prefix is in the order of the names; leave sort and name out, or prefix",
        );
    }
    if prefix.is_some() && is_tenant {
        return contradiction("prefix", "a tenant has few certificates; leave prefix out, or give the name in full");
    }
    let sources = CertificateSource::ALL.map(|source| (source.as_str(), source));
    let ends = Span {
        from: time("not_after_from", not_after_from.as_deref())?,
        until: time("not_after_before", not_after_before.as_deref())?,
    };
    let usual = if ends == Span::default() { "created" } else { "not_after" };
    let sorted = word("sort", "invalid-sort", Some(sort.as_deref().unwrap_or(usual)), &SORTS)?;
    let (sort, descending) = sorted.unwrap_or_default();
    let source = word("source", "invalid-source", source.as_deref(), &sources)?;
    Ok(CertificateQuery { name, prefix, source, ends, sort, descending })
}

/// The words of `sort`.
const SORTS: [(&str, (CertificateSort, bool)); 4] = [
    ("created", (CertificateSort::Id, false)),
    ("-created", (CertificateSort::Id, true)),
    ("not_after", (CertificateSort::Ends, false)),
    ("-not_after", (CertificateSort::Ends, true)),
];

impl From<CertificateState> for CertificateView {
    fn from(CertificateState { row, in_use }: CertificateState) -> Self {
        Self {
            id: row.id,
            names: row.names,
            source: row.source,
            authority: Some(row.authority).filter(|authority| !authority.is_empty()),
            not_before: row.not_before,
            not_after: row.not_after,
            created: row.created,
            revoked: row.revoked,
            in_use,
            chain: row.chain,
        }
    }
}

impl From<Uploaded> for UploadedView {
    fn from(uploaded: Uploaded) -> Self {
        let warnings = uploaded.warnings.into_iter();
        let warnings = warnings.map(|Warning { code, detail }| WarningView { code, detail }).collect();
        Self { certificate: uploaded.certificate.into(), warnings }
    }
}
