//! `[[route]]`, and what pools and routes must be to each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use regex::{Regex, RegexBuilder};

use super::parsers::{self, NAME};
use super::plans::unknown_feature;
use super::pools::{self, ReadPool};
use super::route_actions;
use super::route_edits;
use super::routing::{Action, HostMatch, PathMatch, PoolId, Route, RouteSettings, Routing};
use super::section::{Section, Spot};
use super::shadows;
use crate::model::{Feature, Hostname, folded_path, normal_path};

const HOST: &str = "\"any\", \"apex\", \"console\", \"reserved\", \"tenant\", or a host name with a dot";
const ABSOLUTE: &str = "a path such as \"/api\", in visible ASCII and without a query";
const METHOD: &str = "a method such as \"GET\", in capitals";
const FEATURE: &str = "the name of a feature";
const REGEX: &str = "a regular expression such as \"^/v[0-9]+/\"";

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
    let mut used: Vec<bool> = pools.iter().map(|read| read.pool.as_ref().is_some_and(|pool| pool.dedicated)).collect();
    let routes = root.sections("route", |section| {
        let route = route(section, facts, &names);
        if let Some(Action::Pool(PoolId(index))) = route.as_ref().map(|route| &route.action) {
            used[*index] = true;
        }
        (route.map(Arc::new), section.spot("name"))
    });
    root.require_some("route");
    // A faulty route may have been the one that uses a pool: say nothing then.
    if !routes.is_empty() && routes.iter().all(|(route, _)| route.is_some()) {
        for (name, PoolId(index)) in names.iter().filter(|(_, PoolId(index))| !used[*index]) {
            let hint = "remove it, add a route, or say dedicated = true";
            root.fault_at(&pools[*index].spot, format!("no route leads to the pool \"{name}\"; {hint}"));
        }
    }
    check_names(root, &routes);
    shadows::check(root, &routes);
    let pools = pools.into_iter().filter_map(|read| read.pool).collect();
    Routing::new(pools, routes.into_iter().filter_map(|(route, _)| route).collect(), names)
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

fn check_names(root: &Section<'_>, routes: &[(Option<Arc<Route>>, Spot)]) {
    let mut names = BTreeSet::new();
    for (route, spot) in routes {
        if let Some(route) = route
            && !names.insert(&route.name)
        {
            root.fault_at(spot, format!("a second route of the name \"{}\"", route.name));
        }
    }
}

fn route(section: &mut Section<'_>, facts: &Facts<'_>, pools: &BTreeMap<String, PoolId>) -> Option<Route> {
    let name = section.required("name", NAME, parsers::name);
    let host = section.required("host", HOST, host);
    let path = path(section);
    let methods = section.texts("methods", METHOD, method);
    if section.is_empty_list("methods") {
        section.fault("methods", "found none, expected at least one; leave the key out for any method");
    }
    let headers = route_edits::matches(section);
    let tenantless = match host {
        Some(HostMatch::Console | HostMatch::Reserved) => true,
        Some(HostMatch::Apex) => !facts.session_cookie,
        _ => false,
    };
    let feature = feature(section, "feature", facts, tenantless);
    let requires = feature_of_gate(section, facts, tenantless);
    let settings = settings(section, path.as_ref());
    let action = route_actions::read(section, pools);
    let path = path?;
    let gate = requires.is_some().then(|| folded(&path));
    Some(Route {
        name: name?.into(),
        host: host?,
        path,
        methods,
        headers,
        feature,
        requires,
        gate,
        action: action?,
        settings,
    })
}

fn feature_of_gate(section: &mut Section<'_>, facts: &Facts<'_>, tenantless: bool) -> Option<Feature> {
    feature(section, "requires", facts, tenantless)
}

fn feature(section: &mut Section<'_>, key: &'static str, facts: &Facts<'_>, tenantless: bool) -> Option<Feature> {
    let feature = section.text(key, FEATURE, Feature::parse);
    if let Some((feature, known)) = feature.as_ref().zip(facts.features).filter(|(f, known)| !known.contains_key(*f)) {
        section.fault(key, unknown_feature(feature, known));
    }
    if feature.is_some() && tenantless {
        section.fault(key, "it means nothing here: such a host leads to no tenant, whose plan could be asked");
    }
    feature
}

fn settings(section: &mut Section<'_>, path: Option<&PathMatch>) -> RouteSettings {
    let second = Duration::from_secs(1);
    let range = second / 100..=86_400 * second;
    let settings = RouteSettings {
        connect_timeout: section.duration_or_none("connect_timeout", second / 100..=60 * second),
        read_timeout: section.duration_or_none("read_timeout", range.clone()),
        total_timeout: section.duration_or_none("total_timeout", range),
        body_bytes: section.size_or_off("body_bytes", 1..=1 << 50, None),
        retries: section.number("retries", 0..=5, 1),
        compress: section.flag("compress", true),
        rewrite_prefix: section.text("rewrite_prefix", ABSOLUTE, absolute),
        request_headers: route_edits::request(section),
        response_headers: route_edits::response(section),
    };
    if settings.rewrite_prefix.is_some() && !matches!(path, None | Some(PathMatch::Prefix(_))) {
        section.fault("rewrite_prefix", "it takes the place of a path_prefix, and this route has none");
    }
    settings
}

/// `path` (exact), `path_prefix` (whole segments) or `path_regex`; none of them: any path.
fn path(section: &mut Section<'_>) -> Option<PathMatch> {
    let exact = section.text("path", ABSOLUTE, absolute).map(PathMatch::Exact);
    let prefix = section.text("path_prefix", ABSOLUTE, absolute).map(PathMatch::Prefix);
    let regex = section.text("path_regex", REGEX, regex).map(PathMatch::Regex);
    let keys = ["path", "path_prefix", "path_regex"];
    let there: Vec<_> = keys.into_iter().filter(|key| section.has(key)).collect();
    match there.as_slice() {
        [] => Some(PathMatch::Any),
        [_] => exact.or(prefix).or(regex),
        [_, second, ..] => {
            section.fault(second, "a route has a path, a path_prefix or a path_regex, only one of them");
            None
        }
    }
}

/// The same path as [`folded_path`] has it.
fn folded(path: &PathMatch) -> PathMatch {
    match path {
        PathMatch::Any => PathMatch::Any,
        PathMatch::Exact(path) => PathMatch::Exact(folded_path(path).into_owned()),
        PathMatch::Prefix(path) => PathMatch::Prefix(folded_path(path).into_owned()),
        // It compiles without this; with it, it is the same expression and no larger.
        PathMatch::Regex(regex) => {
            let folded = RegexBuilder::new(regex.as_str()).case_insensitive(true).build();
            PathMatch::Regex(folded.unwrap_or_else(|_| regex.clone()))
        }
    }
}

fn regex(text: &str) -> Result<Regex, String> {
    const LARGEST: usize = 1 << 18;
    if text.is_empty() {
        return Err(String::new());
    }
    let last_line = |error: regex::Error| error.to_string().lines().last().unwrap_or_default().trim().to_owned();
    RegexBuilder::new(text).size_limit(LARGEST).build().map_err(last_line)
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

    #[test]
    fn an_expression_that_is_none_or_too_large_is_refused() {
        assert!(regex("^/v[0-9]+/").is_ok());
        for text in ["", "(", "[z-a]", "(a{1000}){1000}"] {
            assert!(regex(text).is_err(), "{text}");
        }
    }
}
