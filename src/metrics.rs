//! Every metric, declared once: the doc comment is the help text that Prometheus shows. Names follow
//! <https://prometheus.io/docs/practices/naming/>. Rooms get an `Arc<Metrics>` and count with its fields; nothing is
//! registered anywhere else, and there is no global registry.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

/// Declares the struct, its registration and its help texts from one list.
macro_rules! metrics {
    ($( #[doc = $help:literal] $field:ident: $kind:tt $name:literal $([$($label:literal),+])? $({$($bucket:expr),+})?; )+) => {
        /// The metrics of one process.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            $( #[doc = $help] pub $field: metrics!(@type $kind), )+
        }

        impl Metrics {
            fn register(registry: Registry) -> Result<Self, prometheus::Error> {
                $(
                    let $field = metrics!(@make $kind $name, $help.trim(), $([$($label),+])? $({$($bucket),+})?)?;
                    registry.register(Box::new($field.clone()))?;
                )+
                Ok(Self { registry, $($field),+ })
            }
        }
    };
    (@type counter) => { IntCounter };
    (@type counters) => { IntCounterVec };
    (@type gauge) => { IntGauge };
    (@type gauges) => { IntGaugeVec };
    (@type histogram) => { Histogram };
    (@type histograms) => { HistogramVec };
    (@make counter $name:literal, $help:expr,) => { IntCounter::new($name, $help) };
    (@make gauge $name:literal, $help:expr,) => { IntGauge::new($name, $help) };
    (@make counters $name:literal, $help:expr, [$($label:literal),+]) => {
        IntCounterVec::new(Opts::new($name, $help), &[$($label),+])
    };
    (@make gauges $name:literal, $help:expr, [$($label:literal),+]) => {
        IntGaugeVec::new(Opts::new($name, $help), &[$($label),+])
    };
    (@make histograms $name:literal, $help:expr, [$($label:literal),+] {$($bucket:expr),+}) => {
        HistogramVec::new(HistogramOpts::new($name, $help).buckets(vec![$($bucket),+]), &[$($label),+])
    };
    (@make histogram $name:literal, $help:expr, {$($bucket:expr),+}) => {
        Histogram::with_opts(HistogramOpts::new($name, $help).buckets(vec![$($bucket),+]))
    };
}

