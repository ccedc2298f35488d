//! One line and one count per request, whatever became of it. Header values are never logged, and of the target only
//! what `redaction` lets through: they carry tokens.

use std::borrow::Cow;
use std::time::Duration;

use foldhash::fast::FixedState;
use std::hash::BuildHasher;

use tracing::Level;

use super::context::RequestContext;
use super::redaction;
use super::rejection::{Fault, Rejection};
use super::series::{PROTOCOLS, class_of, protocol_of};
use crate::config::Log;
use crate::metrics::Metrics;
use crate::traffic::Ended;

/// How a request ended.
#[derive(Debug)]
pub enum Outcome {
    Ended {
        /// 0: nothing was answered.
        status: u16,
        body_bytes: usize,
        failed: bool,
    },
    /// Dropped with its connection: the client left, or the connection was closed under it.
    CutOff,
}

/// What was answered, and whose fault it was.
pub fn verdict(ctx: &RequestContext, outcome: &Outcome) -> (u16, Fault) {
    let status = match outcome {
        Outcome::Ended { status, .. } => *status,
        Outcome::CutOff => ctx.upstream.answered.map_or(0, |(_, status)| status),
    };
    (status, fault_of(ctx, status, outcome))
}

/// Writes the access line (unless `log.access` is off) and counts the request.
pub fn record(ctx: &RequestContext, outcome: &Outcome, metrics: &Metrics) {
    let (status, fault) = verdict(ctx, outcome);
    let times = Times::of(ctx);
    let sent = match outcome {
        Outcome::Ended { body_bytes, .. } => *body_bytes as u64,
        Outcome::CutOff => ctx.body.sent,
    };
    count(ctx, metrics, (status, fault), &times, sent);
    if let Some((view, _)) = &ctx.tenant {
        let refusal = ctx.rejection.as_ref();
        view.meter().count(Ended {
            status,
            received: ctx.body.received,
            sent,
            refused: refusal.is_some(),
            limited: refusal.and_then(Rejection::limit),
        });
    }
    let path = ctx.asked.as_ref().map(|asked| asked.target.path());
    let failed = fault != Fault::None || status >= 400;
    if is_wanted(&ctx.live.config.log, path, ctx.request_id(), failed) {
        write_line(ctx, outcome, (status, fault), &times, sent);
    }
}

/// Where a request's time went. What is left of the total went into passing the answer's body on.
struct Times {
    total: Duration,
    /// Until it was given to a backend, or answered without one.
    edge: Duration,
    /// From then until the head of a backend's answer, or until it was given up.
    upstream: Option<Duration>,
}

impl Times {
    fn of(ctx: &RequestContext) -> Self {
        let total = ctx.started.elapsed();
        let Some(begun) = ctx.upstream.begun else { return Self { total, edge: total, upstream: None } };
        let edge = begun.duration_since(ctx.started);
        let answered = ctx.upstream.answered.map(|(at, _)| at.duration_since(begun));
        Self { total, edge, upstream: Some(answered.unwrap_or_else(|| total.saturating_sub(edge))) }
    }
}

fn count(ctx: &RequestContext, metrics: &Metrics, (status, fault): (u16, Fault), times: &Times, sent: u64) {
    let class = class_of(status);
    ctx.live.routes.count_ended(class, fault, protocol_of(ctx.asked.as_ref().map(|asked| asked.version)));
    if let Some(route) = ctx.route() {
        ctx.live.routes.count(&route.name, class);
    }
    // How long a WebSocket or a stream of events is kept open says nothing of how long visitors wait.
    if !ctx.upstream.endless {
        metrics.request_seconds.observe(times.total.as_secs_f64());
    }
    metrics.edge_seconds.observe(times.edge.as_secs_f64());
    let pool = ctx.permit.as_ref().and_then(|permit| ctx.live.pools.get(permit.pool()));
    if let (Some(time), Some(pool)) = (times.upstream, pool) {
        pool.observe(time);
    }
    metrics.request_bytes.inc_by(ctx.body.received);
    metrics.response_bytes.inc_by(sent);
    if let Some(rejection) = &ctx.rejection {
        metrics.refusals.with_label_values(&[rejection.code()]).inc();
    }
}

/// Whether this request has a line. What failed always has.
fn is_wanted(log: &Log, path: Option<&str>, request_id: &str, failed: bool) -> bool {
    let Some(path) = path.filter(|_| log.access && !failed) else { return log.access };
    match log.sample.iter().find(|rule| is_beneath(path, &rule.path_prefix)) {
        Some(rule) if rule.one_in == 0 => false,
        // By the request's id, so that every hop that has the same rule keeps the same requests.
        Some(rule) => FixedState::with_seed(0).hash_one(request_id).is_multiple_of(u64::from(rule.one_in)),
        None => true,
    }
}

/// A prefix ends where a segment does: `/healthz` is no prefix of `/healthzzz`.
fn is_beneath(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'))
}

