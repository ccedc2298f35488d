//! `[[route]]`, and what pools and routes must be to each other.

use std::collections::BTreeMap;

use http::Method;

use super::parsers::{self, NAME};
use super::plans::unknown_feature;
use super::pools::{self, ReadPool};
use super::routing::{Action, HostMatch, PathMatch, PoolId, Route, Routing};
use super::section::{Section, Spot};
use crate::model::{Feature, Hostname, normal_path};

const HOST: &str = "\"any\", \"apex\", \"console\", \"reserved\", \"tenant\", or a host name with a dot";
const ABSOLUTE: &str = "a path such as \"/api\", in visible ASCII and without a query";
const METHOD: &str = "a method such as \"GET\", in capitals";
const POOL: &str = "the name of a [[pool]]";

/// What routes are checked against; `None` where that file could not be read.
pub(super) struct Facts<'f> {
    pub features: Option<&'f BTreeMap<Feature, String>>,
    /// Whether the apex can lead to a tenant.
    pub session_cookie: bool,
}

/// Reads `routing.toml`.
pub(super) fn read(root: &mut Section<'_>, facts: &Facts<'_>) -> Routing {
    let pools = root.sections("pool", pools::read);
    root.require_some("pool");
    let names = pool_names(root, &pools);
    let mut used = vec![false; pools.len()];
    let routes = root.sections("route", |section| {
        let route = route(section, facts, &names);
        if let Some(Action::Pool(PoolId(index))) = route.as_ref().map(|route| &route.action) {
            used[*index] = true;
        }
        (route, section.spot("name"))
    });
    root.require_some("route");
    // A faulty route may have been the one that uses a pool: say nothing then.
    if !routes.is_empty() && routes.iter().all(|(route, _)| route.is_some()) {
        for (name, PoolId(index)) in names.iter().filter(|(_, PoolId(index))| !used[*index]) {
            root.fault_at(
                &pools[*index].spot,
                format!("no route leads to the pool \"{name}\"; remove it, or add a route"),
            );
        }
    }
    check_routes(root, &routes);
    Routing {
        pools: pools.into_iter().filter_map(|read| read.pool).collect(),
        routes: routes.into_iter().filter_map(|(route, _)| route).collect(),
        names,
    }
}

fn pool_names(root: &Section<'_>, pools: &[ReadPool]) -> BTreeMap<String, PoolId> {
    let mut names = BTreeMap::new();
    for (index, read) in pools.iter().enumerate() {
        let Some(name) = &read.name else { continue };
        if names.contains_key(name) {
            root.fault_at(&read.spot, format!("a second pool of the name \"{name}\""));
        } else {
            names.insert(name.clone(), PoolId(index));
        }
    }
    names
}

fn route(section: &mut Section<'_>, facts: &Facts<'_>, pools: &BTreeMap<String, PoolId>) -> Option<Route> {
    let name = section.required("name", NAME, parsers::name);
    let host = section.required("host", HOST, host);
    let path = path(section);
    let methods = section.texts("methods", METHOD, method);
    if section.is_empty_list("methods") {
        section.fault("methods", "found none, expected at least one; leave the key out for any method");
    }
    let requires = section.text("requires", "the name of a feature", Feature::parse);
    if let Some((feature, known)) = requires.as_ref().zip(facts.features).filter(|(f, known)| !known.contains_key(*f)) {
        section.fault("requires", unknown_feature(feature, known));
    }
    let tenantless = match host {
        Some(HostMatch::Console | HostMatch::Reserved) => true,
        Some(HostMatch::Apex) => !facts.session_cookie,
        _ => false,
    };
    if requires.is_some() && tenantless {
        section.fault("requires", "it means nothing here: such a host leads to no tenant, whose plan could be asked");
    }
    let pool = section.required("pool", POOL, |name| {
        let known = || pools.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        pools.get(name).copied().ok_or_else(|| format!("there are {}", known()))
    });
    let (path, action) = (path?, Action::Pool(pool?));
    let gate = requires.is_some().then(|| path.folded());
    Some(Route { name: name?.into(), host: host?, path, methods, requires, gate, action })
}

/// `path` (exact) or `path_prefix` (whole segments); neither: any path.
fn path(section: &mut Section<'_>) -> Option<PathMatch> {
    let exact = section.text("path", ABSOLUTE, absolute).map(PathMatch::Exact);
    let prefix = section.text("path_prefix", ABSOLUTE, absolute).map(PathMatch::Prefix);
    match (section.has("path"), section.has("path_prefix")) {
        (false, false) => Some(PathMatch::Any),
        (true, false) => exact,
        (false, true) => prefix,
        (true, true) => {
            section.fault("path_prefix", "a route has a path or a path_prefix, not both");
            None
        }
    }
}

/// Names once each, and no route behind one that takes all of its requests.
fn check_routes(root: &Section<'_>, routes: &[(Option<Route>, Spot)]) {
    for (index, (route, spot)) in routes.iter().enumerate() {
        let Some(route) = route else { continue };
        let mut earlier = routes[..index].iter().filter_map(|(route, _)| route.as_ref());
        if earlier.clone().any(|earlier| earlier.name == route.name) {
            root.fault_at(spot, format!("a second route of the name \"{}\"", route.name));
        }
        if let Some(first) = earlier.find(|earlier| covers(earlier, route)) {
            let message =
                format!("never reached: the route \"{}\" before it takes all of its requests; move it up", first.name);
            root.fault_at(spot, message);
        }
    }
}

