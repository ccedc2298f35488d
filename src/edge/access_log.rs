//! One line and one count per request, whatever became of it. Query strings and header values are never logged: they
//! carry tokens.

use http::Version;
use pingora_proxy::Session;
use tracing::Level;

use super::context::RequestContext;
use super::rejection::Fault;
use crate::metrics::Metrics;

/// Writes the access line (unless `log.access` is off) and counts the request.
pub fn record(session: &Session, ctx: &RequestContext, failed: bool, metrics: &Metrics) {
    let status = session.response_written().map_or(0, |response| response.status.as_u16());
    let fault = fault_of(ctx, status, failed);
    metrics.requests.with_label_values(&[class_of(status), fault.as_str()]).inc();
    metrics.request_seconds.observe(ctx.started.elapsed().as_secs_f64());
    if let Some(rejection) = &ctx.rejection {
        metrics.refusals.with_label_values(&[rejection.code()]).inc();
    }
    if ctx.live.config.log.access {
        write_line(session, ctx, status, fault);
    }
}

fn write_line(session: &Session, ctx: &RequestContext, status: u16, fault: Fault) {
    let request = session.req_header();
    let permit = ctx.permit.as_ref();
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
        http.method = request.method.as_str(),
        http.path = request.uri.path(),
        http.protocol = protocol(request.version),
        http.status = status,
        fault = fault.as_str(),
        refusal = ctx.rejection.as_ref().map(|rejection| rejection.code()),
        route = permit.map(|permit| &**permit.route()),
        upstream.address = ctx.upstream.address.map(tracing::field::display),
        upstream.tries = ctx.upstream.tries,
        upstream.head_us = ctx.upstream.answered.map(|at| at.duration_since(ctx.started).as_micros() as u64),
        duration_us = ctx.started.elapsed().as_micros() as u64,
        request.body_bytes = ctx.body.received,
        response.body_bytes = session.body_bytes_sent(),
        tls.version = tls.map(|tls| tls.version.as_str()),
        tls.resumed = tls.map(|tls| tls.resumed),
    );
}

fn fault_of(ctx: &RequestContext, status: u16, failed: bool) -> Fault {
    match &ctx.rejection {
        Some(rejection) => rejection.fault(),
        None if failed => Fault::Client,
        None if status >= 500 => Fault::Upstream,
        None if status >= 400 => Fault::Client,
        None => Fault::None,
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
