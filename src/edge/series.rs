//! Counters that are looked up once, not with each request: requests by how they ended, and the series of the routes in
//! force, which go with their route. Nothing else is counted here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use foldhash::fast::RandomState;
use http::Version;
use prometheus::IntCounter;

use super::rejection::{Fault, Rejection};
use crate::config::Routing;
use crate::metrics::Metrics;

/// The routes of one configuration that have series of their own: the first [`MOST`]. All others are `_other`.
#[derive(Debug)]
pub struct RouteSeries {
    named: HashMap<Arc<str>, Arc<Series>, RandomState>,
    other: Arc<Series>,
    requests: Arc<RequestSeries>,
}

/// Requests by status class, fault and protocol; a look-up by labels takes a lock that all requests share.
#[derive(Debug)]
struct RequestSeries {
    metrics: Arc<Metrics>,
    counters: [[[OnceLock<IntCounter>; PROTOCOLS.len()]; Fault::ALL.len()]; CLASSES.len()],
}

/// The counters of one name, by status class.
#[derive(Debug)]
struct Series {
    name: Arc<str>,
    metrics: Arc<Metrics>,
    /// Each made when it is first counted.
    counters: [OnceLock<IntCounter>; CLASSES.len()],
    /// The route is gone, and its series with it: a request that still ends on it must not bring them back.
    ended: Mutex<bool>,
}

/// Status classes, by the first digit of a status; 0: there was no answer.
pub const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Protocols as they are counted and logged.
pub const PROTOCOLS: [&str; 4] = ["none", "http/1.0", "http/1.1", "h2"];

/// The place of a version in [`PROTOCOLS`]; of `None`: no request was read.
pub fn protocol_of(version: Option<Version>) -> usize {
    match version {
        None => 0,
        Some(Version::HTTP_10) => 1,
        Some(Version::HTTP_2) => 3,
        Some(_) => 2,
    }
}

/// The place of a status in [`CLASSES`].
pub fn class_of(status: u16) -> usize {
    Some(usize::from(status / 100)).filter(|class| *class < CLASSES.len()).unwrap_or(0)
}

impl RouteSeries {
    /// Those of a configuration that may be put in force; a route that `previous` has too goes on with what it has.
    pub fn new(routing: &Routing, previous: Option<&Self>, metrics: &Arc<Metrics>) -> Self {
        let series = |name: &Arc<str>| {
            let before = previous.and_then(|previous| previous.named.get(name)).cloned();
            (Arc::clone(name), before.unwrap_or_else(|| Series::new(name, metrics)))
        };
        let other = previous.map(|previous| Arc::clone(&previous.other));
        Self {
            named: routing.routes.iter().take(MOST).map(|route| series(&route.name)).collect(),
            other: other.unwrap_or_else(|| Series::new(&"_other".into(), metrics)),
            requests: match previous {
                Some(previous) => Arc::clone(&previous.requests),
                None => Arc::new(RequestSeries { metrics: Arc::clone(metrics), counters: Default::default() }),
            },
        }
    }

    /// These are in force from now on, in the place of `previous`.
    pub fn take_over(&self, previous: &Self) {
        for (name, series) in previous.named.iter().filter(|(name, _)| !self.named.contains_key(*name)) {
            debug_assert_eq!(*name, series.name);
            series.end();
        }
    }

    /// Counts a request by how it ended: the status's class, whose fault a failure was, the protocol's place in [`PROTOCOLS`].
    pub fn count_ended(&self, class: usize, fault: Fault, protocol: usize) {
        self.requests.count(class, fault, protocol);
    }

    /// Counts a request that took this route and was answered with a status of this class.
    pub fn count(&self, route: &str, class: usize) {
        self.named.get(route).unwrap_or(&self.other).count(class);
    }
}

impl RequestSeries {
    fn count(&self, class: usize, fault: Fault, protocol: usize) {
        let faults = self.counters.get(class).and_then(|faults| faults.get(fault as usize));
        let Some(counter) = faults.and_then(|protocols| protocols.get(protocol)) else { return };
        let labels = || [CLASSES[class], fault.as_str(), PROTOCOLS[protocol]];
        counter.get_or_init(|| self.metrics.requests.with_label_values(&labels())).inc();
    }
}

