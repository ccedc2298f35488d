//! Ways to break the shipped configuration, one a line: what is replaced by what, and the fault that must come of it.

/// Marks where a fault is expected to point at.
pub const HERE: &str = "«";

/// A file of the shipped example with `from` replaced, the key of the fault, and part of its message. [`HERE`] marks
/// the place; without it the fault is about the whole file.
pub type Broken = (&'static str, &'static str, &'static str, &'static str);

/// Every broken file there is, whole: `tenantry`, `routing` or `plans`, and what it holds.
pub fn files() -> Vec<(&'static str, String)> {
    let shipped = [
        ("tenantry", include_str!("../../../config/tenantry.toml"), TENANTRY),
        ("routing", include_str!("../../../config/routing.toml"), ROUTING),
        ("plans", include_str!("../../../config/plans.toml"), PLANS),
    ];
    let each = shipped.into_iter().flat_map(|(file, text, cases)| cases.iter().map(move |case| (file, text, case)));
    each.map(|(file, text, (from, to, ..))| (file, text.replacen(from, &to.replace(HERE, ""), 1))).collect()
}

#[rustfmt::skip]
pub const TENANTRY: &[Broken] = &[
    // What is no TOML.
    ("[brand]", "[brand«", "", "this is not TOML"),
    ("access = true", "access = «yes", "", "this is not TOML"),
    ("access = true", "access = true\n«access = true", "", "this is not TOML"),
    ("access = true", "access = true\n[«log]", "", "this is not TOML"),
    // Unknown keys and sections.
    ("head_timeout = ", "«head_timeot = ", "limits.head_timeot", "unknown key `head_timeot`; did you mean `head_timeout`?"),
    ("[brand]", "«colour = \"red\"\n[brand]", "colour", "unknown key `colour`; known keys are brand, admin, listener"),
    ("[limits]", "[«limit]", "limit", "did you mean `limits`?"),
    ("console = \"ops\"", "«\"a\\nb\" = 1", "brand.a\\nb", "unknown key `a\\nb`"),
    // Wrong kinds.
    ("[log]", "«[[log]]", "log", "found an array, expected a section: write [log]"),
    ("[[listener]]\nname = \"http\"\n", "[[listener]]\nname = «4\n", "listener[1].name", "found 4, expected a name of 1 to 64"),
    ("name = \"Arythmatic Connect\"", "name = «true", "brand.name", "found true, expected a text"),
    ("reserved = [", "reserved = «\"docs\" #", "brand.reserved", "expected a list, each one label"),
    ("\"docs\"", "«7", "brand.reserved[0]", "found 7, expected one label"),
    ("access = true", "access = «\"true\"", "log.access", "found \"true\", expected true or false"),
    ("h2_streams = 100", "h2_streams = «\"100\"", "limits.h2_streams", "found \"100\", expected a whole number from 1 to 10000"),
    ("h2_streams = 100", "h2_streams = «1.5", "limits.h2_streams", "found 1.5, expected a whole number"),
    ("h2_streams = 100", "h2_streams = «1979-05-27", "limits.h2_streams", "found 1979-05-27"),
    // Brand.
    ("base = \"connect", "base = «\"connect..", "brand.base", "each part of a host name"),
    ("base = \"connect.arythmatic.cloud\"", "base = «\"10.0.0.1\"", "brand.base", "an IP address is not a host name"),
    ("base = \"connect.arythmatic.cloud\"", "base = «\"localhost\"", "brand.base", "expected a name with a dot"),
    ("\"docs\", \"support\"", "\"docs\", «\"Support\"", "brand.reserved[1]", "lowercase"),
    ("\"docs\", \"support\"", "\"docs\", «\"docs\"", "brand.reserved[1]", "a second time"),
    ("console = \"ops\"", "console = «\"-ops\"", "brand.console", "dash"),
    ("own_hosts = [", "own_hosts = [«\"x.connect.arythmatic.cloud\", ", "brand.own_hosts[0]", "name its label under brand.reserved"),
    ("main_site = \"https://", "main_site = «\"ftp://", "brand.main_site", "expected a URL such as"),
    ("name = \"Arythmatic Connect\"", "name = «\"\"", "brand.name", "1 to 120 characters"),
    ("edge_label = \"edge\"", "edge_label = «\"edge.eu\"", "brand.edge_label", "expected one label under the base domain"),
    ("edge_label = \"edge\"", "edge_label = «\"ops\"", "brand.edge_label", "the console has this label"),
    ("verification_label = \"_a", "verification_label = «\"a", "brand.verification_label", "it begins with an underscore"),
    ("verification_prefix = \"a", "verification_prefix = «\"a b", "brand.verification_prefix", "visible ASCII characters"),
    ("key_prefix = \"arc\"", "key_prefix = «\"arc_live\"", "brand.key_prefix", "1 to 16 lowercase letters and digits"),
    // Listeners.
    ("name = \"http\"", "name = «\"https\"", "listener[1].name", "a second listener of the name \"https\""),
    ("name = \"http\"", "name = «\"admin\"", "listener[1].name", "belongs to the socket of [admin]"),
    ("name = \"http\"", "name = «\"HTTP\"", "listener[1].name", "lowercase"),
    ("\"0.0.0.0:80\"", "«\"0.0.0.0:443\"", "listener[1].address", "cannot be had beside 0.0.0.0:443 of https"),
    ("\"0.0.0.0:80\"", "«\"10.0.0.1:443\"", "listener[1].address", "cannot be had beside 0.0.0.0:443 of https"),
    ("\"0.0.0.0:80\"", "«\"0.0.0.0:9900\"", "listener[1].address", "127.0.0.1:9900 of the admin service"),
    ("\"0.0.0.0:80\"", "«\":80\"", "listener[1].address", "expected an IP address with a port"),
    ("\"0.0.0.0:80\"", "«\"localhost:80\"", "listener[1].address", "expected an IP address with a port"),
    ("\"0.0.0.0:80\"", "«\"0.0.0.0:65536\"", "listener[1].address", "expected an IP address with a port"),
    ("address = \"0.0.0.0:80\"", "", "listener[1].address", "missing, expected an IP address with a port"),
    ("public_port = 443", "public_port = «0", "listener[0].public_port", "from 1 to 65535"),
    ("public_port = 443", "public_port = «65_536", "listener[0].public_port", "from 1 to 65535"),
    ("proxy_protocol = \"off\"", "proxy_protocol = «\"v2\"", "listener[0].proxy_protocol", "found \"v2\", expected one of \"off\", \"required\""),
    ("proxy_protocol = \"off\"", "proxy_protocol = \"required\"", "listener[0].proxy_sources", "missing, expected the networks"),
    ("proxy_protocol = \"off\"", "proxy_protocol = \"required\"\nproxy_sources = «[]", "listener[0].proxy_sources", "found no network"),
    ("proxy_protocol = \"off\"", "proxy_sources = «[\"10.0.0.0/8\"]", "listener[0].proxy_sources", "means nothing here"),
    ("proxy_protocol = \"off\"", "proxy_protocol = \"required\"\nproxy_sources = [«\"10.1.0.0/8\"]", "listener[0].proxy_sources[0]", "the network is 10.0.0.0/8"),
    // Admin and store.
    ("\"127.0.0.1:9900\"", "«\"9900\"", "admin.address", "expected an IP address with a port"),
    ("max_body = \"1MiB\"", "max_body = «\"1 MiB\"", "admin.max_body", "expected a size such as \"64KiB\""),
    ("max_body = \"1MiB\"", "max_body = «\"1GiB\"", "admin.max_body", "from 1KiB to 64MiB"),
    ("url = \"sqlite:/var/lib/tenantry/tenantry.db\"", "", "store.url", "missing, expected \"sqlite:<path of a file>\""),
    ("\"sqlite:/var/lib/tenantry/tenantry.db\"", "«\"mysql://root:hunter2@db/tenantry\"", "store.url", "it is not shown"),
    ("\"sqlite:/var/lib/tenantry/tenantry.db\"", "«\"${DATABASE_URL}\"", "store.url", "the variable DATABASE_URL is not set"),
    ("\"sqlite:/var/lib/tenantry/tenantry.db\"", "«\"sqlite:${A\"", "store.url", "without its `}`"),
    ("\"credential:store-key\"", "«\"aHVudGVyMg==\"", "store.key", "expected where the key is"),
    ("\"credential:store-key\"", "«\"credential:../hunter2\"", "store.key", "expected where the key is"),
    ("old_keys = []", "old_keys = [«\"aHVudGVyMg==\"]", "store.old_keys[0]", "it is not shown"),
    ("old_keys = []", "old_keys = «\"file:hunter2\"", "store.old_keys", "it is not shown"),
    ("poll_interval = \"500ms\"", "poll_interval = «\"0s\"", "store.poll_interval", "from 50ms to 1m"),
    ("max_connections = 8", "max_connections = «0", "store.max_connections", "from 2 to 1000"),
    // TLS, limits, tenancy, headers, directory, log.
    ("min_version = \"1.2\"", "min_version = «\"1.1\"", "tls.min_version", "expected one of \"1.2\", \"1.3\""),
    ("min_version = \"1.2\"", "min_version = «1.2", "tls.min_version", "found 1.2, expected one of"),
    ("cache = 20_000", "fallback = «true", "tls.fallback", "expected a section: write [tls.fallback]"),
    ("#   [tls.fallback]\n", "«[tls.fallback]\nchain = \"a.pem\"\n", "tls.fallback.key", "missing, expected the path of a file"),
    ("head_timeout = \"10s\"", "head_timeout = «\"10 parsecs\"", "limits.head_timeout", "found \"10 parsecs\", expected a duration such as \"10s\""),
    ("head_timeout = \"10s\"", "head_timeout = «10", "limits.head_timeout", "found 10, expected a duration such as \"10s\""),
    ("head_timeout = \"10s\"", "head_timeout = «\"0s\"", "limits.head_timeout", "from 100ms to 1h"),
    ("header_count = 100", "header_count = «1000", "limits.header_count", "from 8 to 256"),
    ("header_bytes = \"32KiB\"", "header_bytes = «\"2MiB\"", "limits.header_bytes", "from 1KiB to 1MiB"),
    ("connections_per_address = 512", "connections_per_address = «20_001", "limits.connections_per_address", "found 20001, expected at most `connections`, 20000"),
    ("new_connections_per_second = \"off\"", "new_connections_per_second = «0", "limits.new_connections_per_second", "from 1 to 1000000, or \"off\""),
    ("#   new_connections_burst = 250", "new_connections_burst = «250", "limits.new_connections_burst", "expected new_connections_per_second beside it"),
    ("unknown_sni_per_second = 20", "unknown_sni_per_second = «\"none\"", "limits.unknown_sni_per_second", "or \"off\""),
    ("unknown_sni_burst = 100", "unknown_sni_burst = «0", "limits.unknown_sni_burst", "from 1 to 5000000"),
    ("tenants = 100\n", "tenants = «-1\n", "metrics.tenants", "from 0 to 10000"),
    ("body_bytes = \"off\"", "body_bytes = «\"none\"", "limits.body_bytes", "or \"off\""),
    ("trial_days = 14", "trial_days = «-1", "tenancy.trial_days", "found -1, expected a whole number from 1"),
    ("trial_days = 14", "trial_days = «99999999999999999999", "tenancy.trial_days", "found 99999999999999999999"),
    ("expired_trials = \"serve\"", "expired_trials = «\"delete\"", "tenancy.expired_trials", "expected one of \"serve\", \"suspend\""),
    ("#   session_cookie = \"tenantry_session\"", "session_cookie = «\"a b\"", "tenancy.session_cookie", "the name of a cookie"),
    ("hsts = \"180d\"", "hsts = «false", "tenancy.hsts", "or \"off\""),
    ("trusted_proxies = []", "trusted_proxies = [«\"everyone\"]", "headers.trusted_proxies[0]", "expected an IP network"),
    ("issuer = \"https://connect", "issuer = «\"https:// connect", "headers.issuer", "visible characters"),
    ("hosts = 1_000_000", "hosts = «0", "directory.hosts", "from 1 to"),
    ("miss_wait = \"500ms\"", "miss_wait = «\"1m\"", "directory.miss_wait", "from 1ms to 10s"),
    ("filter = \"info\"", "filter = «\"debgu\"", "log.filter", "a word alone must be a level"),
    ("format = \"json\"", "format = «\"xml\"", "log.format", "expected one of \"json\", \"text\""),
];

