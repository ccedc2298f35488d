//! Certificates, orders and events over the admin API, and that no key ever comes out of it.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tenantry::model::{Certificate, CertificateSource};
use tenantry::store::ISSUED;
use zeroize::Zeroizing;

use super::pki::Pki;
use crate::admin::world::World;

async fn world() -> (World, Pki) {
    let world = World::new().await;
    world.tenant_with_domains("acme", &["shop.example"]).await;
    let pki = Pki::new(world.clock.now());
    (world, pki)
}

#[tokio::test]
async fn a_certificate_is_brought_shown_and_deleted_and_its_key_stays_inside() {
    let (world, pki) = world().await;
    let (chain, key) = pki.chain(&["shop.example"], 60);
    let mut answers = Vec::new();
    let created = world.post("/v1/certificates", json!({"chain": chain, "key": key})).await;
    let view = created.expect(201).clone();
    let path = created.header("location").to_owned();
    assert_eq!(path, format!("/v1/certificates/{}", view["id"].as_str().unwrap()));
    assert_eq!((&view["source"], &view["in_use"]), (&json!("uploaded"), &json!(["shop.example"])));
    assert_eq!((&view["chain"], &view["warnings"]), (&json!(chain.replace("\r\n", "\n")), &json!([])));
    answers.push(created.text);
    for path in [&path, "/v1/certificates?name=SHOP.example", "/v1/domains/shop.example", "/v1/events", "/v1/audit"] {
        let reply = world.get(path).await;
        reply.expect(200);
        answers.push(reply.text);
    }
    let domain = world.get("/v1/domains/shop.example").await.json;
    assert_eq!((&domain["certificate"]["id"], &domain["order"]["stage"]), (&view["id"], &json!("waiting")));
    let wrong = world.post("/v1/certificates", json!({"chain": key, "key": key})).await;
    assert_eq!(wrong.refused(422, "invalid")["errors"][0]["code"], "key-in-chain");
    answers.push(wrong.text);
    let swapped = world.post("/v1/certificates", json!({"chain": chain, "key": key, "tenant": key})).await;
    swapped.refused(422, "invalid");
    answers.push(swapped.text);
    world.call("DELETE", &path, Value::Null).await.expect(204);
    world.get(&path).await.refused(404, "certificate-not-found");
    assert_eq!(world.get("/v1/domains/shop.example").await.json["certificate"], Value::Null);
    let kinds: Vec<_> =
        world.get("/v1/events?subject=shop.example").await.expect(200)["items"].as_array().unwrap().clone();
    let kinds: Vec<_> = kinds.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert!(kinds.ends_with(&["certificate.uploaded", "certificate.deleted"]), "{kinds:?}");
    let actions: Vec<_> = world.ledger().await.iter().take(2).map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions, ["certificate.delete", "certificate.upload"]);
    for answer in answers {
        for line in key.lines().filter(|line| !line.starts_with('-')) {
            assert!(!answer.contains(line), "{answer}");
        }
    }
}

#[tokio::test]
async fn bad_uploads_are_named_by_their_place_and_write_nothing() {
    let (world, pki) = world().await;
    let (chain, key) = pki.chain(&["shop.example"], 60);
    let (foreign, foreign_key) = pki.chain(&["stranger.example"], 60);
    let before = world.revision().await;
    for (body, place, code) in [
        (json!({}), "/chain", "required"),
        (json!({"chain": chain}), "/key", "required"),
        (json!({"chain": 1, "key": key}), "/chain", "wrong-type"),
        (json!({"chain": chain, "key": key, "force": true}), "/force", "unknown-field"),
        (json!({"chain": "x", "key": key}), "/chain", "not-pem"),
        (json!({"chain": chain, "key": "x"}), "/key", "not-a-key"),
        (json!({"chain": chain, "key": foreign_key}), "/key", "key-mismatch"),
        (json!({"chain": foreign, "key": foreign_key}), "/chain", "not-held"),
    ] {
        let reply = world.post("/v1/certificates", body).await;
        let fault = &reply.refused(422, "invalid")["errors"][0];
        assert_eq!((&fault["pointer"], &fault["code"]), (&json!(place), &json!(code)), "{fault}");
    }
    for (method, path, status, code) in [
        ("GET", "/v1/certificates/nothing", 404, "certificate-not-found"),
        ("DELETE", "/v1/certificates/nothing", 404, "certificate-not-found"),
        ("POST", "/v1/certificates/nothing/revoke", 404, "certificate-not-found"),
        ("GET", "/v1/orders/nothing.example", 404, "order-not-found"),
        ("POST", "/v1/orders/a%20b/issue", 404, "order-not-found"),
        ("POST", "/v1/orders/nothing.example/issue", 409, "not-held"),
        ("POST", "/v1/orders/connect.localhost/issue", 404, "order-not-found"),
        ("POST", "/v1/orders/nothing.example/renew", 404, "order-not-found"),
        ("POST", "/v1/orders/shop.example/renew", 409, "not-issued"),
        ("GET", "/v1/certificates?names=a", 400, "invalid-parameter"),
        ("GET", "/v1/domains?state=great", 400, "invalid-parameter"),
        ("GET", "/v1/domains?tenant=nobody", 404, "tenant-not-found"),
        ("GET", "/v1/events?after=x", 400, "invalid-parameter"),
        ("GET", "/v1/events?tenant=nobody", 404, "tenant-not-found"),
        ("GET", "/v1/orders?cursor=x", 400, "invalid-parameter"),
    ] {
        world.call(method, path, Value::Null).await.refused(status, code);
    }
    assert_eq!(world.revision().await, before);
}

