//! The README's walk through adding a domain, line by line, as a reader would type it: the binary, curl, and the authority to
//! play with. What a reader has to put in (ports, the printed value) is put in here.

use std::process::{Command, Output};

use tempfile::TempDir;

use crate::dev::Dev;

/// The commands between the two markers.
fn commands() -> Vec<String> {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("<!-- walk-through -->").unwrap();
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
    for line in commands() {
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
