//! What happens around every call: its id, a deadline, a count, and the headers that all answers carry. No route is
//! mentioned here but by what bounds it.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::access::Peer;
use super::address;
use super::problem::Problem;
use super::{AdminState, imports};

/// The most time that a call may take, from its head to its answer's; an import has its own.
pub const HANDLER_TIMEOUT: Duration = Duration::from_secs(15);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a call: the caller's own if it is fit for a log line, else a fresh one.
#[derive(Clone)]
pub(super) struct RequestId(pub String);

/// Outermost: names the call, bounds its time, counts and logs it, and finishes its answer's headers.
pub async fn around(State(state): State<AdminState>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    request.extensions_mut().insert(RequestId(id.clone()));
    if let Some(Peer(peer)) = request.extensions().get::<Peer>().copied() {
        let config = state.tenancy.config();
        let trusted = config.admin.trusted_proxies.as_ref().unwrap_or(&config.headers.trusted_proxies);
        let client = address::of_client(peer, request.headers(), trusted);
        request.extensions_mut().insert(Peer(client));
    }
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let is_import = route.as_ref().is_some_and(|route| route.starts_with(imports::PATHS));
    let limit = if is_import { imports::TIMEOUT } else { HANDLER_TIMEOUT };
    let mut response = match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = "this took too long; look whether it was done before you try again";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", detail).retry_after(2).into_response()
        }
    };
    let status = response.status();
    state.metrics.admin_requests.with_label_values(&[class(status)]).inc();
    tracing::info!(
        request.id = id,
        http.method = %method,
        http.route = route.as_deref().unwrap_or("none"),
        http.status = status.as_u16(),
        duration_us = started.elapsed().as_micros() as u64,
        "admin call"
    );
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

pub async fn not_found(uri: Uri) -> Problem {
    let detail = format!("there is nothing at {}; /openapi.json lists what there is", uri.path());
    Problem::new(StatusCode::NOT_FOUND, "not-found", detail)
}

pub async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}; the Allow header says what it takes", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
}

fn request_id(headers: &HeaderMap) -> String {
    let fit = |text: &&str| {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        (1..=128).contains(&text.len()) && text.bytes().all(good)
    };
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(fit);
    given.map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned)
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}
