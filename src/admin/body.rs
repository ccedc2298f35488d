//! Bodies, strictly: JSON of the declared type and size, every field known. What is wrong is named by its JSON pointer.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use super::AdminState;
use super::problem::{FieldError, Problem};

/// A JSON body that must be there, of at most `MAX` bytes where that is less than the configuration allows.
pub struct Body<T, const MAX: usize = { usize::MAX }>(pub T);

/// The same where strangers may send it, or where each one sent has something hashed that is dear: no such body is large.
pub type SmallBody<T> = Body<T, SMALL>;
/// Enough for two of the longest passwords, or for one with each of its characters escaped.
const SMALL: usize = 16 << 10;

/// A JSON body that may be missing, or `null`, where every field of it may be missing.
pub struct OptionalBody<T>(pub T);

impl<T: DeserializeOwned, const MAX: usize> FromRequest<AdminState> for Body<T, MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AdminState) -> Result<Self, Problem> {
        require_json(request.headers())?;
        let bytes = read(request, state.max_body().min(MAX)).await?;
        parse(&bytes).map(Self)
    }
}

impl<T: DeserializeOwned + Default> FromRequest<AdminState> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AdminState) -> Result<Self, Problem> {
        let typed = require_json(request.headers());
        let bytes = read(request, state.max_body()).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        typed?;
        parse::<Option<T>>(&bytes).map(|body| Self(body.unwrap_or_default()))
    }
}

/// A body of at most `MAX` bytes that is no JSON, as it came.
pub struct RawBody<const MAX: usize> {
    /// Its `Content-Type` without parameters, in lower case; empty where there is none.
    pub media_type: String,
    pub bytes: Bytes,
}

impl<const MAX: usize> FromRequest<AdminState> for RawBody<MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &AdminState) -> Result<Self, Problem> {
        let value = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = value.unwrap_or_default().split(';').next().unwrap_or_default();
        let media_type = essence.trim().to_ascii_lowercase();
        Ok(Self { media_type, bytes: read(request, MAX).await? })
    }
}

/// A field that may be `null` and yet must be there: `#[serde(deserialize_with = "present")]`.
pub fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    serde::Deserialize::deserialize(deserializer)
}

/// A field that may be left out, and is not `null`: `#[serde(default, deserialize_with = "filled")]`.
pub fn filled<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    serde::Deserialize::deserialize(deserializer).map(Some)
}

/// A field that may be left out, or `null`, which is not the same: `#[serde(default, deserialize_with = "maybe")]`.
pub fn maybe<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    present(deserializer).map(Some)
}

/// `application/json` or another JSON type (RFC 6839 §3.1), in UTF-8.
pub(super) fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
    let essence = essence.trim().to_ascii_lowercase();
    let is_json = essence == "application/json" || essence.starts_with("application/") && essence.ends_with("+json");
    let charset = parameters.trim().to_ascii_lowercase();
    let is_utf8 = charset.strip_prefix("charset=").is_none_or(|name| name.trim_matches('"') == "utf-8");
    if is_json && is_utf8 {
        return Ok(());
    }
    let detail = match value {
        "" => "the body needs Content-Type: application/json".to_owned(),
        other => format!("the body is to be application/json in UTF-8, not {other}"),
    };
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail))
}

async fn read(request: Request, max: usize) -> Result<Bytes, Problem> {
    collect(request.into_body(), max).await
}

/// A body of at most `max` bytes.
pub(super) async fn collect(body: axum::body::Body, max: usize) -> Result<Bytes, Problem> {
    let body = Limited::new(body, max);
    match body.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let detail = format!("a body has at most {max} bytes here");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail))
        }
        Err(_) => Err(Problem::new(StatusCode::BAD_REQUEST, "bad-request", "the body ended before it was complete")),
    }
}

pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // serde would take a list for a structure, its fields in order.
    if bytes.trim_ascii_start().starts_with(b"[") {
        let (pointer, detail) = (Some(String::new()), "the body is to be a JSON object, not a list".to_owned());
        return Err(Problem::invalid(vec![FieldError { pointer, parameter: None, code: "wrong-type", detail }]));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = pointer(error.path());
        refusal(path, error.inner())
    })?;
    json.end().map_err(|error| refusal(String::new(), &error))?;
    Ok(value)
}

fn refusal(pointer: String, error: &serde_json::Error) -> Problem {
    if error.classify() != Category::Data {
        let detail = format!("the body is not JSON: {error}");
        return Problem::new(StatusCode::BAD_REQUEST, "malformed-json", detail);
    }
    let text = error.to_string();
    // serde says where as well; the pointer does so better.
    let detail = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what).to_owned();
    let (code, pointer) = if let Some(field) = quoted(&detail, "missing field `") {
        ("required", format!("{pointer}/{}", escape(field)))
    } else if detail.starts_with("unknown field `") {
        ("unknown-field", pointer)
    } else if let Some(field) = quoted(&detail, "duplicate field `") {
        ("duplicate-field", format!("{pointer}/{}", escape(field)))
    } else {
        ("wrong-type", pointer)
    };
    Problem::invalid(vec![FieldError { pointer: Some(pointer), parameter: None, code, detail }])
}

fn pointer(path: &Path) -> String {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Map { key } => Some(format!("/{}", escape(key))),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn quoted<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    text.strip_prefix(start)?.split('`').next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Example {
        name: String,
        #[serde(default)]
        list: Vec<u32>,
    }

    #[test]
    fn faults_are_named_by_their_pointer() {
        for (body, code, place, what) in [
            ("{", "malformed-json", None, None),
            ("{\"name\":\"a\"} x", "malformed-json", None, None),
            ("{}", "invalid", Some("/name"), Some("required")),
            ("{\"name\":1}", "invalid", Some("/name"), Some("wrong-type")),
            ("{\"name\":\"a\",\"a/b\":1}", "invalid", Some("/a~1b"), Some("unknown-field")),
            ("{\"name\":\"a\",\"name\":\"b\"}", "invalid", Some("/name"), Some("duplicate-field")),
            ("{\"name\":\"a\",\"list\":[1,-1]}", "invalid", Some("/list/1"), Some("wrong-type")),
            ("5", "invalid", Some(""), Some("wrong-type")),
            ("[\"a\", []]", "invalid", Some(""), Some("wrong-type")),
        ] {
            let problem = serde_json::to_value(parse::<Example>(body.as_bytes()).unwrap_err()).unwrap();
            assert_eq!(problem["code"], code, "{body}");
            assert_eq!(problem["errors"][0]["pointer"].as_str(), place, "{body}: {problem}");
            assert_eq!(problem["errors"][0]["code"].as_str(), what, "{body}");
        }
    }
}
