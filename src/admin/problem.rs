//! What a refusal of the admin API looks like: RFC 9457, with a stable `code`. Every error of this room becomes a
//! [`Problem`] here and nowhere else; what it says never tells a secret or the text of a store's error.

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::model::{PlanName, Scope};
use crate::store::StoreError;
use crate::tenancy::{Fault, Kind, TenancyError};

/// A refusal (RFC 9457). `code` is stable; `title` and `detail` are for people.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: `code` says what kind of problem it is.
    #[serde(rename = "type")]
    kind: ProblemType,
    /// The status code's own phrase.
    title: &'static str,
    /// The HTTP status code.
    status: u16,
    /// Stable, for programs: `tenant-not-found`, `invalid`, …
    code: &'static str,
    /// What was wrong, and what would be right.
    detail: String,
    /// Every field that was wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// Further facts, by code: `feature`, `plans` and `upgrade_url` with `plan-required`, `revision` with
    /// `precondition-failed`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    facts: Box<Map<String, Value>>,
    #[serde(skip)]
    headers: Vec<(axum::http::HeaderName, HeaderValue)>,
}

/// No document says more than the code does (RFC 9457 §4.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
enum ProblemType {
    #[serde(rename = "about:blank")]
    AboutBlank,
}

/// One thing wrong with one field or parameter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct FieldError {
    /// Where in the body, as a JSON pointer (RFC 6901).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Which parameter of the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// Stable, for programs.
    pub code: &'static str,
    /// For people.
    pub detail: String,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: ProblemType::AboutBlank,
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            errors: Vec::new(),
            facts: Box::default(),
            headers: Vec::new(),
        }
    }

    /// 422: the body is JSON, and these fields of it break a rule.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [only] => only.detail.clone(),
            several => format!("{} fields are not as they should be", several.len()),
        };
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail) }
    }

    /// 400: a parameter of the query.
    pub fn parameter(name: Option<&str>, code: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let parameter = name.map(str::to_owned);
        let error = FieldError { pointer: None, parameter, code, detail: detail.clone() };
        Self { errors: vec![error], ..Self::new(StatusCode::BAD_REQUEST, "invalid-parameter", detail) }
    }

    /// 401 with the challenge that RFC 6750 asks for.
    pub fn unauthorized(presented: bool) -> Self {
        let (challenge, detail) = match presented {
            false => ("Bearer realm=\"tenantry\"", "sign in, or send a token: Authorization: Bearer <token>"),
            true => (
                "Bearer realm=\"tenantry\", error=\"invalid_token\"",
                "this token or session is unknown, malformed, over or revoked",
            ),
        };
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
            .header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// 401: a webhook whose signature does not show whom it comes from.
    pub fn unsigned(code: &'static str, detail: impl Into<String>) -> Self {
        let challenge = "StandardWebhooks realm=\"tenantry\"";
        Self::new(StatusCode::UNAUTHORIZED, code, detail).header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// 403, with the challenge that RFC 6750 §3.1 asks for.
    pub fn insufficient(scopes: &[Scope]) -> Self {
        let names: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
        let detail = format!("this needs {}, which you do not hold here", names.join(", "));
        let challenge =
            format!("Bearer realm=\"tenantry\", error=\"insufficient_scope\", scope=\"{}\"", names.join(" "));
        let problem = Self::new(StatusCode::FORBIDDEN, "insufficient-scope", detail).fact("scopes", json!(names));
        match HeaderValue::try_from(challenge) {
            Ok(challenge) => problem.header(WWW_AUTHENTICATE, challenge),
            Err(_) => problem,
        }
    }

    /// 403: a browser brought the session's cookie, and nothing shows that its owner meant it.
    pub fn forged() -> Self {
        let detail =
            "a write by a session's cookie needs X-CSRF-Token, as GET /v1/session shows it, from a page of this site";
        Self::new(StatusCode::FORBIDDEN, "csrf", detail)
    }

    /// 404: a token is nobody's session.
    pub fn sign_in_first() -> Self {
        let detail = "there is no session: this was asked with a token, and only people who sign in have one";
        Self::new(StatusCode::NOT_FOUND, "no-session", detail)
    }

    /// 404: the caller has no session of that id.
    pub fn no_session(key: &str) -> Self {
        TenancyError::NotFound(Kind::Session, key.to_owned()).into()
    }

    /// 404: there is no such tenant, or none for this caller.
    pub fn no_tenant(key: &str) -> Self {
        TenancyError::NotFound(Kind::Tenant, key.to_owned()).into()
    }

    /// The stable code.
    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    pub fn retry_after(self, seconds: u32) -> Self {
        self.header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    fn header(mut self, name: axum::http::HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn fact(mut self, name: &str, value: Value) -> Self {
        self.facts.insert(name.to_owned(), value);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(self.headers);
        response.extensions_mut().insert(Code(self.code));
        response
    }
}

/// The `code` of a refusal, beside its body: for whoever looks at the answer before it goes out.
#[derive(Clone, Copy, Debug)]
pub struct Code(pub &'static str);

impl From<Fault> for FieldError {
    fn from(fault: Fault) -> Self {
        let pointer = Some(fault.pointer).filter(|pointer| !pointer.is_empty());
        Self { pointer, parameter: None, code: fault.code, detail: fault.detail }
    }
}

impl From<TenancyError> for Problem {
    fn from(error: TenancyError) -> Self {
        let detail = error.to_string();
        match error {
            TenancyError::Invalid(faults) => Self::invalid(faults.into_iter().map(FieldError::from).collect()),
            TenancyError::NotFound(kind, _) => Self::new(StatusCode::NOT_FOUND, not_found(kind), detail),
            TenancyError::Conflict(fault) => {
                let errors = if fault.pointer.is_empty() { Vec::new() } else { vec![fault.clone().into()] };
                Self { errors, ..Self::new(StatusCode::CONFLICT, fault.code, detail) }
            }
            TenancyError::Transition(refused) => Self::new(StatusCode::CONFLICT, "invalid-transition", detail)
                .fact("tenant_status", json!(refused.status)),
            TenancyError::PlanRequired { feature, plans, upgrade_url } => {
                let plans: Vec<_> = plans.iter().map(PlanName::as_str).collect();
                Self::new(StatusCode::PAYMENT_REQUIRED, "plan-required", detail)
                    .fact("feature", json!(feature))
                    .fact("plans", json!(plans))
                    .fact("upgrade_url", json!(upgrade_url))
            }
            TenancyError::Stale { current } => {
                Self::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", detail)
                    .fact("revision", json!(current))
            }
            TenancyError::Ended => Self::unauthorized(true),
            TenancyError::Forbidden(scopes) => Self::insufficient(&scopes),
            TenancyError::Outranked { wanted, own } => Self::new(StatusCode::FORBIDDEN, "outranked", detail)
                .fact("role", json!(wanted))
                .fact("own_role", json!(own)),
            TenancyError::OverCap { cap, plans, upgrade_url } => {
                // Where no plan has more, there is nothing to pay for.
                let status = if plans.is_empty() { StatusCode::CONFLICT } else { StatusCode::PAYMENT_REQUIRED };
                let plans: Vec<_> = plans.iter().map(PlanName::as_str).collect();
                Self::new(status, "over-cap", detail)
                    .fact("cap", json!(cap))
                    .fact("plans", json!(plans))
                    .fact("upgrade_url", json!(upgrade_url))
            }
            TenancyError::TooOften { retry_after } => {
                let seconds = retry_after.as_secs().max(1);
                let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", detail);
                problem.headers.push((RETRY_AFTER, HeaderValue::from(seconds)));
                problem
            }
            TenancyError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(why) => {
                tracing::warn!(error = why, "the admin API cannot reach the store");
                let detail = "the system of record cannot be reached; before you send a write again, look whether it \
                              was done";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "store-unavailable", detail).retry_after(2)
            }
            StoreError::Conflict(what) => Self::new(StatusCode::CONFLICT, "conflict", what),
            missing @ StoreError::Missing(_) => Self::new(StatusCode::CONFLICT, "conflict", missing.to_string()),
            StoreError::Cursor => super::query::bad_cursor(),
            error @ (StoreError::Corrupt(_) | StoreError::Url(_) | StoreError::Backup(_) | StoreError::Seal(_)) => {
                tracing::error!(%error, "the store's answer makes no sense");
                let detail = "the system of record gave an answer that makes no sense; the log says more";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
            }
        }
    }
}

fn not_found(kind: Kind) -> &'static str {
    match kind {
        Kind::Tenant => "tenant-not-found",
        Kind::Domain => "domain-not-found",
        Kind::Token => "token-not-found",
        Kind::Certificate => "certificate-not-found",
        Kind::Person => "person-not-found",
        Kind::Session => "session-not-found",
        Kind::Member => "member-not-found",
        Kind::Role => "role-not-found",
        Kind::Unit => "unit-not-found",
        Kind::Invitation => "invitation-not-found",
        Kind::Order => "order-not-found",
        Kind::Picture => "picture-not-found",
        Kind::Impersonation => "impersonation-not-found",
        Kind::PasswordToken => "password-token-not-found",
        Kind::PlanChange => "no-plan-change",
    }
}
