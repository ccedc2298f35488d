//! What a sampled request's spans say, by OpenTelemetry's semantic conventions for HTTP
//! (<https://opentelemetry.io/docs/specs/semconv/http/http-spans/>): one of the edge's own, and beneath it one for each
//! try at a backend. Nothing is said here that the log would not say.

use std::net::SocketAddr;
use std::time::Instant;

use http::Version;

use super::context::RequestContext;
use super::redaction;
use super::rejection::Fault;
use crate::traces::{Span, SpanKind, Tracer, Value};

/// A try at a backend.
pub struct Try {
    pub span: u64,
    pub began: Instant,
    pub address: Option<SocketAddr>,
}

/// Tells of a request that has ended.
pub fn tell(tracer: &Tracer, ctx: &RequestContext, status: u16, fault: Fault) {
    let Some(trace) = ctx.origin.as_ref().and_then(|origin| origin.trace) else { return };
    let tries = &ctx.upstream.traced;
    for (index, this) in tries.iter().enumerate() {
        let next = tries.get(index + 1);
        let answered = ctx.upstream.answered.filter(|_| next.is_none());
        let ended = next.map(|next| next.began.elapsed()).unwrap_or_default();
        let mut attributes = vec![("http.request.resend_count", Value::Number(index as i64))];
        attributes.extend(method(ctx));
        if let Some(address) = this.address {
            attributes.push(("server.address", Value::Text(address.ip().to_string())));
            attributes.push(("server.port", Value::Number(i64::from(address.port()))));
        }
        if let Some((_, status)) = answered {
            attributes.push(("http.response.status_code", Value::Number(i64::from(status))));
        }
        tracer.tell(Span {
            trace: trace.trace,
            id: this.span,
            parent: Some(trace.span),
            kind: SpanKind::Client,
            name: ctx.asked.as_ref().map_or("HTTP", |asked| asked.method.as_str()).to_owned(),
            began: this.began.elapsed(),
            ended,
            attributes,
            // A client sees any 4xx as a failure, too.
            failed: answered.is_none_or(|(_, status)| status >= 400),
        });
    }
    tracer.tell(Span {
        trace: trace.trace,
        id: trace.span,
        parent: trace.parent,
        kind: SpanKind::Server,
        name: name(ctx),
        began: ctx.started.elapsed(),
        ended: std::time::Duration::ZERO,
        attributes: attributes(ctx, status, fault),
        failed: status >= 500 || status == 0,
    });
}

/// Method and route, both of few kinds.
fn name(ctx: &RequestContext) -> String {
    let method = ctx.asked.as_ref().map_or("HTTP", |asked| asked.method.as_str());
    match ctx.route() {
        Some(route) => format!("{method} {}", route.name),
        None => method.to_owned(),
    }
}

fn method(ctx: &RequestContext) -> Option<(&'static str, Value)> {
    let asked = ctx.asked.as_ref()?;
    Some(("http.request.method", Value::Text(asked.method.to_string())))
}

fn attributes(ctx: &RequestContext, status: u16, fault: Fault) -> Vec<(&'static str, Value)> {
    let text = |text: &str| Value::Text(text.to_owned());
    let log = &ctx.live.config.log;
    let mut all: Vec<_> = method(ctx).into_iter().collect();
    if let Some(asked) = &ctx.asked {
        all.push(("url.path", text(&redaction::path(log, &asked.target))));
        all.extend(redaction::query(log, &asked.target).map(|query| ("url.query", Value::Text(query))));
        let version = match asked.version {
            Version::HTTP_2 => "2",
            Version::HTTP_10 => "1.0",
            _ => "1.1",
        };
        all.push(("network.protocol.version", text(version)));
    }
    if let Some(origin) = &ctx.origin {
        all.push(("url.scheme", text(if origin.https { "https" } else { "http" })));
        all.push(("client.address", Value::Text(origin.client.to_string())));
        all.push(("tenantry.request_id", text(&origin.request_id)));
    }
    all.extend(ctx.host.as_ref().map(|host| ("server.address", text(host.as_str()))));
    if status != 0 {
        all.push(("http.response.status_code", Value::Number(i64::from(status))));
    }
    if status >= 500 {
        all.push(("error.type", Value::Text(status.to_string())));
    }
    all.extend(ctx.tenant.as_ref().map(|(view, _)| ("tenantry.tenant", text(view.tenant.slug.as_str()))));
    all.extend(ctx.route().map(|route| ("tenantry.route", text(&route.name))));
    all.extend(ctx.pool_name().map(|pool| ("tenantry.pool", text(pool))));
    all.extend(ctx.rejection.as_ref().map(|rejection| ("tenantry.refusal", text(rejection.code()))));
    all.push(("tenantry.fault", text(fault.as_str())));
    if let Some(tls) = ctx.connection.as_ref().and_then(|connection| connection.tls.as_ref()) {
        all.push(("tls.protocol.version", text(tls.version.as_str().trim_start_matches("TLSv"))));
        all.push(("tls.resumed", Value::Flag(tls.resumed)));
    }
    all
}
