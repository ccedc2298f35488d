//! Where log lines go: one subscriber, set up once by `main`, whose outputs write from threads of their own, so that no
//! request waits for a disk or a pipe. Everything about it can be changed while it runs.

mod discretion;
mod filter;
mod lines;
mod outlet;

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use prometheus::IntCounterVec;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::discretion::Discretion;
use self::filter::Filter;
use self::lines::Lines;
use self::outlet::Outlet;
use crate::clock::Clock;
use crate::config::{Log, LogFormat, LogOutput};
use crate::metrics::Metrics;

/// Why lines cannot be written as the configuration asks.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("log.filter: {0}")]
    Filter(String),
    #[error("log.{key}: {path} cannot be opened for appending: {source}")]
    Open { key: &'static str, path: String, source: std::io::Error },
    #[error("log: no thread to write with: {0}")]
    Thread(std::io::Error),
}

/// Checks a filter without installing anything.
pub fn check_filter(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(filter).map_err(|error| LogError::Filter(error.to_string()))
}

/// The log of this process, for those who change how it is written. Clones are the same log.
#[derive(Clone)]
pub struct Handle {
    filter: Filter,
    shape: Arc<ArcSwap<Shape>>,
    dropped: Dropped,
}

/// The counter of lines that were lost, once there is one.
type Dropped = Arc<OnceLock<IntCounterVec>>;

/// What is in force.
struct Shape {
    format: LogFormat,
    output: LogOutput,
    lines: Arc<Outlet>,
    /// The access lines' own, where they have one.
    access: Option<(LogOutput, Arc<Outlet>)>,
}

/// Lines are written for as long as this lives; what is under way when it goes is written before.
pub struct Guard(Handle);

/// Installs the subscriber. A second call in one process (tests) leaves the first subscriber in place.
pub fn install(log: &Log) -> Result<(Handle, Guard), LogError> {
    let filter = Filter::new(check_filter(&log.filter)?);
    let dropped = Dropped::default();
    let shape = Arc::new(ArcSwap::from_pointee(Shape::open(log, None, &dropped)?));
    let lines = Lines::new(Arc::clone(&shape), Clock::system());
    // The only error is that a subscriber is there already.
    let _ = tracing_subscriber::registry().with(filter.clone()).with(Discretion).with(lines).try_init();
    let handle = Handle { filter, shape, dropped };
    Ok((handle.clone(), Guard(handle)))
}

impl Handle {
    /// Writes as this says from now on. When it cannot, all stays as it was.
    pub fn apply(&self, log: &Log) -> Result<(), LogError> {
        let filter = check_filter(&log.filter)?;
        let shape = Shape::open(log, Some(&self.shape.load()), &self.dropped)?;
        self.filter.replace(filter);
        self.shape.store(Arc::new(shape));
        Ok(())
    }

    /// Opens the files again, which somebody has moved away. Lines that came before go into the old ones.
    pub fn reopen(&self) {
        self.shape.load().outlets().for_each(Outlet::reopen);
    }

    /// From now on lost lines are counted there.
    pub fn count_in(&self, metrics: &Metrics) {
        // Another process's worth of metrics (tests) finds the first one's in its place.
        let _ = self.dropped.set(metrics.log_lines_dropped.clone());
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.shape.load().outlets().for_each(Outlet::flush);
    }
}

impl Shape {
    /// An output that stays keeps what it has open.
    fn open(log: &Log, old: Option<&Self>, dropped: &Dropped) -> Result<Self, LogError> {
        let kept = |output: &LogOutput| {
            let old = old?;
            let access = old.access.iter().map(|(output, outlet)| (output, outlet));
            let mut all = std::iter::once((&old.output, &old.lines)).chain(access);
            all.find(|(have, _)| *have == output).map(|(_, outlet)| Arc::clone(outlet))
        };
        let outlet = |key, name, output: &LogOutput| match kept(output) {
            Some(outlet) => Ok(outlet),
            None => Outlet::open(key, name, output, dropped).map(Arc::new),
        };
        let lines = outlet("output", "log", &log.output)?;
        let access = match &log.access_output {
            Some(output) if *output != log.output => Some((output.clone(), outlet("access_output", "access", output)?)),
            _ => None,
        };
        Ok(Self { format: log.format, output: log.output.clone(), lines, access })
    }

    fn outlets(&self) -> impl Iterator<Item = &Outlet> {
        let access = self.access.iter().map(|(_, outlet)| outlet);
        std::iter::once(&self.lines).chain(access).map(Arc::as_ref)
    }

    fn outlet_for(&self, target: &str) -> &Outlet {
        match &self.access {
            Some((_, outlet)) if target == "access" => outlet,
            _ => &self.lines,
        }
    }
}
