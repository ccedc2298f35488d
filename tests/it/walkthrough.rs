//! What the README has for newcomers to type, as they would type it: a customer's first day, and adding a domain with the
//! authority to play with. What a reader has to put in (ports, the printed value) is put in here.

use std::process::{Command, Output};

use tempfile::TempDir;

use crate::dev::Dev;

/// The commands between the marker and the next end.
fn commands(marker: &str) -> Vec<String> {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once(&format!("<!-- {marker} -->")).unwrap();
    let (lines, _) = rest.split_once("<!-- end -->").unwrap();
    lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn sh(line: &str) -> Output {
    Command::new("sh").args(["-c", line]).output().unwrap()
}

#[test]
fn a_domain_goes_live_as_the_readme_says() {
    let dir = TempDir::new().unwrap();
    let dev = Dev::start_with(&dir.path().join("state"), &["--acme", "--acme-dns-port", "0"]);
    let records = std::fs::read_to_string(format!("{}/acme-records", dev.state)).unwrap();
    let tenantry =
        format!("{} --admin {} --token-file {}/operator-token", env!("CARGO_BIN_EXE_tenantry"), dev.admin, dev.state);
    let (mut value, mut outputs) = (String::new(), Vec::new());
    for line in commands("walk-through") {
        let line = match line.strip_prefix("tenantry ") {
            // The two options belong to the subcommand's subcommand.
            Some(rest) => {
                let (binary, options) = tenantry.split_once(' ').unwrap();
                format!("{binary} {rest} {options}")
            }
            None => line,
        };
        let line = line
            .replace("<the value that was printed>", &value)
            .replace("127.0.0.1:8055", &records)
            .replace(".dev/", &format!("{}/", dev.state))
            .replace("8443", &dev.https.to_string());
        let output = sh(&line);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{line}: {text}{}", String::from_utf8_lossy(&output.stderr));
        if let Some(found) = text.split_whitespace().find(|word| word.starts_with("arythmatic-verify=")) {
            value = found.to_owned();
        }
        outputs.push(text);
    }
    let [added, _, first, _, second, .., listed, page] = &outputs[..] else { panic!("{outputs:?}") };
    assert!(added.contains("TXT") && added.contains("CNAME"), "{added}");
    assert!(first.contains("missing") && first.contains("Set a TXT record"), "{first}");
    assert!(second.contains("verified"), "{second}");
    assert!(listed.contains("pebble"), "{listed}");
    assert!(page.contains(r#""X-Tenant-Slug": "acme""#) && page.contains("custom-domain"), "{page}");
}

/// Both parts in one shell each, that stops at the first command that fails.
#[test]
fn a_customers_first_day_is_as_the_readme_says() {
    let dir = TempDir::new().unwrap();
    let dev = Dev::start_with(&dir.path().join("state"), &[]);
    let token = std::fs::read_to_string(format!("{}/operator-token", dev.state)).unwrap();
    let script = |marker: &str| {
        let program = env!("CARGO_BIN_EXE_tenantry");
        let lines = commands(marker).join("\n").replace(".dev/", &format!("{}/", dev.state));
        let lines = lines.replace("8443", &dev.https.to_string()).replace("http://127.0.0.1:9900", &dev.admin);
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", &format!("tenantry() {{ {program} \"$@\"; }}\n{lines}")]);
        shell.current_dir(dir.path()).env("TENANTRY_ADMIN", &dev.admin).env("TENANTRY_TOKEN", token.trim());
        let output = shell.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
        said
    };
    let in_order = |said: &str, words: &[&str]| {
        words.iter().fold(said, |rest, word| match rest.split_once(word) {
            Some((_, rest)) => rest,
            None => panic!("no {word:?}, or not where it should be:\n{said}"),
        });
    };
    let page = ["<h1>Suspended</h1>", "invoice overdue"];
    let by_commands = script("day-one");
    in_order(
        &by_commands,
        &["bistro.connect.localhost", "ada@bistro.example", "professional", "verified", "Soup of the day"],
    );
    in_order(
        &by_commands,
        &["logo_light", "suspended", "/.well-known/tenantry/assets/", "Soup of the day", page[0], page[1]],
    );
    in_order(
        &by_commands,
        &[page[0], "\"X-Tenant-Slug\": \"bistro\"", "cancelled", "active", "ada@bistro.example", "admin"],
    );
    let by_calls = script("day-one-curl");
    in_order(&by_calls, &["\"cafe\"", "bob@cafe.example", "professional", "cafe.example.localhost", "Cake of the day"]);
    in_order(&by_calls, &["logo_light", "\"suspended\"", "Cake of the day", page[0], page[1]]);
    in_order(&by_calls, &[page[0], "\"active\"", "\"cancelled\"", "\"active\"", "\"done\""]);
}