fn covers(a: &Route, b: &Route) -> bool {
    let host = a.host == HostMatch::Any || a.host == b.host;
    // Whoever takes GET takes HEAD, so what `b` takes beyond its list asks for nothing more.
    let methods = a.methods.is_empty() || (!b.methods.is_empty() && b.methods.iter().all(|method| a.takes(method)));
    let path = match (&a.path, &b.path) {
        (PathMatch::Any, _) => true,
        (_, PathMatch::Any) => false,
        (_, PathMatch::Exact(path)) => a.path.matches(path),
        (PathMatch::Prefix(_), PathMatch::Prefix(prefix)) => {
            // What is matched is the prefix without its closing slash.
            a.path.matches(prefix.strip_suffix('/').unwrap_or(prefix))
        }
        (PathMatch::Exact(_), PathMatch::Prefix(_)) => false,
    };
    host && methods && path
}

fn host(text: &str) -> Result<HostMatch, String> {
    Ok(match text {
        "any" => HostMatch::Any,
        "apex" => HostMatch::Apex,
        "console" => HostMatch::Console,
        "reserved" => HostMatch::Reserved,
        "tenant" => HostMatch::Tenant,
        name if name.contains('.') => HostMatch::Exact(Hostname::parse(name).map_err(|error| error.to_string())?),
        _ => return Err(String::new()),
    })
}

/// Requests are compared in normal form: a path in any other would never be met, and a gate on it would stand open.
fn absolute(text: &str) -> Result<String, &'static str> {
    let visible = text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'\\'));
    if !text.starts_with('/') || !visible {
        return Err("");
    }
    if normal_path(text) == text {
        return Ok(text.to_owned());
    }
    Err(if text.contains("//") {
        "an empty segment (//) is never met, since requests are compared without them"
    } else if text.split('/').any(|segment| matches!(segment, "." | "..")) {
        "a dot segment is never met, since requests are compared without them"
    } else {
        "an escape is in capitals, and letters, digits and - . _ ~ are not escaped: so requests are compared"
    })
}

fn method(text: &str) -> Result<Method, &'static str> {
    match text {
        "CONNECT" | "TRACE" => Err("the edge answers it itself"),
        _ if text.is_empty() || !text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') => Err(""),
        _ => Method::from_bytes(text.as_bytes()).map_err(|_| ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(host: HostMatch, path: PathMatch, methods: &[Method]) -> Route {
        let (name, methods) = (String::new(), methods.to_vec());
        Route { name: name.into(), host, path, methods, requires: None, gate: None, action: Action::Pool(PoolId(0)) }
    }

    #[test]
    fn a_route_covers_what_it_would_take_first() {
        let prefix = |path: &str| PathMatch::Prefix(path.into());
        let exact = |path: &str| PathMatch::Exact(path.into());
        for (a, b, expected) in [
            (PathMatch::Any, prefix("/api"), true),
            (prefix("/api"), PathMatch::Any, false),
            (prefix("/api"), prefix("/api/v1"), true),
            (prefix("/api/"), prefix("/api"), true),
            (prefix("/api"), prefix("/apis"), false),
            (prefix("/api"), exact("/api/x"), true),
            (exact("/api"), exact("/api"), true),
            (exact("/api"), prefix("/api"), false),
            (prefix("/"), exact("/x"), true),
        ] {
            let (a, b) = (route(HostMatch::Tenant, a, &[]), route(HostMatch::Tenant, b, &[]));
            assert_eq!(covers(&a, &b), expected, "{a:?} {b:?}");
        }
        let any = route(HostMatch::Any, PathMatch::Any, &[Method::GET, Method::POST]);
        assert!(covers(&any, &route(HostMatch::Apex, PathMatch::Any, &[Method::GET])));
        assert!(!covers(&any, &route(HostMatch::Apex, PathMatch::Any, &[])));
        assert!(covers(&any, &route(HostMatch::Apex, PathMatch::Any, &[Method::HEAD])));
        let head = route(HostMatch::Any, PathMatch::Any, &[Method::HEAD]);
        assert!(!covers(&head, &route(HostMatch::Apex, PathMatch::Any, &[Method::GET])));
    }

    #[test]
    fn paths_are_in_normal_form() {
        for text in ["/", "/api", "/api/", "/a/b.c/~user", "/.well-known/x", "/a%2Fb", "/a%20b"] {
            assert!(absolute(text).is_ok(), "{text}");
        }
        for text in ["", "api", "*", "/a?b", "/a#b", "/ä", "/a b", "/a\\b"] {
            assert_eq!(absolute(text), Err(""), "{text}");
        }
        for (text, why) in [
            ("/a//b", "empty segment"),
            ("//", "empty segment"),
            ("/a/../b", "dot segment"),
            ("/.", "dot segment"),
            ("/a/%7Euser", "escape"),
            ("/%2e%2e/a", "escape"),
            ("/a%2fb", "escape"),
        ] {
            assert!(absolute(text).unwrap_err().contains(why), "{text}");
        }
    }
}
