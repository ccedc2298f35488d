//! What the access line of a real process says of a request that went to a backend, and of one that did not come back.

use serde_json::Value;

use super::{House, until};
use crate::support::client::get_plain_at;
use crate::support::program::{local, port};

/// The first access line that holds this.
async fn line(house: &House, holds: &str) -> Value {
    let mut found = None;
    until(holds, async || {
        let log = house.process.log();
        found =
            log.lines().find(|line| line.contains("\"target\":\"access\"") && line.contains(holds)).map(str::to_owned);
        found.is_some()
    })
    .await;
    serde_json::from_str(&found.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_names_tenant_route_backend_and_protocol_and_how_much_went_through() {
    let house = House::start("").await;
    assert_eq!(house.visit().await, 200);
    let said = line(&house, "\"tenant.slug\":\"acme\"").await;
    for (field, value) in [
        ("tenant.via", "subdomain"),
        ("http.host", &house.host()),
        ("http.method", "GET"),
        ("http.path", "/"),
        ("http.protocol", "http/1.1"),
        ("fault", "none"),
        ("route", "everything-else"),
        ("pool", "app"),
        ("client.address", "127.0.0.1"),
        ("tls.version", "TLSv1.3"),
        ("tls.alpn", "http/1.1"),
        ("level", "INFO"),
    ] {
        assert_eq!(said[field], value, "{field}: {said}");
    }
    assert_eq!((&said["http.status"], &said["upstream.tries"]), (&200.into(), &1.into()), "{said}");
    assert_eq!((&said["tls.resumed"], &said["upstream.reused"]), (&false.into(), &false.into()), "{said}");
    assert_eq!((&said["request.body_bytes"], &said["response.body_bytes"]), (&0.into(), &0.into()), "{said}");
    assert!(said["upstream.address"].as_str().unwrap().starts_with("127.0.0.1:"), "{said}");
    assert_eq!(said["request.id"].as_str().unwrap().len(), 32, "{said}");
    assert!(said["upstream_us"].as_u64().unwrap() <= said["duration_us"].as_u64().unwrap(), "{said}");
    // No trace begins where no spans are sent, and what is not so has no field.
    for absent in ["trace.id", "refusal", "cut_off", "http.query"] {
        assert_eq!(said[absent], Value::Null, "{absent}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_whose_fault_a_failure_was_and_carries_a_trusted_proxys_trace() {
    let house = House::start("[headers]\ntrusted_proxies = [\"127.0.0.0/8\"]\n").await;
    let file = house.site.path().join("routing.toml");
    let routing = std::fs::read_to_string(&file).unwrap();
    let pool = format!("[[pool]]\nname = \"gone\"\nbackends = [\"{}\"]\n", local(port()));
    let route = "[[route]]\nname = \"gone\"\nhost = \"any\"\npath = \"/gone\"\npool = \"gone\"\n";
    let first = routing.find("[[route]]").unwrap();
    let (pools, routes) = routing.split_at(first);
    std::fs::write(&file, format!("{pools}{pool}\n{route}\n{routes}")).unwrap();
    let (code, said) = house.tenantry(&["reload"]).await;
    assert_eq!(code, 0, "{said}");
    let answer =
        house.get("/gone", &[("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")]).await;
    assert_eq!(answer, 503);
    let said = line(&house, "\"http.path\":\"/gone\"").await;
    for (field, value) in [
        ("fault", "upstream"),
        ("refusal", "upstream-unavailable"),
        ("route", "gone"),
        ("pool", "gone"),
        ("trace.id", "0af7651916cd43dd8448eb211c80319c"),
    ] {
        assert_eq!(said[field], value, "{field}: {said}");
    }
    get_plain_at(house.site.http, "nobody.example", "/nobody").await.unwrap();
    assert_eq!(line(&house, "\"http.path\":\"/nobody\"").await["fault"], "client");
}
