//! Domains and hosts: `/v1/tenants/{tenant}/domains`, `/v1/domains/{domain}`, `/v1/hosts/{host}`.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Caller, Need, needs};
use super::answer::Written;
use super::body::Body;
use super::orders::OrderView;
use super::problem::Problem;
use super::query::{List, Listing, NoParams, PageParams, Params, Segment, word};
use super::views::{DomainDetail, DomainView, HostView};
use crate::domains::Diagnosis;
use crate::model::{DomainState, Hostname, Scope};
use crate::store::DomainSort;
use crate::tenancy::{DomainQuery, NewDomain};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(needs(Need::Tenant(Scope::DomainsRead), routes!(list)))
        .routes(needs(Need::Tenant(Scope::DomainsManage), routes!(add)))
        .routes(needs(Need::Scoped(Scope::DomainsRead), routes!(list_all)))
        .routes(needs(Need::Scoped(Scope::DomainsRead), routes!(show)))
        .routes(needs(Need::Scoped(Scope::DomainsManage), routes!(remove)))
        .routes(needs(Need::Scoped(Scope::DomainsManage), routes!(verify)))
        .routes(needs(Need::Scoped(Scope::DomainsRead), routes!(diagnosis)))
        .routes(needs(Need::Installation(Scope::DomainsRead), routes!(host)))
}

/// A domain to be claimed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddDomain {
    /// In any spelling: IDN or punycode, any letter case.
    domain: String,
    /// You vouch that the tenant owns it; the ledger says so. It is served at once.
    #[serde(default)]
    verified: bool,
}

/// Whose claim is meant, where several tenants have one.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WhoseClaim {
    /// Id or slug. Left out: the claim that holds the domain, or the only one there is.
    pub tenant: Option<String>,
}

/// Which claims to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListDomains {
    /// How many to list, 1 to 200.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// `next_cursor` of the page before, for the same list: the same caller, path and parameters but `limit`. Opaque.
    cursor: Option<String>,
    /// Only those of this tenant: its id or slug.
    tenant: Option<String>,
    /// Only those in this state.
    #[param(value_type = Option<DomainState>)]
    state: Option<String>,
    /// Only names that begin like this.
    prefix: Option<String>,
    /// Only names beneath this one, at any depth, in the order of their labels from the last to the first.
    beneath: Option<String>,
    /// `name` (the default) or `created`, with `-` before it from the last to the first.
    sort: Option<String>,
}

/// The words of `sort`.
const SORTS: [(&str, (DomainSort, bool)); 4] = [
    ("name", (DomainSort::Name, false)),
    ("-name", (DomainSort::Name, true)),
    ("created", (DomainSort::Created, false)),
    ("-created", (DomainSort::Created, true)),
];

/// Claim a domain for a tenant
#[utoipa::path(post, path = "/v1/tenants/{tenant}/domains", operation_id = "addDomain", tag = "domains",
    params(("tenant" = String, Path, description = "Id or slug")), request_body = AddDomain,
    responses(
        (status = 201, description = "Claimed; set the records", body = DomainView,
            headers(("Location", description = "Where it is"))),
        (status = 200, description = "This tenant's claim was there, and is verified now", body = DomainView),
        (status = 402, description = "The tenant's plan has no custom domains"),
        (status = 409, description = "Claimed already, or another's"),
        (status = 422, description = "Nobody can claim this")))]
async fn add(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Segment(key): Segment,
    Params(NoParams {}): Params<NoParams>,
    Body(body): Body<AddDomain>,
) -> Result<Written, Problem> {
    let new = NewDomain { domain: body.domain, verified: body.verified };
    let done = state.tenancy.add_domain(&actor, &key, &new).await?;
    let answer = Written::new(&done);
    let location = done.value.is_new.then(|| format!("/v1/domains/{}", done.value.domain.name));
    let answer = answer.body(&DomainView::from(done.value));
    Ok(match location {
        Some(location) => answer.created(location),
        None => answer,
    })
}

/// List a tenant's domains by name
#[utoipa::path(get, path = "/v1/tenants/{tenant}/domains", operation_id = "listDomains", tag = "domains",
    params(("tenant" = String, Path, description = "Id or slug"), PageParams),
    responses(
        (status = 200, description = "A page of domains", body = Listing<DomainView>)))]
async fn list(
    State(state): State<AdminState>,
    Segment(key): Segment,
    list: List,
    Params(params): Params<PageParams>,
) -> Result<Json<Listing<DomainView>>, Problem> {
    let paging = params.paging(list)?;
    let rows = state.tenancy.domains(&key, &paging.page()).await?;
    paging.listing(rows, |row| row.domain.name.to_string(), DomainView::from)
}

/// List the domains of all tenants by name
#[utoipa::path(get, path = "/v1/domains", operation_id = "listAllDomains", tag = "domains", params(ListDomains),
    responses(
        (status = 200, description = "A page of claims", body = Listing<DomainView>)))]