metrics! {
    /// Requests answered, by status class, by whose fault a failure was (none, client, edge, upstream) and by protocol.
    requests: counters "tenantry_requests_total" ["status", "fault", "protocol"];
    /// Requests that took a route, by status class; the routes beyond the first thousand together as _other. Not by protocol: that would be three times as many series, and tenantry_requests_total has it.
    route_requests: counters "tenantry_route_requests_total" ["route", "status"];
    /// Requests under way.
    requests_in_flight: gauge "tenantry_requests_in_flight";
    /// Time from a request's head to the end of its answer.
    request_seconds: histogram "tenantry_request_duration_seconds" {0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0};
    /// Time in the edge before a request was given to a backend, or until it was answered without one.
    edge_seconds: histogram "tenantry_edge_duration_seconds" {0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.025, 0.1, 1.0};
    /// Time from giving a request to a backend until its answer's head, tries that failed included, by pool.
    upstream_seconds: histograms "tenantry_upstream_duration_seconds" ["pool"] {0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0};
    /// Bytes of request bodies that were read from clients.
    request_bytes: counter "tenantry_request_bytes_total";
    /// Bytes of answers' bodies that were sent to clients.
    response_bytes: counter "tenantry_response_bytes_total";
    /// Requests that the edge refused, by problem code.
    refusals: counters "tenantry_refusals_total" ["code"];
    /// Requests tried again, by pool.
    upstream_retries: counters "tenantry_upstream_retries_total" ["pool"];
    /// Retries that a pool's retry budget did not allow.
    upstream_retry_budget_exhausted: counters "tenantry_upstream_retry_budget_exhausted_total" ["pool"];
    /// Backends ejected after failures in a row.
    upstream_ejections: counters "tenantry_upstream_ejections_total" ["pool"];
    /// Requests under way at a pool's backends, WebSockets included.
    upstream_in_flight: gauges "tenantry_upstream_requests_in_flight" ["pool"];
    /// Requests of a pool that wait for the head of their answer.
    upstream_pending: gauges "tenantry_upstream_pending" ["pool"];
    /// Requests refused because too many of the pool were waiting for the head of their answer.
    upstream_breaker_open: counters "tenantry_upstream_breaker_open_total" ["pool"];
    /// Requests whose tenant has been given a pool that the configuration does not have any more: another one served them.
    pool_missing: counter "tenantry_pool_missing_total";
    /// Set-Cookie headers of backends dropped because their Domain was the base domain or wider.
    cookies_dropped: counter "tenantry_cookies_dropped_total";
    /// Answers that were not compressed because as many were under compression as may be (compression.most_at_once).
    compression_skipped: counter "tenantry_compression_skipped_total";
    /// Bytes of whole answers that went into compression and came out of it, by algorithm (gzip, br, zstd) and direction (in, out).
    compression_bytes: counters "tenantry_compression_bytes_total" ["algorithm", "direction"];
    /// Client connections accepted, by listener.
    connections: counters "tenantry_connections_total" ["listener"];
    /// Client connections open.
    connections_open: gauge "tenantry_connections_open";
    /// Client connections ended by the edge, by reason.
    connections_refused: counters "tenantry_connections_refused_total" ["reason"];
    /// TLS handshakes completed, by version and whether the session was resumed.
    handshakes: counters "tenantry_tls_handshakes_total" ["version", "resumed"];
    /// TLS handshakes that failed or were refused, by reason.
    handshakes_failed: counters "tenantry_tls_handshakes_failed_total" ["reason"];
    /// Visitors who wait for a certificate that is being ordered.
    certificate_waiters: gauge "tenantry_tls_certificate_waiters";
    /// Directory look-ups, by cache and outcome (hit, stale, negative, miss, busy).
    lookups: counters "tenantry_directory_lookups_total" ["cache", "outcome"];
    /// Entries in a directory cache, absent names included.
    entries: gauges "tenantry_directory_entries" ["cache"];
    /// The most entries that a directory cache keeps.
    capacity: gauges "tenantry_directory_capacity" ["cache"];
    /// The last revision of the change feed that this node has applied.
    feed_revision: gauge "tenantry_feed_revision";
    /// When the change feed was last read to its end, in seconds since the epoch: how far this node may be behind.
    feed_read: gauge "tenantry_feed_last_read_timestamp_seconds";
    /// Whether the store answered when it was last asked (1) or not (0).
    store_up: gauge "tenantry_store_up";
    /// Certificate orders that came to an end, by authority and result (issued, failed, refused, limited, unavailable).
    orders: counters "tenantry_acme_orders_total" ["authority", "result"];
    /// Failures on the way to a certificate, by reason (preflight, dns, connection, unauthorized, caa, not-served, …).
    order_failures: counters "tenantry_acme_failures_total" ["reason"];
    /// Orders by stage (waiting, issued, and those between).
    order_queue: gauges "tenantry_acme_orders" ["stage"];
    /// Orders that may be placed at once before the modelled limit of an authority is reached.
    limiter_level: gauges "tenantry_acme_limiter_level" ["authority"];
    /// When the certificate that ends first ends, in seconds since the epoch; 0 without any.
    soonest_expiry: gauge "tenantry_certificate_soonest_expiry_timestamp_seconds";
    /// Names in use whose last certificate ends within a day, a week or three weeks (1d, 7d, 21d).
    names_expiring: gauges "tenantry_certificate_names_expiring" ["within"];
    /// Looks at custom domains, by outcome (proven, not-yet, moved, unknown).
    domain_checks: counters "tenantry_domain_checks_total" ["outcome"];
    /// Questions to DNS servers, by outcome (answered, no-records, failed).
    dns_queries: counters "tenantry_dns_queries_total" ["outcome"];
    /// Reloads of the configuration, by result (applied, unchanged, refused).
    config_reloads: counters "tenantry_config_reloads_total" ["result"];
    /// How often the configuration in force has been replaced since the start.
    config_revision: gauge "tenantry_config_revision";
    /// Whether the configuration that was read last is in force (1), or was refused (0).
    config_ok: gauge "tenantry_config_last_reload_successful";
    /// When the configuration in force was read, in seconds since the epoch.
    config_loaded: gauge "tenantry_config_last_reload_success_timestamp_seconds";
    /// Attempts to replace the running program, by result (done, failed).
    upgrades: counters "tenantry_upgrades_total" ["result"];
    /// Log lines that were lost because whoever takes them was slower than they came, by output (log, access).
    log_lines_dropped: counters "tenantry_log_lines_dropped_total" ["output"];
    /// Spans of traces, by what became of them (exported, dropped because the queue was full, failed at the collector).
    trace_spans: counters "tenantry_trace_spans_total" ["result"];
    /// Webhooks of the billing system, by what came of them (applied, duplicate, out-of-order, refused; unsigned: the signature was wrong or old).
    billing_webhooks: counters "tenantry_billing_webhooks_total" ["result"];
    /// Calls to the admin API, by status class.
    admin_requests: counters "tenantry_admin_requests_total" ["status"];
    /// What runs: its version, and the revision of its source where the build knew it. Always 1.
    build_info: gauges "tenantry_build_info" ["version", "revision"];
}

