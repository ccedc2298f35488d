//! The unit files that are shipped: right by systemd's own judgement, hardened to a score, and of one mind with the
//! example configuration.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tenantry::config::Config;

/// What `systemd-analyze security` may show at most, in tenths: 0 is locked in, 100 is free to do anything.
const EXPOSURE: &str = "16";

fn shipped(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name)).unwrap()
}

#[test]
fn systemd_finds_nothing_wrong_and_little_exposed() {
    let dir = TempDir::new().unwrap();
    // Only what is really there can be judged.
    let service = shipped("tenantry.service").replace("/usr/local/bin/tenantry", env!("CARGO_BIN_EXE_tenantry"));
    let service = service.replace("LoadCredential=store-key:/etc/tenantry/secrets/store-key", "");
    std::fs::write(dir.path().join("tenantry.service"), service).unwrap();
    std::fs::write(dir.path().join("tenantry.socket"), shipped("tenantry.socket")).unwrap();
    let unit = |name: &str| dir.path().join(name).display().to_string();
    for arguments in [
        vec!["verify".to_owned(), unit("tenantry.service"), unit("tenantry.socket")],
        vec!["security".into(), "--offline=true".into(), format!("--threshold={EXPOSURE}"), unit("tenantry.service")],
    ] {
        let output = Command::new("systemd-analyze").args(&arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let table = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.is_empty(), "{arguments:?}\n{said}\n{table}");
    }
}

#[test]
fn the_sockets_are_those_of_the_example_and_the_key_is_where_it_says() {
    let config = Config::load_with(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config"), &|_| None);
    let config = config.unwrap_or_else(|faults| panic!("{faults}"));
    let mut expected: BTreeSet<_> = config.listeners.iter().map(|listener| listener.address.to_string()).collect();
    expected.insert(config.admin.address.to_string());
    let text = shipped("tenantry.socket");
    let sockets: BTreeSet<_> =
        text.lines().filter_map(|line| line.strip_prefix("ListenStream=")).map(str::to_owned).collect();
    assert_eq!(sockets, expected);
    let service = shipped("tenantry.service");
    let value = |key: &str| service.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap();
    assert!(value("LoadCredential").starts_with("store-key:"));
    assert_eq!(format!("{:?}", config.store.key), "Credential(\"store-key\")");
    let seconds = |key: &str| value(key).trim_end_matches('s').parse::<u64>().unwrap();
    let drain = (config.process.notice + config.process.drain_deadline).as_secs();
    assert!(seconds("TimeoutStopSec") > drain + 10, "what drains is given its time");
    assert!(seconds("TimeoutStartSec") > config.process.upgrade_deadline.as_secs());
    assert_eq!(value("AmbientCapabilities"), "CAP_NET_BIND_SERVICE");
    assert_eq!(value("CapabilityBoundingSet"), "CAP_NET_BIND_SERVICE");
}
