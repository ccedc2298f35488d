//! The seam to pingora: its hooks call our steps, and nothing is decided here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::header::TRANSFER_ENCODING;
use http::{StatusCode, Version};
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::ServerSession as HttpSession;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use tracing::debug;

use super::access_log::Outcome;
use super::compression;
use super::connection::{Connection, Visitor};
use super::context::{Asked, RequestContext};
use super::cors::Readers;
use super::failure::of_error;
use super::fields;
use super::headers::{self, Contract, Identity};
use super::limits;
use super::live::Live;
use super::patient;
use super::pipeline::{Edge, Step};
use super::rejection::{Fault, Rejection};
use super::respond;
use super::response;
use super::route;
use super::spans::Try;
use super::upstream::{self, BUSY, NoBackend, Pool};
use crate::config::Route;
use crate::directory::Via;
use crate::traces::new_span;

/// The application that pingora runs.
pub struct Proxy {
    pub edge: Arc<Edge>,
    pub live: Arc<ArcSwap<Live>>,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = RequestContext;

    fn new_ctx(&self) -> RequestContext {
        RequestContext::new(self.live.load_full(), Arc::clone(&self.edge.metrics))
    }

    /// Our own compression, in the place of pingora's, which knows no weights and does not end what it codes with brotli.
    fn init_downstream_modules(&self, modules: &mut pingora_core::modules::http::HttpModules) {
        modules.add_module(compression::Builder::boxed(&self.edge.metrics));
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<bool> {
        self.meet(session, ctx);
        match self.edge.admit(session.req_header(), ctx).await {
            Ok(Step::Forward(permit)) => {
                ctx.permit = Some(permit);
                let limit = ctx.body_limit();
                if let Some(limit) = limit.filter(|limit| announced_length(session) > *limit) {
                    respond::refuse(session, ctx, Rejection::BodyTooLarge { limit }).await?;
                    return Ok(true);
                }
                Ok(false)
            }
            Ok(Step::Answer(answer)) => respond::answer(session, ctx, answer).await.map(|()| true),
            Err(rejection) => respond::refuse(session, ctx, rejection).await.map(|()| true),
        }
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        ctx.body.received += body.as_ref().map_or(0, |chunk| chunk.len() as u64);
        if end_of_stream {
            ctx.end_body();
        }
        match ctx.body_limit() {
            // What goes through a tunnel is no body.
            Some(limit) if ctx.body.received > limit && !session.was_upgraded() => {
                return Error::e_explain(ErrorType::HTTPStatus(413), "body too large");
            }
            _ => {}
        }
        if !end_of_stream && is_overdue(session, ctx) {
            // The time is the backend's, but it is the client that has not said all yet.
            return Err(overdue().into_down());
        }
        Ok(())
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<Box<HttpPeer>> {
        let nothing = || Error::explain(ErrorType::HTTPStatus(503), "no backend");
        let permit = ctx.permit.as_ref().ok_or_else(|| Error::explain(ErrorType::InternalError, "no permit"))?;
        let pool = ctx.live.pools.get(permit.pool()).ok_or_else(nothing)?;
        let client = ctx.origin.as_ref().map(|origin| origin.client);
        // The try before, if there was one, is over.
        ctx.upstream.lease = None;
        let (mut peer, lease) = pool.choose(permit, client, ctx.upstream.avoid).map_err(|why| match why {
            NoBackend::Unavailable => nothing(),
            NoBackend::Busy => Error::explain(ErrorType::CustomCode(BUSY, 503), "too many wait"),
        })?;
        let address = lease.address();
        ctx.upstream.lease = Some(lease);
        override_timeouts(&mut peer, permit.route());
        if is_websocket(session) {
            if !pool.h1 {
                // An HTTP/2 backend has no `Upgrade` (RFC 9113 §8.6), and extended CONNECT is not spoken.
                return Error::e_explain(ErrorType::HTTPStatus(502), "no WebSocket over h2c");
            }
            let answer = peer.options.read_timeout.take();
            // A WebSocket may be silent for as long as both sides like, once the backend has agreed to it.
            peer.options.set_http_version(1, 1);
            ctx.upstream.tunnel = Some(patient::expect_upgrade(&mut peer, pool.connect_timeout, answer));
        } else if let Some(total) = total_timeout(ctx) {
            let left = total.saturating_sub(ctx.started.elapsed()).max(Duration::from_millis(1));
            let within_total = |timeout: &mut Option<Duration>| *timeout = timeout.map(|timeout| timeout.min(left));
            within_total(&mut peer.options.total_connection_timeout);
            within_total(&mut peer.options.read_timeout);
        }
        ctx.upstream.tries += 1;
        ctx.upstream.address = Some(address);
        let (began, span) = (Instant::now(), new_span());
        ctx.upstream.begun.get_or_insert(began);
        ctx.upstream.span = span;
        if ctx.tracer.is_some() {
            ctx.upstream.traced.push(Try { span, began, address: upstream::address(&peer) });
        }
        Ok(Box::new(peer))
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _fd: std::os::unix::io::RawFd,
        _digest: Option<&Digest>,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        ctx.upstream.reused = reused;
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        route::to_origin_form(request)?;
        if let Some(route) = ctx.route() {
            route::edit_request(request, route)?;
        }
        if headers::is_grpc(&request.headers) && pool_of(ctx).is_some_and(|pool| pool.h2) {
            // pingora drops it as a hop-by-hop header; gRPC servers insist on it.
            request.insert_header(http::header::TE, "trailers")?;
        }
        self.sign_contract(request, ctx)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        if response.status == StatusCode::SWITCHING_PROTOCOLS && !is_websocket(session) {
            // pingora refuses it too, but loses the refusal when the backend hangs up at the same time.
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, "101 for no upgrade").into_up());
        }
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            become_tunnel(ctx)?;
        }
        let interim = response.status.is_informational();
        if !interim {
            ctx.upstream.answered.get_or_insert_with(|| (Instant::now(), response.status.as_u16()));
        }
        if let Some(lease) =
            ctx.upstream.lease.as_mut().filter(|_| !interim || response.status == StatusCode::SWITCHING_PROTOCOLS)
        {
            lease.answered();
        }
        ctx.upstream.endless |= response::is_endless(response);
        // Of course the body is still to come when the backend says `100 Continue`: no reason to close the connection.
        session.as_mut().set_close_on_response_before_downstream_finish(!interim);
        // An HTTP/1.0 client knows no chunks, which pingora adds where no length is known: the connection's end is the
        // answer's (RFC 9112 §6.1).
        if session.req_header().version == Version::HTTP_10 && response.remove_header(&TRANSFER_ENCODING).is_some() {
            session.set_keepalive(None);
        }
        response::check(response)?;
        response::clean(response, ctx, &self.edge.metrics)?;
        if !interim && ctx.route().is_none_or(|route| route.settings.compress) {
            let shared = ctx.readers.as_ref().is_some_and(Readers::is_shared);
            let plan = compression::plan(&ctx.live.config.compression, session.req_header(), response, shared)?;
            compression::set_plan(session, plan);
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        _end_of_stream: bool,
        ctx: &mut RequestContext,
    ) -> Result<Option<Duration>> {
        ctx.body.sent += body.as_ref().map_or(0, |chunk| chunk.len() as u64);
        if is_overdue(session, ctx) { Err(overdue().into_up()) } else { Ok(None) }
    }

