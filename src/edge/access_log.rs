//! One line and one count per request, whatever became of it. Query strings and header values are never logged: they
//! carry tokens.

use http::Version;
use tracing::Level;

use super::context::RequestContext;
use super::rejection::{Fault, Rejection};
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

/// Writes the access line (unless `log.access` is off) and counts the request.
pub fn record(ctx: &RequestContext, outcome: &Outcome, metrics: &Metrics) {
    let status = match outcome {
        Outcome::Ended { status, .. } => *status,
        Outcome::CutOff => ctx.upstream.answered.map_or(0, |(_, status)| status),
    };
    let fault = fault_of(ctx, status, outcome);
    metrics.requests.with_label_values(&[class_of(status), fault.as_str()]).inc();
    metrics.request_seconds.observe(ctx.started.elapsed().as_secs_f64());
    if let Some(rejection) = &ctx.rejection {
        metrics.refusals.with_label_values(&[rejection.code()]).inc();
    }
    if let Some((view, _)) = &ctx.tenant {
        let sent = match outcome {
            Outcome::Ended { body_bytes, .. } => *body_bytes as u64,
            Outcome::CutOff => ctx.body.sent,
        };
        let refusal = ctx.rejection.as_ref();
        view.meter().count(Ended {
            status,
            received: ctx.body.received,
            sent,
            refused: refusal.is_some(),
            limited: refusal.and_then(Rejection::limit),
        });
    }
    if ctx.live.config.log.access {
        write_line(ctx, outcome, status, fault);
    }
}

fn write_line(ctx: &RequestContext, outcome: &Outcome, status: u16, fault: Fault) {
    let asked = ctx.asked.as_ref();
    let tenant = ctx.tenant.as_ref();
    let tls = ctx.connection.as_ref().and_then(|connection| connection.tls.as_ref());
    tracing::event!(
        target: "access",
        Level::INFO,
        request.id = ctx.request_id(),
        client.address = ctx.origin.as_ref().map(|origin| tracing::field::display(origin.client)),
        tenant.slug = tenant.map(|(view, _)| view.tenant.slug.as_str()),
        tenant.via = tenant.map(|(_, via)| via.as_str()),
        http.host = ctx.host.as_ref().map(|host| host.as_str()),
        http.method = asked.map(|asked| asked.method.as_str()),
        http.path = asked.map(|asked| asked.target.path()),
        http.protocol = asked.map(|asked| protocol(asked.version)),
        http.status = status,
        cut_off = matches!(outcome, Outcome::CutOff).then_some(true),
        fault = fault.as_str(),
        refusal = ctx.rejection.as_ref().map(|rejection| rejection.code()),
        route = ctx.route().map(|route| &*route.name).or(ctx.policy),
        upstream.address = ctx.upstream.address.map(tracing::field::display),
        upstream.tries = ctx.upstream.tries,
        upstream.head_us = ctx.upstream.answered.map(|(at, _)| at.duration_since(ctx.started).as_micros() as u64),
        duration_us = ctx.started.elapsed().as_micros() as u64,
        request.body_bytes = ctx.body.received,
        response.body_bytes = match outcome {
            Outcome::Ended { body_bytes, .. } => Some(*body_bytes),
            Outcome::CutOff => None,
        },
        tls.version = tls.map(|tls| tls.version.as_str()),
        tls.resumed = tls.map(|tls| tls.resumed),
    );
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

fn class_of(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "none",
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "h2",
        Version::HTTP_10 => "http/1.0",
        _ => "http/1.1",
    }
}
