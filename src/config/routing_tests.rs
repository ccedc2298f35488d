//! Which route a request takes: by table, and the index against trying every route in turn.

use std::cell::OnceCell;

use http::HeaderMap;
use proptest::prelude::*;

use super::*;
use crate::model::{Slug, folded_path};

fn route(name: &str, path: PathMatch, methods: &[Method]) -> Route {
    Route {
        name: name.into(),
        host: HostMatch::Any,
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

fn routing(routes: Vec<Route>) -> Routing {
    Routing::new(Vec::new(), routes.into_iter().map(Arc::new).collect(), BTreeMap::new())
}

#[test]
fn head_goes_where_get_goes_unless_a_route_before_says_head() {
    let exact = |path: &str| PathMatch::Exact(path.into());
    let routing = routing(vec![
        route("probe", exact("/probe"), &[Method::HEAD]),
        route("read", exact("/probe"), &[Method::GET]),
        route("report", exact("/report"), &[Method::GET]),
        route("write", exact("/report"), &[Method::POST]),
        route("rest", PathMatch::Any, &[]),
    ]);
    let host = Hostname::parse("acme.example").unwrap();
    let (headers, features) = (HeaderMap::new(), BTreeSet::new());
    for (method, path, name) in [
        (Method::HEAD, "/probe", "probe"),
        (Method::GET, "/probe", "read"),
        (Method::HEAD, "/report", "report"),
        (Method::GET, "/report", "report"),
        (Method::POST, "/report", "write"),
        (Method::PUT, "/report", "rest"),
        (Method::HEAD, "/", "rest"),
    ] {
        let class = &HostClass::Custom;
        let asked = Asked { class, host: &host, features: Some(&features), method: &method, path, headers: &headers };
        assert_eq!(&*routing.choose(&asked).unwrap().name, name, "{method} {path}");
    }
}

#[test]
fn headers_features_and_expressions_are_asked_for_and_the_next_route_takes_the_rest() {
    let feature = Feature::parse("beta").unwrap();
    let header = |value: Option<&'static str>| HeaderMatch {
        name: HeaderName::from_static("x-version"),
        value: value.map(HeaderValue::from_static),
    };
    let regex = PathMatch::Regex(Regex::new("^/v[0-9]+/").unwrap());
    let routing = routing(vec![
        Route { headers: vec![header(Some("2"))], ..route("two", PathMatch::Any, &[]) },
        Route { headers: vec![header(None)], ..route("versioned", PathMatch::Any, &[]) },
        Route { feature: Some(feature.clone()), ..route("beta", PathMatch::Prefix("/new".into()), &[]) },
        route("numbered", regex, &[]),
        route("rest", PathMatch::Any, &[]),
    ]);
    let host = Hostname::parse("acme.example").unwrap();
    let (none, beta) = (BTreeSet::new(), BTreeSet::from([feature]));
    let version = |value: &'static str| HeaderMap::from_iter([(header(None).name, HeaderValue::from_static(value))]);
    let plain = HeaderMap::new;
    for (path, headers, features, name) in [
        ("/", version("2"), Some(&none), "two"),
        ("/", version("3"), Some(&none), "versioned"),
        ("/new/x", plain(), Some(&beta), "beta"),
        ("/new/x", plain(), Some(&none), "rest"),
        ("/new/x", plain(), None, "rest"),
        ("/v12/x", plain(), None, "numbered"),
        ("/vx/x", plain(), None, "rest"),
    ] {
        let (class, method) = (&HostClass::Custom, &Method::GET);
        let asked = Asked { class, host: &host, features, method, path, headers: &headers };
        assert_eq!(&*routing.choose(&asked).unwrap().name, name, "{path}");
    }
}

/// Every route in turn: what the index must not differ from.
fn in_turn<'r>(routing: &'r Routing, asked: &Asked<'_>) -> Option<&'r Arc<Route>> {
    let folded = OnceCell::new();
    let folded = || &**folded.get_or_init(|| folded_path(asked.path));
    routing.routes.iter().find(|route| route.mismatch(asked, folded).is_none())
}

fn some_path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "A", "c%2Fd"]), 0..4)
        .prop_map(|segments| format!("/{}", segments.join("/")))
}

fn some_route() -> impl Strategy<Value = Route> {
    let host = prop::sample::select(vec![
        HostMatch::Any,
        HostMatch::Tenant,
        HostMatch::Apex,
        HostMatch::Exact(Hostname::parse("acme.example").unwrap()),
    ]);
    let path = (0..4u8, some_path()).prop_map(|(kind, path)| match kind {
        0 => PathMatch::Any,
        1 => PathMatch::Exact(path),
        2 => PathMatch::Prefix(path),
        _ => PathMatch::Regex(Regex::new(&format!("^{path}")).unwrap()),
    });
    (host, path, any::<bool>(), any::<bool>()).prop_map(|(host, path, gated, post)| {
        let gate = gated.then(|| match &path {
            PathMatch::Exact(path) => PathMatch::Exact(folded_path(path).into_owned()),
            PathMatch::Prefix(path) => PathMatch::Prefix(folded_path(path).into_owned()),
            other => other.clone(),
        });
        let methods: &[Method] = if post { &[Method::POST] } else { &[] };
        Route { host, gate, ..route("", path, methods) }
    })
}

proptest! {
    #[test]
    fn the_index_finds_what_trying_each_in_turn_finds(
        routes in prop::collection::vec(some_route(), 0..30),
        path in some_path(),
        slash in any::<bool>(),
        kind in 0..4u8,
    ) {
        let named = routes.into_iter().enumerate().map(|(n, route)| Route { name: n.to_string().into(), ..route });
        let routing = routing(named.collect());
        let path = if slash && path != "/" { format!("{path}/") } else { path };
        let features = BTreeSet::new();
        let slug = HostClass::Tenant(Slug::parse("acme").unwrap());
        let (class, host, features) = match kind {
            0 => (HostClass::Apex, "base.example", None),
            1 => (HostClass::Custom, "acme.example", Some(&features)),
            2 => (slug, "acme.base.example", Some(&features)),
            _ => (HostClass::Console, "ops.base.example", None),
        };
        let host = Hostname::parse(host).unwrap();
        let (method, headers) = (&Method::GET, &HeaderMap::new());
        let asked = Asked { class: &class, host: &host, features, method, path: &path, headers };
        prop_assert_eq!(routing.choose(&asked).map(|r| &r.name), in_turn(&routing, &asked).map(|r| &r.name));
    }
}