fn write_line(ctx: &RequestContext, outcome: &Outcome, (status, fault): (u16, Fault), times: &Times, sent: u64) {
    let asked = ctx.asked.as_ref();
    let tenant = ctx.tenant.as_ref();
    let tls = ctx.connection.as_ref().and_then(|connection| connection.tls.as_ref());
    let log = &ctx.live.config.log;
    let micros = |time: Duration| time.as_micros() as u64;
    tracing::event!(
        target: "access",
        Level::INFO,
        request.id = ctx.request_id(),
        trace.id = ctx.origin.as_ref().and_then(|origin| Some(format!("{:032x}", origin.trace?.trace))),
        client.address = client(ctx).as_deref(),
        tenant.slug = tenant.map(|(view, _)| view.tenant.slug.as_str()),
        tenant.via = tenant.map(|(_, via)| via.as_str()),
        http.host = ctx.host.as_ref().map(|host| host.as_str()),
        http.method = asked.map(|asked| asked.method.as_str()),
        http.path = asked.map(|asked| redaction::path(log, &asked.target)).as_deref(),
        http.query = asked.and_then(|asked| redaction::query(log, &asked.target)).as_deref(),
        http.protocol = asked.map(|asked| PROTOCOLS[protocol_of(Some(asked.version))]),
        http.status = status,
        cut_off = matches!(outcome, Outcome::CutOff).then_some(true),
        fault = fault.as_str(),
        refusal = ctx.rejection.as_ref().map(|rejection| rejection.code()),
        route = ctx.route().map(|route| &*route.name).or(ctx.policy),
        pool = ctx.pool_name(),
        upstream.address = ctx.upstream.address.as_deref(),
        upstream.tries = ctx.upstream.tries,
        upstream.reused = (ctx.upstream.tries > 0).then_some(ctx.upstream.reused),
        duration_us = micros(times.total),
        edge_us = micros(times.edge),
        upstream_us = times.upstream.map(micros),
        request.body_bytes = ctx.body.received,
        response.body_bytes = sent,
        tls.version = tls.map(|tls| tls.version.as_str()),
        tls.resumed = tls.map(|tls| tls.resumed),
        tls.alpn = tls.and_then(|tls| tls.alpn).map(|alpn| std::str::from_utf8(alpn.wire()).unwrap_or_default()),
    );
}

/// The visitor's address. That of a connection's other end is not written anew for each of its requests.
fn client(ctx: &RequestContext) -> Option<Cow<'_, str>> {
    let client = ctx.origin.as_ref()?.client;
    let connection = ctx.connection.as_ref().filter(|connection| connection.client.ip().to_canonical() == client);
    Some(connection.map_or_else(|| client.to_string().into(), |connection| connection.address().into()))
}

fn fault_of(ctx: &RequestContext, status: u16, outcome: &Outcome) -> Fault {
    let closed_by_us = || ctx.connection.as_ref().is_some_and(|connection| connection.closing().is_some());
    match (&ctx.rejection, outcome) {
        (Some(rejection), _) => rejection.fault(),
        // A policy ended it, and that is no failure.
        (None, Outcome::CutOff | Outcome::Ended { failed: true, .. }) if closed_by_us() => Fault::None,
        (None, Outcome::CutOff | Outcome::Ended { failed: true, .. }) => Fault::Client,
        (None, _) if status >= 500 => Fault::Upstream,
        (None, _) if status >= 400 => Fault::Client,
        (None, _) => Fault::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    fn log(lines: &str, tables: &str) -> Log {
        let tenantry = include_str!("../../config/dev/tenantry.toml").replace("[log]", &format!("[log]\n{lines}"));
        let tenantry = format!("{tenantry}\n{tables}");
        let routing = include_str!("../../config/dev/routing.toml");
        let sources = Sources::new(&tenantry, routing, include_str!("../../config/plans.toml"));
        Config::parse(&sources, &|_| None).unwrap_or_else(|faults| panic!("{faults}")).log
    }

    fn lines_of_a_thousand(log: &Log, path: &str, failed: bool) -> usize {
        (0..1000).filter(|id| is_wanted(log, Some(path), &format!("request-{id}"), failed)).count()
    }

    #[test]
    fn the_first_rule_beneath_which_a_path_lies_says_how_many_have_a_line() {
        let rules = [("/healthz", 0), ("/assets/", 10), ("/assets/fonts", 0), ("/all", 1)];
        let rules =
            rules.map(|(prefix, one_in)| format!("[[log.sample]]\npath_prefix = \"{prefix}\"\none_in = {one_in}\n"));
        let log = log("", &rules.concat());
        for path in ["/healthz", "/healthz/live"] {
            assert_eq!(lines_of_a_thousand(&log, path, false), 0, "{path}");
        }
        for path in ["/", "/healthzzz", "/assets", "/all", "/all/of"] {
            assert_eq!(lines_of_a_thousand(&log, path, false), 1000, "{path}");
        }
        for path in ["/assets/a.css", "/assets/fonts/b.woff"] {
            let lines = lines_of_a_thousand(&log, path, false);
            assert!((50..=160).contains(&lines), "one in ten of {path}: {lines}");
        }
        for path in ["/healthz", "/assets/a.css"] {
            assert_eq!(lines_of_a_thousand(&log, path, true), 1000, "what failed always has one: {path}");
        }
        assert!(is_wanted(&log, None, "", false), "a request without a path is worth a look");
    }

    #[test]
    fn without_access_lines_there_are_none() {
        let log = log("access = false", "");
        assert_eq!((lines_of_a_thousand(&log, "/", false), lines_of_a_thousand(&log, "/", true)), (0, 0));
    }
}
