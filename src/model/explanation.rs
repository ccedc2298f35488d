//! What the edge would do with a request that nobody sent, as it is told to operators.

use std::net::IpAddr;

use http::{HeaderMap, Method, Uri};
use serde::Serialize;
use utoipa::ToSchema;

/// A request to be explained.
#[derive(Clone, Debug)]
pub struct Question {
    /// `http` or `https`, with a host.
    pub url: Uri,
    pub method: Method,
    pub headers: HeaderMap,
    /// The visitor's address.
    pub client: IpAddr,
}

/// What the edge would do.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Explanation {
    pub steps: Vec<Told>,
    pub verdict: Verdict,
}

/// One step of the pipeline.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Told {
    /// `listener`, `host`, `tenant`, `limits`, `route`, `gate`, `pool`, `request`.
    pub step: &'static str,
    pub text: String,
}

/// What comes of it.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Verdict {
    /// `forward`, `answer` or `refuse`.
    pub action: &'static str,
    /// The status of an answer or a refusal.
    pub status: Option<u16>,
    /// The code of a refusal.
    pub code: Option<&'static str>,
    /// Where a redirect leads.
    pub location: Option<String>,
    pub route: Option<String>,
    pub pool: Option<String>,
    /// The target that the backend gets.
    pub target: Option<String>,
}

/// The question has no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unclear {
    #[error("{0:?} is no URL with a host, such as https://acme.connect.example.com/path")]
    Url(String),
    #[error("there is no {0} listener in the configuration")]
    Listener(&'static str),
    #[error("the request cannot be made: {0}")]
    Request(String),
}

impl Told {
    pub fn new(step: &'static str, text: impl Into<String>) -> Self {
        Self { step, text: text.into() }
    }
}