#[tokio::test]
async fn orders_are_told_now() {
    let (world, pki) = world().await;
    let order = world.get("/v1/orders/Shop.Example").await.expect(200).clone();
    assert_eq!((&order["stage"], &order["position"], &order["failure"]), (&json!("waiting"), &json!(1), &Value::Null));
    // It has failed, and was to rest for a day.
    let mut aside = world.store.aside().await.unwrap();
    let mut row = world.store.order("shop.example").await.unwrap().unwrap();
    row.failures = 4;
    row.not_before = world.clock.now() + std::time::Duration::from_secs(86_400);
    row.data = json!({"stage": "waiting", "failure": "CAA forbids it", "failed_at": world.clock.now()}).to_string();
    assert!(aside.save_order(&row).await.unwrap());
    aside.commit().await.unwrap();
    let order = world.get("/v1/orders").await.expect(200)["items"][0].clone();
    assert_eq!((&order["failure"], &order["position"]), (&json!("CAA forbids it"), &Value::Null));
    assert_eq!(order["failed_at"], json!(world.clock.now()));
    let issued = world.post("/v1/orders/shop.example/issue", Value::Null).await.expect(200).clone();
    assert_eq!((&issued["failures"], &issued["position"]), (&json!(0), &json!(1)));
    assert_eq!(issued["next"], json!(world.clock.now()));
    for (stage, what, code) in [
        ("ordering", "issue", "order-under-way"),
        ("ordering", "renew", "order-under-way"),
        (ISSUED, "issue", "already-issued"),
    ] {
        // Whoever had it in hand before the operator's word has it no more.
        row.fence = world.store.order("shop.example").await.unwrap().unwrap().fence;
        let mut aside = world.store.aside().await.unwrap();
        row.stage = stage.into();
        assert!(aside.save_order(&row).await.unwrap());
        aside.commit().await.unwrap();
        world.post(&format!("/v1/orders/shop.example/{what}"), Value::Null).await.refused(409, code);
    }
    let renewed = world.post("/v1/orders/shop.example/renew", Value::Null).await.expect(200).clone();
    assert_eq!((&renewed["stage"], &renewed["next"]), (&json!("waiting"), &json!(world.clock.now())));
    // A certificate of an authority's is revoked there first, and here only if that works.
    let (chain, key) = pki.chain(&["shop.example"], 60);
    let certificate = Certificate {
        id: "from-acme".into(),
        names: vec!["shop.example".into()],
        chain,
        key: Zeroizing::new(key),
        not_before: world.clock.now(),
        not_after: world.clock.now() + std::time::Duration::from_secs(86_400),
        source: CertificateSource::Acme,
        authority: "gone".into(),
    };
    let mut write = world.store.write().await.unwrap();
    write.insert_certificate(&certificate).await.unwrap();
    write.commit().await.unwrap();
    world.call("DELETE", "/v1/certificates/from-acme", Value::Null).await.refused(409, "not-uploaded");
    let path = "/v1/certificates/from-acme/revoke";
    world.post(path, json!({"reason": "superseded"})).await.refused(409, "authority-refused");
    world.post(path, json!({"reason": "because"})).await.refused(422, "invalid");
    let revoked = world.post(path, json!({"only_here": true})).await.expect(200).clone();
    assert_eq!((&revoked["revoked"], &revoked["in_use"]), (&json!(world.clock.now()), &json!([])));
    world.post(path, Value::Null).await.refused(409, "already-revoked");
}

