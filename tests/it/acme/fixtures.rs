//! What the tests of this room stand on does what it is told.

use crate::support::pebble::ChallTest;

const NAME: &str = "community.acme.example";

/// The answer's code, and its records without their owner, TTL and class.
async fn ask(dns: &ChallTest, kind: &str) -> (String, Vec<String>) {
    let port = dns.address.port().to_string();
    let mut kdig = tokio::process::Command::new("kdig");
    let output =
        kdig.args(["@127.0.0.1", "-p", &port, "+noall", "+header", "+answer", NAME, kind]).output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let status = text.split("status: ").nth(1).and_then(|rest| rest.split(';').next()).unwrap_or_default();
    let records = text.lines().filter(|line| line.starts_with(NAME) && line.contains("\tIN\t"));
    let records = records.filter_map(|line| line.split("\tIN\t").nth(1)).map(|record| record.trim().replace('\t', " "));
    (status.to_owned(), records.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dns_of_the_tests_answers_as_told() {
    let dns = ChallTest::start().await;
    let records = async |kind: &'static str| ask(&dns, kind).await.1;
    assert_eq!(records("A").await, ["A 127.0.0.1"]);
    dns.default_a("192.0.2.1").await;
    assert_eq!(records("A").await, ["A 192.0.2.1"]);
    dns.a(NAME, &["192.0.2.7"]).await;
    assert_eq!(records("A").await, ["A 192.0.2.7"]);
    dns.clear_a(NAME).await;
    dns.default_a("").await;
    assert!(records("A").await.is_empty());
    dns.txt(NAME, "one").await;
    dns.txt(NAME, "two").await;
    assert_eq!(records("TXT").await, ["TXT \"one\"", "TXT \"two\""]);
    dns.clear_txt(NAME).await;
    assert!(records("TXT").await.is_empty());
    dns.caa(NAME, "pebble.example").await;
    assert_eq!(records("CAA").await, ["CAA 0 issue \"pebble.example\""]);
    dns.clear_caa(NAME).await;
    assert!(records("CAA").await.is_empty());
    dns.cname(NAME, "edge.example").await;
    assert_eq!(records("CNAME").await, ["CNAME edge.example."]);
    dns.clear_cname(NAME).await;
    dns.servfail(NAME).await;
    assert_eq!(ask(&dns, "A").await.0, "SERVFAIL");
    dns.clear_servfail(NAME).await;
    assert_eq!(ask(&dns, "A").await.0, "NOERROR");
    assert!(dns.questions(NAME).await.len() >= 10);
}
