//! dns-01: dynamic updates of a real Knot, and a program of the operator's.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::prelude::{BASE64_STANDARD, Engine};
use tempfile::TempDir;
use tenantry::acme::dns01::{Dns01, Dns01Error, Records};
use tenantry::config::{DnsProvider, DnsProviderKind, Rfc2136, TsigAlgorithm};
use tenantry::dns::update::{UpdateError, Updater};
use tenantry::model::Hostname;

use crate::support::knot::{KEY, Knot};
use crate::support::program::{local, port};

const ZONE: &str = "acme.example";
const MINUTE: Duration = Duration::from_secs(60);

fn updates(knot: &Knot) -> Rfc2136 {
    Rfc2136 {
        server: knot.address,
        zone: Hostname::parse(ZONE).unwrap(),
        key_name: Hostname::parse(KEY.0.trim_end_matches('.')).unwrap(),
        algorithm: TsigAlgorithm::HmacSha256,
        secret: BASE64_STANDARD.decode(KEY.1).unwrap().into(),
    }
}

fn provider(kind: DnsProviderKind) -> DnsProvider {
    DnsProvider { kind, delegation: None, propagation: Duration::from_secs(2), ttl: MINUTE }
}

/// CNAMEs of a table, TXT records of Knot, or of nowhere.
struct Seen {
    aliases: BTreeMap<&'static str, &'static str>,
    knot: Option<Arc<Knot>>,
}

#[async_trait]
impl Records for Seen {
    async fn cname(&self, name: &str) -> Result<Option<String>, String> {
        Ok(self.aliases.get(name).map(|target| (*target).to_owned()))
    }