impl Series {
    fn new(name: &Arc<str>, metrics: &Arc<Metrics>) -> Arc<Self> {
        let (name, metrics) = (Arc::clone(name), Arc::clone(metrics));
        Arc::new(Self { name, metrics, counters: Default::default(), ended: Mutex::new(false) })
    }

    fn count(&self, class: usize) {
        let (Some(slot), Some(label)) = (self.counters.get(class), CLASSES.get(class)) else { return };
        let counter = slot.get().or_else(|| {
            let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            let make = || self.metrics.route_requests.with_label_values(&[&*self.name, label]);
            (!*ended).then(|| slot.get_or_init(make))
        });
        if let Some(counter) = counter {
            counter.inc();
        }
    }

    fn end(&self) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        *ended = true;
        for label in CLASSES {
            let _ = self.metrics.route_requests.remove_label_values(&[&*self.name, label]);
        }
    }
}

/// Shows with 0 what may be counted one day, so that the first time is seen as a rise.
pub fn show_all(metrics: &Metrics) {
    for code in Rejection::CODES {
        metrics.refusals.with_label_values(&[code]);
    }
    for reason in ["unknown-name", "busy", "unavailable", "failed", "timeout"] {
        metrics.handshakes_failed.with_label_values(&[reason]);
    }
}

/// Routes by name in metrics; a configuration may have ten thousand.
const MOST: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Action, HostMatch, PathMatch, PoolId, Route, RouteSettings};

    fn routing(names: &[&str]) -> Routing {
        let route = |name: &&str| {
            Arc::new(Route {
                name: (*name).into(),
                host: HostMatch::Any,
                path: PathMatch::Any,
                methods: Vec::new(),
                headers: Vec::new(),
                feature: None,
                requires: None,
                gate: None,
                action: Action::Pool(PoolId(0)),
                settings: RouteSettings::default(),
            })
        };
        Routing::new(Vec::new(), names.iter().map(route).collect(), Default::default())
    }

    #[test]
    fn the_series_of_a_route_go_with_it_and_do_not_come_back() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let count = |text: &str| metrics.render().lines().filter(|line| line.contains(text)).count();
        let old = RouteSeries::new(&routing(&["stays", "goes"]), None, &metrics);
        old.count("stays", 2);
        old.count("goes", 2);
        let new = RouteSeries::new(&routing(&["stays", "comes"]), Some(&old), &metrics);
        assert_eq!(count("route=\"goes\""), 1, "nothing has changed yet");
        new.take_over(&old);
        old.count("goes", 2);
        old.count("goes", 5);
        new.count("stays", 2);
        assert_eq!((count("route=\"goes\""), count("route=\"comes\"")), (0, 0));
        assert_eq!(count("tenantry_route_requests_total{route=\"stays\",status=\"2xx\"} 2"), 1);
    }

    #[test]
    fn every_code_of_a_refusal_is_shown_from_the_start() {
        let source = include_str!("rejection.rs");
        let codes = source.split("pub fn code(").nth(1).unwrap().split("pub fn title(").next().unwrap();
        let said: std::collections::BTreeSet<_> =
            codes.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(said, Rejection::CODES.iter().copied().collect());
        let metrics = Metrics::new().unwrap();
        show_all(&metrics);
        assert!(metrics.render().contains("tenantry_refusals_total{code=\"upstream-timeout\"} 0"));
    }

    #[test]
    fn routes_beyond_the_first_thousand_are_counted_together_and_names_do_not_add_up_over_reloads() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let mut before: Option<RouteSeries> = None;
        for round in 0..3 {
            let names: Vec<String> = (0..1_002).map(|n| format!("r{round}-{n}")).collect();
            let now = routing(&names.iter().map(String::as_str).collect::<Vec<_>>());
            let now = RouteSeries::new(&now, before.as_ref(), &metrics);
            if let Some(before) = &before {
                now.take_over(before);
            }
            names.iter().for_each(|name| now.count(name, class_of(204)));
            before = Some(now);
        }
        let text = metrics.render();
        assert_eq!(text.lines().filter(|line| line.starts_with("tenantry_route_requests_total{")).count(), 1_001);
        assert!(text.contains("{route=\"_other\",status=\"2xx\"} 6"), "{text}");
        assert_eq!([0, 101, 200, 599, 999].map(class_of), [0, 1, 2, 5, 0]);
    }
}
