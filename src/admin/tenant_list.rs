//! `GET /v1/tenants` and `GET /v1/stats`: tenants filtered, searched, ordered and counted.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Need, needs};
use super::problem::Problem;
use super::query::{List, Listing, PageParams, Params, time, word};
use super::views::TenantView;
use crate::clock::Timestamp;
use crate::model::{DomainState, Scope, Status};
use crate::store::{Span, TenantSort};
use crate::tenancy::{SEARCH_MAX, Stats, TenantQuery};

/// The words of `sort`.
const SORTS: [(&str, (TenantSort, bool)); 10] = [
    ("slug", (TenantSort::Slug, false)),
    ("-slug", (TenantSort::Slug, true)),
    ("name", (TenantSort::Name, false)),
    ("-name", (TenantSort::Name, true)),
    ("created", (TenantSort::Created, false)),
    ("-created", (TenantSort::Created, true)),
    ("updated", (TenantSort::Updated, false)),
    ("-updated", (TenantSort::Updated, true)),
    ("trial_ends", (TenantSort::TrialEnds, false)),
    ("-trial_ends", (TenantSort::TrialEnds, true)),
];
/// Days ahead in which a trial counts as expiring.
const EXPIRING_DAYS: u32 = 7;
const EXPIRING_DAYS_MAX: u32 = 365;

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new().routes(needs(Need::Installation(Scope::TenantRead), routes!(stats)))
}

/// Which tenants to list, and in which order.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListTenants {
    /// How many to list, 1 to 200.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// `next_cursor` of the page before, for the same list: the same caller, path and parameters but `limit`. Opaque.
    cursor: Option<String>,
    /// What a slug, a word of the name, or a domain that the tenant holds begins with; without regard to case, diacritics
    /// and punctuation of the name. Orders the list by what is found.
    search: Option<String>,
    /// Only tenants of this status of their own.
    #[param(value_type = Option<Status>)]
    status: Option<String>,
    /// Only tenants with this plan of their own.
    plan: Option<String>,
    /// Only children of this tenant: its id or slug.
    parent: Option<String>,
    /// `true`: only tenants that are listed publicly; `false`: only those that are not.
    #[param(value_type = Option<bool>)]
    listed: Option<String>,
    /// Only tenants whose slug begins like this.
    prefix: Option<String>,
    /// Only the tenant that the billing system calls by this name.
    billing_ref: Option<String>,
    /// Only tenants created at this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    created_from: Option<String>,
    /// Only tenants created before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    created_before: Option<String>,
    /// Only tenants changed last at this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    updated_from: Option<String>,
    /// Only tenants changed last before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    updated_before: Option<String>,
    /// Only trials that end at this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    trial_ends_from: Option<String>,
    /// Only trials that end before this time, or have ended.
    #[param(value_type = Option<String>, format = DateTime)]
    trial_ends_before: Option<String>,
    /// `slug`, `name`, `created`, `updated` or `trial_ends` (which lists trials only), with `-` before it from the last to
    /// the first. By default `slug`, or `trial_ends` where that is filtered by.
    sort: Option<String>,
}

/// What is counted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StatsParams {
    /// Trials that end within this many days are `expiring`.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 365, default = 7)]
    expiring_days: Option<String>,
}

/// How many there are. The numbers are exact, and kept: asking costs nothing.
#[derive(Serialize, ToSchema)]
pub struct StatsView {
    tenants: TenantStats,
    domains: DomainStats,
}

/// Tenants by their own status and plan.
#[derive(Serialize, ToSchema)]
pub struct TenantStats {
    total: u64,
    pending: u64,
    trial: u64,
    active: u64,
    suspended: u64,
    cancelled: u64,
    archived: u64,
    /// Trials that end before `expiring_before`, or have ended.
    expiring: u64,
    /// The end of the hour in which the days asked for are over.
    #[schema(value_type = String, format = DateTime)]
    expiring_before: Timestamp,
    /// Every plan that somebody has; `null`: no plan of their own, but their parent's or the catalogue's default.
    by_plan: Vec<PlanCount>,
}

/// How many tenants have a plan of their own.
#[derive(Serialize, ToSchema)]
pub struct PlanCount {
    plan: Option<String>,
    tenants: u64,
}

/// Claims to domains by state.
#[derive(Serialize, ToSchema)]
pub struct DomainStats {
    total: u64,
    pending: u64,
    verifying: u64,
    verified: u64,
    live: u64,
    moved: u64,
    failed: u64,
    released: u64,
}

