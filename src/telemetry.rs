//! Where log lines go: one subscriber, set up once by `main`, writing from a thread of its own so that no request
//! waits for a disk or a pipe.

use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

/// The filter of the configuration is not one; says why.
#[derive(Debug, thiserror::Error)]
#[error("log.filter: {0}")]
pub struct FilterError(String);

/// Checks a filter without installing anything.
pub fn check_filter(filter: &str) -> Result<EnvFilter, FilterError> {
    EnvFilter::try_new(filter).map_err(|error| FilterError(error.to_string()))
}

/// Installs the subscriber. Lines are written for as long as the guard lives. A second call in one process (tests)
/// leaves the first subscriber in place.
pub fn install(log: &Log) -> Result<WorkerGuard, FilterError> {
    let filter = check_filter(&log.filter)?;
    let (writer, guard) = tracing_appender::non_blocking(std::io::stderr());
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
    let installed = match log.format {
        LogFormat::Text => registry.with(layer).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true).with_current_span(false)).try_init(),
    };
    // The only error is that a subscriber is there already.
    let _ = installed;
    Ok(guard)
}
