//! The house rules, read off the source: who may import whom, whose types stay where, and what is never written. The
//! tables here are the rules; ARCHITECTURE.md shows the first of them, and a test holds the two together.

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use self::source::{SourceFile, is_word};

/// Which room may import which. Everything flows one way; `edge` and `tls` never touch the store or the control plane.
const ROOMS: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("metrics", &[]),
    ("model", &["clock"]),
    ("keyring", &["clock", "model"]),
    ("branding", &["model"]),
    ("ledger", &["clock", "model"]),
    ("config", &["clock", "metrics", "model"]),
    ("seal", &["clock", "config", "metrics", "model"]),
    ("outbound", &["clock", "config", "metrics", "model"]),
    ("dns", &["clock", "config", "metrics", "model", "outbound"]),
    ("telemetry", &["clock", "config", "metrics"]),
    ("store", &["clock", "config", "ledger", "metrics", "model", "seal"]),
    ("jobs", &["clock", "keyring", "metrics", "model", "store"]),
    ("traffic", &["clock", "config", "metrics", "model"]),
    ("traces", &["clock", "config", "metrics", "outbound"]),
    ("directory", &["clock", "config", "metrics", "model", "store", "traffic"]),
    ("tls", &["clock", "config", "directory", "metrics", "model"]),
    ("edge", &["clock", "config", "directory", "keyring", "metrics", "model", "tls", "traces", "traffic"]),
    ("audit", &["clock", "config", "ledger", "metrics", "model", "seal", "store"]),
    ("usage", &["clock", "config", "metrics", "model", "store"]),
    ("events", &["clock", "config", "metrics", "model", "outbound", "seal", "store"]),
    (
        "tenancy",
        &[
            "audit", "branding", "clock", "config", "events", "keyring", "ledger", "metrics", "model", "seal", "store",
            "usage",
        ],
    ),
    ("signin", &["clock", "config", "keyring", "model", "outbound", "store", "tenancy"]),
    ("certificates", &["audit", "clock", "config", "events", "metrics", "model", "store", "tenancy"]),
    ("domains", &["audit", "clock", "config", "dns", "events", "metrics", "model", "outbound", "store", "tenancy"]),
    (
        "acme",
        &[
            "audit",
            "certificates",
            "clock",
            "config",
            "dns",
            "domains",
            "events",
            "metrics",
            "model",
            "outbound",
            "seal",
            "store",
            "tenancy",
        ],
    ),
    (
        "admin",
        &[
            "acme",
            "audit",
            "certificates",
            "clock",
            "config",
            "dns",
            "domains",
            "events",
            "ledger",
            "metrics",
            "model",
            "seal",
            "signin",
            "store",
            "tenancy",
            "traffic",
            "usage",
        ],
    ),
    (
        "app",
        &[
            "acme",
            "admin",
            "audit",
            "certificates",
            "clock",
            "config",
            "directory",
            "dns",
            "domains",
            "edge",
            "events",
            "jobs",
            "keyring",
            "ledger",
            "metrics",
            "model",
            "outbound",
            "seal",
            "signin",
            "store",
            "telemetry",
            "tenancy",
            "tls",
            "traces",
            "traffic",
            "usage",
        ],
    ),
    ("dev", &["app", "clock", "config", "directory", "model", "outbound", "seal", "store", "tenancy", "tls"]),
    ("cli", &["app", "clock", "config", "dev", "ledger", "model", "outbound", "telemetry"]),
    ("main", &["app", "cli"]),
    ("lib", &[]),
];

