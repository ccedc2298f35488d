//! A tenant's limits on the way of its requests: who may come, how often, how many at once. What is counted is
//! counted by the tenant's meter; nothing here waits or takes a lock.

use std::fmt;
use std::net::IpAddr;

use http::{HeaderMap, HeaderName, header};
use pingora_http::RequestHeader;

use super::context::RequestContext;
use super::rejection::Rejection;
use super::value::value;
use crate::directory::View;
use crate::model::Rate;
use crate::traffic::{Kind, Level, whole};

/// What is left of a tenant's rate, for the visitor to know.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    rate: Rate,
    level: Level,
}

/// Who may come at all.
pub fn check_access(view: &View, client: IpAddr) -> Result<(), Rejection> {
    match view.effective.edge.access.permits(client.to_canonical()) {
        true => Ok(()),
        false => Err(Rejection::AccessDenied),
    }
}

/// Lets a request in under its tenant's rate and concurrency: its place is given back when the request ends. One that asks
/// for a WebSocket is a request like others until the backend agrees ([`upgrade`]), but it is refused here if there would be
/// no place for its WebSocket. The quota is noted also when it is used up. A rehearsed request takes nothing, and hears what a real one would hear now.
pub fn enter(view: &View, request: &RequestHeader, ctx: &mut RequestContext) -> Result<(), Rejection> {
    let (limits, meter) = (&view.effective.edge.limits, view.meter());
    if let Some(rate) = limits.rate {
        let level = if ctx.rehearsal { meter.level(rate) } else { meter.take(rate) };
        ctx.quota = Some(Quota { rate, level });
        if !level.allowed {
            return Err(Rejection::TenantRateLimited { retry_after: level.retry_after() });
        }
    }
    if is_websocket(request) && !meter.has_place(Kind::WebSocket, limits.websockets) {
        return Err(Rejection::TooManyWebSockets);
    }
    let most = limits.concurrent_requests;
    if ctx.rehearsal {
        return if meter.has_place(Kind::Request, most) { Ok(()) } else { Err(Rejection::TooManyRequests) };
    }
    ctx.place = Some(meter.enter(Kind::Request, most).ok_or(Rejection::TooManyRequests)?);
    Ok(())
}

/// The backend has agreed to a WebSocket: it takes a place of its kind, and gives the request's back.
pub fn upgrade(ctx: &mut RequestContext) -> Result<(), Rejection> {
    // Without a place there is no tenant whose limits could count.
    if let (Some(_), Some((view, _))) = (&ctx.place, &ctx.tenant) {
        let place = view.meter().enter(Kind::WebSocket, view.effective.edge.limits.websockets);
        ctx.place = Some(place.ok_or(Rejection::TooManyWebSockets)?);
    }
    Ok(())
}

/// Whether a request asks for a WebSocket as RFC 6455 §4.1 has it. Other upgrades are not asked of backends: pingora
/// forwards `Upgrade: websocket` alone, over HTTP/1.1.
pub fn is_websocket(request: &RequestHeader) -> bool {
    let upgrade = || request.headers.get(header::UPGRADE);
    let connection = || request.headers.get_all(header::CONNECTION).iter();
    request.version == http::Version::HTTP_11
        && request.method == http::Method::GET
        && upgrade().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && connection()
            .flat_map(|value| value.as_bytes().split(|b| *b == b','))
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

impl Quota {
    /// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10): a bucket of `q` requests that fills in `w`
    /// seconds, of which `r` are left, and which is full again in `t` seconds. A backend's own quotas stand beside it.
    pub fn announce(&self, headers: &mut HeaderMap) -> pingora_error::Result<()> {
        let Rate { per_second, burst } = self.rate;
        let window = burst.div_ceil(per_second.max(1)).max(1);
        headers.append(RATELIMIT_POLICY, value(format_args!("\"tenant\";q={burst};w={window}"))?);
        let Level { remaining, full_in, .. } = self.level;
        let full_in = whole(full_in);
        headers.append(RATELIMIT, value(format_args!("\"tenant\";r={remaining};t={full_in}"))?);
        Ok(())
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rate { per_second, burst } = self.rate;
        write!(f, "{per_second} requests a second; {} of {burst} are left on this node", self.level.remaining)
    }
}
