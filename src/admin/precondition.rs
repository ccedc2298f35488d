//! `ETag` and `If-Match` (RFC 9110 §8.8.3, §13.1.1): a tenant's revision, so that nobody overwrites what they have not
//! seen.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use utoipa::IntoParams;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};

use super::problem::Problem;
use crate::tenancy::Expect;

/// The request's `If-Match`.
pub struct IfMatch(pub Expect);

/// The entity tag of a revision: `"42"`.
pub fn etag(revision: i64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{revision}\"")).unwrap_or(HeaderValue::from_static("\"0\""))
}

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let parameter = ParameterBuilder::new()
            .name("If-Match")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some("The ETag that the change is meant for"))
            .schema(Some(ObjectBuilder::new().schema_type(Type::String).build()))
            .build();
        vec![parameter]
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let mut tags = Vec::new();
        for value in parts.headers.get_all(header::IF_MATCH) {
            let text = value.to_str().map_err(|_| bad())?.trim();
            if text == "*" {
                return Ok(Self(Expect::Anything));
            }
            for tag in text.split(',') {
                tags.extend(parse(tag.trim())?);
            }
        }
        let present = parts.headers.contains_key(header::IF_MATCH);
        Ok(Self(if present { Expect::Revision(tags) } else { Expect::Anything }))
    }
}

/// The revision that a tag stands for. A weak tag, or one that is not ours, is well-formed and matches nothing.
fn parse(tag: &str) -> Result<Option<i64>, Problem> {
    let opaque = tag.strip_prefix("W/").unwrap_or(tag);
    let inner = opaque.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or_else(bad)?;
    if inner.contains('"') {
        return Err(bad());
    }
    Ok(inner.parse().ok().filter(|_| opaque.len() == tag.len()))
}

fn bad() -> Problem {
    let detail = "If-Match takes an entity tag as an answer's ETag gave it, with its quotes: \"42\"";
    Problem::new(StatusCode::BAD_REQUEST, "bad-if-match", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_strongly() {
        assert_eq!(parse("\"42\"").unwrap_or(None), Some(42));
        assert_eq!(parse("W/\"42\"").unwrap_or(Some(0)), None);
        assert_eq!(parse("\"abc\"").unwrap_or(Some(0)), None);
        for bad in ["42", "\"42", "", "\"4\"2\""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