    /// Nothing has been sent yet, so any request may be tried again: once, elsewhere if there is an elsewhere.
    fn fail_to_connect(
        &self,
        _session: &mut Session,
        peer: &HttpPeer,
        ctx: &mut RequestContext,
        mut error: Box<Error>,
    ) -> Box<Error> {
        fail_lease(ctx, &error);
        let again = ctx.upstream.tries < ctx.most_tries() && has_another(ctx, peer);
        set_retry(&mut error, again, peer, ctx);
        error
    }

    /// Something may have been sent: only a request that is safe to repeat, whose body is still at hand and of whose
    /// answer nothing has gone out, is tried again.
    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut RequestContext,
        client_reused: bool,
    ) -> Box<Error> {
        let mut error = error.more_context(format!("Peer: {peer}"));
        let safe = session.req_header().method.is_idempotent()
            && !session.as_ref().retry_buffer_truncated()
            && session.response_written().is_none()
            && *error.esource() == ErrorSource::Upstream
            && !matches!(error.etype(), ErrorType::ReadTimedout | ErrorType::WriteTimedout);
        // A backend may close a connection that rests at the moment that it is used again: that is no failure of its.
        let stale = client_reused && *error.etype() == ErrorType::ConnectionClosed;
        if *error.esource() == ErrorSource::Upstream && !stale {
            fail_lease(ctx, &error);
        }
        let elsewhere = client_reused || has_another(ctx, peer);
        let again = safe && elsewhere && ctx.upstream.tries < ctx.most_tries();
        set_retry(&mut error, again, peer, ctx);
        error
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut RequestContext) -> FailToProxy {
        debug!(error = %error, request.id = ctx.request_id(), "request.failed");
        let rejection = of_error(error, ctx);
        let said = session.response_written().map(|response| response.status);
        if said.is_some_and(|status| !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS) {
            // Too late to say anything: the connection ends, and the client sees an answer cut short. Of a tunnel it
            // would be read as data.
            ctx.rejection = rejection.filter(|rejection| rejection.fault() == Fault::Upstream);
            return FailToProxy { error_code: 0, can_reuse_downstream: false };
        }
        let Some(rejection) = rejection else {
            return FailToProxy { error_code: 0, can_reuse_downstream: false };
        };
        let code = rejection.status().as_u16();
        session.set_keepalive(None);
        if let Err(error) = respond::refuse(session, ctx, rejection).await {
            debug!(error = %error, "refusal.not_written");
        }
        FailToProxy { error_code: code, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut RequestContext) {
        if let Some(mut lease) = ctx.upstream.lease.take()
            && error.is_none()
        {
            lease.succeeded();
        }
        ctx.log(&Outcome::Ended {
            status: session.response_written().map_or(0, |response| response.status.as_u16()),
            body_bytes: session.body_bytes_sent(),
            failed: error.is_some(),
        });
        if let Some(connection) = &ctx.connection
            && session.as_http1().is_some()
        {
            // A connection that was made for one tenant's host stays that tenant's; any other (a trusted proxy's, or to
            // the main site) may carry another tenant's request next, which must not suffer for this one.
            if connection.sni.as_ref().is_none_or(|sni| *sni == ctx.live.config.brand.base) {
                connection.forget_tenants();
            }
            connection.request_done();
        }
        if error.is_some() && ctx.refused {
            end_in_good_order(session).await;
        }
    }

    /// The access line says what failed and whose fault it was.
    fn suppress_error_log(&self, _session: &Session, _ctx: &RequestContext, _error: &Error) -> bool {
        true
    }

    /// The same goes for a try that failed and was repeated: the line has the tries, metrics the pool's retries.
    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _ctx: &RequestContext,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }

    /// What pingora's own lines say of a request: never its target, whose query carries tokens, nor its host.
    fn request_summary(&self, _session: &Session, ctx: &RequestContext) -> String {
        ctx.request_id().to_owned()
    }
}

