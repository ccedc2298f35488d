//! What the program says of itself.

use std::process::Command;

use serde_json::{Value, json};

fn says(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tenantry")).args(arguments).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_version_alone() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(says(&["version"]), format!("tenantry {version}\n"));
    assert_eq!(says(&["--version"]), says(&["version"]));
    let answer: Value = serde_json::from_str(&says(&["version", "--json"])).unwrap();
    assert_eq!(answer, json!({ "version": version }));
}

#[test]
fn how_it_was_built() {
    let mut answer: Value = serde_json::from_str(&says(&["version", "--verbose", "--json"])).unwrap();
    let compiler = answer["compiler"].take();
    assert!(compiler.as_str().unwrap().starts_with("rustc 1."), "{compiler}");
    let target = answer["target"].take();
    assert!(target.as_str().unwrap().starts_with(std::env::consts::ARCH), "{target}");
    // The program has the profile that this test has.
    let (profile, lto) = if cfg!(debug_assertions) { ("dev", "no") } else { ("release", "fat") };
    assert_eq!(
        answer,
        json!({
            "version": env!("CARGO_PKG_VERSION"), "revision": option_env!("TENANTRY_REVISION"), "compiler": null,
            "target": null, "profile": profile, "lto": lto, "pgo": false, "bolt": false,
            "allocator": "mimalloc::MiMalloc", "tls": "aws-lc-rs",
        })
    );
    let text = says(&["version", "-v"]);
    for line in ["bolt       no", "allocator  mimalloc::MiMalloc"] {
        assert!(text.lines().any(|said| said == line), "{line} is not in\n{text}");
    }
}
