//! A tenant's limits on the way of its requests: who may come, how often, how many at once. What is counted is
//! counted by the tenant's meter; nothing here waits or takes a lock.

use std::fmt;
use std::net::IpAddr;

use http::{HeaderName, header};
use pingora_error::Result;
use pingora_http::{RequestHeader, ResponseHeader};

use super::context::RequestContext;
use super::rejection::Rejection;
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

/// Lets a request in under its tenant's rate and concurrency: its place is given back when the request ends. The quota is
/// noted also when it is used up. A rehearsed request takes nothing, and hears what a real one would hear now.
pub fn enter(view: &View, request: &RequestHeader, ctx: &mut RequestContext) -> Result<(), Rejection> {
    let (limits, meter) = (&view.effective.edge.limits, view.meter());
    if let Some(rate) = limits.rate {
        let level = if ctx.rehearsal { meter.level(rate) } else { meter.take(rate) };
        ctx.quota = Some(Quota { rate, level });
        if !level.allowed {
            return Err(Rejection::TenantRateLimited { retry_after: level.retry_after() });
        }
    }
    let (kind, most, full) = match is_websocket(request) {
        true => (Kind::WebSocket, limits.websockets, Rejection::TooManyWebSockets),
        false => (Kind::Request, limits.concurrent_requests, Rejection::TooManyRequests),
    };
    if ctx.rehearsal {
        return if meter.has_place(kind, most) { Ok(()) } else { Err(full) };
    }
    ctx.place = Some(meter.enter(kind, most).ok_or(full)?);
    Ok(())
}

/// Other upgrades are not asked of backends: pingora forwards `Upgrade: websocket` alone, over HTTP/1.1.
pub fn is_websocket(request: &RequestHeader) -> bool {
    let upgrade = request.headers.get(header::UPGRADE);
    request.version != http::Version::HTTP_2
        && upgrade.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

impl Quota {
    /// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10): a bucket of `q` requests that fills in `w`
    /// seconds, of which `r` are left, and which is full again in `t` seconds. A backend's own quotas stand beside it.
    pub fn announce(&self, head: &mut ResponseHeader) -> Result<()> {
        let Rate { per_second, burst } = self.rate;
        let window = burst.div_ceil(per_second.max(1)).max(1);
        head.append_header(RATELIMIT_POLICY, format!("\"tenant\";q={burst};w={window}"))?;
        let Level { remaining, full_in, .. } = self.level;
        head.append_header(RATELIMIT, format!("\"tenant\";r={remaining};t={}", whole(full_in)))?;
        Ok(())
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rate { per_second, burst } = self.rate;
        write!(f, "{per_second} requests a second; {} of {burst} are left on this node", self.level.remaining)
    }
}

const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