impl Proxy {
    /// Gets to know the connection, and sets what pingora times by itself.
    fn meet(&self, session: &mut Session, ctx: &mut RequestContext) {
        ctx.connection = session.digest().and_then(Connection::of).cloned();
        fields::forget_spelling(session.req_header_mut());
        let request = session.req_header();
        let (method, target, version) = (request.method.clone(), request.uri.clone(), request.version);
        ctx.asked = Some(Asked { method, target, version });
        let limits = &ctx.live.config.limits;
        if session.is_http2() {
            if let (false, Some(connection)) = (session.as_mut().is_body_done(), &ctx.connection) {
                connection.body_started();
                ctx.body.awaited = true;
            }
        } else {
            let tunnel = is_websocket(session);
            session.set_read_timeout((!tunnel).then_some(limits.body_timeout));
        }
        session.set_write_timeout(Some(limits.body_timeout));
    }

    fn sign_contract(&self, request: &mut RequestHeader, ctx: &RequestContext) -> Result<()> {
        let missing = || Error::explain(ErrorType::InternalError, "the request lost its way");
        let (Some(origin), Some(host), Some(connection), Some(permit)) =
            (&ctx.origin, &ctx.host, &ctx.connection, &ctx.permit)
        else {
            return Err(missing());
        };
        let pool = ctx.live.pools.get(permit.pool()).ok_or_else(missing)?;
        let tenant = match permit.tenant() {
            None => None,
            Some((view, via)) => {
                let assertion = self.edge.assertions.header(view, &pool.name, host, &connection.assertion);
                let assertion =
                    assertion.ok_or_else(|| Error::explain(ErrorType::HTTPStatus(500), "no signing key"))?;
                Some(Identity { view, via, assertion })
            }
        };
        headers::apply(
            request,
            &Contract {
                origin,
                peer: connection.client.ip(),
                host,
                port: connection.listener.public_port,
                tenant,
                span: ctx.upstream.span,
                host_header: pool.host_header.as_ref(),
                lasting: &connection.told,
                session_cookie: ctx.live.config.tenancy.session_cookie.as_deref(),
            },
        )
    }
}

