//! `[traces]`: where spans are sent, and of how many requests.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::parsers::url;
use super::section::{Section, shown};

const ENDPOINT: &str = "a URL such as \"http://127.0.0.1:4318\", or \"off\"";
const SERVICE: &str = "a name of 1 to 120 visible characters";
const HEADER: &str = "the name of a header with a text for its value";

/// `[traces]`, where an endpoint is set. Otherwise no span is sent, and traces are only carried on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Traces {
    /// Where batches are posted: the collector's URL for OTLP over HTTP with `/v1/traces` behind it.
    pub endpoint: Uri,
    /// Of the traces that begin here, one in so many is sampled; 0: none. What a trusted proxy says of its own counts
    /// before. Default 100.
    pub one_in: u32,
    /// Default `tenantry`.
    pub service_name: String,
    /// Sent along; their values may be secrets. Default none.
    pub headers: HeaderMap,
    /// Spans that may wait to be sent. Default 8,192.
    pub queue: usize,
    /// For one batch. Default 10 s.
    pub timeout: Duration,
}

impl Traces {
    /// `None`: switched off.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let endpoint = section.text("endpoint", ENDPOINT, |text| {
            if text == "off" {
                return Ok(None);
            }
            let base = url(text)?;
            let uri = format!("{}/v1/traces", base.trim_end_matches('/')).parse::<Uri>();
            uri.map(Some).map_err(|_| "it cannot be read")
        });
        let named = |text: &str| {
            let good = (1..=120).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
            if good { Ok(text.to_owned()) } else { Err("") }
        };
        let second = Duration::from_secs(1);
        let one_in = section.number("one_in", 0..=1_000_000, 100);
        let service_name = section.text("service_name", SERVICE, named).unwrap_or_else(|| "tenantry".to_owned());
        let queue = section.number("queue", 64..=1_048_576, 8_192u32) as usize;
        let timeout = section.duration("timeout", second / 10..=60 * second, 10 * second);
        let headers = headers(section);
        Some(Self { endpoint: endpoint.flatten()?, one_in, service_name, headers, queue, timeout })
    }
}

/// No fault shows a value: it may be a key.
fn headers(section: &mut Section<'_>) -> HeaderMap {
    let pairs = section.names("headers", |section, name, spot, value| {
        let wrong = || format!("found something else (it is not shown, it may be secret), expected {HEADER}");
        let (Ok(name), Some(raw)) = (HeaderName::from_bytes(name.as_bytes()), value.as_str()) else {
            section.fault_at(spot, wrong());
            return None;
        };
        let text = section.expanded_at(spot, raw)?;
        match section.resolved(&text).map(|secret| HeaderValue::from_str(&secret)) {
            Ok(Ok(mut value)) => {
                value.set_sensitive(true);
                return Some((name, value));
            }
            Ok(Err(_)) => section.fault_at(spot, wrong()),
            Err(why) => section.fault_at(spot, format!("found {}, {why}", shown(raw))),
        }
        None
    });
    pairs.into_iter().flatten().collect()
}
