//! The shipped configuration is right; every way to break it is reported at its place, all at once, and nothing panics.

pub mod broken;
mod schema;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use tenantry::config::{Config, Fault, Faults, KeySource, Log, PathMatch, Sources};
use tenantry::model::{Brand, Feature, PlanName};

use self::broken::Broken;

pub const TENANTRY: &str = include_str!("../../config/tenantry.toml");
pub const ROUTING: &str = include_str!("../../config/routing.toml");
pub const PLANS: &str = include_str!("../../config/plans.toml");

#[test]
fn the_shipped_example_is_right_and_says_the_defaults() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let shipped = Config::load_with(&dir, &|_| None).unwrap_or_else(|faults| panic!("{faults}"));
    let least = Sources::new(
        "[[listener]]\nname = \"https\"\naddress = \"0.0.0.0:443\"\n\
         [store]\nurl = \"sqlite:/var/lib/tenantry/tenantry.db\"\nkey = \"credential:store-key\"\n",
        ROUTING,
        PLANS,
    );
    let least = Config::parse(&least, &|_| None).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(shipped.admin, least.admin);
    assert_eq!(shipped.store, least.store);
    assert_eq!(shipped.tls, least.tls);
    assert_eq!(shipped.limits, least.limits);
    assert_eq!(shipped.tenancy, least.tenancy);
    assert_eq!(shipped.headers, least.headers);
    assert_eq!(shipped.directory, least.directory);
    let shown = Log { sample: Vec::new(), ..shipped.log.clone() };
    assert_eq!(shown, least.log, "but for the rule that is shown");
    assert_eq!(shipped.metrics, least.metrics);
    assert_eq!(shipped.process, least.process);
    assert_eq!(shipped.listeners[0], least.listeners[0]);
    assert_eq!(least.brand, Brand::for_base(least.brand.base.clone()));
    let Brand { reserved, own_hosts, main_site, .. } = shipped.brand.clone();
    assert_eq!(shipped.brand, Brand { reserved, own_hosts, main_site, ..least.brand.clone() });
    assert!(shipped.brand.reserved.is_superset(&least.brand.reserved), "the built-in names are always reserved");
}

#[test]
fn the_catalogue_is_the_products() {
    let config = shipped(&|_| None).unwrap_or_else(|faults| panic!("{faults}"));
    let catalogue = &config.catalogue;
    let plans: Vec<_> = catalogue.plans.iter().map(|p| (p.title.as_str(), p.members, p.ai_tokens)).collect();
    let expected = [
        ("Free", Some(50), Some(0)),
        ("Starter", Some(250), Some(0)),
        ("Creators", Some(1_000), Some(100_000)),
        ("Growth", Some(10_000), Some(500_000)),
        ("Professional", None, None),
        ("Custom", None, None),
    ];
    assert_eq!(plans, expected);
    let none = BTreeSet::new();
    let has = |plan: &str, feature: &str| {
        let plan = PlanName::parse(plan).unwrap();
        catalogue.features_of(&plan, &none, &none).contains(&Feature::parse(feature).unwrap())
    };
    for (plan, feature, expected) in [
        ("starter", "custom_domain", false),
        ("creators", "custom_domain", true),
        ("growth", "csv_export", true),
        ("growth", "custom_roles", false),
        ("professional", "custom_roles", true),
        ("custom", "sso", true),
    ] {
        assert_eq!(has(plan, feature), expected, "{plan} {feature}");
    }
    assert_eq!(catalogue.default_plan.as_str(), "free");
    assert_eq!(catalogue.licence, None);
    assert_eq!(config.tenancy.trial_days, 14);
    assert_eq!(config.routing.routes[0].path, PathMatch::Exact("/analytics/export".into()));
}

