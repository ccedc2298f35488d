//! Knot DNS from Debian: one zone, open to updates that are signed with a key.

use std::net::SocketAddr;

use tempfile::TempDir;

use super::program::{Program, local, port};

/// The key's name and secret, base64.
pub const KEY: (&str, &str) = ("tenantry.", "bWFueSB0aG91c2FuZCBjdXN0b21lcnMgYXJlIG91cnM=");

/// A primary server of one zone.
pub struct Knot {
    _program: Program,
    _dir: TempDir,
    zone: String,
    algorithm: String,
    /// UDP and TCP.
    pub address: SocketAddr,
}

impl Knot {
    /// Serves `zone`; `records` are lines of its zone file beyond the SOA and NS.
    pub async fn start(zone: &str, algorithm: &str, records: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let soa = "@ 60 SOA ns hostmaster 1 3600 600 86400 1\n@ 60 NS ns\nns 60 A 127.0.0.1\n";
        std::fs::write(path("zone"), format!("$ORIGIN {zone}.\n{soa}{records}")).unwrap();
        loop {
            let address = local(port());
            let config = format!(
                "server:\n  listen: 127.0.0.1@{}\n  rundir: {dir}\n\
                 log:\n  - target: stdout\n    any: info\ndatabase:\n  storage: {dir}\n\
                 key:\n  - id: {}\n    algorithm: {algorithm}\n    secret: {}\n\
                 acl:\n  - id: updates\n    key: {}\n    action: update\n    update-type: [TXT, CNAME]\n\
                 zone:\n  - domain: {zone}\n    file: {}\n    acl: updates\n    zonefile-sync: -1\n    journal-content: none\n",
                address.port(),
                KEY.0,
                KEY.1,
                KEY.0,
                path("zone"),
                dir = dir.path().display(),
            );
            std::fs::write(path("knot.conf"), config).unwrap();
            let program = Program::start("knotd", &["-c", &path("knot.conf")], &[]);
            if program.listens(&[address]).await {
                return Self {
                    _program: program,
                    _dir: dir,
                    zone: zone.to_owned(),
                    algorithm: algorithm.to_owned(),
                    address,
                };
            }
        }
    }

    /// The TXT records of a name, sorted, as `kdig` sees them.
    pub async fn txt(&self, name: &str) -> Vec<String> {
        let port = self.address.port().to_string();
        let mut kdig = tokio::process::Command::new("kdig");
        kdig.args(["@127.0.0.1", "-p", &port, "+tcp", "+short", name, "TXT"]);
        let output = kdig.output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let mut values: Vec<_> = text.lines().map(|line| line.trim_matches('"').to_owned()).collect();
        values.sort();
        values
    }

    /// Changes the zone as its owner would: a line for `knsupdate`, such as `add www.example. 60 TXT "x"`.
    pub async fn update(&self, line: &str) {
        let commands = format!("server 127.0.0.1 {}\nzone {}.\n{line}\nsend\n", self.address.port(), self.zone);
        let path = self._dir.path().join("update");
        std::fs::write(&path, commands).unwrap();
        let key = format!("{}:{}:{}", self.algorithm, KEY.0, KEY.1);
        let mut program = tokio::process::Command::new("knsupdate");
        let output = program.args(["-y", &key]).arg(&path).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