async fn list_all(
    State(state): State<AdminState>,
    caller: Caller,
    list: List,
    Params(params): Params<ListDomains>,
) -> Result<Json<Listing<DomainView>>, Problem> {
    let ListDomains { limit, cursor, tenant, state: wanted, prefix, beneath, sort } = params;
    let paging = PageParams { limit, cursor }.paging(list)?;
    let states = DomainState::ALL.map(|state| (state.as_str(), state));
    let (sort, descending) = word("sort", "invalid-sort", sort.as_deref(), &SORTS)?.unwrap_or_default();
    let beneath = beneath.as_deref().map(|text| {
        let why = |why| format!("{text:?} is no host name that others could be beneath: {why}");
        Hostname::parse(text).map_err(|e| Problem::parameter(Some("beneath"), "invalid-domain", why(e)))
    });
    let mut query = DomainQuery {
        tenant,
        state: word("state", "invalid-state", wanted.as_deref(), &states)?,
        prefix,
        beneath: beneath.transpose()?,
        sort,
        descending,
    };
    let tenant = caller.whose(&state, query.tenant.take()).await?;
    let found = state.tenancy.list_domains(&DomainQuery { tenant, ..query }, &paging.exact()).await?;
    paging.found(found, DomainView::from)
}

/// Show a domain
#[utoipa::path(get, path = "/v1/domains/{domain}", operation_id = "showDomain", tag = "domains",
    params(("domain" = String, Path, description = "In any spelling"), WhoseClaim),
    responses(
        (status = 200, description = "The claim", body = DomainDetail),
        (status = 404, description = "Nobody claims it"),
        (status = 409, description = "Several tenants claim it, none holds it")))]
async fn show(
    State(state): State<AdminState>,
    caller: Caller,
    Segment(name): Segment,
    Params(WhoseClaim { tenant }): Params<WhoseClaim>,
) -> Result<Json<DomainDetail>, Problem> {
    let tenant = caller.whose(&state, tenant).await?;
    let claim = state.tenancy.domain(&name, tenant.as_deref()).await?;
    let name = claim.domain.name.clone();
    let (certificate, order) = match claim.domain.state.is_held() {
        true => (state.certificates.in_use(&name).await?, state.certificates.optional_order(&name).await?),
        // Whatever there is belongs to somebody else's claim.
        false => (None, None),
    };
    let certificate = certificate.map(Into::into);
    let order = match order {
        Some(order) => Some(OrderView::of(&state, order).await?),
        None => None,
    };
    Ok(Json(DomainDetail { domain: claim.into(), certificate, order }))
}

/// Look at a domain's records now, with everything that follows
///
/// A claim that is proven becomes its tenant's, and its certificate is ordered. Limited per claim.
#[utoipa::path(post, path = "/v1/domains/{domain}/verify", operation_id = "verifyDomain", tag = "domains",
    params(("domain" = String, Path, description = "In any spelling"), WhoseClaim),
    responses(
        (status = 200, description = "What was seen; `state` is what followed", body = Diagnosis),
        (status = 404, description = "Nobody claims it"),
        (status = 409, description = "Several tenants claim it, none holds it"),
        (status = 429, description = "Asked for too often")))]
async fn verify(
    State(state): State<AdminState>,
    caller: Caller,
    Segment(name): Segment,
    Params(WhoseClaim { tenant }): Params<WhoseClaim>,
) -> Result<Json<Diagnosis>, Problem> {
    let tenant = caller.whose(&state, tenant).await?;
    Ok(Json(state.domains.verify(&caller.0, &name, tenant.as_deref()).await?))
}

/// What DNS says of a domain, what it should say, and what to do
///
/// Looks now, and changes nothing.
#[utoipa::path(get, path = "/v1/domains/{domain}/diagnosis", operation_id = "diagnoseDomain", tag = "domains",
    params(("domain" = String, Path, description = "In any spelling"), WhoseClaim),
    responses(
        (status = 200, description = "What was seen", body = Diagnosis),
        (status = 404, description = "Nobody claims it"),
        (status = 409, description = "Several tenants claim it, none holds it")))]
async fn diagnosis(
    State(state): State<AdminState>,
    caller: Caller,
    Segment(name): Segment,
    Params(WhoseClaim { tenant }): Params<WhoseClaim>,
) -> Result<Json<Diagnosis>, Problem> {
    let tenant = caller.whose(&state, tenant).await?;
    Ok(Json(state.domains.diagnose(&name, tenant.as_deref()).await?))
}

/// Give a domain up
#[utoipa::path(delete, path = "/v1/domains/{domain}", operation_id = "removeDomain", tag = "domains",
    params(("domain" = String, Path, description = "In any spelling"), WhoseClaim),
    responses(
        (status = 204, description = "Gone; not served any more"),
        (status = 404, description = "Nobody claims it"),
        (status = 409, description = "Several tenants claim it, none holds it")))]
async fn remove(
    State(state): State<AdminState>,
    caller: Caller,
    Segment(name): Segment,
    Params(WhoseClaim { tenant }): Params<WhoseClaim>,
) -> Result<Written, Problem> {
    let tenant = caller.whose(&state, tenant).await?;
    Ok(Written::new(&state.tenancy.remove_domain(&caller.0, &name, tenant.as_deref()).await?))
}

/// Whom a host leads to, and what the edge would do
#[utoipa::path(get, path = "/v1/hosts/{host}", operation_id = "showHost", tag = "domains",
    params(("host" = String, Path, description = "In any spelling, without a port")),
    responses(
        (status = 200, description = "The answer", body = HostView),
        (status = 422, description = "This is no host name")))]
async fn host(
    State(state): State<AdminState>,
    Segment(host): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<HostView>, Problem> {
    Ok(Json(state.tenancy.host(&host).await?.into()))
}
