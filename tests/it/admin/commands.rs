//! Everything that the API can do, the command line can: each command's own examples are run against a server that writes
//! down what it is asked, and what was never asked for is on a list that says why.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use http::{Request, Response};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::script::{self, Script};

const ROUTES: &str = include_str!("routes.txt");

/// What works on this machine, and asks no API.
const LOCAL: &[&str] =
    &["dev", "serve", "check", "backup", "restore", "config schema", "operator", "store", "completions", "version"];

/// The routes that no command uses, and why none does.
const ELSEWHERE: &[(&str, &[&str])] = &[
    (
        "for browsers and machines",
        &["get /", "get /docs", "get /healthz", "get /metrics", "get /openapi.json", "get /readyz"],
    ),
    ("signed by the billing system", &["post /v1/webhooks/billing"]),
    (
        "a browser's session: a command has a token instead",
        &[
            "post /v1/invitations/accept",
            "post /v1/password-tokens/redeem",
            "delete /v1/session",
            "get /v1/session",
            "post /v1/session",
            "put /v1/session/default-tenancy",
            "get /v1/session/oidc/{provider}/callback",
            "get /v1/session/oidc/{provider}/start",
            "put /v1/session/password",
            "get /v1/session/providers",
            "get /v1/session/tenancies",
            "delete /v1/session/tenancies/{tenant}",
            "post /v1/session/tenancy",
            "delete /v1/sessions",
            "get /v1/sessions",
            "delete /v1/sessions/{session}",
        ],
    ),
    (
        "what PATCH of the same path does, but for taking the rest back",
        &["put /v1/tenants/{tenant}/branding", "put /v1/tenants/{tenant}/edge", "put /v1/tenants/{tenant}/settings"],
    ),
    (
        "what the path without the tenant does, asked for one",
        &[
            "get /v1/tenants/{tenant}/audit",
            "get /v1/tenants/{tenant}/audit/checkpoint",
            "get /v1/tenants/{tenant}/audit/export",
            "get /v1/tenants/{tenant}/audit/verify",
            "post /v1/tenants/{tenant}/audit/verify",
            "get /v1/tenants/{tenant}/domains",
        ],
    ),
];

const CHAIN: &str = "installation";

/// A server that is content with everything, and remembers it.
async fn recorder() -> (Script, Arc<Mutex<BTreeSet<String>>>) {
    let asked = Arc::new(Mutex::new(BTreeSet::new()));
    let (written, pids) = (Arc::clone(&asked), Arc::new(AtomicU64::new(1)));
    let server = Script::http(move |request: Request<_>| {
        let line = format!("{} {}", request.method().as_str().to_lowercase(), request.uri().path());
        written.lock().unwrap().insert(line);
        // A listing, a process that is another one each time, and the end of a check of a chain.
        let pid = pids.fetch_add(1, Ordering::Relaxed);
        let answer = json!({ "items": [], "next_cursor": null, "pid": pid, "done": true, "chain": CHAIN });
        let response = Response::builder().header("content-type", "application/json").header("etag", "\"1\"");
        let response = response.body(script::full(format!("{answer}\n"))).unwrap();
        async move { response }
    })
    .await;
    (server, asked)
}

async fn help(words: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenantry"));
    let output = command.args(words.split_whitespace()).arg("--help").env("COLUMNS", "1000").output().await.unwrap();
    assert!(output.status.success(), "tenantry {words} --help: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The names under `Commands:`.
fn below(help: &str) -> Vec<&str> {
    let (_, commands) = help.split_once("\nCommands:\n").unwrap_or_default();
    let lines = commands.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    names.filter(|name| *name != "help").collect()
}

/// Every command that has none below it, and that is for the API; with its help.
async fn commands() -> Vec<(String, String)> {
    let (mut open, mut leaves) = (vec![String::new()], Vec::new());
    while let Some(words) = open.pop() {
        let help = help(&words).await;
        let names = below(&help);
        open.extend(
            names
                .iter()
                .map(|name| format!("{words} {name}").trim().to_owned())
                .filter(|words| !LOCAL.contains(&words.as_str())),
        );
        if names.is_empty() {
            leaves.push((words, help));
        }
    }
    leaves
}

fn examples(help: &str) -> Vec<String> {
    let examples = ["\nExample:\n", "\nExamples:\n"].iter().find_map(|heading| help.split_once(heading));
    let (_, examples) = examples.unwrap_or_default();
    examples.lines().filter_map(|line| line.strip_prefix("  ")).map(str::to_owned).collect()
}

/// What the example reads is there.
fn provide(line: &str, directory: &Path) {
    let endings = [".pem", ".csv", ".css", ".svg", ".png", ".jsonl", ".json", "-token"];
    let mut words = line.split_whitespace().peekable();
    while let Some(word) = words.next() {
        let read = if word == "<" { words.peek().copied() } else { Some(word) };
        let named = |name: &&str| word == "<" || endings.iter().any(|ending| name.ends_with(ending));
        if let Some(name) = read.filter(named).filter(|name| !name.contains('/')) {
            // Checkpoints, a token, or two lines of whatever it is.
            let lines = match name {
                name if name.ends_with(".jsonl") => format!("{}\n", json!({ "chain": CHAIN, "number": 1 })),
                name if name.ends_with("-token") => "a-token\n".to_owned(),
                _ => "one\ntwo\n".to_owned(),
            };
            std::fs::write(directory.join(name), lines).unwrap();
        }
    }
}

async fn run(line: &str, admin: &str) -> Output {
    let directory = TempDir::new().unwrap();
    provide(line, directory.path());
    let program = env!("CARGO_BIN_EXE_tenantry");
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("tenantry() {{ {program} \"$@\"; }}; {line}")]).current_dir(directory.path());
    shell.env("TENANTRY_ADMIN", admin).env("TENANTRY_TOKEN", "a-token").stdin(Stdio::null()).kill_on_drop(true);
    tokio::time::timeout(Duration::from_secs(60), shell.output())
        .await
        .unwrap_or_else(|_| panic!("{line}: no end"))
        .unwrap()
}