/// List tenants
///
/// Any filters can be combined. A page may have fewer items than asked for, even none, and not be the last: the list ends
/// where `next_cursor` is `null`.
#[utoipa::path(get, path = "/v1/tenants", operation_id = "listTenants", tag = "tenants", params(ListTenants),
    responses((status = 200, description = "A page of tenants", body = Listing<TenantView>)))]
pub async fn list(
    State(state): State<AdminState>,
    list: List,
    Params(params): Params<ListTenants>,
) -> Result<Json<Listing<TenantView>>, Problem> {
    if params.search.is_some() && params.sort.is_some() {
        let detail = "a search is in the order of what is found; leave sort out, or search";
        return Err(Problem::parameter(Some("sort"), "contradiction", detail));
    }
    let paging = PageParams { limit: params.limit.clone(), cursor: params.cursor.clone() }.paging(list)?;
    let query = query(params)?;
    let found = state.tenancy.list(&query, &paging.exact()).await?;
    paging.found(found, TenantView::from)
}

/// Count tenants and domains
#[utoipa::path(get, path = "/v1/stats", operation_id = "showStats", tag = "tenants", params(StatsParams),
    responses((status = 200, description = "The numbers", body = StatsView)))]
async fn stats(
    State(state): State<AdminState>,
    Params(StatsParams { expiring_days }): Params<StatsParams>,
) -> Result<Json<StatsView>, Problem> {
    let days = match expiring_days.as_deref() {
        None => EXPIRING_DAYS,
        Some(text) => text.parse().ok().filter(|days| (1..=EXPIRING_DAYS_MAX).contains(days)).ok_or_else(|| {
            let detail = format!("expiring_days is a number from 1 to {EXPIRING_DAYS_MAX}, not {text:?}");
            Problem::parameter(Some("expiring_days"), "out-of-range", detail)
        })?,
    };
    Ok(Json(state.tenancy.stats(days).await?.into()))
}

fn query(params: ListTenants) -> Result<TenantQuery, Problem> {
    let statuses = Status::ALL.map(|status| (status.as_str(), status));
    let span = |name: &str, from: &Option<String>, before: &Option<String>| -> Result<Span, Problem> {
        let (first, second) = (format!("{name}_from"), format!("{name}_before"));
        Ok(Span { from: time(&first, from.as_deref())?, until: time(&second, before.as_deref())? })
    };
    let (sort, descending) = word("sort", "invalid-sort", params.sort.as_deref(), &SORTS)?.unzip();
    if let Some(text) = &params.search
        && !(1..=SEARCH_MAX).contains(&text.trim().chars().count())
    {
        let detail = format!("a search has 1 to {SEARCH_MAX} characters");
        return Err(Problem::parameter(Some("search"), "out-of-range", detail));
    }
    Ok(TenantQuery {
        only: None,
        status: word("status", "invalid-status", params.status.as_deref(), &statuses)?,
        created: span("created", &params.created_from, &params.created_before)?,
        updated: span("updated", &params.updated_from, &params.updated_before)?,
        trial_ends: span("trial_ends", &params.trial_ends_from, &params.trial_ends_before)?,
        search: params.search,
        plan: params.plan,
        parent: params.parent,
        listed: word("listed", "invalid-value", params.listed.as_deref(), &[("true", true), ("false", false)])?,
        prefix: params.prefix,
        billing_ref: params.billing_ref,
        sort,
        descending: descending.unwrap_or_default(),
    })
}

impl From<Stats> for StatsView {
    fn from(stats: Stats) -> Self {
        let Stats { tenants, domains } = stats;
        let status = |wanted| tenants.by_status.iter().find(|(status, _)| *status == wanted).map_or(0, |(_, n)| *n);
        let state = |wanted| domains.iter().find(|(state, _)| *state == wanted).map_or(0, |(_, n)| *n);
        let plans = tenants.by_plan.iter();
        Self {
            tenants: TenantStats {
                total: tenants.total,
                pending: status(Status::Pending),
                trial: status(Status::Trial),
                active: status(Status::Active),
                suspended: status(Status::Suspended),
                cancelled: status(Status::Cancelled),
                archived: status(Status::Archived),
                expiring: tenants.expiring,
                expiring_before: tenants.expiring_before,
                by_plan: plans
                    .map(|(plan, tenants)| PlanCount {
                        plan: plan.as_ref().map(ToString::to_string),
                        tenants: *tenants,
                    })
                    .collect(),
            },
            domains: DomainStats {
                total: domains.iter().map(|(_, number)| number).sum(),
                pending: state(DomainState::Pending),
                verifying: state(DomainState::Verifying),
                verified: state(DomainState::Verified),
                live: state(DomainState::Live),
                moved: state(DomainState::Moved),
                failed: state(DomainState::Failed),
                released: state(DomainState::Released),
            },
        }
    }
}
