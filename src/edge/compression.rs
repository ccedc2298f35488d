//! Compression on the way to the visitor: what is compressed is decided at an answer's head ([`plan`]), and carried out by
//! a module below the proxy's hooks, because only there it is known whether a body follows, and where it ends. What is not
//! compressed passes at the cost of a look at its head. No body is gathered: pieces go out as they come in.
//!
//! A compressed answer's length tells of its contents (BREACH, <https://breachattack.com>): who can make a visitor's browser
//! ask with the visitor's cookies, put text of their own into the answer and see its length can guess secrets in it. So what
//! other sites' scripts ask for with cookies is not compressed, unless the tenant's CORS lets them read it anyway. An
//! application protects what is left by `Cache-Control: no-transform`, an operator by `compress = false` on a route.

mod encoder;
mod negotiate;

use std::any::Any;
use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use pingora_core::modules::http::{HttpModule, HttpModuleBuilder, Module, ModuleBuilder};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use prometheus::IntCounter;

use self::encoder::{Encoder, Totals};
use super::fields;
use super::response::add_vary;
use crate::config::{Coding, Compression};
use crate::metrics::Metrics;

/// What is to be done with an answer whose head is about to go out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    coding: Coding,
    level: u32,
    /// The answer's length, where it is known.
    length: Option<u64>,
    /// The head is all that goes out: it says what GET's would.
    head_only: bool,
    /// How many may be under compression at once.
    most: usize,
}

/// Makes the module, once for each request.
pub struct Builder(Arc<Shared>);

/// What all answers have in common.
struct Shared {
    metrics: Arc<Metrics>,
    /// Bytes taken and given by each coding: looked up when it is first counted, and not with each answer.
    bytes: [OnceLock<[IntCounter; 2]>; Coding::ALL.len()],
    under_way: AtomicUsize,
}

/// One request's compression: asleep until it is given a plan.
struct Compressor {
    state: State,
    shared: Arc<Shared>,
}

/// One of those that are under compression, until it is dropped.
struct Seat(Arc<Shared>);

enum State {
    Asleep,
    Planned(Plan),
    Running(Box<Encoder>, Seat),
}

impl Builder {
    pub fn boxed(metrics: &Arc<Metrics>) -> ModuleBuilder {
        Box::new(Self(Arc::new(Shared::new(metrics))))
    }
}

/// Decides about one final answer, and notes in it what it depends on. `shared`: a script of another origin may read it.
pub fn plan(
    settings: &Compression,
    request: &RequestHeader,
    response: &mut ResponseHeader,
    shared: bool,
) -> Result<Option<Plan>> {
    if !settings.enabled {
        return Ok(None);
    }
    if response.status == StatusCode::NOT_MODIFIED {
        return weaken_if_ours(request, response).map(|()| None);
    }
    let length = response.headers.get(header::CONTENT_LENGTH).map(|value| value.to_str().ok()?.parse::<u64>().ok());
    let length = match length {
        None => None,
        Some(Some(length)) if length >= settings.min_bytes => Some(length),
        Some(_) => return Ok(None),
    };
    if !has_whole_body(response.status) || !is_compressible(settings, &response.headers) {
        return Ok(None);
    }
    fields::edit_answer(response, |headers| add_vary(headers, "accept-encoding"))?;
    let old = matches!(request.version, Version::HTTP_09 | Version::HTTP_10);
    if old || has_directive(&request.headers, "no-transform") || (is_foreign(&request.headers) && !shared) {
        return Ok(None);
    }
    let (head_only, most) = (request.method == Method::HEAD, settings.most_at_once);
    let coding = negotiate::choose(&request.headers, &settings.algorithms);
    Ok(coding.map(|coding| Plan { coding, level: settings.level(coding), length, head_only, most }))
}

/// Has the session carry out a plan, or forget what was planned.
pub fn set_plan(session: &mut Session, plan: Option<Plan>) {
    if let Some(compressor) = session.downstream_modules_ctx.get_mut::<Compressor>() {
        compressor.state = plan.map_or(State::Asleep, State::Planned);
    }
}

impl HttpModuleBuilder for Builder {
    fn init(&self) -> Module {
        Box::new(Compressor { state: State::Asleep, shared: Arc::clone(&self.0) })
    }
}

#[async_trait]
impl HttpModule for Compressor {
    async fn response_header_filter(&mut self, response: &mut ResponseHeader, end: bool) -> Result<()> {
        let State::Planned(plan) = self.state else { return Ok(()) };
        if response.status.is_informational() {
            return Ok(());
        }
        self.state = State::Asleep;
        if end && !plan.head_only {
            return Ok(());
        }
        if plan.head_only {
            return fields::edit_answer(response, |headers| announce(headers, plan));
        }
        // Each has its own memory for as long as its visitor takes: slow visitors must not add up.
        let Some(seat) = Seat::take(&self.shared, plan.most) else {
            self.shared.metrics.compression_skipped.inc();
            return Ok(());
        };
        fields::edit_answer(response, |headers| announce(headers, plan))?;
        let encoder = Encoder::new(plan.coding, plan.level, plan.length).map_err(failed)?;
        self.state = State::Running(Box::new(encoder), seat);
        Ok(())
    }

    fn response_body_filter(&mut self, body: &mut Option<Bytes>, end: bool) -> Result<()> {
        let State::Running(encoder, _) = &mut self.state else { return Ok(()) };
        let piece = body.take().unwrap_or_default();
        if end {
            *body = self.finish(&piece)?;
        } else {
            let coded = encoder.push(&piece).map_err(failed)?;
            *body = (!coded.is_empty()).then_some(coded);
        }
        Ok(())
    }

