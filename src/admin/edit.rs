//! A change of one thing, as every route takes it: who asks, which thing the path names, and for which revision it is meant.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::AdminState;
use super::access::Caller;
use super::precondition::IfMatch;
use super::problem::Problem;
use super::query::{NoParams, Params, Segment};
use crate::tenancy::{Actor, Expect};

/// `key`: the path's variable segment, or several of them as a tuple. Without a `Q` the route takes no query.
pub struct Edit<K = String, Q = NoParams> {
    pub actor: Actor,
    pub key: K,
    pub query: Q,
    pub expect: Expect,
}

impl<K, Q> FromRequestParts<AdminState> for Edit<K, Q>
where
    K: DeserializeOwned + Send,
    Q: DeserializeOwned + Send,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self, Problem> {
        let Caller(actor) = Caller::from_request_parts(parts, state).await?;
        let Segment(key) = Segment::from_request_parts(parts, state).await?;
        let Params(query) = Params::from_request_parts(parts, state).await?;
        let IfMatch(expect) = IfMatch::from_request_parts(parts, state).await?;
        Ok(Self { actor, key, query, expect })
    }
}