    async fn txt(&self, name: &str) -> Result<Vec<String>, String> {
        match &self.knot {
            Some(knot) => Ok(knot.txt(name).await),
            None => Ok(Vec::new()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_add_and_remove_one_value_each() {
    for (name, algorithm) in [
        ("hmac-sha256", TsigAlgorithm::HmacSha256),
        ("hmac-sha384", TsigAlgorithm::HmacSha384),
        ("hmac-sha512", TsigAlgorithm::HmacSha512),
    ] {
        let knot = Knot::start(ZONE, name, "").await;
        let updater = Updater::new(&Rfc2136 { algorithm, ..updates(&knot) }, MINUTE);
        let place = "_acme-challenge.connect.acme.example";
        updater.set(place, "one").await.unwrap();
        updater.set(place, "two").await.unwrap();
        updater.set(place, "two").await.unwrap();
        assert_eq!(knot.txt(place).await, ["one", "two"]);
        updater.clear(place, "one").await.unwrap();
        updater.clear(place, "one").await.unwrap();
        assert_eq!(knot.txt(place).await, ["two"]);
        updater.clear(place, "two").await.unwrap();
        assert!(knot.txt(place).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_no_is_told_apart() {
    let knot = Knot::start(ZONE, "hmac-sha256", "").await;
    let good = updates(&knot);
    let refused = async |config: Rfc2136, name: &str| Updater::new(&config, MINUTE).set(name, "x").await.unwrap_err();

    let secret = vec![1; 32].into();
    let error = refused(Rfc2136 { secret, ..good.clone() }, "a.acme.example").await;
    assert!(matches!(&error, UpdateError::Refused { code, .. } if code.contains("NOTAUTH")), "{error}");
    assert!(error.to_string().contains("secret"), "{error}");

    let key_name = Hostname::parse("somebody").unwrap();
    let error = refused(Rfc2136 { key_name, ..good.clone() }, "a.acme.example").await;
    assert!(matches!(&error, UpdateError::Refused { code, .. } if code.contains("NOTAUTH")), "{error}");

    let zone = Hostname::parse("other.example").unwrap();
    let error = refused(Rfc2136 { zone, ..good.clone() }, "a.other.example").await;
    assert!(matches!(&error, UpdateError::Refused { .. }), "{error}");

    let error = refused(good.clone(), "a.other.example").await;
    let zone = ZONE.to_owned();
    assert_eq!(error, UpdateError::Elsewhere { name: "a.other.example".into(), zone });

    let error = refused(Rfc2136 { server: local(port()), ..good.clone() }, "a.acme.example").await;
    assert!(matches!(&error, UpdateError::Unreachable { .. }), "{error}");
    assert!(!format!("{good:?} {error:?}").contains("bWFue"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_goes_where_the_cname_leads_and_is_seen_there() {
    let knot = Arc::new(Knot::start(ZONE, "hmac-sha256", "").await);
    let aliases = [("_acme-challenge.community.example", "0123456789abcdef.delegated.acme.example.")];
    let records = Arc::new(Seen { aliases: aliases.into(), knot: Some(Arc::clone(&knot)) });
    let dns = Dns01::new(&provider(DnsProviderKind::Rfc2136(updates(&knot))), records);
    dns.set("community.example", "base").await.unwrap();
    dns.set("*.community.example", "wildcard").await.unwrap();
    let place = "0123456789abcdef.delegated.acme.example";
    assert_eq!(knot.txt(place).await, ["base", "wildcard"]);
    dns.clear("community.example", "base").await.unwrap();
    dns.clear("community.example", "wildcard").await.unwrap();
    assert!(knot.txt(place).await.is_empty());
    dns.set("connect.acme.example", "own").await.unwrap();
    assert_eq!(knot.txt("_acme-challenge.connect.acme.example").await, ["own"]);
    let elsewhere = dns.set("stranger.example", "x").await.unwrap_err();
    assert!(matches!(elsewhere, Dns01Error::Update(UpdateError::Elsewhere { .. })), "{elsewhere}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_sees_is_said_and_circles_end() {
    let knot = Knot::start(ZONE, "hmac-sha256", "").await;
    let aliases = [("_acme-challenge.a.example", "b.example"), ("b.example", "_acme-challenge.a.example.")];
    let records = Arc::new(Seen { aliases: aliases.into(), knot: None });
    let dns = Dns01::new(&provider(DnsProviderKind::Rfc2136(updates(&knot))), records);
    let unseen = dns.set("connect.acme.example", "own").await.unwrap_err();
    assert!(matches!(&unseen, Dns01Error::Unseen { seen, .. } if seen == "none"), "{unseen}");
    assert_eq!(dns.set("a.example", "x").await, Err(Dns01Error::Circle("_acme-challenge.a.example".into())));
}

fn program(dir: &TempDir, text: &str) -> PathBuf {
    let path = dir.path().join("dns");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_called_without_a_shell_and_its_failure_is_told() {
    let dir = TempDir::new().unwrap();
    let log = dir.path().join("log");
    let path = program(&dir, &format!("printf '%s|' \"$@\" >> {}; test \"$1\" = set", log.display()));
    let records = Arc::new(Seen { aliases: BTreeMap::new(), knot: None });
    let dns = Dns01::new(&provider(DnsProviderKind::Command(path)), records.clone());
    // It has done its work, only nobody sees it: there is no DNS here.
    assert!(matches!(dns.set("a.example", "$(id) `x`").await, Err(Dns01Error::Unseen { .. })));
    let failed = dns.clear("a.example", "v").await.unwrap_err().to_string();
    assert!(failed.ends_with("clear _acme-challenge.a.example: exit status: 1"), "{failed}");
    let said = std::fs::read_to_string(&log).unwrap();
    assert_eq!(said, "set|_acme-challenge.a.example|$(id) `x`|clear|_acme-challenge.a.example|v|");

    let path = program(&dir, "head -c 1000000 /dev/zero | tr '\\0' x; echo 'no such zone' >&2; exit 3");
    let dns = Dns01::new(&provider(DnsProviderKind::Command(path)), records.clone());
    let failed = dns.set("a.example", "v").await.unwrap_err().to_string();
    assert!(failed.ends_with("exit status: 3: no such zone"), "{failed}");

    let dns = Dns01::new(&provider(DnsProviderKind::Command(dir.path().join("none"))), records);
    let failed = dns.set("a.example", "v").await.unwrap_err().to_string();
    assert!(failed.contains("cannot be started"), "{failed}");
}
