//! What is answered about a thing: as it is now, with its revision, and after a write whether this node serves it already.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::precondition::etag;
use super::problem::Problem;
use crate::store::StoreError;
use crate::tenancy::Done;

/// `false` when this node's directory had not applied the write in time; it stands all the same.
const APPLIED: HeaderName = HeaderName::from_static("tenantry-applied");
/// The revision of the store that the write made.
const REVISION: HeaderName = HeaderName::from_static("tenantry-revision");

/// What is shown, with the revision that a change of it can be meant for.
pub struct Tagged<T>(pub i64, pub T);

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        match json(&self.1) {
            Ok(body) => ([(header::ETAG, etag(self.0, &body))], (JSON, body)).into_response(),
            Err(problem) => problem.into_response(),
        }
    }
}

/// An answer to a write.
pub struct Written {
    status: StatusCode,
    location: Option<String>,
    etag: Option<i64>,
    revision: i64,
    applied: bool,
    body: Option<Result<Vec<u8>, Problem>>,
}

impl Written {
    /// 200 with `body`, or 204 where there is nothing to show.
    pub fn new<T>(done: &Done<T>) -> Self {
        let Done { revision, applied, .. } = *done;
        Self { status: StatusCode::NO_CONTENT, location: None, etag: None, revision, applied, body: None }
    }

    pub fn body(self, body: &impl Serialize) -> Self {
        Self { status: StatusCode::OK, body: Some(json(body)), ..self }
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
        let body = match self.body.transpose() {
            Ok(body) => body,
            Err(problem) => return problem.into_response(),
        };
        let tag = self.etag.map(|revision| etag(revision, body.as_deref().unwrap_or_default()));
        let mut response = body.map_or_else(|| ().into_response(), |body| (JSON, body).into_response());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(APPLIED, HeaderValue::from_static(if self.applied { "true" } else { "false" }));
        headers.insert(REVISION, HeaderValue::from(self.revision));
        headers.extend(tag.map(|tag| (header::ETAG, tag)));
        if let Some(location) = self.location.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(header::LOCATION, location);
        }
        response
    }
}

fn json(body: &impl Serialize) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(body).map_err(|error| StoreError::Corrupt(error.to_string()).into())
}

const JSON: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];