    /// What the encoder still has goes before trailers, which are dropped: a body's end cannot be followed by both.
    fn response_trailer_filter(&mut self, _trailers: &mut Option<Box<HeaderMap>>) -> Result<Option<Bytes>> {
        self.finish(&[])
    }

    fn response_done_filter(&mut self) -> Result<Option<Bytes>> {
        self.finish(&[])
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl Compressor {
    fn finish(&mut self, last: &[u8]) -> Result<Option<Bytes>> {
        let State::Running(encoder, _seat) = std::mem::replace(&mut self.state, State::Asleep) else {
            return Ok(None);
        };
        let (coded, Totals { coding, taken, given }) = encoder.finish(last).map_err(failed)?;
        let [before, after] = self.shared.bytes(coding);
        before.inc_by(taken);
        after.inc_by(given);
        Ok(Some(coded))
    }
}

impl Shared {
    fn new(metrics: &Arc<Metrics>) -> Self {
        Self { metrics: Arc::clone(metrics), bytes: Default::default(), under_way: AtomicUsize::new(0) }
    }

    fn bytes(&self, coding: Coding) -> &[IntCounter; 2] {
        let find = |direction| self.metrics.compression_bytes.with_label_values(&[coding.as_str(), direction]);
        self.bytes[coding as usize].get_or_init(|| ["in", "out"].map(find))
    }
}

impl Seat {
    fn take(shared: &Arc<Shared>, most: usize) -> Option<Self> {
        let more = |now: usize| (now < most).then_some(now + 1);
        shared.under_way.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Self(Arc::clone(shared)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The head of a compressed answer: another representation, of unknown length, without ranges (RFC 9110 §8.4, §14.3).
fn announce(headers: &mut HeaderMap, plan: Plan) {
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(plan.coding.as_str()));
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::ACCEPT_RANGES);
    if let Some(tag) = headers.get(header::ETAG).cloned() {
        weaken(headers, &tag);
    }
    if !plan.head_only {
        // HTTP/2 has no use for it, and pingora drops it there.
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// The same tag, but no promise any more that the bytes are the same (RFC 9110 §8.8.1). What is no tag goes.
fn weaken(headers: &mut HeaderMap, tag: &HeaderValue) {
    if tag.as_bytes().starts_with(b"W/") {
        return;
    }
    match HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()) {
        Ok(weak) if tag.as_bytes().starts_with(b"\"") => headers.insert(header::ETAG, weak),
        _ => headers.remove(header::ETAG),
    };
}

/// Whoever asks with a weak tag that the backend knows as a strong one got it from us with a compressed answer, and is told
/// that this is the one which is still good.
fn weaken_if_ours(request: &RequestHeader, response: &mut ResponseHeader) -> Result<()> {
    let Some(tag) = response.headers.get(header::ETAG).cloned() else { return Ok(()) };
    let weak = [b"W/", tag.as_bytes()].concat();
    let asked = request.headers.get_all(header::IF_NONE_MATCH).iter();
    if tag.as_bytes().starts_with(b"\"")
        && asked.flat_map(|value| value.as_bytes().split(|b| *b == b',')).any(|one| one.trim_ascii() == weak)
    {
        return fields::edit_answer(response, |headers| {
            add_vary(headers, "accept-encoding");
            weaken(headers, &tag);
        });
    }
    Ok(())
}

fn has_whole_body(status: StatusCode) -> bool {
    use StatusCode as S;
    !status.is_informational()
        && !matches!(status, S::NO_CONTENT | S::RESET_CONTENT | S::PARTIAL_CONTENT | S::NOT_MODIFIED)
}

/// Plain, of a type that is worth it, and not bound to its bytes by a promise of the backend's.
fn is_compressible(settings: &Compression, headers: &HeaderMap) -> bool {
    let Some(media) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let media = media.split(';').next().unwrap_or_default().trim();
    let media = match media.bytes().any(|b| b.is_ascii_uppercase()) {
        true => Cow::Owned(media.to_ascii_lowercase()),
        false => Cow::Borrowed(media),
    };
    settings.takes(&media)
        && !BOUND.iter().any(|name| headers.contains_key(name))
        && !has_directive(headers, "no-transform")
}

/// Whether `Cache-Control` has this directive (RFC 9111 §5.2).
fn has_directive(headers: &HeaderMap, directive: &str) -> bool {
    let values = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(directive))
}

/// Asked by another site's page or script with the visitor's cookies, and not by a link that the visitor followed
/// (<https://www.w3.org/TR/fetch-metadata/>). Another tenant's host may be the same site.
fn is_foreign(headers: &HeaderMap) -> bool {
    let is = |name: &str, value: &[u8]| headers.get(name).is_some_and(|said| said.as_bytes() == value);
    headers.contains_key(header::COOKIE)
        && (is("sec-fetch-site", b"cross-site") || is("sec-fetch-site", b"same-site"))
        && !is("sec-fetch-user", b"?1")
}

fn failed(error: std::io::Error) -> Box<Error> {
    Error::because(ErrorType::InternalError, "compressing an answer", error)
}

/// What says that a body must stay as it is: it is coded already, is a part, or its bytes are summed up (RFC 9530).
static BOUND: [HeaderName; 6] = [
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

#[cfg(test)]
#[path = "compression/tests.rs"]
mod tests;
