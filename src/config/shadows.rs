//! Routes that can never be reached, because one before them takes all of their requests.

use std::collections::HashMap;
use std::sync::Arc;

use super::route_index::Paths;
use super::routing::{HostMatch, PathMatch, Route};
use super::section::{Section, Spot};

/// The earlier routes of one host.
#[derive(Default)]
struct Earlier {
    paths: Paths,
    /// Those for any path.
    any: Vec<u32>,
    /// Expressions, by their text: of two, only whether they are the same is asked.
    same: HashMap<String, Vec<u32>>,
    expressions: Vec<u32>,
}

/// Expressions that are tried on exact paths in all. A configuration with so many of both that this is not enough may hold
/// a route that is never reached without being told so; to try all on all would take seconds.
const MOST_TRIES: usize = 200_000;

pub(super) fn check(root: &Section<'_>, routes: &[(Option<Arc<Route>>, Spot)]) {
    let mut earlier: HashMap<&HostMatch, Earlier> = HashMap::new();
    let mut tries = MOST_TRIES;
    for (place, (route, spot)) in routes.iter().enumerate() {
        let (Some(route), Ok(place)) = (route, u32::try_from(place)) else { continue };
        let mut first: Option<&Route> = None;
        for host in [&route.host, &HostMatch::Any] {
            let Some(earlier) = earlier.get(host) else { continue };
            let mut consider = |places: &Vec<u32>| {
                let taken = places.iter().filter_map(|place| routes.get(*place as usize)?.0.as_deref());
                first = first.or(taken.into_iter().find(|earlier| covers(earlier, route)));
            };
            consider(&earlier.any);
            match &route.path {
                PathMatch::Exact(path) => {
                    earlier.paths.each(path, &mut consider);
                    if tries >= earlier.expressions.len() {
                        tries -= earlier.expressions.len();
                        consider(&earlier.expressions);
                    }
                }
                PathMatch::Prefix(prefix) => {
                    earlier.paths.each(prefix.strip_suffix('/').unwrap_or(prefix), &mut consider);
                }
                PathMatch::Regex(regex) => {
                    if let Some(places) = earlier.same.get(regex.as_str()) {
                        consider(places);
                    }
                }
                PathMatch::Any => {}
            }
        }
        if let Some(first) = first {
            let message =
                format!("never reached: the route \"{}\" before it takes all of its requests; move it up", first.name);
            root.fault_at(spot, message);
        }
        let earlier = earlier.entry(&route.host).or_default();
        match &route.path {
            PathMatch::Any => earlier.any.push(place),
            PathMatch::Regex(regex) => {
                earlier.same.entry(regex.as_str().to_owned()).or_default().push(place);
                earlier.expressions.push(place);
            }
            PathMatch::Exact(_) | PathMatch::Prefix(_) => drop(earlier.paths.add(place, &route.path)),
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
        // Whether one expression takes what another does is not asked: only whether they are the same.
        (PathMatch::Regex(_), PathMatch::Regex(_)) => a.path == b.path,
        (PathMatch::Exact(_) | PathMatch::Regex(_), PathMatch::Prefix(_)) => false,
        (PathMatch::Exact(_) | PathMatch::Prefix(_), PathMatch::Regex(_)) => false,
    };
    // `a` asks for nothing that `b` does not ask for as well.
    let headers = a.headers.iter().all(|wanted| {
        b.headers.iter().any(|b| b.name == wanted.name && (wanted.value.is_none() || b.value == wanted.value))
    });
    let feature = a.feature.is_none() || a.feature == b.feature;
    host && methods && path && headers && feature
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::routing::{Action, HeaderMatch, PoolId, RouteSettings};
    use crate::model::Feature;
    use http::{HeaderName, HeaderValue, Method};

    fn route(host: HostMatch, path: PathMatch, methods: &[Method]) -> Route {
        Route {
            name: "".into(),
            host,
            path,
            methods: methods.to_vec(),
            headers: Vec::new(),
            feature: None,
            requires: None,
            gate: None,
            action: Action::Pool(PoolId(0)),
            settings: RouteSettings::default(),
        }
    }

    #[test]
    fn a_route_covers_what_it_would_take_first() {
        let prefix = |path: &str| PathMatch::Prefix(path.into());
        let exact = |path: &str| PathMatch::Exact(path.into());
        let regex = |text: &str| PathMatch::Regex(regex::Regex::new(text).unwrap());
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
            (regex("^/a"), exact("/a/x"), true),
            (regex("^/a"), regex("^/a"), true),
            (regex("^/a"), prefix("/a"), false),
            (prefix("/a"), regex("^/a"), false),
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

    /// Ten thousand expressions, and as many exact paths behind them: what tries each on each takes minutes unoptimised.
    #[test]
    fn ten_thousand_expressions_are_no_trouble() {
        let mut text = String::from("[[pool]]\nname = \"app\"\nbackends = [\"127.0.0.1:1\"]\n");
        for n in 0..10_000 {
            let key = if n < 8_000 { format!("path_regex = \"^/r{n}/[0-9]+$\"") } else { format!("path = \"/p{n}\"") };
            text.push_str(&format!("[[route]]\nname = \"r{n}\"\nhost = \"tenant\"\n{key}\npool = \"app\"\n"));
        }
        text.push_str(
            "[[route]]\nname = \"again\"\nhost = \"tenant\"\npath_regex = \"^/r7/[0-9]+$\"\npool = \"app\"\n",
        );
        let sources = crate::config::Sources::new("", text, include_str!("../../config/plans.toml"));
        let began = std::time::Instant::now();
        let faults = crate::config::Config::parse(&sources, &|_| None).unwrap_err().to_string();
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "{:?}", began.elapsed());
        assert!(faults.contains("never reached: the route \"r7\" before it"), "{faults}");
    }

    #[test]
    fn what_asks_for_more_covers_less() {
        let plain = route(HostMatch::Any, PathMatch::Any, &[]);
        let header = |value: Option<&'static str>| Route {
            headers: vec![HeaderMatch {
                name: HeaderName::from_static("x-beta"),
                value: value.map(HeaderValue::from_static),
            }],
            ..plain.clone()
        };
        assert!(covers(&plain, &header(None)) && !covers(&header(None), &plain));
        assert!(covers(&header(None), &header(Some("1"))) && !covers(&header(Some("1")), &header(None)));
        assert!(!covers(&header(Some("1")), &header(Some("2"))));
        let featured = Route { feature: Feature::parse("sso").ok(), ..plain.clone() };
        assert!(covers(&plain, &featured) && !covers(&featured, &plain));
    }
}
