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
    /// Of 2^56 traces that begin here, how many are sampled.
    threshold: u64,
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
        let threshold = threshold(settings.one_in);
        Ok((Self { queue, threshold, clock, metrics }, exporter.run(spans)))
    }

    /// A trace that begins here, sampled or not: by its id, so that everybody with the same ratio decides alike.
    pub fn begin(&self) -> TraceContext {
        let begun = TraceContext::begin();
        TraceContext { sampled: is_below(begun.trace, self.threshold), ..begun }
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

/// The part of an id that is random by contract: its last seven bytes
/// (<https://www.w3.org/TR/trace-context-2/#randomness-of-trace-id>).
const RANDOM_BITS: u32 = 56;

/// How many of all values of the random part make one in so many; 0: none.
fn threshold(one_in: u32) -> u64 {
    (1u64 << RANDOM_BITS).checked_div(u64::from(one_in)).unwrap_or(0)
}

fn is_below(trace: u128, threshold: u64) -> bool {
    let part = trace as u64 & ((1u64 << RANDOM_BITS) - 1);
    part < threshold
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_so_many_is_sampled() {
        const IDS: u32 = 100_000;
        for one_in in [2, 10, 100] {
            let threshold = threshold(one_in);
            let sampled = (0..IDS).filter(|_| is_below(TraceContext::begin().trace, threshold)).count();
            let share = 1.0 / f64::from(one_in);
            let (expected, sigma) = (f64::from(IDS) * share, (f64::from(IDS) * share * (1.0 - share)).sqrt());
            // Six sigma: one run in a thousand million fails by chance.
            assert!((sampled as f64 - expected).abs() < 6.0 * sigma, "one in {one_in}: {sampled} of {IDS}");
        }
        assert!((0..1000).all(|_| is_below(TraceContext::begin().trace, threshold(1))), "1: all");
        assert!((0..1000).all(|_| !is_below(TraceContext::begin().trace, threshold(0))), "0: none");
    }

    #[test]
    fn no_two_spans_have_one_id() {
        let ids: std::collections::HashSet<_> = (0..10_000).map(|_| new_span()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(!ids.contains(&0));
    }
}