#[rustfmt::skip]
pub const ROUTING: &[Broken] = &[
    ("[[pool]]\nname = \"site\"", "[[pool]]\nname = «\"app\"\nbackends = [\"a:1\"]\n[[pool]]\nname = \"site\"", "pool[3].name", "a second pool of the name \"app\""),
    ("backends = [\"10.0.1.20:8080\"]", "backends = «[]", "pool[2].backends", "found none, expected at least one"),
    ("backends = [\"10.0.1.20:8080\"]", "", "pool[2].backends", "missing, expected a list"),
    ("\"10.0.1.11:8080\"", "«\"10.0.1.10:8080\"", "pool[0].backends[1]", "a second time"),
    ("\"10.0.1.20:8080\"", "«\"http://10.0.1.20:8080\"", "pool[2].backends[0]", "expected a host or IP address with a port"),
    ("\"10.0.1.20:8080\"", "«\"10.0.1.20\"", "pool[2].backends[0]", "the port is missing"),
    ("protocol = \"h1\"", "protocol = «\"http\"", "pool[0].protocol", "expected one of \"h1\", \"h2c\", \"tls\""),
    ("server_name = \"analytics.internal\"", "", "pool[1].server_name", "TLS backends are always verified"),
    ("server_name = \"analytics.internal\"", "server_name = «\"\"", "pool[1].server_name", "a host name is missing"),
    ("protocol = \"h1\"", "server_name = «\"app.internal\"", "pool[0].server_name", "means nothing here"),
    ("protocol = \"h1\"", "ca = «\"/etc/ca.pem\"", "pool[0].ca", "expected protocol = \"tls\""),
    ("protocol = \"h1\"", "host_header = «\"a b\"", "pool[0].host_header", "expected a host name"),
    ("connect_timeout = \"5s\"", "connect_timeout = «\"0ms\"", "pool[0].connect_timeout", "from 10ms to 1m"),
    ("total_timeout = \"2m\"", "total_timeout = «\"2s\"", "pool[1].total_timeout", "shorter than connect_timeout"),
    ("[[pool]]\nname = \"site\"", "[[pool]]\nname = «\"spare\"\nbackends = [\"a:1\"]\n[[pool]]\nname = \"site\"", "pool[3].name", "no route leads to the pool \"spare\""),
    ("pool = \"console\"", "pool = «\"konsole\"", "route[4].pool", "there are analytics, app, app-premium, console, site"),
    ("host = \"console\"", "host = «\"konsole\"", "route[4].host", "or a host name with a dot"),
    ("host = \"console\"", "", "route[4].host", "missing, expected \"any\""),
    ("\"csv_export\"", "«\"csv_exprot\"", "route[0].requires", "there is no feature \"csv_exprot\" in plans.toml"),
    ("\"csv_export\"", "«\"CSV\"", "route[0].requires", "expected the name of a feature"),
    ("host = \"console\"", "host = \"console\"\nrequires = «\"sso\"", "route[4].requires", "leads to no tenant"),
    ("host = \"apex\"", "host = \"apex\"\nrequires = «\"sso\"", "route[6].requires", "leads to no tenant"),
    ("[\"POST\"]", "[«\"post\"]", "route[0].methods[0]", "in capitals"),
    ("[\"POST\"]", "[«\"CONNECT\"]", "route[0].methods[0]", "the edge answers it itself"),
    ("[\"POST\"]", "«[]", "route[0].methods", "leave the key out for any method"),
    ("path = \"/analytics/export\"", "path = «\"analytics/export\"", "route[0].path", "expected a path such as \"/api\""),
    ("path = \"/analytics/export\"", "path = «\"/analytics/../export\"", "route[0].path", "a dot segment is never met"),
    ("path_prefix = \"/analytics\"", "path_prefix = «\"//analytics\"", "route[1].path_prefix", "an empty segment (//) is never met"),
    ("path = \"/analytics/export\"", "path = «\"/analytics/%65xport\"", "route[0].path", "are not escaped"),
    ("path_prefix = \"/embed\"", "path_prefix = «\"/embed%2fx\"", "route[2].path_prefix", "an escape is in capitals"),
    ("path = \"/analytics/export\"", "path = \"/a\"\npath_prefix = «\"/b\"", "route[0].path_prefix", "only one of them"),
    ("name = \"own-hosts\"", "name = «\"console\"", "route[7].name", "a second route of the name \"console\""),
    ("name = \"tenants\"\nhost = \"tenant\"", "name = «\"tenants\"\nhost = \"tenant\"\npath_prefix = \"/embed/x\"", "route[3].name", "never reached: the route \"embed\" before it"),
    ("name = \"own-hosts\"", "name = \"own-hosts\"\n«weight = 3", "route[7].weight", "unknown key `weight`; known keys are name, host, path"),
];

