//! Queries and paths, strictly: unknown parameters are refused, and cursors that this installation did not give out for the
//! same list. What a cursor carries is sealed: keys of lists are people's addresses, among others.

use axum::Json;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::AdminState;
use super::access::Caller;
use super::problem::Problem;
use crate::clock::Timestamp;
use crate::seal::Sealer;
use crate::store::{Found, Page, StoreError};

const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 200;

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
    /// `next_cursor` of the page before, for the same list: the same caller, path and parameters but `limit`. Opaque.
    pub cursor: Option<String>,
}

/// The list that is asked for: all of the call that decides what is in it, and in which order.
pub struct List {
    /// What its cursors are sealed for.
    name: String,
    sealer: Sealer,
}

/// One page of a listing.
#[derive(Debug, Serialize, ToSchema)]
pub struct Listing<T> {
    pub items: Vec<T>,
    /// Where the next page begins; `null` on the last.
    pub next_cursor: Option<String>,
}

/// The page that was asked for, of a list whose cursors are its own.
pub struct Paging {
    list: List,
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

impl FromRequestParts<AdminState> for List {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self, Problem> {
        let Caller(actor) = Caller::from_request_parts(parts, state).await?;
        let Params(mut query) = Params::<Vec<(String, String)>>::from_request_parts(parts, state).await?;
        query.retain(|(parameter, _)| parameter != "limit" && parameter != "cursor");
        query.sort();
        let tenant = actor.rights.only().map(|own| own.to_string());
        let name = json!([actor.name, tenant, parts.uri.path(), query]).to_string();
        Ok(Self { name, sealer: state.tenancy.store().sealer().clone() })
    }
}

impl List {
    fn cursor(&self, key: &str) -> Result<String, Problem> {
        Ok(self.sealer.give(&self.name, key).map_err(StoreError::from)?)
    }

    fn key(&self, cursor: &str) -> Result<String, Problem> {
        self.sealer.take_back(&self.name, cursor).ok_or_else(bad_cursor)
    }
}

impl PageParams {
    /// Checks the parameters that all lists have.
    pub fn paging(&self, list: List) -> Result<Paging, Problem> {
        let limit = match &self.limit {
            None => LIMIT_DEFAULT,
            Some(text) => text.parse().ok().filter(|n| (1..=LIMIT_MAX).contains(n)).ok_or_else(|| {
                let detail = format!("limit is a number from 1 to {LIMIT_MAX}, not {text:?}");
                Problem::parameter(Some("limit"), "out-of-range", detail)
            })?,
        };
        let after = self.cursor.as_deref().map(|cursor| list.key(cursor)).transpose()?;
        Ok(Paging { list, limit, after })
    }
}

impl Paging {
    /// What to ask for: one more than wanted, to see whether there is more.
    pub fn page(&self) -> Page {
        Page { limit: self.limit + 1, after: self.after.clone() }
    }

    /// What to ask of a listing that says itself whether there is more.
    pub fn exact(&self) -> Page {
        Page { limit: self.limit, after: self.after.clone() }
    }

    /// The page, and where the next one begins.
    pub fn found<R, T>(&self, found: Found<R>, view: impl Fn(R) -> T) -> Result<Json<Listing<T>>, Problem> {
        let next_cursor = found.next.map(|key| self.list.cursor(&key)).transpose()?;
        Ok(Json(Listing { items: found.rows.into_iter().map(view).collect(), next_cursor }))
    }

    /// Cuts the one too many, whose predecessor's key is the next cursor.
    pub fn listing<R, T>(
        &self,
        mut rows: Vec<R>,
        key: impl Fn(&R) -> String,
        view: impl Fn(R) -> T,
    ) -> Result<Json<Listing<T>>, Problem> {
        let limit = self.limit as usize;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(key);
        self.found(Found { rows, next }, view)
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

/// The refusal of a cursor that was not given out for this list.
pub fn bad_cursor() -> Problem {
    let detail = "this is no cursor of this list; take next_cursor from the page before, asked with the same parameters, \
                  or leave it out";
    Problem::parameter(Some("cursor"), "invalid-cursor", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_lead_on_and_belong_to_one_list() {
        let list = |name: &str| List { name: name.into(), sealer: Sealer::from_key_bytes(&[1; 32]).unwrap() };
        let asked = |name: &str, cursor: Option<String>| {
            PageParams { limit: Some("2".into()), cursor }.paging(list(name)).map_err(|problem| json!(problem))
        };
        let page = |paging: Paging, rows: Vec<&'static str>| {
            paging.listing(rows, |l| (*l).to_owned(), |l| l).unwrap_or_else(|_| panic!("a page")).0
        };
        let first = page(asked("letters", None).unwrap_or_else(|why| panic!("{why}")), vec!["a", "b", "c"]);
        assert_eq!(first.items, ["a", "b"]);
        let next = asked("letters", first.next_cursor.clone()).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(next.page().after.as_deref(), Some("b"));
        assert!(page(next, vec!["c"]).next_cursor.is_none());
        for (name, cursor) in [("numbers", first.next_cursor), ("letters", Some("???".into()))] {
            let refused = asked(name, cursor).err().unwrap_or_default();
            assert_eq!(refused["errors"][0]["code"], "invalid-cursor", "{refused}");
        }
    }
}
