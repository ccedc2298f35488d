//! Connections that this installation opens by itself, beside those to backends: every one has a deadline and a bound.
//! Nothing here decides what is asked, or what an answer means.

mod guard;
mod https;
mod plain;

pub use guard::{Guard, OutboundError, Refused};
pub use https::{Connector, Https, HttpsError, Trust, connector};
pub use plain::get;
