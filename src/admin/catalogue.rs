//! `/v1/plans` and `/v1/features`: the catalogue, for whoever is signed in.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Caller, Need, needs};
use super::problem::Problem;
use super::query::{NoParams, Params};
use crate::model::{LimitSettings, PlanName};
use crate::tenancy::{FeatureEntry, GatedPath, GatedRoute, PlanEntry, Plans};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new().routes(needs(Need::Anyone, routes!(plans))).routes(needs(Need::Anyone, routes!(features)))
}

/// The plans of the catalogue.
#[derive(Serialize, ToSchema)]
pub struct PlansView {
    /// The cheapest first: a plan further on is an upgrade.
    plans: Vec<PlanView>,
    /// That of a tenant which names none, nor does any above it.
    default_plan: String,
    /// Where a tenant can buy more.
    upgrade_url: Option<String>,
    /// For operators: plans that tenants have and the catalogue has not. They give nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<MissingPlan>,
}

/// A plan of the catalogue.
#[derive(Serialize, ToSchema)]
pub struct PlanView {
    name: String,
    title: String,
    /// 0: the cheapest.
    rank: usize,
    default: bool,
    /// What it gives, but for what the licence withholds.
    features: Vec<String>,
    /// What the licence withholds.
    unlicensed: Vec<String>,
    /// `null`: unlimited.
    members: Option<u64>,
    /// A month. `null`: unlimited.
    ai_tokens: Option<u64>,
    /// How long lines of the audit ledger are kept, in days.
    audit_days: u32,
    /// What a tenant may take at once on each node; what is left out is unlimited.
    #[schema(value_type = Object)]
    limits: LimitSettings,
    /// For operators: how many tenants have it as their own plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenants: Option<u64>,
}

/// A plan that the catalogue has no more.
#[derive(Serialize, ToSchema)]
pub struct MissingPlan {
    name: String,
    tenants: u64,
}

/// A feature of the catalogue.
#[derive(Serialize, ToSchema)]
pub struct FeatureView {
    name: String,
    title: String,
    /// `false`: the licence of this installation withholds it, whatever plan or switch gives it.
    licensed: bool,
    /// The plans that give it, the cheapest first.
    plans: Vec<String>,
    /// For operators: the routes that ask for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    routes: Option<Vec<GatedRouteView>>,
}

/// A route that answers 402 to a tenant without the feature. With none of the three paths it is about any path.
#[derive(Serialize, ToSchema)]
pub struct GatedRouteView {
    route: String,
    feature: String,
    /// `any`, `tenant`, `apex`, `console`, `reserved`, or the name of a host.
    host: String,
    /// None: any.
    methods: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// Whole segments.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_regex: Option<String>,
}

/// List the plans
#[utoipa::path(get, path = "/v1/plans", operation_id = "listPlans", tag = "plans",
    responses((status = 200, description = "All of them", body = PlansView)))]
async fn plans(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<PlansView>, Problem> {
    Ok(Json(PlansView::from(state.tenancy.plans(&actor).await?)))
}

/// List the features
#[utoipa::path(get, path = "/v1/features", operation_id = "listFeatures", tag = "plans",
    responses((status = 200, description = "All of them, by name", body = Vec<FeatureView>)))]
async fn features(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Params(NoParams {}): Params<NoParams>,
) -> Json<Vec<FeatureView>> {
    Json(state.tenancy.features(&actor).into_iter().map(FeatureView::from).collect())
}

impl From<Plans> for PlansView {
    fn from(Plans { plans, default, missing, upgrade_url }: Plans) -> Self {
        let view = |(rank, entry)| PlanView::of(entry, rank, &default);
        Self {
            plans: plans.into_iter().enumerate().map(view).collect(),
            default_plan: default.to_string(),
            upgrade_url,
            missing: missing
                .into_iter()
                .map(|(name, tenants)| MissingPlan { name: name.to_string(), tenants })
                .collect(),
        }
    }
}

impl PlanView {
    fn of(entry: PlanEntry, rank: usize, default: &PlanName) -> Self {
        let PlanEntry { plan, unlicensed, tenants } = entry;
        let given = plan.features.iter().filter(|feature| !unlicensed.contains(feature));
        Self {
            default: plan.name == *default,
            features: given.map(ToString::to_string).collect(),
            unlicensed: unlicensed.iter().map(ToString::to_string).collect(),
            name: plan.name.to_string(),
            title: plan.title,
            rank,
            members: plan.members,
            ai_tokens: plan.ai_tokens,
            audit_days: plan.audit_days,
            limits: plan.limits,
            tenants,
        }
    }
}

impl From<FeatureEntry> for FeatureView {
    fn from(entry: FeatureEntry) -> Self {
        let FeatureEntry { feature, title, licensed, plans, routes } = entry;
        Self {
            name: feature.to_string(),
            title,
            licensed,
            plans: plans.iter().map(ToString::to_string).collect(),
            routes: routes.map(|routes| routes.into_iter().map(GatedRouteView::from).collect()),
        }
    }
}

impl From<GatedRoute> for GatedRouteView {
    fn from(GatedRoute { name, feature, host, methods, path }: GatedRoute) -> Self {
        let (path, path_prefix, path_regex) = match path {
            GatedPath::Any => (None, None, None),
            GatedPath::Exact(path) => (Some(path), None, None),
            GatedPath::Prefix(prefix) => (None, Some(prefix), None),
            GatedPath::Regex(regex) => (None, None, Some(regex)),
        };
        Self { route: name, feature: feature.to_string(), host, methods, path, path_prefix, path_regex }
    }
}
