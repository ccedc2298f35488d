//! What pingora's errors mean: whose fault, and which refusal. No answer is written here.

use pingora_error::{Error, ErrorSource, ErrorType};

use super::context::RequestContext;
use super::rejection::Rejection;
use super::upstream::BUSY;

/// What a failure means for the visitor. `None`: the visitor is gone.
pub fn of_error(error: &Error, ctx: &RequestContext) -> Option<Rejection> {
    Some(match (error.etype(), error.esource()) {
        (ErrorType::HTTPStatus(413), _) => Rejection::BodyTooLarge { limit: ctx.body_limit().unwrap_or(u64::MAX) },
        (ErrorType::HTTPStatus(429), _) => Rejection::TooManyWebSockets,
        (ErrorType::CustomCode(BUSY, _), _) => Rejection::UpstreamBusy,
        (ErrorType::HTTPStatus(502), _) => Rejection::UpstreamFailed,
        (ErrorType::HTTPStatus(503), _) => Rejection::UpstreamUnavailable,
        (ErrorType::ConnectTimedout | ErrorType::ReadTimedout | ErrorType::WriteTimedout, ErrorSource::Upstream) => {
            Rejection::UpstreamTimeout
        }
        (ErrorType::ConnectRefused | ErrorType::ConnectNoRoute | ErrorType::ConnectError, ErrorSource::Upstream) => {
            Rejection::UpstreamUnavailable
        }
        (_, ErrorSource::Upstream) => Rejection::UpstreamFailed,
        (ErrorType::ReadTimedout, ErrorSource::Downstream) => Rejection::RequestTimeout,
        (ErrorType::ReadError, ErrorSource::Downstream) => return of_body(error),
        // Over HTTP/2, a stream that the client has reset, or whose connection is gone.
        (
            ErrorType::WriteError | ErrorType::ConnectionClosed | ErrorType::WriteTimedout | ErrorType::H2Error,
            ErrorSource::Downstream,
        ) => return None,
        // The proxy engine refuses a `Connection` header that nominates `Host`, or far too much.
        (ErrorType::InvalidHTTPHeader, ErrorSource::Downstream) => {
            Rejection::BadRequest("a header field of it is not allowed")
        }
        (_, ErrorSource::Downstream) => Rejection::BadRequest("its body is malformed"),
        _ => Rejection::Internal,
    })
}

/// A body that could not be read to its end: our `IO` says when it was the client's framing or its slowness. `None`: the
/// client is gone.
fn of_body(error: &Error) -> Option<Rejection> {
    let io = error.root_cause().downcast_ref::<std::io::Error>()?;
    match io.kind() {
        std::io::ErrorKind::InvalidData => Some(Rejection::BadRequest("its body is malformed")),
        std::io::ErrorKind::TimedOut => Some(Rejection::RequestTimeout),
        _ => None,
    }
}