fn matches(route: &str, asked: &str) -> bool {
    let (mut route, mut asked) = (route.split(['/', ' ']), asked.split(['/', ' ']));
    loop {
        match (route.next(), asked.next()) {
            (None, None) => return true,
            (Some(part), Some(text)) if part == text || part.starts_with('{') => {}
            _ => return false,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_has_a_command_whose_example_works() {
    let (server, asked) = recorder().await;
    let admin = format!("http://{}", server.address);
    let commands = commands().await;
    assert!(commands.len() > 70, "{commands:#?}");
    let mut lines = Vec::new();
    for (words, help) in &commands {
        let examples = examples(help);
        assert!(!examples.is_empty(), "tenantry {words} --help has no example:\n{help}");
        assert!(help.contains("--json"), "tenantry {words} has no --json");
        // Nothing else is ever run here.
        assert!(examples.iter().all(|line| line.starts_with("tenantry ")), "tenantry {words}: {examples:?}");
        let own = examples.iter().filter(|line| line.contains(&format!("tenantry {words}")));
        assert!(own.count() > 0, "tenantry {words}: its examples are of something else: {examples:?}");
        lines.extend(examples);
    }
    let admin = &admin;
    let runs = stream::iter(&lines).map(|line| async move { (line, run(line, admin).await) }).buffer_unordered(4);
    for (line, output) in runs.collect::<Vec<_>>().await {
        let said = String::from_utf8_lossy(&output.stderr);
        assert_ne!(output.status.code(), Some(2), "{line}: {said}");
        assert!(!said.contains("cannot read"), "{line}: {said}");
    }
    let asked = asked.lock().unwrap().clone();
    let mut reached = BTreeSet::new();
    for line in &asked {
        let best = ROUTES.lines().filter(|route| matches(route, line)).min_by_key(|route| route.matches('{').count());
        reached.insert(best.unwrap_or_else(|| panic!("there is no route for {line}")));
    }
    let elsewhere: BTreeSet<_> = ELSEWHERE.iter().flat_map(|(_, routes)| routes.iter().copied()).collect();
    let all: BTreeSet<_> = ROUTES.lines().collect();
    let missing: Vec<_> = all.iter().filter(|route| !reached.contains(*route) && !elsewhere.contains(*route)).collect();
    assert!(missing.is_empty(), "no example of any command asks for {missing:#?}");
    let stale: Vec<_> = elsewhere.iter().filter(|route| reached.contains(*route) || !all.contains(*route)).collect();
    assert!(stale.is_empty(), "listed as used by no command, or no route: {stale:#?}");
}

#[tokio::test]
async fn shells_complete_it() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenantry"));
        let output = command.args(["completions", shell]).output().await.unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("impersonate") && script.contains("token-file"), "{shell}");
    }
    let complete = |words: &str| {
        let program = env!("CARGO_BIN_EXE_tenantry");
        // As readline calls it: the word to complete, and the one before it.
        let script = format!(
            "set -eu; source <({program} completions bash); COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _tenantry tenantry \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; echo \"${{COMPREPLY[*]}}\""
        );
        let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{words}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(complete("tenantry ten"), "tenant");
    assert_eq!(complete("tenantry tenant sus"), "suspend");
    assert_eq!(complete("tenantry token create x --sc"), "--scope");
    assert_eq!(complete("tenantry tenant create x --status a"), "active");
}
