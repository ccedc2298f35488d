//! `/v1/events`: what happened to domains, certificates, members and tenants, oldest first. It is only ever read here.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Caller, Need, needs};
use super::problem::Problem;
use super::query::{List, Listing, PageParams, Params};
use crate::clock::Timestamp;
use crate::model::Scope;
use crate::store::{EventFilter, EventRow, Page};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new().routes(needs(Need::Scoped(Scope::EventsRead), routes!(list)))
}

/// Which events to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListEvents {
    /// How many to list, 1 to 200.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, default = 50)]
    limit: Option<String>,
    /// `next_cursor` of the page before, for the same list: the same caller, path and parameters but `limit`. Opaque.
    cursor: Option<String>,
    /// Only events after the one of this `id`: for whoever polls.
    after: Option<String>,
    /// Only events of this tenant: its id or slug.
    tenant: Option<String>,
    /// Only events about this domain, or this first name of a certificate.
    subject: Option<String>,
}

/// Something that happened.
#[derive(Serialize, ToSchema)]
pub struct EventView {
    /// Its place in the order of all events; `after` takes it.
    id: String,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// `domain.verified`, `certificate.issued`, `certificate.expiring`, …
    kind: String,
    /// The id of the tenant that it is about.
    tenant: Option<String>,
    subject: String,
    #[schema(value_type = Object)]
    detail: Value,
}

/// What tells who is a member, or is to be: for those who may see the members.
const OF_MEMBERS: [&str; 2] = ["invitation", "member"];

/// List events, oldest first
///
/// Those about members and invitations need `members:read` as well.
#[utoipa::path(get, path = "/v1/events", operation_id = "listEvents", tag = "events", params(ListEvents),
    responses(
        (status = 200, description = "A page of events", body = Listing<EventView>)))]
async fn list(
    State(state): State<AdminState>,
    caller: Caller,
    list: List,
    Params(params): Params<ListEvents>,
) -> Result<Json<Listing<EventView>>, Problem> {
    let ListEvents { limit, cursor, after, tenant, subject } = params;
    let paging = PageParams { limit, cursor }.paging(list)?;
    if let Some(after) = after.as_deref().filter(|after| !is_id(after)) {
        let detail = format!("after is the id of an event, such as 17.0, not {after:?}");
        return Err(Problem::parameter(Some("after"), "bad-id", detail));
    }
    let tenant = match caller.whose(&state, tenant).await? {
        Some(key) => Some(state.tenancy.show(&key).await?.tenant.id),
        None => None,
    };
    let page = paging.page();
    let page = Page { after: page.after.or(after), ..page };
    let without: &[&str] = if caller.0.rights.has(Scope::MembersRead) { &[] } else { &OF_MEMBERS };
    let filter = EventFilter { tenant, subject: subject.as_deref(), without };
    let rows = state.tenancy.store().events(&filter, &page).await?;
    paging.listing(rows, EventRow::cursor, EventView::from)
}

fn is_id(text: &str) -> bool {
    text.split_once('.').is_some_and(|(revision, seq)| revision.parse::<i64>().is_ok() && seq.parse::<i64>().is_ok())
}

impl From<EventRow> for EventView {
    fn from(row: EventRow) -> Self {
        let id = row.cursor();
        let event = row.event;
        let tenant = event.tenant.map(|tenant| tenant.to_string());
        Self { id, at: row.at, kind: event.kind, tenant, subject: event.subject, detail: event.detail }
    }
}
