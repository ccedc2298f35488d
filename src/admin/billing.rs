//! `/v1/webhooks/billing`: what a billing system tells, believed by its signature alone. Nothing of a body is parsed before
//! its signature has been seen to be right.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Need, Peer, needs};
use super::answer::Written;
use super::body;
use super::layers::RequestId;
use super::problem::Problem;
use super::query::{NoParams, Params};
use crate::clock::Timestamp;
use crate::model::{Cap, When};
use crate::tenancy::{
    Actor, BillingAnswer, BillingRefusal, BillingStatus, BillingTaken, BillingTenant, BillingUpdate, Held,
    SignatureError, Signed,
};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new().routes(needs(Need::Public, routes!(receive)))
}

const ROUTE: &str = "/v1/webhooks/billing";
/// The largest body, in bytes, whatever else the API takes.
const MOST: usize = 64 << 10;

/// What has happened to a subscription. What is left out, or `null`, stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BillingWebhook {
    #[serde(rename = "type")]
    kind: BillingKind,
    /// When it happened, at most five minutes from now. What is older than the newest that has been told of the tenant
    /// changes nothing any more, and is answered `out-of-order`.
    #[schema(value_type = String, format = DateTime)]
    occurred_at: Timestamp,
    tenant: WebhookTenant,
    /// A plan of the catalogue.
    plan: Option<String>,
    /// When the plan begins. Left out: an upgrade now, a downgrade at the end of the period.
    when: Option<When>,
    /// `active` brings back only what the billing system itself has suspended or cancelled.
    status: Option<BillingStatus>,
    /// Why it is suspended or cancelled, at most 500 characters; never shown to visitors.
    reason: Option<String>,
    period: Option<BillingPeriod>,
    /// Caps that count before the plan's, by name: a number, `"unlimited"`, or `null`, which takes one back.
    #[serde(default)]
    #[schema(value_type = Object)]
    limits: BTreeMap<String, Option<Cap>>,
    /// What the billing system calls the tenant from now on, 1–255 characters; no two tenants have the same.
    billing_ref: Option<String>,
}

/// What kind of message it is. There is one.
#[derive(Clone, Copy, Deserialize, ToSchema)]
enum BillingKind {
    #[serde(rename = "subscription.updated")]
    SubscriptionUpdated,
}

/// Whom it is about: exactly one of the three.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookTenant {
    id: Option<String>,
    slug: Option<String>,
    /// What the billing system calls it: its `billing_ref`.
    #[serde(rename = "ref")]
    billing_ref: Option<String>,
}

/// The billing period under way.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BillingPeriod {
    #[schema(value_type = String, format = DateTime)]
    start: Timestamp,
    /// When the next one begins.
    #[schema(value_type = String, format = DateTime)]
    end: Timestamp,
}

/// What came of a webhook.
#[derive(Serialize, ToSchema)]
pub struct BillingResult {
    /// `applied`; `duplicate`: it has been taken before, and nothing was done now; `out-of-order`: something newer had been
    /// told of the tenant, and nothing was changed.
    result: &'static str,
    /// With `duplicate` what came of it then, otherwise the same as `result`.
    outcome: &'static str,
    /// The tenant's id.
    tenant: String,
    /// What is another than before: `plan`, `plan_change`, `status`, `suspend_reason`, `period`, `limits`, `billing_ref`.
    changed: Vec<String>,
    /// What was said and not done, although everything else was: an operator's word stands against it.
    held: Vec<HeldView>,
    /// The revision of the store that it made.
    revision: i64,
}

/// Something that stays as it is.
#[derive(Serialize, ToSchema)]
pub struct HeldView {
    /// Where in the body, as a JSON pointer (RFC 6901).
    pointer: String,
    /// Stable, for programs: `operators-word`.
    code: String,
    detail: String,
}

/// Take a webhook of the billing system
///
/// Standard Webhooks (<https://www.standardwebhooks.com>): `webhook-signature` is `v1,` and the base64 of HMAC-SHA-256 over
/// `<webhook-id>.<webhook-timestamp>.<body>`, with a secret of `[billing]` in the configuration. The timestamp is at most five
/// minutes from the time here. All of it is done, or nothing. An id is known for seven days: the same message once more does
/// nothing and is answered 200, another one with its id 409.
#[utoipa::path(post, path = "/v1/webhooks/billing", operation_id = "receiveBillingWebhook", tag = "billing",
    params(("webhook-id" = String, Header, description = "The same for each attempt to deliver the same message"),
        ("webhook-timestamp" = String, Header, description = "When this attempt was made, in seconds since the epoch"),
        ("webhook-signature" = String, Header, description = "`v1,<base64>`, several separated by spaces")),
    request_body = BillingWebhook,
    responses(
        (status = 200, description = "Taken; what it changed is in force", body = BillingResult),
        (status = 400, description = "A header is malformed or there twice, or the body is no JSON"),
        (status = 401, description = "A header is missing, the signature is wrong, or the timestamp is too old or too new"),
        (status = 404, description = "There is no such tenant, or no billing system is configured here"),
        (status = 409, description = "Its id has come with another body, or its billing_ref is another tenant's"),
        (status = 413, description = "The body has more than 64 KiB"),
        (status = 422, description = "Something in it cannot be done, and so nothing was")))]