#[rustfmt::skip]
pub const PLANS: &[Broken] = &[
    ("default_plan = \"free\"", "default_plan = «\"gratis\"", "default_plan", "there is no plan \"gratis\"; there are free, starter"),
    ("default_plan = \"free\"", "", "default_plan", "missing, expected the name of a plan"),
    ("upgrade_url = \"https://", "upgrade_url = «\"ftp://", "upgrade_url", "starts with https://"),
    ("csv_export = \"CSV export\"", "csv_export = \"CSV export\"\n«CSV = \"CSV\"", "features.CSV", "starts with a letter"),
    ("csv_export = \"CSV export\"", "«csv_export = 1", "features.csv_export", "found 1, expected a text"),
    ("\"catch_up_ai\", \"csv_export\", \"embed_sdk\"]", "«\"chatbot\"]", "plan[3].features[1]", "there is no feature \"chatbot\""),
    ("features = \"all\"", "features = «\"most\"", "plan[5].features", "a list of features, or \"all\""),
    ("name = \"starter\"", "name = «\"free\"", "plan[1].name", "a second plan of the name \"free\""),
    ("name = \"starter\"", "", "plan[1].name", "missing, expected the name of a plan"),
    ("title = \"Starter\"", "title = «\"\"", "plan[1].title", "1 to 120 characters"),
    ("members = 250", "", "plan[1].members", "missing, expected a whole number of 0 or more, or \"unlimited\""),
    ("members = 250", "members = «-1", "plan[1].members", "found -1, expected a whole number"),
    ("members = 250", "members = «\"many\"", "plan[1].members", "found \"many\", expected a whole number"),
    ("#   [licence]\n", "[licence]\nfeatures = [«\"warp_drive\"]\n", "licence.features[0]", "there is no feature \"warp_drive\""),
    ("#   [licence]\n", "[licence]\n", "licence.features", "missing, expected the list of the features"),
];
