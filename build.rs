//! What only the build knows about the program, for `tenantry version --verbose`. No time and no place: the same source has to
//! give the same program.
#![forbid(unsafe_code)]

use std::env::var;
use std::process::Command;

fn main() {
    for file in ["build.rs", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={file}");
    }
    let tell = |name: &str, value: &str| println!("cargo::rustc-env=TENANTRY_BUILT_{name}={value}");
    tell("COMPILER", &compiler().unwrap_or_else(|| "unknown".into()));
    tell("TARGET", &var("TARGET").unwrap_or_default());
    tell("PROFILE", &profile());
    tell("LTO", &lto());
    // What the compiler is really told, whoever says so.
    let flags = var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    tell("PGO", &flags.contains("profile-use").to_string());
}

/// The profile's name is that of the directory in which it builds: `target/<name>/build/<package>/out`.
fn profile() -> String {
    let out = std::path::PathBuf::from(var("OUT_DIR").unwrap_or_default());
    let name = out.ancestors().nth(3).and_then(|path| path.file_name()?.to_str()).unwrap_or_default();
    if name == "debug" { "dev".into() } else { name.into() }
}

fn compiler() -> Option<String> {
    let told = Command::new(var("RUSTC").ok()?).arg("--version").output().ok()?;
    Some(String::from_utf8(told.stdout).ok()?.trim().to_owned())
}

/// Cargo tells nobody: the environment's word, else the manifest's. `bench` and `test`, which have no directory of their own, go by the
/// names of `release` and `dev`.
fn lto() -> String {
    let profile = &profile();
    let variable = format!("CARGO_PROFILE_{}_LTO", profile.to_uppercase().replace('-', "_"));
    println!("cargo::rerun-if-env-changed={variable}");
    let manifest = std::fs::read_to_string("Cargo.toml").unwrap_or_default();
    let (_, section) = manifest.split_once(&format!("[profile.{profile}]\n")).unwrap_or_default();
    let mut own = section.lines().take_while(|line| !line.starts_with('['));
    let written = own.find_map(|line| line.strip_prefix("lto = ")).map(|value| value.trim_matches('"').to_owned());
    var(variable).ok().or(written).unwrap_or_else(|| "no".into())
}