#[test]
fn the_dev_configuration_takes_its_variables_from_the_caller() {
    let dev = |lookup: &dyn Fn(&str) -> Option<String>| {
        let (tenantry, routing) =
            (include_str!("../../config/dev/tenantry.toml"), include_str!("../../config/dev/routing.toml"));
        Config::parse(&Sources::new(tenantry, routing, PLANS), lookup).unwrap_or_else(|faults| panic!("{faults}"))
    };
    let config = dev(&|_| None);
    let addresses: Vec<_> = config.listeners.iter().map(|l| (l.address.to_string(), l.tls)).collect();
    assert_eq!(addresses, [("127.0.0.1:8443".to_owned(), true), ("127.0.0.1:8080".to_owned(), false)]);
    assert_eq!(config.admin.address.to_string(), "127.0.0.1:9900");
    assert_eq!(config.store.url, "sqlite:.dev/tenantry.db");
    assert_eq!(config.store.key, KeySource::File(".dev/store.key".into()));
    assert_eq!(config.https_port(), Some(8443));

    let config = dev(&|name| match name {
        "HTTPS_PORT" | "HTTP_PORT" | "ADMIN_PORT" => Some("0".into()),
        "STATE" => Some("/tmp/state".into()),
        "DEMO_BACKEND" => Some("[::1]:5000".into()),
        _ => None,
    });
    assert!(config.listeners.iter().all(|listener| listener.address.port() == 0));
    assert_eq!(config.store.url, "sqlite:/tmp/state/tenantry.db");
    assert_eq!(config.routing.pools[0].backends, ["[::1]:5000"]);
}

#[test]
fn each_of_two_hundred_broken_files_is_reported_at_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| std::fs::write(dir.path().join(format!("{file}.toml")), text).unwrap();
    let good = [("tenantry", TENANTRY), ("routing", ROUTING), ("plans", PLANS)];
    good.into_iter().for_each(|(file, text)| write(file, text));
    let table = broken::table();
    assert!(table.len() >= 200, "{}", table.len());
    let mut wrong = Vec::new();
    for broken in &table {
        broken.write(dir.path());
        wrong.extend(check(broken, dir.path()).err());
        broken.remove(dir.path());
        good.iter().filter(|(file, _)| *file == broken.file).for_each(|(file, text)| write(file, text));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Looks for the expected fault; `Err` says what came instead.
fn check(broken: &Broken, dir: &Path) -> Result<(), String> {
    let Broken { file, what, place, key, fragment, .. } = broken;
    let Err(faults) = Config::load_with(dir, &|_| None) else {
        return Err(format!("{file}.toml: {what}: it was taken as right"));
    };
    let good = |fault: &Fault| {
        let here = place.is_none_or(|place| place == (fault.line, fault.column));
        fault.file.ends_with(&format!("{file}.toml")) && fault.key == *key && here && fault.message.contains(fragment)
    };
    let told = faults.to_string();
    let lines = told.lines().count() == faults.iter().count();
    // One mistake is one fault, but for what TOML's own parser says.
    let one = faults.iter().count() == 1 || key.is_empty();
    if faults.iter().any(good) && one && lines && !told.contains("hunter2") {
        return Ok(());
    }
    Err(format!("{file}.toml: {what}: expected at {place:?} {key}: …{fragment}…, found:\n{told}"))
}

#[test]
fn every_fault_of_every_file_is_reported_at_once() {
    let sources = Sources::new(
        "[brand]\nbase = \"_\"\n[[listener]]\nname = \"a\"\n[limits]\nhead_timeout = 3\nfoo = 1\n",
        "[[pool]]\nname = \"app\"\nbackends = []\n[[route]]\nname = \"r\"\nhost = \"any\"\npool = \"ap\"\n",
        "default_plan = \"x\"\n[[plan]]\nname = \"y\"\n",
    );
    let faults = Config::parse(&sources, &|_| None).expect_err("much is wrong");
    let keys: Vec<_> = faults.iter().map(|fault| format!("{}:{} {}", fault.file, fault.line, fault.key)).collect();
    let expected = [
        "tenantry.toml:0 store.url",
        "tenantry.toml:0 store.key",
        "tenantry.toml:2 brand.base",
        "tenantry.toml:3 listener[0].address",
        "tenantry.toml:6 limits.head_timeout",
        "tenantry.toml:7 limits.foo",
        "routing.toml:3 pool[0].backends",
        "routing.toml:7 route[0].pool",
        "plans.toml:1 default_plan",
        "plans.toml:2 plan[0].title",
        "plans.toml:2 plan[0].members",
        "plans.toml:2 plan[0].ai_tokens",
    ];
    assert_eq!(keys, expected, "{faults}");
    assert_eq!(faults.to_string().lines().count(), expected.len(), "one line each");
}

#[test]
fn sections_of_the_wrong_kind_fault_once() {
    let store = "[store]\nurl = \"sqlite:t.db\"\nkey = \"env:KEY\"\n";
    for (tenantry, expected) in [
        (store.to_owned(), "tenantry.toml: listener: missing, expected at least one section [[listener]]"),
        (format!("listener = []\n{store}"), "tenantry.toml:1:12: listener: found none, expected at least one"),
        (format!("listener = 5\n{store}"), "tenantry.toml:1:12: listener: found 5, expected sections"),
        (
            format!("{store}[listener]\n"),
            "tenantry.toml:4:1: listener: found a table, expected sections: write [[listener]]",
        ),
        (format!("listener = [5]\n{store}"), "tenantry.toml:1:13: listener[0]: found 5, expected a section"),
    ] {
        let faults = Config::parse(&Sources::new(tenantry, ROUTING, PLANS), &|_| None).expect_err(expected);
        assert!(faults.to_string().starts_with(expected), "{faults}");
        assert_eq!(faults.iter().len(), 1, "{faults}");
    }
}

#[test]
fn files_that_are_not_there_are_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("routing.toml"), ROUTING).unwrap();
    std::fs::write(dir.path().join("plans.toml"), b"\xff\xfe").unwrap();
    let shown = Config::load(dir.path()).expect_err("files are missing").to_string();
    let (tenantry, plans) = (dir.path().join("tenantry.toml"), dir.path().join("plans.toml"));
    assert!(shown.contains(&format!("{}: there is no such file", tenantry.display())), "{shown}");
    assert!(shown.contains(&format!("{}: the file is not UTF-8 text", plans.display())), "{shown}");
    assert_eq!(shown.lines().count(), 2, "what depends on a missing file is not faulted: {shown}");
}

