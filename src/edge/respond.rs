//! The one place where a refusal becomes a response, and where the edge's own answers are written.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
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
    let mut head = ResponseHeader::build(answer.status, Some(answer.headers.len() + 2))?;
    for (name, value) in answer.headers {
        head.insert_header(name, value)?;
    }
    head.insert_header(X_REQUEST_ID, ctx.request_id())?;
    if let Some(quota) = &ctx.quota {
        quota.announce(&mut head)?;
    }
    say_readers(&mut head, ctx)?;
    leave_unread(session, ctx);
    write(session, head, answer.body).await
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
    let mut head = ResponseHeader::build(rejection.status(), Some(8))?;
    head.insert_header(header::CONTENT_TYPE, HeaderValue::from_static(body.media_type))?;
    head.insert_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
    head.insert_header(header::VARY, HeaderValue::from_static("accept"))?;
    head.insert_header(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))?;
    head.insert_header(header::CONTENT_SECURITY_POLICY, &*body.policy)?;
    head.insert_header(X_REQUEST_ID, request_id)?;
    say_readers(&mut head, ctx)?;
    if let Some(after) = rejection.retry_after() {
        head.insert_header(header::RETRY_AFTER, after.as_secs())?;
    }
    if let Some(quota) = &ctx.quota {
        quota.announce(&mut head)?;
    }
    let class = ctx.host.as_ref().map(|host| config.brand.classify(host));
    let own = OwnPath::of(session.req_header().uri.path(), class.as_ref(), &config.brand);
    if matches!(rejection, Rejection::MethodNotAllowed) {
        let allowed = if own.is_some() { "GET, HEAD" } else { "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" };
        head.insert_header(header::ALLOW, HeaderValue::from_static(allowed))?;
    }
    if matches!(own, Some(OwnPath::ByHost(_))) {
        // A front end on another origin has to be able to read the no as well.
        head.insert_header(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))?;
    }
    write(session, head, body.text.into()).await
}

/// A trailers-only answer: gRPC clients read no pages
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
async fn write_grpc(session: &mut Session, ctx: &RequestContext, rejection: &Rejection) -> Result<()> {
    let mut head = ResponseHeader::build(StatusCode::OK, Some(6))?;
    head.insert_header(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"))?;
    head.insert_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
    head.insert_header("grpc-status", u16::from(rejection.grpc_status()))?;
    head.insert_header("grpc-message", rejection.code())?;
    if !session.is_http2() {
        // gRPC-Web: without a length, only the end of the connection would end the answer.
        head.insert_header(header::CONTENT_LENGTH, 0)?;
    }
    if let Some(quota) = &ctx.quota {
        quota.announce(&mut head)?;
    }
    head.insert_header(X_REQUEST_ID, ctx.request_id())?;
    say_readers(&mut head, ctx)?;
    session.write_response_header(Box::new(head), true).await
}

/// Front ends of the tenant's read refusals as well.
fn say_readers(head: &mut ResponseHeader, ctx: &RequestContext) -> Result<()> {
    ctx.readers.as_ref().map_or(Ok(()), |readers| cors::apply(head, readers))
}

async fn write(session: &mut Session, mut head: ResponseHeader, body: Bytes) -> Result<()> {
    // HEAD gets the length that GET would have, and no body; 204 has none to give (RFC 9110 §8.6).
    if head.status != StatusCode::NO_CONTENT {
        head.insert_header(header::CONTENT_LENGTH, body.len())?;
    }
    let bodyless = session.req_header().method == http::Method::HEAD || body.is_empty();
    session.write_response_header(Box::new(head), bodyless).await?;
    if bodyless {
        return session.as_mut().finish_body().await;
    }
    session.write_response_body(Some(body), true).await
}
