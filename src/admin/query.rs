//! Queries and paths, strictly: unknown parameters are refused, and cursors that this server did not give.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use crate::clock::Timestamp;
use crate::store::{Found, Page};

const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 200;
/// The longest key of a list by name, and a slug.
const KEY_MAX: usize = 600;

/// The query, each parameter known and named at most once.
pub struct Params<T>(pub T);

/// For a route that takes no query.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoParams {}

/// The variable segment of the path, decoded; several of them as a tuple.
pub struct Segment<T = String>(pub T);

/// How to page through a listing.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageParams {
    /// How many to list, 1 to 200.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<String>,
    /// `next_cursor` of the page before. Opaque.
    pub cursor: Option<String>,
}

/// One page of a listing.
#[derive(Debug, Serialize, ToSchema)]
pub struct Listing<T> {
    pub items: Vec<T>,
    /// Where the next page begins; `null` on the last.
    pub next_cursor: Option<String>,
}

/// The page that was asked for, of a listing whose cursors are its own.
pub struct Paging {
    listing: String,
    limit: u32,
    after: Option<String>,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Query::try_from_uri(&parts.uri).map(|Query(params)| Self(params)).map_err(|rejection| {
            let text = rejection.body_text();
            let detail = text.rsplit_once("query string: ").map_or(text.as_str(), |(_, what)| what);
            let code = if detail.contains("unknown field") { "unknown-parameter" } else { "bad-parameter" };
            let detail = detail.replace("field", "parameter").replace("there are no parameters", "there are none here");
            Problem::parameter(detail.split('`').nth(1), code, detail.as_str())
        })
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Segment<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(text)| Self(text))
            .map_err(|rejection| Problem::new(StatusCode::BAD_REQUEST, "bad-request", rejection.body_text()))
    }
}

impl PageParams {
    /// Checks the parameters of a listing. `listing` keeps the cursors of different listings apart.
    pub fn paging(&self, listing: impl Into<String>) -> Result<Paging, Problem> {
        let listing = listing.into();
        let limit = match &self.limit {
            None => LIMIT_DEFAULT,
            Some(text) => text.parse().ok().filter(|n| (1..=LIMIT_MAX).contains(n)).ok_or_else(|| {
                let detail = format!("limit is a number from 1 to {LIMIT_MAX}, not {text:?}");
                Problem::parameter(Some("limit"), "out-of-range", detail)
            })?,
        };
        let after = self.cursor.as_deref().map(|cursor| decode(&listing, cursor)).transpose()?;
        Ok(Paging { listing, limit, after })
    }
}

impl Paging {
    /// What to ask for: one more than wanted, to see whether there is more.
    pub fn page(&self) -> Page {
        Page { limit: self.limit + 1, after: self.after.clone() }
    }

    /// The key that the page begins after.
    pub fn after(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// What to ask of a listing that says itself whether there is more.
    pub fn exact(&self) -> Page {
        Page { limit: self.limit, after: self.after.clone() }
    }

    /// The page, and where the next one begins.
    pub fn found<R, T>(&self, found: Found<R>, view: impl Fn(R) -> T) -> Listing<T> {
        let next_cursor = found.next.map(|key| encode(&self.listing, &key));
        Listing { items: found.rows.into_iter().map(view).collect(), next_cursor }
    }

    /// Cuts the one too many, whose predecessor's key is the next cursor.
    pub fn listing<R, T>(&self, mut rows: Vec<R>, key: impl Fn(&R) -> String, view: impl Fn(R) -> T) -> Listing<T> {
        let limit = self.limit as usize;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|last| encode(&self.listing, &key(last)));
        Listing { items: rows.into_iter().map(view).collect(), next_cursor }
    }
}

/// A time in a query, as RFC 3339.
pub fn time(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let parse = |text: &str| {
        Timestamp::parse(text).ok_or_else(|| {
            let detail = format!("{name} is a time such as 2026-01-31T12:00:00Z, not {text:?}");
            Problem::parameter(Some(name), "invalid-time", detail)
        })
    };
    text.map(parse).transpose()
}

/// A word in a query that is one of a few.
pub fn word<T>(name: &str, code: &'static str, text: Option<&str>, known: &[(&str, T)]) -> Result<Option<T>, Problem>
where
    T: Copy,
{
    let parse = |text: &str| {
        known.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<_> = known.iter().map(|(word, _)| *word).collect();
            let detail = format!("{name} is one of {}, not {text:?}", words.join(", "));
            Problem::parameter(Some(name), code, detail)
        })
    };
    text.map(parse).transpose()
}

/// The refusal of a cursor that was not given out for this listing.
pub fn bad_cursor() -> Problem {
    let detail = "this is no cursor of this listing; take next_cursor from the page before, or leave it out";
    Problem::parameter(Some("cursor"), "bad-cursor", detail)
}

fn encode(listing: &str, key: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{listing}:{key}"))
}

fn decode(listing: &str, cursor: &str) -> Result<String, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad_cursor())?;
    let text = String::from_utf8(bytes).map_err(|_| bad_cursor())?;
    let key = text.strip_prefix(listing).and_then(|rest| rest.strip_prefix(':')).filter(|key| key.len() <= KEY_MAX);
    key.map(str::to_owned).ok_or_else(bad_cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_lead_on_and_belong_to_one_listing() {
        let params = |cursor: Option<String>| PageParams { limit: Some("2".into()), cursor };
        let paging = params(None).paging("letters").unwrap_or_else(|_| panic!("good parameters"));
        let page = paging.listing(vec!["a", "b", "c"], |l| (*l).to_owned(), |l| l);
        assert_eq!(page.items, ["a", "b"]);
        let next = params(page.next_cursor.clone()).paging("letters").unwrap_or_else(|_| panic!("own cursor"));
        assert_eq!(next.after(), Some("b"));
        assert!(next.listing(vec!["c"], |l| (*l).to_owned(), |l| l).next_cursor.is_none());
        assert!(params(page.next_cursor).paging("numbers").is_err());
        assert!(params(Some("???".into())).paging("letters").is_err());
    }
}
