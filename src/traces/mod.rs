//! Traces: which one a request belongs to (<https://www.w3.org/TR/trace-context/>), and the spans that tell of it, sent
//! to a collector by OTLP. Nothing here ever makes a request wait: a span that finds the queue full is dropped and
//! counted.

mod context;
mod export;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::oneshot;

pub use context::{TraceContext, new_span};
pub use export::ExportError;

use crate::clock::Clock;
use crate::config::Traces;
use crate::metrics::Metrics;

/// One span, ended.
#[derive(Clone, Debug)]
pub struct Span {
    pub trace: u128,
    pub id: u64,
    pub parent: Option<u64>,
    pub kind: SpanKind,
    pub name: String,
    /// How long ago it began and ended, seen from when it is told.
    pub began: Duration,
    pub ended: Duration,
    pub attributes: Vec<(&'static str, Value)>,
    pub failed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpanKind {
    Server,
    Client,
}

/// What an attribute says.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    Text(String),
    Number(i64),
    Flag(bool),
}

/// Takes spans. Clones share the queue.
#[derive(Clone)]
pub struct Tracer {
    queue: mpsc::Sender<Message>,
    /// Of 2^64 traces that begin here, how many are sampled.
    threshold: u128,
    clock: Clock,
    metrics: Arc<Metrics>,
}

enum Message {
    Span(Box<Span>, i128),
    Flush(oneshot::Sender<()>),
}

impl Tracer {
    /// The taking half, and the sending half, which has to be run as a task.
    pub fn new(
        settings: &Traces,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, impl Future<Output = ()> + Send + use<>), ExportError> {
        let (queue, spans) = mpsc::channel(settings.queue);
        let exporter = export::Exporter::new(settings, Arc::clone(&metrics))?;
        let threshold = (1u128 << 64).checked_div(u128::from(settings.one_in)).unwrap_or(0);
        Ok((Self { queue, threshold, clock, metrics }, exporter.run(spans)))
    }

    /// Whether a trace that begins here is sampled: by its id, so that everybody with the same ratio decides alike.
    pub fn samples(&self, trace: u128) -> bool {
        u128::from(trace as u64) < self.threshold
    }

    /// Leaves a span to be sent.
    pub fn tell(&self, span: Span) {
        let now = i128::from(self.clock.now().millis()) * 1_000_000;
        match self.queue.try_send(Message::Span(Box::new(span), now)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {
                self.metrics.trace_spans.with_label_values(&["dropped"]).inc();
            }
        }
    }

    /// Waits until what was told before has been sent, or given up; `at_most` that long.
    pub async fn flush(&self, at_most: Duration) {
        let (done, sent) = oneshot::channel();
        let all = async {
            if self.queue.send(Message::Flush(done)).await.is_ok() {
                let _ = sent.await;
            }
        };
        let _ = tokio::time::timeout(at_most, all).await;
    }
}