/// Asks for another try where one is of use and the pool's retry budget allows it.
fn set_retry(error: &mut Error, again: bool, peer: &HttpPeer, ctx: &mut RequestContext) {
    let again = again && pool_of(ctx).is_some_and(Pool::may_retry);
    error.set_retry(again);
    if again {
        ctx.upstream.avoid = upstream::address(peer);
    }
}

/// The backend did not do its part.
fn fail_lease(ctx: &mut RequestContext, error: &Error) {
    if let Some(lease) = &mut ctx.upstream.lease {
        lease.failed(error.etype().as_str());
    }
}

fn has_another(ctx: &RequestContext, peer: &HttpPeer) -> bool {
    pool_of(ctx).is_some_and(|pool| pool.has_another(upstream::address(peer)))
}

/// What the route says counts before what its pool says.
fn override_timeouts(peer: &mut HttpPeer, route: &Route) {
    if let Some(timeout) = route.settings.connect_timeout {
        peer.options.connection_timeout = Some(timeout);
        peer.options.total_connection_timeout = Some(timeout);
    }
    if let Some(timeout) = route.settings.read_timeout {
        peer.options.read_timeout = Some(timeout);
    }
}

fn total_timeout(ctx: &RequestContext) -> Option<Duration> {
    let route = ctx.route().and_then(|route| route.settings.total_timeout);
    route.or_else(|| pool_of(ctx)?.total_timeout)
}

/// Past its total timeout. It is looked at whenever some of the request or of its answer passes; while nothing does, a
/// try's read timeout counts, which is no longer than what was left of the total when the try began.
fn is_overdue(session: &Session, ctx: &RequestContext) -> bool {
    total_timeout(ctx).is_some_and(|total| ctx.started.elapsed() > total) && !session.was_upgraded()
}

fn overdue() -> Box<Error> {
    Error::explain(ErrorType::ReadTimedout, "the total timeout has passed")
}

fn pool_of(ctx: &RequestContext) -> Option<&Pool> {
    ctx.live.pools.get(ctx.permit.as_ref()?.pool())
}

/// After a failure pingora drops the connection as it stands, which resets a client that is still sending before it has
/// read its refusal.
async fn end_in_good_order(session: &mut Session) {
    if let HttpSession::H1(h1) = session.as_mut()
        && h1.finish_body().await.is_ok()
    {
        h1.shutdown().await;
    }
}

/// The backend has agreed to a WebSocket.
fn become_tunnel(ctx: &mut RequestContext) -> Result<()> {
    limits::upgrade(ctx).map_err(|_| Error::explain(ErrorType::HTTPStatus(429), "no place for a WebSocket"))?;
    if let Some(tunnel) = &ctx.upstream.tunnel {
        tunnel.opened();
    }
    if let (Some(connection), Some(origin)) = (&ctx.connection, &ctx.origin) {
        let at_home = ctx.tenant.as_ref().is_some_and(|(_, via)| *via != Via::Session);
        connection.note_visitor(Visitor { address: origin.client, at_home });
    }
    Ok(())
}

fn is_websocket(session: &Session) -> bool {
    limits::is_websocket(session.req_header())
}

fn announced_length(session: &Session) -> u64 {
    let length = session.req_header().headers.get(http::header::CONTENT_LENGTH);
    length.and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0)
}