impl Metrics {
    /// Registers every metric. The only errors are mistakes in the list above, which `new_registers_every_metric`
    /// would show.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let metrics = Self::register(registry)?;
        for result in ["applied", "unchanged", "refused"] {
            metrics.config_reloads.with_label_values(&[result]);
        }
        for result in ["applied", "duplicate", "out-of-order", "refused", "unsigned"] {
            metrics.billing_webhooks.with_label_values(&[result]);
        }
        for result in ["done", "failed"] {
            metrics.upgrades.with_label_values(&[result]);
        }
        let revision = option_env!("TENANTRY_REVISION").unwrap_or("unknown");
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), revision]).set(1);
        Ok(metrics)
    }

    /// Registers what is counted elsewhere and collected when it is asked for.
    pub fn collect_from(&self, collector: impl Collector + 'static) -> Result<(), prometheus::Error> {
        self.registry.register(Box::new(collector))
    }

    /// The text exposition format.
    pub fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

/// What is told of each of the busiest tenants by slug, and of all others together as `_other`. `traffic` fills one of
/// these at each scrape; which tenants are named is decided there.
pub struct TenantMetrics {
    pub requests: IntCounterVec,
    pub request_bytes: IntCounterVec,
    pub response_bytes: IntCounterVec,
    pub requests_in_flight: IntGaugeVec,
    pub websockets: IntGaugeVec,
    pub limited: IntCounterVec,
}

impl TenantMetrics {
    pub fn new() -> Result<Self, prometheus::Error> {
        let counters = |name, help, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let gauges = |name, help| IntGaugeVec::new(Opts::new(name, help), &["tenant"]);
        Ok(Self {
            requests: counters(
                "tenantry_tenant_requests_total",
                "Requests of a tenant that have ended, by status class.",
                &["tenant", "status"],
            )?,
            request_bytes: counters(
                "tenantry_tenant_request_bytes_total",
                "Bytes of request bodies of a tenant.",
                &["tenant"],
            )?,
            response_bytes: counters(
                "tenantry_tenant_response_bytes_total",
                "Bytes of response bodies of a tenant.",
                &["tenant"],
            )?,
            requests_in_flight: gauges(
                "tenantry_tenant_requests_in_flight",
                "Requests of a tenant under way, WebSockets not counted.",
            )?,
            websockets: gauges("tenantry_tenant_websockets", "WebSockets of a tenant that are open.")?,
            limited: counters(
                "tenantry_tenant_limited_total",
                "Requests of a tenant refused for a limit (rate, concurrency, websockets, body, access).",
                &["tenant", "limit"],
            )?,
        })
    }

    pub fn families(&self) -> [&dyn Collector; 6] {
        [
            &self.requests,
            &self.request_bytes,
            &self.response_bytes,
            &self.requests_in_flight,
            &self.websockets,
            &self.limited,
        ]
    }
}

/// How the backends of each pool are. `edge` fills one of these at each scrape from the pools that are in force then.
pub struct PoolMetrics {
    pub healthy: IntGaugeVec,
    pub backends: IntGaugeVec,
}

impl PoolMetrics {
    pub fn new() -> Result<Self, prometheus::Error> {
        let gauges = |name, help, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        Ok(Self {
            healthy: gauges(
                "tenantry_upstream_healthy",
                "Whether a backend gets requests (1), or is unhealthy or ejected (0).",
                &["pool", "backend"],
            )?,
            backends: gauges(
                "tenantry_upstream_backends",
                "Backends of a pool by state (healthy, unhealthy, ejected; unresolved: a name that has no address).",
                &["pool", "state"],
            )?,
        })
    }

    pub fn families(&self) -> [&dyn Collector; 2] {
        [&self.healthy, &self.backends]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_registers_every_metric() {
        let metrics = Metrics::new().unwrap();
        metrics.requests.with_label_values(&["2xx", "none", "h2"]).inc();
        let text = metrics.render();
        assert!(text.contains("tenantry_requests_total{fault=\"none\",protocol=\"h2\",status=\"2xx\"} 1"), "{text}");
        assert!(text.contains("# HELP tenantry_store_up Whether the store answered"), "{text}");
    }
}
