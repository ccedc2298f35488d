//! Pools and routes, checked: which requests go where, and what is done to them on the way. Pure: a request is compared
//! here, never changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use regex::Regex;

use super::route_index::RouteIndex;
use crate::model::{Feature, HostClass, Hostname};

pub use super::pools::{Pool, Protocol};

/// `routing.toml`: pools by name, routes in order.
#[derive(Clone, Debug, Default)]
pub struct Routing {
    pub pools: Vec<Pool>,
    /// First match wins.
    pub routes: Vec<Arc<Route>>,
    pub names: BTreeMap<String, PoolId>,
    index: RouteIndex,
}

/// The place of a pool in [`Routing::pools`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct PoolId(pub usize);

#[derive(Clone, PartialEq, Debug)]
pub struct Route {
    pub name: Arc<str>,
    pub host: HostMatch,
    pub path: PathMatch,
    /// Empty: any method. GET stands for HEAD as well.
    pub methods: Vec<Method>,
    /// All of them must be there.
    pub headers: Vec<HeaderMatch>,
    /// Only tenants that have this feature; the others go on to the next route.
    pub feature: Option<Feature>,
    /// The plan gate: 402 for a tenant without this feature.
    pub requires: Option<Feature>,
    /// The path of a gated route, folded: it also takes what a forgiving backend would read as its path.
    pub gate: Option<PathMatch>,
    pub action: Action,
    pub settings: RouteSettings,
}

/// What a route does differently from its pool and from `[limits]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteSettings {
    /// Until a connection stands; `None`: the pool's.
    pub connect_timeout: Option<Duration>,
    /// Between two bytes of the answer; `None`: the pool's.
    pub read_timeout: Option<Duration>,
    /// From the request's head to the end of the answer; `None`: the pool's.
    pub total_timeout: Option<Duration>,
    /// The largest request body, in bytes; `None`: that of `[limits]`.
    pub body_bytes: Option<u64>,
    /// How often a failed request is tried again. Default 1.
    pub retries: u32,
    /// Default true: answers may be compressed.
    pub compress: bool,
    /// Takes the place of the route's `path_prefix` on the way to the backend.
    pub rewrite_prefix: Option<String>,
    pub request_headers: HeaderEdits,
    pub response_headers: HeaderEdits,
}

impl Default for RouteSettings {
    fn default() -> Self {
        Self {
            connect_timeout: None,
            read_timeout: None,
            total_timeout: None,
            body_bytes: None,
            retries: 1,
            compress: true,
            rewrite_prefix: None,
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
        }
    }
}

/// Removed first, then set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HeaderEdits {
    pub remove: Vec<HeaderName>,
    pub set: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum HostMatch {
    Any,
    Apex,
    Console,
    Reserved,
    /// Every host that leads to a tenant: slug hosts, custom domains, the main site with a session.
    Tenant,
    Exact(Hostname),
}

#[derive(Clone, Debug)]
pub enum PathMatch {
    Any,
    /// In normal form ([`crate::model::normal_path`]), as is a prefix.
    Exact(String),
    /// Whole segments: `/api` matches `/api` and `/api/x`, not `/apix`.
    Prefix(String),
    /// Anywhere in the path, unless it is anchored.
    Regex(Regex),
}

/// A request header that must be there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeaderMatch {
    pub name: HeaderName,
    /// The whole of one of its values; `None`: any.
    pub value: Option<HeaderValue>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    Pool(PoolId),
    Redirect { status: StatusCode, to: Target },
    Answer { status: StatusCode, content_type: HeaderValue, body: Bytes },
}

/// Where a redirect leads: text with parts of the request in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target(pub Vec<Part>);

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    Text(String),
    /// `{host}`: without a port.
    Host,
    /// `{path}`: as it was asked for.
    Path,
    /// `{query}`: with its question mark; nothing where there is none.
    Query,
}

/// What a route is chosen by.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub class: &'a HostClass,
    pub host: &'a Hostname,
    /// The features of the tenant that the host led to; `None`: to no tenant.
    pub features: Option<&'a BTreeSet<Feature>>,
    pub method: &'a Method,
    /// In normal form.
    pub path: &'a str,
    pub headers: &'a HeaderMap,
}