async fn receive(State(state): State<AdminState>, Params(NoParams {}): Params<NoParams>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let about = About::of(&parts);
    let (word, response) = match take(&state, &parts, body, &about).await {
        Ok((result, response)) => (result, response),
        Err(problem) => {
            let unsigned = matches!(problem.code(), "signature-mismatch" | "signature-stale");
            if unsigned {
                about.note_refusal(&state, &problem);
            }
            (if unsigned { "unsigned" } else { "refused" }, problem.into_response())
        }
    };
    state.metrics.billing_webhooks.with_label_values(&[word]).inc();
    response
}

async fn take(
    state: &AdminState,
    parts: &Parts,
    body: axum::body::Body,
    about: &About,
) -> Result<(&'static str, Response), Problem> {
    if state.tenancy.config().billing.is_none() {
        return Err(BillingRefusal::NotConfigured.into());
    }
    let signed = signed(&parts.headers)?;
    let bytes = body::collect(body, MOST).await?;
    state.tenancy.is_from_billing(signed, &bytes)?;
    body::require_json(&parts.headers)?;
    let update = BillingUpdate::from(body::parse::<BillingWebhook>(&bytes)?);
    Ok(match state.tenancy.take_billing(&about.actor("billing"), signed.id, &bytes, &update).await? {
        BillingTaken::Now(done) => {
            let view = BillingResult::of(done.value.clone(), false);
            (view.result, Written::new(&done).body(&view).into_response())
        }
        BillingTaken::Before(answer) => {
            let view = BillingResult::of(answer, true);
            (view.result, Json(view).into_response())
        }
    })
}

/// The three headers, each there once.
fn signed(headers: &HeaderMap) -> Result<Signed<'_>, Problem> {
    let one = |name: &'static str| {
        let mut values = headers.get_all(name).iter();
        let missing = || Problem::unsigned("signature-missing", format!("a webhook needs the header {name}"));
        let malformed = || {
            let detail = format!("the header {name} is to be there once, in visible ASCII characters");
            Problem::new(StatusCode::BAD_REQUEST, "bad-signature-header", detail)
        };
        let value = values.next().ok_or_else(missing)?;
        match values.next() {
            Some(_) => Err(malformed()),
            None => value.to_str().map_err(|_| malformed()),
        }
    };
    Ok(Signed { id: one("webhook-id")?, timestamp: one("webhook-timestamp")?, signatures: one("webhook-signature")? })
}

impl From<BillingRefusal> for Problem {
    fn from(refusal: BillingRefusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            BillingRefusal::NotConfigured => Self::new(StatusCode::NOT_FOUND, "billing-not-configured", detail),
            BillingRefusal::Signature(SignatureError::Mismatch) => Self::unsigned("signature-mismatch", detail),
            BillingRefusal::Signature(SignatureError::Stale) => Self::unsigned("signature-stale", detail),
            BillingRefusal::Signature(_) => Self::new(StatusCode::BAD_REQUEST, "bad-signature-header", detail),
        }
    }
}

/// Where it comes from.
struct About {
    from: Option<IpAddr>,
    request_id: Option<String>,
}

impl About {
    fn of(parts: &Parts) -> Self {
        let from = parts.extensions.get::<Peer>().map(|peer| peer.0);
        Self { from, request_id: parts.extensions.get::<RequestId>().map(|id| id.0.clone()) }
    }

    fn actor(&self, name: &str) -> Actor {
        Actor { from: self.from, request_id: self.request_id.clone(), ..Actor::new(name) }
    }

    /// Somebody has the wrong secret, or sends again what is not theirs. A flood of them is summed up.
    fn note_refusal(&self, state: &AdminState, problem: &Problem) {
        let detail = json!({ "code": problem.code() });
        state.tenancy.note(self.actor("nobody").entry("billing.refused", None, ROUTE, detail));
    }
}

impl From<BillingWebhook> for BillingUpdate {
    fn from(webhook: BillingWebhook) -> Self {
        let BillingWebhook { kind, occurred_at, tenant, plan, when, status, reason, period, limits, billing_ref } =
            webhook;
        let BillingKind::SubscriptionUpdated = kind;
        let WebhookTenant { id, slug, billing_ref: name } = tenant;
        let tenant = BillingTenant { id, slug, billing_ref: name };
        let period = period.map(|BillingPeriod { start, end }| (start, end));
        Self { occurred_at, tenant, plan, when, status, reason, period, limits, billing_ref }
    }
}

impl BillingResult {
    fn of(answer: BillingAnswer, again: bool) -> Self {
        let BillingAnswer { applied, tenant, changed, held, revision } = answer;
        let outcome = if applied { "applied" } else { "out-of-order" };
        let held = held.into_iter().map(|Held { pointer, code, detail }| HeldView { pointer, code, detail });
        Self {
            result: if again { "duplicate" } else { outcome },
            outcome,
            tenant: tenant.to_string(),
            changed,
            held: held.collect(),
            revision,
        }
    }
}
