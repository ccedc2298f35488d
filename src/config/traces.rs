//! `[traces]`: where spans are sent, and of how many requests.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::parsers::{URL, url};
use super::section::{Section, describe};

const RATIO: &str = "a number from 0 to 1, such as 0.01";
const SERVICE: &str = "a name of 1 to 120 visible characters";
const HEADER: &str = "the name of a header with a text for its value";

/// `[traces]`. Absent: no span is sent, and traces are only carried on.
#[derive(Clone, PartialEq, Debug)]
pub struct Traces {
    /// Where batches are posted: the collector's URL for OTLP over HTTP with `/v1/traces` behind it.
    pub endpoint: Uri,
    /// The share of the traces that begin here which are sampled. What a trusted proxy says of its own counts before.
    /// Default 0.01.
    pub sample: f64,
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
    /// `None` also where the endpoint is missing or wrong; the fault is noted then.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let endpoint = section.required("endpoint", URL, |text| {
            let base = url(text)?;
            format!("{}/v1/traces", base.trim_end_matches('/')).parse::<Uri>().map_err(|_| "it cannot be read")
        });
        let named = |text: &str| {
            let good = (1..=120).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
            if good { Ok(text.to_owned()) } else { Err("") }
        };
        let second = Duration::from_secs(1);
        let (sample, headers) = (ratio(section), headers(section));
        let service_name = section.text("service_name", SERVICE, named).unwrap_or_else(|| "tenantry".to_owned());
        let queue = section.number("queue", 64..=1_048_576, 8_192u32) as usize;
        let timeout = section.duration("timeout", second / 10..=60 * second, 10 * second);
        Some(Self { endpoint: endpoint?, sample, service_name, headers, queue, timeout })
    }
}

fn ratio(section: &mut Section<'_>) -> f64 {
    const DEFAULT: f64 = 0.01;
    let Some(value) = section.value("sample") else { return DEFAULT };
    let value = value.get_ref();
    let number = value.as_float().map(|float| float.as_str()).or_else(|| value.as_integer().map(|int| int.as_str()));
    let number = number.and_then(|text| text.parse::<f64>().ok()).filter(|number| (0.0..=1.0).contains(number));
    number.unwrap_or_else(|| {
        section.fault("sample", format!("found {}, expected {RATIO}", describe(value)));
        DEFAULT
    })
}

/// No fault shows a value: it may be a key.
fn headers(section: &mut Section<'_>) -> HeaderMap {
    let pairs = section.names("headers", |section, name, spot, value| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok();
        let text = value.as_str().and_then(|text| section.expanded("headers", text));
        let value = text.and_then(|text| HeaderValue::from_str(&text).ok()).map(|mut value| {
            value.set_sensitive(true);
            value
        });
        let pair = name.zip(value);
        if pair.is_none() {
            section
                .fault_at(spot, format!("found something else (it is not shown, it may be secret), expected {HEADER}"));
        }
        pair
    });
    pairs.into_iter().flatten().collect()
}