impl Routing {
    pub fn new(pools: Vec<Pool>, routes: Vec<Arc<Route>>, names: BTreeMap<String, PoolId>) -> Self {
        let index = RouteIndex::new(&routes);
        Self { pools, routes, names, index }
    }

    pub fn pool(&self, id: PoolId) -> Option<&Pool> {
        self.pools.get(id.0)
    }

    /// The first route that matches. Nothing is allocated but for what gated routes compare.
    pub fn choose(&self, asked: &Asked<'_>) -> Option<&Arc<Route>> {
        self.index.first(&self.routes, asked).and_then(|index| self.routes.get(index))
    }
}

impl Route {
    /// Whether requests of this method may come this way. What answers GET answers HEAD (RFC 9110 §9.3.2), so that a
    /// gate on GET is not walked around with HEAD.
    pub fn takes(&self, method: &Method) -> bool {
        let listed = |method| self.methods.contains(method);
        self.methods.is_empty() || listed(method) || (*method == Method::HEAD && listed(&Method::GET))
    }

    /// Why a request does not come this way; `None`: it does. `folded` is its path by [`crate::model::folded_path`],
    /// made when a gate asks for it.
    pub fn mismatch<'f>(&self, asked: &Asked<'_>, folded: impl FnOnce() -> &'f str) -> Option<Mismatch> {
        if !self.host.matches(asked) {
            return Some(Mismatch::Host);
        }
        if !self.takes(asked.method) {
            return Some(Mismatch::Method);
        }
        if !self.path.matches(asked.path) && !self.gate.as_ref().is_some_and(|gate| gate.matches(folded())) {
            return Some(Mismatch::Path);
        }
        if let Some(header) = self.headers.iter().find(|header| !header.matches(asked.headers)) {
            return Some(Mismatch::Header(header.name.clone()));
        }
        match &self.feature {
            Some(feature) if !asked.features.is_some_and(|features| features.contains(feature)) => {
                Some(Mismatch::Feature(feature.clone()))
            }
            _ => None,
        }
    }
}

/// What keeps a request off a route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mismatch {
    Host,
    Method,
    Path,
    Header(HeaderName),
    Feature(Feature),
}

impl HostMatch {
    fn matches(&self, asked: &Asked<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Apex => *asked.class == HostClass::Apex,
            Self::Console => *asked.class == HostClass::Console,
            Self::Reserved => *asked.class == HostClass::Reserved,
            Self::Tenant => asked.features.is_some(),
            Self::Exact(name) => name == asked.host,
        }
    }
}

impl HeaderMatch {
    fn matches(&self, headers: &HeaderMap) -> bool {
        match &self.value {
            None => headers.contains_key(&self.name),
            Some(value) => headers.get_all(&self.name).iter().any(|found| found == value),
        }
    }
}

impl PathMatch {
    pub(super) fn matches(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => {
                let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
                path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Self::Regex(regex) => regex.is_match(path),
        }
    }
}

/// Two expressions are the same when they are written the same.
impl PartialEq for PathMatch {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, Self::Any) => true,
            (Self::Exact(a), Self::Exact(b)) | (Self::Prefix(a), Self::Prefix(b)) => a == b,
            (Self::Regex(a), Self::Regex(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
}

impl Target {
    /// The `Location` for this request; `query` is without its question mark.
    pub fn fill(&self, host: &Hostname, path: &str, query: Option<&str>) -> String {
        let mut location = String::with_capacity(64);
        for part in &self.0 {
            match part {
                Part::Text(text) => location.push_str(text),
                Part::Host => location.push_str(host.as_str()),
                Part::Path => location.push_str(path),
                Part::Query => {
                    if let Some(query) = query {
                        location.push('?');
                        location.push_str(query);
                    }
                }
            }
        }
        location
    }
}

#[cfg(test)]
#[path = "routing_tests.rs"]
mod tests;
