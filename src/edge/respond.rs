//! The one place where a refusal becomes a response, and where the edge's own answers are written.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use pingora_error::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::answer::{Answer, OwnPath};
use super::compression;
use super::context::RequestContext;
use super::cors;
use super::forwarded::X_REQUEST_ID;
use super::headers::is_grpc;
use super::page;
use super::rejection::Rejection;
use super::value::value;

/// Writes the answer to a refused request.
pub async fn refuse(session: &mut Session, ctx: &mut RequestContext, rejection: Rejection) -> Result<()> {
    if rejection.closes() {
        session.set_keepalive(None);
    }
    leave_unread(session, ctx);
    let result = if is_grpc(&session.req_header().headers) {
        write_grpc(session, ctx, &rejection).await
    } else {
        write_page(session, ctx, &rejection).await
    };
    ctx.rejection = Some(rejection);
    ctx.refused = result.is_ok();
    result
}

/// Writes an answer of the edge's own.
pub async fn answer(session: &mut Session, ctx: &RequestContext, answer: Answer) -> Result<()> {
    let mut headers = HeaderMap::with_capacity(answer.headers.len() + 4);
    for (name, value) in answer.headers {
        headers.insert(name, value);
    }
    add_usual(&mut headers, ctx)?;
    leave_unread(session, ctx);
    write(session, answer.status, headers, answer.body).await
}

/// A body that nobody will read is not drained to its end, which could be never: the connection closes after the
/// answer, and lingers so that it arrives.
fn leave_unread(session: &mut Session, ctx: &RequestContext) {
    compression::set_plan(session, None);
    if session.as_mut().is_body_done() {
        return;
    }
    session.set_keepalive(None);
    if let Some(connection) = &ctx.connection {
        connection.linger();
    }
}

async fn write_page(session: &mut Session, ctx: &RequestContext, rejection: &Rejection) -> Result<()> {
    let config = &ctx.live.config;
    let view = ctx.tenant.as_ref().map(|(view, _)| &**view);
    let request_id = ctx.request_id();
    let body = page::body(rejection, &session.req_header().headers, view, &config.brand, request_id);
    let mut headers = HeaderMap::with_capacity(16);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(body.media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, value(format_args!("{}", body.policy))?);
    add_usual(&mut headers, ctx)?;
    if let Some(after) = rejection.retry_after() {
        headers.insert(header::RETRY_AFTER, after.as_secs().into());
    }
    let class = ctx.host.as_ref().map(|host| config.brand.classify(host));
    let own = OwnPath::of(session.req_header().uri.path(), class.as_ref(), &config.brand);
    if matches!(rejection, Rejection::MethodNotAllowed) {
        let allowed = if own.is_some() { "GET, HEAD" } else { "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" };
        headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
    }
    if matches!(own, Some(OwnPath::ByHost(_))) {
        // A front end on another origin has to be able to read the no as well.
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    write(session, rejection.status(), headers, body.text.into()).await
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// A trailers-only answer: gRPC clients read no pages
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
async fn write_grpc(session: &mut Session, ctx: &RequestContext, rejection: &Rejection) -> Result<()> {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(GRPC_STATUS, u16::from(rejection.grpc_status()).into());
    headers.insert(GRPC_MESSAGE, HeaderValue::from_static(rejection.code()));
    if !session.is_http2() {
        // gRPC-Web: without a length, only the end of the connection would end the answer.
        headers.insert(header::CONTENT_LENGTH, 0.into());
    }
    add_usual(&mut headers, ctx)?;
    session.write_response_header(head(StatusCode::OK, headers), true).await
}

/// What every answer of the edge's own says besides. Front ends of the tenant's read refusals as well.
fn add_usual(headers: &mut HeaderMap, ctx: &RequestContext) -> Result<()> {
    headers.insert(X_REQUEST_ID, value(format_args!("{}", ctx.request_id()))?);
    if let Some(quota) = &ctx.quota {
        quota.announce(headers)?;
    }
    if let Some(readers) = &ctx.readers {
        cors::apply(headers, readers);
    }
    Ok(())
}

fn head(status: StatusCode, headers: HeaderMap) -> Box<ResponseHeader> {
    let (mut parts, ()) = Response::new(()).into_parts();
    (parts.status, parts.headers) = (status, headers);
    Box::new(parts.into())
}

async fn write(session: &mut Session, status: StatusCode, mut headers: HeaderMap, body: Bytes) -> Result<()> {
    // HEAD gets the length that GET would have, and no body; 204 has none to give (RFC 9110 §8.6).
    if status != StatusCode::NO_CONTENT {
        headers.insert(header::CONTENT_LENGTH, body.len().into());
    }
    let bodyless = session.req_header().method == http::Method::HEAD || body.is_empty();
    session.write_response_header(head(status, headers), bodyless).await?;
    if bodyless {
        return session.as_mut().finish_body().await;
    }
    session.write_response_body(Some(body), true).await
}
