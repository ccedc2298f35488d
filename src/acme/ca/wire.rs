//! Between the ACME library and HTTPS: what an authority's answer means is decided here, where status, `Retry-After` and
//! problem document are still at hand. Each conversation has a [`Wire`] of its own, so that no call sees another's answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{DATE, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient, Identifier, Problem as Document};

use crate::acme::protocol::{CaError, Problem};
use crate::clock::{Clock, Timestamp};
use crate::outbound::Https;

const PREFIX: &str = "urn:ietf:params:acme:error:";
const AGENT: &str = concat!("tenantry/", env!("CARGO_PKG_VERSION"));
const BAD_NONCE: &str = "badNonce";
/// How much of an authority's words is kept.
const MOST_DETAIL: usize = 2_000;

/// The library's client for one conversation.
#[derive(Clone)]
pub(super) struct Wire {
    https: Https,
    clock: Clock,
    /// The directory's URL and what was read there: the library asks for it each time.
    directory: (Arc<str>, Bytes),
    last: Arc<Mutex<Last>>,
}

/// What the last good answer said beside its body.
#[derive(Clone, Default)]
pub(super) struct Last {
    pub retry_after: Option<Timestamp>,
    pub location: Option<String>,
}

/// A [`CaError`] on its way through the library.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Judged(#[from] CaError);

impl Wire {
    pub fn new(https: Https, clock: Clock, directory: (Arc<str>, Bytes)) -> Self {
        Self { https, clock, directory, last: Arc::default() }
    }

    /// What the last good answer said; forgotten with the asking.
    pub fn last(&self) -> Last {
        std::mem::take(&mut *self.last.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn exchange(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        if request.uri() == &*self.directory.0 {
            return Ok(BytesResponse::from(Response::new(BodyOf::new(self.directory.1.clone()))));
        }
        let (head, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(never) => match never {},
        };
        let answer = ask(&self.https, &self.clock, Request::from_parts(head, body)).await.map_err(passed)?;
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let last = Last { retry_after: retry_after(answer.headers(), &self.clock), location: header(LOCATION) };
        if answer.status().is_success() {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = last;
        }
        Ok(BytesResponse::from(answer.map(BodyOf::new)))
    }
}

type BodyOf = http_body_util::Full<Bytes>;

impl HttpClient for Wire {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().exchange(request))
    }
}

/// One exchange; an answer that is no success is an error here already, but for a refused nonce: the library (or whoever
/// signs) tries again with the next one.
pub(super) async fn ask(https: &Https, clock: &Clock, mut request: Request<Bytes>) -> Result<Response<Bytes>, CaError> {
    // RFC 8555 §6.1
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
    let answer = https.request(request).await;
    let answer = answer.map_err(|error| CaError::Unavailable { retry_after: None, why: error.to_string() })?;
    match judge(answer.status(), answer.headers(), answer.body(), clock) {
        None => Ok(answer),
        Some(error) => Err(error),
    }
}

/// Whether this answer asks for another nonce.
pub(super) fn nonce_refused(answer: &Response<Bytes>) -> bool {
    document(answer.body()).is_some_and(|problem| problem.kind == BAD_NONCE)
}

fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8], clock: &Clock) -> Option<CaError> {
    if status.is_success() {
        return None;
    }
    let retry_after = retry_after(headers, clock);
    let problem = document(body);
    let kind = problem.as_ref().map(|problem| problem.kind.clone()).unwrap_or_default();
    Some(match (status, kind.as_str(), problem) {
        (StatusCode::BAD_REQUEST, BAD_NONCE, _) => return None,
        (_, "rateLimited", Some(problem)) => CaError::RateLimited { retry_after, detail: problem.detail },
        (StatusCode::TOO_MANY_REQUESTS, _, problem) => {
            CaError::RateLimited { retry_after, detail: problem.map_or_else(|| status.to_string(), |p| p.detail) }
        }
        (status, kind, Some(problem)) if status.is_server_error() || kind == "serverInternal" => {
            CaError::Unavailable { retry_after, why: format!("{status}: {problem}") }
        }
        (_, "alreadyReplaced", _) => CaError::AlreadyReplaced,
        (_, "accountDoesNotExist", Some(problem)) => CaError::Gone(problem),
        (StatusCode::NOT_FOUND | StatusCode::GONE, _, Some(problem)) => CaError::Gone(problem),
        (_, _, Some(problem)) => CaError::Refused(problem),
        // Pebble says no more than that of an order that it does not have.
        (StatusCode::NOT_FOUND | StatusCode::GONE, _, None) if body.is_empty() => {
            CaError::Gone(Problem { kind: "notFound".into(), detail: "there is nothing at that URL".into() })
        }
        (status, _, None) => CaError::Unavailable { retry_after, why: format!("it answered {status}, and no reason") },
    })
}

/// The problem document of an answer, if it is one (RFC 8555 §6.7).
fn document(body: &[u8]) -> Option<Problem> {
    let document: Document = serde_json::from_slice(body).ok()?;
    document.r#type.is_some().then(|| problem(&document))
}

