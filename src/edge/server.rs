//! The pingora application, built: our hooks, the limits that pingora keeps for us, and nothing of its own `Server`.

use std::sync::Arc;

use pingora_core::apps::HttpServerOptions;
use pingora_core::protocols::http::v2::server::default_h2_options;
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::{HttpProxy, http_proxy};

use super::proxy::Proxy;
use crate::config::Limits;

/// Our hooks in pingora's engine.
pub type EdgeServer = HttpProxy<Proxy>;

/// The application that every listener hands its connections to. `workers` is the number of threads of the runtime.
pub fn server(proxy: Proxy, limits: &Limits, workers: usize) -> Arc<EdgeServer> {
    let conf = ServerConf {
        threads: workers,
        upstream_keepalive_pool_size: KEPT_UPSTREAM,
        // Retries are decided by our hooks; this only stops a loop that they did not mean.
        max_retries: 4,
        ..ServerConf::default()
    };
    let mut server = http_proxy(&Arc::new(conf), proxy);
    let mut options = HttpServerOptions::default();
    options.keepalive_request_limit = Some(limits.requests_per_connection);
    options.h2_idle_timeout = Some(limits.idle_timeout);
    server.server_options = Some(options);
    let mut h2 = default_h2_options();
    h2.max_concurrent_streams(limits.h2_streams);
    h2.max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX));
    server.h2_options = Some(h2);
    Arc::new(server)
}

/// Idle connections to backends that are kept, per pool of pingora's: enough for a busy node, bounded all the same.
const KEPT_UPSTREAM: usize = 1024;
