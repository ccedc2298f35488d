//! Pools and routes, checked: which requests go where.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method};

use crate::model::{Feature, HostClass, Hostname, folded_path};

/// `routing.toml`: pools by name, routes in order.
#[derive(Clone, Debug, Default)]
pub struct Routing {
    pub pools: Vec<Pool>,
    /// First match wins.
    pub routes: Vec<Route>,
    pub names: BTreeMap<String, PoolId>,
}

/// The place of a pool in [`Routing::pools`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct PoolId(pub usize);

#[derive(Clone, Debug)]
pub struct Pool {
    pub name: String,
    /// `host:port` or `ip:port`, at least one.
    pub backends: Vec<String>,
    pub protocol: Protocol,
    /// SNI and verified name for TLS backends; never empty there.
    pub server_name: Option<Hostname>,
    /// PEM file of the authorities that a TLS backend's certificate is checked against; `None`: the system's.
    pub ca: Option<std::path::PathBuf>,
    /// The `Host` that backends get instead of the visitor's.
    pub host_header: Option<HeaderValue>,
    pub connect_timeout: Duration,
    /// Between two bytes of the backend's answer.
    pub read_timeout: Duration,
    pub write_timeout: Duration,
    /// From the request's head to the end of the answer, looked at whenever some of it comes; a WebSocket has none.
    /// `None`: no limit.
    pub total_timeout: Option<Duration>,
    /// How long an idle connection to a backend is kept.
    pub idle_timeout: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// HTTP/1.1 in the clear.
    H1,
    /// HTTP/2 in the clear with prior knowledge (gRPC).
    H2c,
    /// TLS, HTTP/2 or HTTP/1.1 by ALPN; always verified.
    Tls,
}

#[derive(Clone, Debug)]
pub struct Route {
    pub name: Arc<str>,
    pub host: HostMatch,
    pub path: PathMatch,
    /// Empty: any method. GET stands for HEAD as well.
    pub methods: Vec<Method>,
    /// The plan gate: 402 for a tenant without this feature.
    pub requires: Option<Feature>,
    /// The path of a gated route, folded: it also takes what a forgiving backend would read as its path.
    pub gate: Option<PathMatch>,
    pub action: Action,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HostMatch {
    Any,
    Apex,
    Console,
    Reserved,
    /// Every host that leads to a tenant: slug hosts, custom domains, the main site with a session.
    Tenant,
    Exact(Hostname),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PathMatch {
    Any,
    /// In normal form ([`crate::model::normal_path`]), as is a prefix.
    Exact(String),
    /// Whole segments: `/api` matches `/api` and `/api/x`, not `/apix`.
    Prefix(String),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    Pool(PoolId),
}

impl Routing {
    pub fn pool(&self, id: PoolId) -> Option<&Pool> {
        self.pools.get(id.0)
    }

    /// The first route that matches; `path` is in normal form. `has_tenant` says that the host led to a tenant.
    /// Nothing is allocated.
    pub fn choose(
        &self,
        class: &HostClass,
        host: &Hostname,
        has_tenant: bool,
        method: &Method,
        path: &str,
    ) -> Option<&Route> {
        // Only made when a gated route asks for it.
        let folded = OnceCell::new();
        self.routes.iter().find(|route| {
            route.host.matches(class, host, has_tenant)
                && route.takes(method)
                && (route.path.matches(path)
                    || route.gate.as_ref().is_some_and(|gate| gate.matches(folded.get_or_init(|| folded_path(path)))))
        })
    }
}

impl Route {
    /// Whether requests of this method may come this way. What answers GET answers HEAD (RFC 9110 §9.3.2), so that a
    /// gate on GET is not walked around with HEAD.
    pub(super) fn takes(&self, method: &Method) -> bool {
        let listed = |method| self.methods.contains(method);
        self.methods.is_empty() || listed(method) || (*method == Method::HEAD && listed(&Method::GET))
    }
}

impl HostMatch {
    fn matches(&self, class: &HostClass, host: &Hostname, has_tenant: bool) -> bool {
        match self {
            Self::Any => true,
            Self::Apex => *class == HostClass::Apex,
            Self::Console => *class == HostClass::Console,
            Self::Reserved => *class == HostClass::Reserved,
            Self::Tenant => has_tenant,
            Self::Exact(name) => name == host,
        }
    }
}

impl PathMatch {
    /// The same path as [`folded_path`] has it.
    pub(super) fn folded(&self) -> Self {
        match self {
            Self::Any => Self::Any,
            Self::Exact(path) => Self::Exact(folded_path(path)),
            Self::Prefix(path) => Self::Prefix(folded_path(path)),
        }
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => {
                let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
                path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(name: &str, path: PathMatch, methods: &[Method]) -> Route {
        let (name, methods) = (name.into(), methods.to_vec());
        Route { name, host: HostMatch::Any, path, methods, requires: None, gate: None, action: Action::Pool(PoolId(0)) }
    }

    #[test]
    fn head_goes_where_get_goes_unless_a_route_before_says_head() {
        let exact = |path: &str| PathMatch::Exact(path.into());
        let routes = vec![
            route("probe", exact("/probe"), &[Method::HEAD]),
            route("read", exact("/probe"), &[Method::GET]),
            route("report", exact("/report"), &[Method::GET]),
            route("write", exact("/report"), &[Method::POST]),
            route("rest", PathMatch::Any, &[]),
        ];
        let routing = Routing { routes, ..Routing::default() };
        let host = Hostname::parse("acme.example").unwrap();
        for (method, path, name) in [
            (Method::HEAD, "/probe", "probe"),
            (Method::GET, "/probe", "read"),
            (Method::HEAD, "/report", "report"),
            (Method::GET, "/report", "report"),
            (Method::POST, "/report", "write"),
            (Method::PUT, "/report", "rest"),
            (Method::HEAD, "/", "rest"),
        ] {
            let chosen = routing.choose(&HostClass::Custom, &host, true, &method, path).unwrap();
            assert_eq!(&*chosen.name, name, "{method} {path}");
        }
    }
}
