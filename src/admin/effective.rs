//! `/v1/tenants/{tenant}/effective`: every value that holds for a tenant, with whose word it is.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Need, needs};
use super::answer::Tagged;
use super::problem::Problem;
use super::query::{NoParams, Params, Segment};
use crate::clock::Timestamp;
use crate::model::{CapName, Scope, SetBy, Source, Standing};
use crate::tenancy::{Explained, Sourced};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new().routes(needs(Need::Tenant(Scope::TenantRead), routes!(show)))
}

/// A value, and where it comes from.
#[derive(Serialize, ToSchema)]
pub struct SourcedView {
    #[schema(value_type = Object)]
    value: Value,
    from: Source,
    /// With `parent`: the slug of the one whose word it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    /// Of a cap that is no plan's: who has set it.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<SetBy>,
}

/// Every value that holds for a tenant right now.
#[derive(Serialize, ToSchema)]
pub struct ExplainedView {
    id: String,
    slug: String,
    /// Slugs of those above it, the nearest first.
    parents: Vec<String>,
    /// Whether visitors are served.
    served: bool,
    trial_expired: bool,
    /// Its plan has not covered domains of its own for longer than the grace: they redirect to its host.
    domains_lapsed: bool,
    /// When it holds no more by itself; `null`: as long as nobody changes anything.
    #[schema(value_type = Option<String>, format = DateTime)]
    valid_until: Option<Timestamp>,
    status: SourcedView,
    plan: SourcedView,
    /// Every feature of the catalogue, `true` or `false`. From `plan`: its plan gives it, or does not.
    features: BTreeMap<String, SourcedView>,
    /// How much of what it may have: a number, or `"unlimited"`. A cap of a tenant's own counts before the plan's.
    caps: BTreeMap<CapName, SourcedView>,
    /// What is set; the rest is the installation's.
    branding: BTreeMap<String, SourcedView>,
    settings: BTreeMap<String, SourcedView>,
    /// What the edge does for it. A limit that is `null` is none.
    edge: BTreeMap<String, SourcedView>,
}

/// Show what holds for a tenant, and where each value comes from
#[utoipa::path(get, path = "/v1/tenants/{tenant}/effective", operation_id = "explainTenant", tag = "tenants",
    params(("tenant" = String, Path, description = "Id or slug")),
    responses(
        (status = 200, description = "Every value, with whose word it is", body = ExplainedView,
            headers(("ETag", description = "The tenant's revision, and a digest of this answer")))))]
async fn show(
    State(state): State<AdminState>,
    Segment(key): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<ExplainedView>, Problem> {
    let found = state.tenancy.explain(&key).await?;
    Ok(Tagged(found.state.tenant.revision, found.into()))
}

impl From<Explained> for ExplainedView {
    fn from(found: Explained) -> Self {
        let effective = &found.state.effective;
        let all = |values: BTreeMap<String, Sourced>| {
            values.into_iter().map(|(name, value)| (name, SourcedView::from(value))).collect()
        };
        Self {
            id: found.state.tenant.id.to_string(),
            slug: found.state.tenant.slug.to_string(),
            parents: found.parents.iter().map(ToString::to_string).collect(),
            served: effective.standing == Standing::Served,
            trial_expired: effective.trial_expired,
            domains_lapsed: effective.domains_lapsed,
            valid_until: Some(effective.valid_until).filter(|at| *at != Timestamp::MAX),
            status: found.status.into(),
            plan: found.plan.into(),
            features: all(found.features),
            caps: found
                .caps
                .into_iter()
                .map(|(name, (value, by))| (name, SourcedView { by, ..value.into() }))
                .collect(),
            branding: all(found.branding),
            settings: all(found.settings),
            edge: all(found.edge),
        }
    }
}

impl From<Sourced> for SourcedView {
    fn from(sourced: Sourced) -> Self {
        let Sourced { value, from, tenant } = sourced;
        Self { value, from, tenant: tenant.map(|slug| slug.to_string()), by: None }
    }
}