/// Where the types of a foreign crate may be named. A name that ends with `_` stands for all crates that start so.
const FOREIGN: &[(&str, &[&str])] = &[
    ("pingora_", &["app", "edge", "tls"]),
    ("rustls", &["outbound", "tls"]),
    // The connection wrapper of `edge` holds the TLS stream that `tls` made.
    ("tokio_rustls", &["edge", "tls"]),
    ("axum", &["admin"]),
    ("sqlx", &["store"]),
    ("instant_acme", &["acme"]),
    ("hickory_", &["dns"]),
    ("hyper_rustls", &["outbound"]),
    ("x509_parser", &["acme", "certificates", "config", "edge", "tls"]),
    ("toml", &["config"]),
    ("rcgen", &["acme", "tls"]),
    // All of them read PEM.
    ("rustls_pki_types", &["acme", "certificates", "config", "edge", "outbound", "tls"]),
    ("tokio_tungstenite", &["dev"]),
    ("hyper", &["admin", "cli", "dev", "outbound"]),
    ("hyper_util", &["admin", "cli", "dev", "outbound"]),
    ("jsonwebtoken", &["edge", "keyring"]),
    ("openidconnect", &["signin"]),
    ("argon2", &["signin"]),
    ("chrono", &["signin"]),
    ("prost", &["traces"]),
    ("csv", &["audit", "tenancy"]),
    ("cssparser", &["branding"]),
    ("roxmltree", &["branding"]),
    ("imagesize", &["branding"]),
];

/// What is written nowhere, tests included.
const NEVER: &[&str] = &["todo!", "unimplemented!", "dbg!", "#[ignore", "static mut"];

/// What product code writes only under a comment `// INVARIANT:` that says why it cannot happen.
const PANICS: &[&str] = &[".unwrap()", ".expect(", "panic!", "unreachable!"];

/// The wall clock, which only `clock` asks.
const WALL_CLOCK: &[&str] = &["SystemTime::now", "Utc::now", "now_utc()", "now_local()"];

/// What a `static` is made of when it is a global in disguise.
const GLOBALS: &[&str] = &["LazyLock", "OnceLock", "OnceCell", "Lazy<", "Mutex", "RwLock", "Atomic", "ArcSwap"];

const LONGEST_FILE: usize = 500;

#[test]
fn rooms_import_only_what_the_table_allows() {
    let rooms: BTreeMap<_, _> = ROOMS.iter().copied().collect();
    let mut wrong = Vec::new();
    for file in SourceFile::all_under("src") {
        let room = file.room();
        let Some(allowed) = rooms.get(room.as_str()) else {
            wrong.push(format!(
                "{}: `{room}` is no room; add it to the table and to ARCHITECTURE.md",
                file.path.display()
            ));
            continue;
        };
        for named in file.rooms_named().iter().filter(|named| **named != room && !allowed.contains(&named.as_str())) {
            wrong.push(format!("{}: `{room}` may not import `{named}`", file.path.display()));
        }
    }
    report(&wrong);
}

#[test]
fn the_table_has_no_way_round() {
    // Each room imports only rooms above it, so there is no circle.
    let mut above: BTreeSet<&str> = BTreeSet::new();
    for (room, allowed) in ROOMS {
        for import in *allowed {
            assert!(above.contains(import), "`{room}` imports `{import}`, which does not stand above it");
        }
        assert!(above.insert(room), "`{room}` stands there twice");
    }
    let rooms: BTreeMap<_, _> = ROOMS.iter().copied().collect();
    for front in ["edge", "tls"] {
        for back in ["store", "seal", "tenancy", "domains", "acme", "audit", "events", "usage", "admin"] {
            assert!(!rooms[front].contains(&back), "`{front}` never touches `{back}`");
        }
    }
    for (room, allowed) in ROOMS {
        assert!(*room == "cli" || !allowed.contains(&"dev"), "`{room}` never touches `dev`");
    }
}

#[test]
fn architecture_md_shows_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().skip_while(|line| line.trim() != "| room | may import |").skip(2);
    let shown: BTreeMap<String, BTreeSet<String>> = rows
        .map_while(|line| line.trim().strip_prefix('|')?.strip_suffix('|')?.split_once('|'))
        .map(|(room, imports)| {
            let names = imports.split('`').skip(1).step_by(2).map(str::to_owned);
            (room.trim().trim_matches('`').to_owned(), names.collect())
        })
        .collect();
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let expected: BTreeMap<String, BTreeSet<String>> =
        ROOMS.iter().map(|(room, allowed)| ((*room).to_owned(), owned(allowed))).collect();
    assert_eq!(shown, expected, "the table in ARCHITECTURE.md and the one in this file differ");
}