#[test]
fn a_session_cookie_makes_gates_on_the_main_site_mean_something() {
    let tenantry = TENANTRY.replace("#   session_cookie", "session_cookie");
    let routing = ROUTING.replace("host = \"apex\"", "host = \"apex\"\nrequires = \"sso\"");
    let config = Config::parse(&Sources::new(tenantry, routing, PLANS), &|_| None).unwrap();
    assert_eq!(config.tenancy.session_cookie.as_deref(), Some("tenantry_session"));
    assert_eq!(config.tenancy.hsts, Some(Duration::from_secs(180 * 86_400)));
}

#[test]
fn a_secret_comes_from_a_file_or_from_systemd() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("url");
    std::fs::write(&path, "postgres://edge:hunter2@db/tenantry\n").unwrap();
    let reference = |to: &str| TENANTRY.replace("\"sqlite:/var/lib/tenantry/tenantry.db\"", &format!("\"{to}\""));
    let url = |to: &str, directory: Option<String>| {
        let lookup = |name: &str| directory.clone().filter(|_| name == "CREDENTIALS_DIRECTORY");
        let config = Config::parse(&Sources::new(reference(to), ROUTING, PLANS), &lookup)?;
        assert!(!format!("{config:?}").contains("hunter2"));
        Ok::<_, Faults>(config.store.url)
    };
    let file = format!("file:{}", path.display());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(url(&file, None).unwrap_err().to_string().contains("mode 0644"));
    let directory = Some(dir.path().display().to_string());
    assert_eq!(url("credential:url", directory).unwrap(), "postgres://edge:hunter2@db/tenantry");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(url(&file, None).unwrap(), "postgres://edge:hunter2@db/tenantry");
}

