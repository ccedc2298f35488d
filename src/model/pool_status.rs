//! How pools and their backends are doing, as it is told to operators.

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Timestamp;

/// A pool at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct PoolStatus {
    pub name: String,
    /// Requests that wait for the head of their answer.
    pub pending: u64,
    pub backends: Vec<BackendStatus>,
}

/// A backend at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct BackendStatus {
    /// As it is configured: `host:port` or `ip:port`.
    pub backend: String,
    /// `ip:port`; absent while its name has no address.
    pub address: Option<String>,
    /// It gets requests.
    pub healthy: bool,
    /// Why it gets none.
    pub why: Option<String>,
    /// Until when it is left alone after failures.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ejected_until: Option<Timestamp>,
    /// Requests under way, WebSockets included.
    pub in_flight: usize,
    /// Its share, in percent of a backend's that has long been there.
    pub weight: u8,
}
