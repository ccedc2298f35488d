//! The schemas are those of the readers: what is shipped passes, what they refuse for its kind a schema refuses too, and
//! every key that they ask for is shown in the example.

use jsonschema::Validator;
use serde_json::{Value, json};
use tenantry::config::{Config, File, READ_AT_START, Sources};

use super::{PLANS, ROUTING, TENANTRY, broken};

fn validator(file: File) -> Validator {
    jsonschema::draft202012::new(&file.schema()).unwrap_or_else(|error| panic!("{file:?}: {error}"))
}

fn parsed(text: &str) -> Value {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn what_is_shipped_passes() {
    let dev = include_str!("../../../config/dev/tenantry.toml");
    let acme = include_str!("../../../config/dev/acme.toml");
    for (file, text) in [
        (File::Tenantry, TENANTRY.to_owned()),
        (File::Routing, ROUTING.to_owned()),
        (File::Plans, PLANS.to_owned()),
        (File::Tenantry, dev.to_owned()),
        (File::Tenantry, format!("{dev}{acme}")),
        (File::Routing, include_str!("../../../config/dev/routing.toml").to_owned()),
        // With what the examples only show: nothing in it is unknown, or of the wrong kind.
        (File::Tenantry, switched_on(TENANTRY)),
        (File::Plans, switched_on(PLANS)),
    ] {
        let value = parsed(&text);
        let faults: Vec<_> =
            validator(file).iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(faults.is_empty(), "{file:?}: {faults:#?}");
    }
}

#[test]
fn every_key_is_shown_in_the_example() {
    for (file, text) in [(File::Tenantry, TENANTRY), (File::Routing, ROUTING), (File::Plans, PLANS)] {
        let shown = shown(text);
        let missing: Vec<_> = file.keys().into_iter().filter(|key| !shown.contains(key)).collect();
        assert!(missing.is_empty(), "config/{}.toml does not show {missing:?}", file.stem());
    }
}

#[test]
fn what_needs_a_restart_says_so_in_the_example() {
    let lines: Vec<&str> = TENANTRY.lines().collect();
    for name in READ_AT_START {
        let (section, key) = name.split_once('.').unwrap_or(("", name));
        let mut inside = false;
        let marked = lines.iter().enumerate().any(|(at, line)| {
            let line = line.strip_prefix("#   ").unwrap_or(line);
            let heading = line.trim_matches(['[', ']']);
            if line.starts_with('[') {
                inside = heading == section;
            }
            let here = if section.is_empty() {
                line.starts_with('[') && heading == key
            } else {
                inside && line.starts_with(&format!("{key} ="))
            };
            let said = lines[..at].iter().rev().take_while(|line| line.starts_with('#'));
            here && said.into_iter().any(|line| line.contains("Needs a restart."))
        });
        assert!(marked, "config/tenantry.toml does not say that {name} needs a restart");
    }
}

#[test]
fn a_schema_refuses_what_the_readers_refuse_for_its_kind() {
    let least = "[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:0\"\n[store]\nurl = \"sqlite:a\"\nkey = \"env:A\"\n";
    let tenantry = validator(File::Tenantry);
    assert!(tenantry.is_valid(&parsed(least)));
    for wrong in [
        "colour = 1",
        "[limits]\nhead_timeot = \"1s\"",
        "[limits]\nhead_timeout = 10",
        "[limits]\nhead_timeout = \"10 parsecs\"",
        "[limits]\nheader_count = 257",
        "[limits]\nheader_count = \"100\"",
        "[limits]\nheader_count = 1.5",
        "[limits]\nbody_bytes = \"none\"",
        "[log]\naccess = \"true\"",
        "[log]\nformat = \"xml\"",
        "[brand]\nreserved = \"docs\"",
        "[brand]\nreserved = [\"a\", \"a\"]",
        "[tls.fallback]\nchain = \"a.pem\"",
        "[[acme.authority]]\nname = \"a\"",
        "[[admin.oidc]]\nname = \"a\"",
        "[acme.dns]\nprovider = \"rfc2136\"\nsecrets = \"x\"",
    ] {
        assert!(!tenantry.is_valid(&parsed(&format!("{least}{wrong}"))), "{wrong}");
    }
    for right in [
        "[limits]\nhead_timeout = \"${T}\"",
        "[limits]\nbody_bytes = \"off\"",
        "[log]\nformat = \"${F:-json}\"",
        "[acme.dns]\nprovider = \"command\"\ncommand = \"/bin/a\"",
    ] {
        assert!(tenantry.is_valid(&parsed(&format!("{least}{right}"))), "{right}");
    }
    for missing in ["listener", "store"] {
        let mut value = parsed(least);
        value.as_object_mut().unwrap().remove(missing);
        assert!(!tenantry.is_valid(&value), "{missing}");
    }
    let routes = validator(File::Routing);
    let with = |action: &str| {
        parsed(&format!(
            "[[pool]]\nname = \"a\"\nbackends = [\"a:1\"]\n[[route]]\nname = \"a\"\nhost = \"any\"\n{action}"
        ))
    };
    assert!(routes.is_valid(&with("pool = \"a\"")) && !routes.is_valid(&with("")));
    assert!(!routes.is_valid(&with("pool = \"a\"\n[route.redirect]\nto = \"/\"")));
}

#[test]
fn of_the_broken_files_a_schema_refuses_those_that_it_can_tell() {
    // What a duration's text means, and what keys are to each other, a schema cannot say.
    let telling = ["unknown key `", "expected true or false", "expected a whole number", "expected one of \""];
    // Nor which keys go with a provider, or with a setting's type.
    let by_provider = |key: &str| key.starts_with("acme.dns.") || key.starts_with("setting[");
    let validators = File::ALL.map(|file| (file, validator(file)));
    let (mut told, mut taken) = (0, Vec::new());
    for broken in broken::table() {
        let broken::Content::Bytes(bytes) = &broken.content else { continue };
        let Some(value) = std::str::from_utf8(bytes).ok().and_then(|text| toml::from_str::<Value>(text).ok()) else {
            continue;
        };
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (file, sources) = match broken.file {
            "tenantry" => (File::Tenantry, Sources::new(text, ROUTING, PLANS)),
            "routing" => (File::Routing, Sources::new(TENANTRY, text, PLANS)),
            _ => (File::Plans, Sources::new(TENANTRY, ROUTING, text)),
        };
        let Err(faults) = Config::parse(&sources, &|_| None) else { panic!("{} was taken", broken.what) };
        let tells = faults.iter().any(|f| !by_provider(&f.key) && telling.iter().any(|part| f.message.contains(part)));
        if tells {
            told += 1;
            let valid = validators.iter().any(|(of, validator)| *of == file && validator.is_valid(&value));
            taken.extend(valid.then_some(broken.what));
        }
    }
    assert!(told >= 50 && taken.is_empty(), "{told}: {taken:#?}");
}

#[test]
fn a_schema_says_bounds_defaults_and_what_is_expected() {
    let schema = File::Tenantry.schema();
    let at = |pointer: &str| schema.pointer(pointer).cloned().unwrap_or_default();
    let limits = "/properties/limits/properties";
    assert_eq!(at(&format!("{limits}/header_count/minimum")), json!(8));
    assert_eq!(at(&format!("{limits}/header_count/default")), json!(100));
    assert_eq!(at(&format!("{limits}/head_timeout/default")), json!("10s"));
    let text = at(&format!("{limits}/header_bytes/description")).to_string();
    assert!(text.contains("from 1KiB to 1MiB") && text.contains("Needs a restart."), "{text}");
    assert_eq!(at("/properties/listener/minItems"), json!(1));
    assert_eq!(at("/properties/listener/items/required"), json!(["address", "name"]));
}

/// An example with the keys that it only shows (`#   key = …`) switched on.
fn switched_on(text: &str) -> String {
    let on = |line: &str| {
        line.strip_prefix("#   ").filter(|rest| key_of(rest).is_some() || rest.starts_with('[')).map(str::to_owned)
    };
    // Two ways to set TXT records are shown, one after the other.
    let twice = |line: &&str| *line != "#   provider = \"command\"";
    text.lines().filter(twice).map(|line| on(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

/// The paths of the keys and sections that an example shows, switched on or not.
fn shown(text: &str) -> Vec<String> {
    let (mut section, mut shown) = (String::new(), Vec::new());
    for line in text.lines() {
        let line = line.strip_prefix("#   ").unwrap_or(line);
        if let Some(heading) = line.strip_prefix('[') {
            section = heading.trim_start_matches('[').split(']').next().unwrap_or_default().to_owned();
            for (array, item) in ARRAYS {
                section = match section.strip_prefix(array) {
                    Some(rest) if rest.is_empty() || rest.starts_with('.') => format!("{item}{rest}"),
                    _ => section,
                };
            }
            shown.push(section.replace("[]", ""));
            shown.push(section.clone());
            // What holds `[a.b]` holds `a`.
            let above = section.rsplit_once('.').map(|(above, _)| above.to_owned());
            shown.extend(above);
            shown.extend(section.strip_suffix("[]").map(str::to_owned));
        } else if let Some(key) = key_of(line) {
            shown.push(if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") });
        }
    }
    shown
}

/// What is an array of sections in the files, and how the readers write its path.
const ARRAYS: [(&str, &str); 8] = [
    ("log.sample", "log.sample[]"),
    ("listener", "listener[]"),
    ("admin.oidc", "admin.oidc[]"),
    ("acme.authority", "acme.authority[]"),
    ("pool", "pool[]"),
    ("route", "route[]"),
    ("plan", "plan[]"),
    ("setting", "setting[]"),
];

fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.split_once(" = ")?;
    let good = !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    good.then_some(key)
}

fn tenantry(arguments: &[&str]) -> (bool, Value) {
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_tenantry")).args(arguments).output().unwrap();
    (out.status.success(), serde_json::from_slice(&out.stdout).unwrap_or_default())
}

#[test]
fn the_command_prints_or_writes_them_and_check_answers_programs() {
    assert_eq!(tenantry(&["config", "schema", "routing"]), (true, File::Routing.schema()));
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    assert!(tenantry(&["config", "schema", "--all", &path("schema")]).0);
    for file in File::ALL {
        let text = std::fs::read_to_string(path(&format!("schema/{}.schema.json", file.stem()))).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), file.schema());
    }
    for (name, text) in [("tenantry", TENANTRY), ("routing", ROUTING), ("plans", "default_plan = 5\n")] {
        std::fs::write(path(&format!("{name}.toml")), text).unwrap();
    }
    let (good, told) = tenantry(&["check", "--json", "-c", &path("")]);
    assert!(!good && told["in_order"] == false, "{told}");
    assert!(
        told["faults"].as_array().unwrap().iter().any(|fault| {
            fault["file"].as_str().unwrap().ends_with("plans.toml")
                && fault["key"] == "default_plan"
                && fault["line"] == 1
        }),
        "{told}"
    );
    std::fs::write(path("plans.toml"), PLANS).unwrap();
    let (good, told) = tenantry(&["check", "--json", "-c", &path("")]);
    assert!(good && told["in_order"] == true && told["faults"] == json!([]), "{told}");
}