#[test]
fn a_file_from_windows_is_taken_as_it_is() {
    let marked = |text: &str| format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let config = Config::parse(&Sources::new(marked(TENANTRY), marked(ROUTING), marked(PLANS)), &|_| None);
    let plain = shipped(&|_| None).unwrap();
    assert_eq!(config.unwrap_or_else(|faults| panic!("{faults}")).routing.routes, plain.routing.routes);
}

#[test]
fn a_variables_value_is_never_shown() {
    let tenantry = TENANTRY.replace("\"0.0.0.0:80\"", "\"${SECRET}:80\"").replace("sqlite:/", "${SECRET}");
    let faults = Config::parse(&Sources::new(tenantry, ROUTING, PLANS), &|_| Some("hunter2".into()));
    let shown = faults.expect_err("neither is right").to_string();
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert!(shown.contains("${SECRET}:80\" (with its variables put in)") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn depth_and_length_are_no_danger() {
    for tenantry in ["a = ".to_owned() + &"[".repeat(100_000), "a.".repeat(100_000) + "a = 1", "[a]\n".repeat(10_000)] {
        assert!(Config::parse(&Sources::new(tenantry, ROUTING, PLANS), &|_| None).is_err());
    }
}

fn shipped(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Config, Faults> {
    Config::parse(&Sources::new(TENANTRY, ROUTING, PLANS), lookup)
}

/// What random editing puts in: what TOML and the sections give a meaning to.
fn scrap() -> impl Strategy<Value = String> {
    let known =
        ["[", "]", "[[", "=", "\"", "'", "\"\"\"", "{", "}", ",", ".", "\n", "#", "${", "}", "-", "0x", "1e9", "inf"];
    let values =
        ["true", "9223372036854775808", "\"off\"", "\"10s\"", "[[pool]]", "[limits]", "\u{feff}", "\r", "\0", "ä"];
    let fixed = proptest::sample::select([known.as_slice(), values.as_slice()].concat()).prop_map(str::to_owned);
    prop_oneof![fixed, "\\PC{0,12}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Lines swapped, bits flipped, cuts and scraps anywhere in any file: a configuration or faults, with places inside the file.
    #[test]
    fn no_mutation_panics(
        file in 0..3usize,
        swap in prop::option::of((any::<prop::sample::Index>(), any::<prop::sample::Index>())),
        flip in prop::option::of((any::<prop::sample::Index>(), 0..8u8)),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..40usize, scrap()), 0..6),
    ) {
        let mut texts = [TENANTRY.to_owned(), ROUTING.to_owned(), PLANS.to_owned()];
        if let Some((from, to)) = swap {
            let mut lines: Vec<&str> = texts[file].split('\n').collect();
            let (from, to) = (from.index(lines.len()), to.index(lines.len()));
            lines.swap(from, to);
            texts[file] = lines.join("\n");
        }
        if let Some((at, bit)) = flip {
            let mut bytes = texts[file].clone().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            texts[file] = String::from_utf8_lossy(&bytes).into_owned();
        }
        for (at, cut, scrap) in edits {
            let chars: Vec<char> = texts[file].chars().collect();
            let at = at.index(chars.len().max(1)).min(chars.len());
            let end = (at + cut).min(chars.len());
            texts[file] = chars[..at].iter().chain(scrap.chars().collect::<Vec<_>>().iter()).chain(&chars[end..]).collect();
        }
        let [tenantry, routing, plans] = &texts;
        let outcome = Config::parse(&Sources::new(tenantry, routing, plans), &|_| Some("value".into()));
        if let Err(faults) = outcome {
            prop_assert!(faults.iter().len() > 0);
            for fault in faults.iter() {
                let text = ["tenantry.toml", "routing.toml", "plans.toml"].iter().position(|name| *name == fault.file);
                let lines = texts[text.unwrap()].split('\n').count();
                prop_assert!(fault.line <= lines, "{fault}");
            }
        }
    }
}
