//! The sending half: gathers spans into batches and posts them to the collector. What it cannot deliver after a few
//! tries is given up, and counted: memory is bounded whatever the collector does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::{Message, wire};
use crate::config::Traces;
use crate::metrics::Metrics;
use crate::outbound::{Https, HttpsError};

/// Spans that go in one request.
const BATCH: usize = 512;
/// How long a batch that is not full waits for more.
const GATHER: Duration = Duration::from_secs(1);
/// Tries for a batch, and what is waited before the second; each next waits twice as long.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);
/// A collector has little to say.
const MOST_ANSWER: usize = 64 * 1024;

/// Why spans cannot be sent at all.
#[derive(Debug, thiserror::Error)]
#[error("traces: {0}")]
pub struct ExportError(#[from] HttpsError);

pub(super) struct Exporter {
    https: Https,
    endpoint: Uri,
    headers: HeaderMap,
    service: String,
    metrics: Arc<Metrics>,
    /// What the last batch came to, so that an outage is one line in the log.
    well: bool,
}

impl Exporter {
    pub fn new(settings: &Traces, metrics: Arc<Metrics>) -> Result<Self, ExportError> {
        let https = Https::new(None, settings.timeout, MOST_ANSWER)?;
        let (endpoint, headers) = (settings.endpoint.clone(), settings.headers.clone());
        Ok(Self { https, endpoint, headers, service: settings.service_name.clone(), metrics, well: true })
    }

    /// Sends until nobody has anything more to tell.
    pub async fn run(mut self, mut spans: Receiver<Message>) {
        while let Some(first) = spans.recv().await {
            let mut batch = Vec::new();
            let mut asked = Vec::new();
            let mut next = Some(first);
            let until = Instant::now() + GATHER;
            while let Some(message) = next.take() {
                match message {
                    Message::Span(span, now) => batch.push(wire::span(*span, now)),
                    Message::Flush(done) => asked.push(done),
                }
                if batch.len() < BATCH && asked.is_empty() {
                    next = timeout_at(until, spans.recv()).await.ok().flatten();
                }
            }
            if !batch.is_empty() {
                self.send(batch).await;
            }
            for done in asked {
                // Whoever asked may have lost patience.
                let _ = done.send(());
            }
        }
    }

    async fn send(&mut self, batch: Vec<wire::WireSpan>) {
        let count = batch.len() as u64;
        let body = Bytes::from(wire::request(&self.service, batch));
        let mut result = self.post(&body).await;
        for attempt in 0..TRIES - 1 {
            if !matches!(result, Err((_, true))) {
                break;
            }
            tokio::time::sleep(PAUSE * 2u32.pow(attempt)).await;
            result = self.post(&body).await;
        }
        let word = if result.is_ok() { "exported" } else { "failed" };
        self.metrics.trace_spans.with_label_values(&[word]).inc_by(count);
        match (result, self.well) {
            (Ok(()), false) => info!("traces.exported_again"),
            (Err((why, _)), true) => warn!(error = why, "traces.not_exported: spans are lost"),
            _ => {}
        }
        self.well = word == "exported";
    }

    /// `Err`: why, and whether to try again (OTLP: on 429, 502, 503 and 504, and when nothing came of the exchange).
    async fn post(&self, body: &Bytes) -> Result<(), (String, bool)> {
        let mut request = Request::new(body.clone());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.clone();
        *request.headers_mut() = self.headers.clone();
        let media = http::HeaderValue::from_static("application/x-protobuf");
        request.headers_mut().insert(header::CONTENT_TYPE, media);
        let answer = self.https.request(request).await.map_err(|error| (error.to_string(), true))?;
        let again = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::BAD_GATEWAY,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::GATEWAY_TIMEOUT,
        ];
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err((format!("the collector answers {status}"), again.contains(&status))),
        }
    }
}
