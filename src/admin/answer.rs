//! What is answered about a thing: as it is now, with its revision, and after a write whether this node serves it already.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::precondition::etag;
use crate::tenancy::Done;

/// `false` when this node's directory had not applied the write in time; it stands all the same.
const APPLIED: HeaderName = HeaderName::from_static("tenantry-applied");
/// The revision of the store that the write made.
const REVISION: HeaderName = HeaderName::from_static("tenantry-revision");

/// What is shown, with the revision that a change of it can be meant for.
pub struct Tagged<T>(pub i64, pub T);

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        ([(header::ETAG, etag(self.0))], Json(self.1)).into_response()
    }
}

/// An answer to a write.
pub struct Written {
    status: StatusCode,
    location: Option<String>,
    etag: Option<i64>,
    revision: i64,
    applied: bool,
    body: Option<Response>,
}

impl Written {
    /// 200 with `body`, or 204 where there is nothing to show.
    pub fn new<T>(done: &Done<T>) -> Self {
        let Done { revision, applied, .. } = *done;
        Self { status: StatusCode::NO_CONTENT, location: None, etag: None, revision, applied, body: None }
    }

    pub fn body(self, body: &impl Serialize) -> Self {
        Self { status: StatusCode::OK, body: Some(Json(body).into_response()), ..self }
    }

    /// 201 with where the new thing is.
    pub fn created(self, location: String) -> Self {
        Self { status: StatusCode::CREATED, location: Some(location), ..self }
    }

    pub fn etag(self, revision: i64) -> Self {
        Self { etag: Some(revision), ..self }
    }
}

impl IntoResponse for Written {
    fn into_response(self) -> Response {
        let mut response = self.body.unwrap_or_else(|| ().into_response());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(APPLIED, HeaderValue::from_static(if self.applied { "true" } else { "false" }));
        headers.insert(REVISION, HeaderValue::from(self.revision));
        if let Some(revision) = self.etag {
            headers.insert(header::ETAG, etag(revision));
        }
        if let Some(location) = self.location.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(header::LOCATION, location);
        }
        response
    }
}
