//! What no filter can ask for: the details of libraries that write down whole heads of requests, with their cookies, tokens
//! and queries. Of our own lines nothing is left out here.

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Targets of libraries that see requests in the raw: by how they begin.
const TALKATIVE: [&str; 5] = ["pingora", "h2", "hyper", "hyper_util", "tungstenite"];

/// The layer that holds these libraries to [`Level::INFO`], whatever the filter says.
pub(super) struct Discretion;

impl<S: Subscriber> Layer<S> for Discretion {
    fn enabled(&self, metadata: &Metadata<'_>, _context: Context<'_, S>) -> bool {
        is_told(metadata.target(), *metadata.level())
    }
}

fn is_told(target: &str, level: Level) -> bool {
    let crate_name = target.split_once("::").map_or(target, |(name, _)| name);
    // `pingora` is many crates; of the others the name itself counts.
    let talkative = TALKATIVE.contains(&crate_name) || crate_name.starts_with("pingora_");
    // `Level` orders by detail: more of it is greater.
    !talkative || level <= Level::INFO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_of_those_who_see_requests_in_the_raw_are_not_told() {
        for (target, level, told) in [
            ("pingora_proxy::proxy_h1", Level::TRACE, false),
            ("pingora_core::protocols::http::v1::server", Level::DEBUG, false),
            ("pingora", Level::DEBUG, false),
            ("h2::codec::framed_read", Level::TRACE, false),
            ("hyper::proto::h1::io", Level::TRACE, false),
            ("pingora_proxy", Level::INFO, true),
            ("h2", Level::ERROR, true),
            ("tenantry::edge", Level::TRACE, true),
            ("h2o", Level::TRACE, true),
            ("access", Level::INFO, true),
        ] {
            assert_eq!(is_told(target, level), told, "{target} {level}");
        }
    }
}