/// In our words; subproblems (RFC 8555 §6.7.1) end the detail.
pub(super) fn problem(document: &Document) -> Problem {
    let kind = |urn: &Option<String>| {
        let urn = urn.as_deref().unwrap_or("unknown");
        bounded(urn.strip_prefix(PREFIX).unwrap_or(urn))
    };
    let mut detail = document.detail.clone().unwrap_or_default();
    for inner in &document.subproblems {
        let name = match &inner.identifier {
            Some(Identifier::Dns(name)) => name.as_str(),
            _ => "",
        };
        let why = inner.detail.as_deref().unwrap_or_default();
        detail.push_str(&format!("; {name}: {why} ({})", kind(&inner.r#type)));
    }
    Problem { kind: kind(&document.r#type), detail: bounded(&detail) }
}

/// An error of the library: ours, if it has only passed through.
pub(super) fn unwrapped(error: Error) -> CaError {
    let unavailable = |why: String| CaError::Unavailable { retry_after: None, why: bounded(&why) };
    match error {
        Error::Other(inner) => match inner.downcast::<Judged>() {
            Ok(judged) => judged.0,
            Err(other) => unavailable(other.to_string()),
        },
        // Also a nonce refused time and again: nothing was done, and the next try may fare better.
        Error::Api(document) if document.r#type.as_deref() == Some("urn:ietf:params:acme:error:badNonce") => {
            unavailable("it refused one nonce after the other".into())
        }
        Error::Api(document) => CaError::Refused(problem(&document)),
        Error::Crypto | Error::KeyRejected => CaError::Broken("the account's key cannot be used".into()),
        // What it sent is not what RFC 8555 says.
        other => unavailable(format!("its answer makes no sense: {other}")),
    }
}

/// Whether the same call, signed afresh, is worth another try: the nonce alone was at fault, and nothing was done.
pub(super) fn worth_signing_again(error: &Error) -> bool {
    matches!(error, Error::Api(document) if document.r#type.as_deref() == Some("urn:ietf:params:acme:error:badNonce"))
}

fn passed(error: CaError) -> Error {
    Error::Other(Box::new(Judged(error)))
}

/// `Retry-After` (RFC 9110 §10.2.3), in seconds or as a date. A date counts from the answer's own `Date`, so that a
/// clock that is wrong on either side does no harm.
pub(super) fn retry_after(headers: &HeaderMap, clock: &Clock) -> Option<Timestamp> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(clock.now() + Duration::from_secs(seconds.min(u64::from(u32::MAX))));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let date = headers.get(DATE).and_then(|value| httpdate::parse_http_date(value.to_str().ok()?).ok());
    match date {
        Some(date) => Some(clock.now() + at.duration_since(date).unwrap_or_default()),
        None => {
            let since = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
            Some(Timestamp(i64::try_from(since.as_millis()).ok()?))
        }
    }
}

fn bounded(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MOST_DETAIL).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> Clock {
        Clock::manual(Timestamp(1_000_000))
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn retry_after_comes_in_seconds_or_as_a_date() {
        let date = "Fri, 31 Dec 1999 23:59:59 GMT";
        for (text, expected) in [
            ("120", Some(1_120_000)),
            (" 0 ", Some(1_000_000)),
            ("99999999999999999999999", None),
            ("soon", None),
            ("-5", None),
            ("", None),
            ("Sat, 01 Jan 2000 00:00:09 GMT", Some(1_010_000)),
            ("Fri, 31 Dec 1999 23:00:00 GMT", Some(1_000_000)),
        ] {
            let headers = headers(&[("retry-after", text), ("date", date)]);
            assert_eq!(retry_after(&headers, &clock()), expected.map(Timestamp), "{text}");
        }
        let alone = headers(&[("retry-after", "Sat, 01 Jan 2000 00:00:00 GMT")]);
        assert_eq!(retry_after(&alone, &clock()), Some(Timestamp(946_684_800_000)));
    }

    #[test]
    fn every_answer_has_one_meaning() {
        let judged = |status: u16, body: &str| {
            let error = judge(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes(), &clock());
            match error {
                None => "fine",
                Some(CaError::RateLimited { .. }) => "limited",
                Some(CaError::Unavailable { .. }) => "unavailable",
                Some(CaError::Gone(_)) => "gone",
                Some(CaError::Refused(_)) => "refused",
                Some(CaError::AlreadyReplaced) => "replaced",
                Some(CaError::Broken(_)) => "broken",
            }
        };
        let problem = |kind: &str| format!(r#"{{"type":"{PREFIX}{kind}","detail":"why"}}"#);
        for (status, body, expected) in [
            (200, String::new(), "fine"),
            (201, "nonsense".into(), "fine"),
            (400, problem(BAD_NONCE), "fine"),
            (400, problem("malformed"), "refused"),
            (400, problem("accountDoesNotExist"), "gone"),
            (400, "nonsense".into(), "unavailable"),
            (400, r#"{"detail":"a reason, but of no kind"}"#.into(), "unavailable"),
            (302, String::new(), "unavailable"),
            (403, problem("rateLimited"), "limited"),
            (404, problem("malformed"), "gone"),
            (404, String::new(), "gone"),
            (404, "<html>".into(), "unavailable"),
            (409, problem("alreadyReplaced"), "replaced"),
            (429, String::new(), "limited"),
            (429, problem("serverInternal"), "limited"),
            (500, problem("serverInternal"), "unavailable"),
            (503, problem("rateLimited"), "limited"),
            (504, String::new(), "unavailable"),
        ] {
            assert_eq!(judged(status, &body), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_problem_is_told_with_its_parts_and_within_bounds() {
        let text = format!(
            r#"{{"type":"{PREFIX}compound","detail":"two\nthings","subproblems":[
                {{"type":"{PREFIX}caa","detail":"forbidden","identifier":{{"type":"dns","value":"a.example"}}}}]}}"#
        );
        let problem = document(text.as_bytes()).unwrap();
        assert_eq!(problem.to_string(), "compound: twothings; a.example: forbidden (caa)");
        let long = format!(r#"{{"type":"{}","detail":"{}"}}"#, "k".repeat(9_000), "d".repeat(9_000));
        let problem = document(long.as_bytes()).unwrap();
        assert_eq!((problem.kind.len(), problem.detail.len()), (MOST_DETAIL, MOST_DETAIL));
    }
}