#[test]
fn foreign_types_stay_at_home() {
    let mut wrong = Vec::new();
    for file in SourceFile::all_under("src") {
        for (name, homes) in
            FOREIGN.iter().filter(|(name, homes)| !homes.contains(&&*file.room()) && file.uses_crate(name))
        {
            wrong.push(format!("{}: `{name}` stays in {}", file.path.display(), homes.join(", ")));
        }
    }
    report(&wrong);
}

#[test]
fn files_say_what_they_are_for_and_are_short() {
    let mut wrong = Vec::new();
    for file in everything() {
        let lines = file.raw.lines().count();
        if !file.raw.starts_with("//!") {
            wrong.push(format!("{}: begins without `//!`", file.path.display()));
        }
        if lines > LONGEST_FILE {
            wrong.push(format!("{}: {lines} lines, {LONGEST_FILE} are the most", file.path.display()));
        }
    }
    for root in SourceFile::all_under("src").iter().filter(|file| ["lib", "main"].contains(&&*file.room())) {
        if !root.code.contains("#![forbid(unsafe_code)]") {
            wrong.push(format!("{}: `#![forbid(unsafe_code)]` is missing", root.path.display()));
        }
    }
    report(&wrong);
}

#[test]
fn nothing_is_left_for_later() {
    let mut wrong = Vec::new();
    for file in everything() {
        wrong.extend(findings(&file, &file.code, NEVER));
        // Split, so that this line is none of them.
        let marks = [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X:")];
        wrong.extend(findings(&file, &file.raw, &marks));
    }
    report(&wrong);
}

#[test]
fn product_code_panics_nowhere_without_saying_why() {
    let mut wrong = Vec::new();
    for file in SourceFile::all_under("src") {
        let raw: Vec<&str> = file.raw.lines().collect();
        wrong.extend(lines_with(&file.product, PANICS).filter(|(line, _)| !explained(&raw, *line)).map(
            |(line, word)| format!("{}:{}: `{word}` without `// INVARIANT:` above it", file.path.display(), line + 1),
        ));
    }
    report(&wrong);
}

#[test]
fn time_comes_from_the_clock() {
    let files = SourceFile::all_under("src");
    report(
        &files
            .iter()
            .filter(|f| f.room() != "clock")
            .flat_map(|f| findings(f, &f.product, WALL_CLOCK))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn there_are_no_globals() {
    let mut wrong = Vec::new();
    for file in SourceFile::all_under("src") {
        let statics = file.product.lines().enumerate().filter(|(_, line)| {
            let declared = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            declared.starts_with("static ") && GLOBALS.iter().any(|global| line.contains(global))
        });
        wrong.extend(statics.map(|(line, _)| format!("{}:{}: a global", file.path.display(), line + 1)));
        wrong.extend(findings(&file, &file.product, &["lazy_static!", "thread_local!", "default_registry"]));
    }
    report(&wrong);
}

fn everything() -> Vec<SourceFile> {
    ["src", "tests", "benches"].iter().flat_map(|dir| SourceFile::all_under(dir)).collect()
}

fn findings(file: &SourceFile, text: &str, words: &[&str]) -> Vec<String> {
    let place = |(line, word): (usize, String)| format!("{}:{}: `{word}`", file.path.display(), line + 1);
    lines_with(text, words).map(place).collect()
}

/// Lines (from 0) in which one of the words stands, not as part of a longer one.
fn lines_with<'t>(text: &'t str, words: &'t [&'t str]) -> impl Iterator<Item = (usize, String)> + 't {
    text.lines().enumerate().filter_map(|(line, content)| {
        let whole = |word: &&&str| {
            content.match_indices(**word).any(|(at, _)| {
                let (before, after) = (&content[..at], &content[at + word.len()..]);
                let (head, tail) = (word.starts_with(is_word), word.ends_with(is_word));
                !(head && before.ends_with(is_word) || tail && after.starts_with(is_word))
            })
        };
        words.iter().find(whole).map(|word| (line, (*word).to_owned()))
    })
}

/// Whether the line, or the comment above its statement, says why this cannot happen.
fn explained(raw: &[&str], line: usize) -> bool {
    let says = |line: &str| line.contains("// INVARIANT:");
    let above = raw[..line].iter().rev().take_while(|line| line.trim_start().starts_with("//"));
    says(raw[line]) || above.into_iter().any(|line| says(line))
}

fn report(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