#[tokio::test]
async fn domains_of_all_tenants_by_state() {
    let (world, _) = world().await;
    world.tenant_with_domains("rival", &["a.example"]).await;
    world.post("/v1/tenants/rival/domains", json!({"domain": "shop.example"})).await.expect(201);
    let names = async |query: &str| {
        let page = world.get(&format!("/v1/domains{query}")).await.expect(200).clone();
        let items = page["items"].as_array().unwrap().clone();
        let names: Vec<_> = items.iter().map(|item| item["domain"].as_str().unwrap().to_owned()).collect();
        (names, page["next_cursor"].as_str().map(str::to_owned))
    };
    assert_eq!(names("").await.0, ["a.example", "shop.example", "shop.example"]);
    assert_eq!(names("?state=verified").await.0, ["a.example", "shop.example"]);
    assert_eq!(names("?state=pending&tenant=rival").await.0, ["shop.example"]);
    assert_eq!(names("?tenant=acme").await.0, ["shop.example"]);
    let (first, cursor) = names("?limit=2").await;
    assert_eq!(first, ["a.example", "shop.example"]);
    assert_eq!(names(&format!("?limit=2&cursor={}", cursor.unwrap())).await, (vec!["shop.example".to_owned()], None));
}

/// Everything that is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// In a process of its own: what other tests do to the log's settings at the same time would decide what is in it.
#[tokio::test]
async fn the_most_talkative_log_has_nothing_of_a_key() {
    const ALONE: &str = "TENANTRY_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let name = "certificates::hand::the_most_talkative_log_has_nothing_of_a_key";
        let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", name]).env(ALONE, "1").output().await.unwrap();
        return assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (world, pki) = world().await;
    let (chain, key) = pki.chain(&["shop.example"], 6);
    let (_, other) = pki.chain(&["shop.example"], 6);
    world.post("/v1/certificates", json!({"chain": chain, "key": key})).await.expect(201);
    world.post("/v1/certificates", json!({"chain": chain, "key": other})).await.refused(422, "invalid");
    world.post("/v1/certificates", json!({"chain": other, "key": chain})).await.refused(422, "invalid");
    world.post("/v1/certificates", json!({"chain": [other], "key": [key]})).await.refused(422, "invalid");
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("admin call"), "{log}");
    for line in key.lines().chain(other.lines()).filter(|line| !line.starts_with('-')) {
        assert!(!log.contains(line), "{line}");
    }
}

#[tokio::test]
async fn of_a_certificate_for_several_each_tenant_sees_its_own_names_and_ends_none() {
    let (world, pki) = world().await;
    world.tenant_with_domains("acme-two", &["two.example"]).await;
    let pair = json!({"domain": "pair.example", "verified": true});
    world.post("/v1/tenants/acme/domains", pair).await.expect(201);
    let (chain, key) = pki.chain(&["shop.example", "pair.example"], 60);
    let made = world.post("/v1/certificates", json!({"chain": chain, "key": key})).await.expect(201).clone();
    let at = format!("/v1/certificates/{}", made["id"].as_str().unwrap());
    let mut bearers = Vec::new();
    for slug in ["acme", "acme-two"] {
        let made = world.post(&format!("/v1/tenants/{slug}/tokens"), json!({"name": "own"})).await;
        bearers.push(format!("Bearer {}", made.expect(201)["token"].as_str().unwrap()));
    }
    let as_who =
        async |who: usize, method: &str| world.raw(method, &at, &[("authorization", bearers[who].as_str())], "").await;
    assert_eq!(as_who(0, "GET").await.expect(200)["names"].as_array().unwrap().len(), 2);
    as_who(1, "GET").await.refused(404, "certificate-not-found");
    as_who(1, "DELETE").await.refused(404, "certificate-not-found");
    // One of the names has moved on.
    world
        .sql("UPDATE domains SET tenant = (SELECT id FROM tenants WHERE slug = 'acme-two') WHERE name = 'pair.example'")
        .await;
    assert_eq!(as_who(0, "GET").await.expect(200)["names"], json!(["shop.example"]));
    assert_eq!(as_who(1, "GET").await.expect(200)["names"], json!(["pair.example"]));
    for who in [0, 1] {
        as_who(who, "DELETE").await.refused(409, "shared-certificate");
    }
    world.call("DELETE", &at, Value::Null).await.expect(204);
}
