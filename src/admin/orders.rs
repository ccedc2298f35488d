//! `/v1/orders`: the queue of certificates that are wanted from authorities, and "now" for one of them.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Caller, Need, needs};
use super::answer::Written;
use super::problem::Problem;
use super::query::{List, Listing, NoParams, PageParams, Params, Segment};
use crate::acme::queue::Outlook;
use crate::certificates::QueuedOrder;
use crate::clock::Timestamp;
use crate::model::Scope;

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(needs(Need::Scoped(Scope::CertificatesRead), routes!(list)))
        .routes(needs(Need::Scoped(Scope::CertificatesRead), routes!(show)))
        .routes(needs(Need::Scoped(Scope::CertificatesManage), routes!(issue)))
        .routes(needs(Need::Scoped(Scope::CertificatesManage), routes!(renew)))
}

/// A certificate that is wanted from an authority, and how far it has come.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrderView {
    /// The first of its names.
    name: String,
    names: Vec<String>,
    /// The id of the tenant whose turn it takes; `null`: the installation's own.
    tenant: Option<String>,
    /// `waiting`, `issued`, or a word for what is under way.
    stage: String,
    /// In a row.
    failures: i64,
    /// What went wrong last; `null` once it has gone right since.
    failure: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    failed_at: Option<Timestamp>,
    /// Nothing is done before, unless it is under way: the next try, or the renewal.
    #[schema(value_type = String, format = DateTime)]
    next: Timestamp,
    /// Its place among those that wait for their turn, from 1.
    position: Option<u64>,
    /// When something will be done for it, as far as that can be told: its own back-off, the orders before it, and the rate
    /// at which the authority takes orders.
    #[schema(value_type = String, format = DateTime)]
    expected: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated: Timestamp,
}

/// List orders by name
#[utoipa::path(get, path = "/v1/orders", operation_id = "listOrders", tag = "orders", params(PageParams),
    responses((status = 200, description = "A page of orders", body = Listing<OrderView>)))]
async fn list(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    list: List,
    Params(params): Params<PageParams>,
) -> Result<Json<Listing<OrderView>>, Problem> {
    let paging = params.paging(list)?;
    let rows = state.certificates.queue(&actor.rights, &paging.page()).await?;
    let outlook = state.acme.outlook().await?;
    paging.listing(rows, |order| order.row.name.clone(), |order| OrderView::seen(&outlook, order))
}

/// Show an order
#[utoipa::path(get, path = "/v1/orders/{name}", operation_id = "showOrder", tag = "orders",
    params(("name" = String, Path, description = "The first of its names, in any spelling")),
    responses(
        (status = 200, description = "The order", body = OrderView),
        (status = 404, description = "No certificate is wanted for it")))]
async fn show(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Segment(name): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<OrderView>, Problem> {
    let order = state.certificates.order(&actor.rights, &name).await?;
    Ok(Json(OrderView::of(&state, order).await?))
}

/// Have a certificate issued as soon as its turn comes
///
/// Failures in a row are forgotten; the authorities' limits are kept all the same.
#[utoipa::path(post, path = "/v1/orders/{name}/issue", operation_id = "issueOrder", tag = "orders",
    params(("name" = String, Path, description = "A verified domain, in any spelling")),
    responses(
        (status = 200, description = "In the queue", body = OrderView),
        (status = 404, description = "No certificate is wanted for it"),
        (status = 409, description = "It is under way, is issued, or the domain is not verified")))]
async fn issue(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Segment(name): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Written, Problem> {
    let done = state.certificates.issue(&actor, &name).await?;
    Ok(Written::new(&done).body(&OrderView::of(&state, done.value.clone()).await?))
}

/// Have a certificate renewed as soon as its turn comes
#[utoipa::path(post, path = "/v1/orders/{name}/renew", operation_id = "renewOrder", tag = "orders",
    params(("name" = String, Path, description = "The first of its names, in any spelling")),
    responses(
        (status = 200, description = "In the queue", body = OrderView),
        (status = 404, description = "No certificate is wanted for it"),
        (status = 409, description = "It is under way, or was never issued")))]
async fn renew(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Segment(name): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Written, Problem> {
    let done = state.certificates.renew(&actor, &name).await?;
    Ok(Written::new(&done).body(&OrderView::of(&state, done.value.clone()).await?))
}

impl OrderView {
    pub(super) async fn of(state: &AdminState, order: QueuedOrder) -> Result<Self, Problem> {
        Ok(Self::seen(&state.acme.outlook().await?, order))
    }

    fn seen(outlook: &Outlook, order: QueuedOrder) -> Self {
        let QueuedOrder { row, failure, failed_at, position } = order;
        Self {
            expected: outlook.expected(&row, position),
            name: row.name,
            names: row.names,
            tenant: row.tenant.map(|tenant| tenant.to_string()),
            stage: row.stage,
            failures: row.failures,
            failure,
            failed_at,
            next: row.not_before,
            position,
            updated: row.updated,
        }
    }
}
