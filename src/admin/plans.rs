//! `/v1/tenants/{tenant}/plan`: the plan that a tenant has, the change that waits, and what a change would do.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Need, needs};
use super::answer::{Tagged, Written};
use super::body::{Body, maybe, present};
use super::edit::Edit;
use super::plan_views::{PlanStateView, PreviewView};
use super::precondition::IfMatch;
use super::problem::Problem;
use super::query::{NoParams, Params, Segment};
use super::tenants::written;
use super::views::TenantView;
use crate::model::{Scope, When};
use crate::tenancy::{PlanOrder, PlanQuestion};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(needs(Need::Tenant(Scope::TenantRead), routes!(show)))
        .routes(needs(Need::Tenant(Scope::TenantRead), routes!(preview)))
        .routes(needs(Need::Installation(Scope::TenantsManage), routes!(set)))
        .routes(needs(Need::Installation(Scope::TenantsManage), routes!(drop_change)))
}

/// A plan of the catalogue, and when the tenant is to have it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPlan {
    /// `null`: the parent's plan, for a tenant that has a parent.
    #[serde(deserialize_with = "present")]
    #[schema(required = true)]
    plan: Option<String>,
    /// Left out: an upgrade at once, a downgrade at the end of the billing period. Which of them it is, is said by the order
    /// of the catalogue.
    when: Option<When>,
}

/// A change as it is thought of. What is left out stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewPlan {
    /// `null`: the parent's plan, for a tenant that has a parent.
    #[serde(default, deserialize_with = "maybe")]
    plan: Option<Option<String>>,
    /// As with the change itself.
    when: Option<When>,
    /// Takes the place of what is switched on.
    features_on: Option<Vec<String>>,
    features_off: Option<Vec<String>>,
}

/// Show a tenant's plan: whose word it is, what waits, what is used of it
#[utoipa::path(get, path = "/v1/tenants/{tenant}/plan", operation_id = "showTenantPlan", tag = "plans",
    params(("tenant" = String, Path, description = "Id or slug")),
    responses(
        (status = 200, description = "The plan that holds", body = PlanStateView,
            headers(("ETag", description = "The tenant's revision, and a digest of this answer")))))]
async fn show(
    State(state): State<AdminState>,
    Segment(key): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<PlanStateView>, Problem> {
    let found = state.tenancy.plan_state(&key).await?;
    Ok(Tagged(found.state.tenant.revision, found.into()))
}

/// Say what a change of plan or switches would do
#[utoipa::path(post, path = "/v1/tenants/{tenant}/plan/preview", operation_id = "previewTenantPlan", tag = "plans",
    description = "Nothing is written. It holds for as long as nobody changes anything else. Routes are those of the node \
        that answers.",
    params(("tenant" = String, Path, description = "Id or slug")),
    request_body = PreviewPlan,
    responses(
        (status = 200, description = "What would follow", body = PreviewView),
        (status = 422, description = "No such plan or feature, or one that the licence withholds")))]
async fn preview(
    State(state): State<AdminState>,
    Segment(key): Segment,
    Params(NoParams {}): Params<NoParams>,
    Body(body): Body<PreviewPlan>,
) -> Result<Json<PreviewView>, Problem> {
    let PreviewPlan { plan, when, features_on, features_off } = body;
    let question = PlanQuestion { plan, when, features_on, features_off };
    Ok(Json(PreviewView::from(state.tenancy.preview(&key, &question).await?)))
}

/// Set a tenant's plan
#[utoipa::path(put, path = "/v1/tenants/{tenant}/plan", operation_id = "setTenantPlan", tag = "plans",
    description = "A plan that stands later in the catalogue is an upgrade and holds at once; an earlier one is a \
        downgrade and holds from the end of the billing period: as the billing system tells it, else of the calendar month \
        (UTC). `when` says otherwise. A change that waits is shown as `plan_change`; another one takes its place, and the \
        plan that the tenant has anyway drops it. It rests while the tenant is cancelled or archived.",
    params(("tenant" = String, Path, description = "Id or slug"), IfMatch),
    request_body = SetPlan,
    responses(
        (status = 200, description = "As it is now", body = TenantView),
        (status = 422, description = "No such plan")))]
async fn set(
    State(state): State<AdminState>,
    Edit { actor, key, expect, .. }: Edit,
    Body(SetPlan { plan, when }): Body<SetPlan>,
) -> Result<Written, Problem> {
    Ok(written(state.tenancy.set_plan(&actor, &key, &expect, &PlanOrder { plan, when }).await?))
}

/// Drop the change of plan that waits
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/plan/scheduled", operation_id = "dropTenantPlanChange", tag = "plans",
    params(("tenant" = String, Path, description = "Id or slug"), IfMatch),
    responses(
        (status = 200, description = "As it is now: it keeps the plan that it has", body = TenantView),
        (status = 404, description = "No such tenant, or none waits (`no-plan-change`)")))]
async fn drop_change(
    State(state): State<AdminState>,
    Edit { actor, key, expect, .. }: Edit,
) -> Result<Written, Problem> {
    Ok(written(state.tenancy.drop_plan_change(&actor, &key, &expect).await?))
}
