//! `ETag` and `If-Match` (RFC 9110 §8.8.3, §13.1.1), so that nobody overwrites what they have not seen. A tag is strong: it
//! has a digest of the answer, which may show what is inherited, or comes of the catalogue and the time, and changes
//! without the thing. `If-Match` looks at the revision in front of it alone: what is not written to is not overwritten.

use aws_lc_rs::digest::{SHA256, digest};
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

/// The entity tag of an answer about a thing of this revision: `"42-9f86d081884c7d65"`.
pub fn etag(revision: i64, body: &[u8]) -> HeaderValue {
    let digest = hex::encode(&digest(&SHA256, body).as_ref()[..DIGEST]);
    HeaderValue::try_from(format!("\"{revision}-{digest}\"")).unwrap_or(HeaderValue::from_static("\"0\""))
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

/// The revision that a tag stands for, which may be all of it. A weak tag, or one that is not ours, is well-formed and
/// matches nothing.
fn parse(tag: &str) -> Result<Option<i64>, Problem> {
    let opaque = tag.strip_prefix("W/").unwrap_or(tag);
    let inner = opaque.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or_else(bad)?;
    if inner.contains('"') {
        return Err(bad());
    }
    let revision = inner.split_once('-').map_or(inner, |(revision, _)| revision);
    Ok(revision.parse().ok().filter(|_| opaque.len() == tag.len()))
}

fn bad() -> Problem {
    let detail = "If-Match takes an entity tag as an answer's ETag gave it, with its quotes: \"42-9f86d081884c7d65\"";
    Problem::new(StatusCode::BAD_REQUEST, "bad-if-match", detail)
}

/// Bytes of a digest that are in a tag.
const DIGEST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_strongly() {
        let tag = etag(42, b"{}");
        assert_ne!(tag, etag(42, b"{ }"));
        assert_eq!(parse(tag.to_str().unwrap_or_default()).unwrap_or(None), Some(42));
        assert_eq!(parse("\"42\"").unwrap_or(None), Some(42));
        assert_eq!(parse("\"-42\"").unwrap_or(Some(0)), None);
        assert_eq!(parse("W/\"42\"").unwrap_or(Some(0)), None);
        assert_eq!(parse("\"abc\"").unwrap_or(Some(0)), None);
        for bad in ["42", "\"42", "", "\"4\"2\""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
