//! The list of events that belong to no change of a row, walked from end to end: each of them is brought about, and has its
//! line in the ledger.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::{Value, json};
use tenantry::audit::events::*;

use super::cli::good;
use super::members::{member, tenant};
use super::world::World;

async fn noted(world: &World, action: &str) -> Vec<Value> {
    world.get(&format!("/v1/audit?action={action}&limit=200")).await.expect(200)["items"].as_array().unwrap().clone()
}

/// Until there is such a line.
async fn line(world: &World, action: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let found = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            if let Some(line) = noted(world, action).await.into_iter().find(&fits) {
                return line;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("no line of {action}"))
}

/// The configuration of the world's own store, for commands that work on it.
fn write_config(world: &World) -> String {
    use base64::Engine as _;
    let dir = world.dir.path().join("config");
    std::fs::create_dir(&dir).unwrap();
    let (store, key) = (world.dir.path().join("tenantry.db"), dir.join("store.key"));
    std::fs::write(&key, base64::engine::general_purpose::STANDARD.encode([7; 32])).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let tenantry = format!(
        "[brand]\nbase = \"connect.localhost\"\n[[listener]]\nname = \"https\"\naddress = \"127.0.0.1:0\"\n[store]\n\
         url = \"sqlite:{}\"\nkey = \"file:{}\"\n",
        store.display(),
        key.display()
    );
    std::fs::write(dir.join("tenantry.toml"), tenantry).unwrap();
    std::fs::write(dir.join("routing.toml"), include_str!("../../../config/dev/routing.toml")).unwrap();
    std::fs::write(dir.join("plans.toml"), include_str!("../../../config/plans.toml")).unwrap();
    dir.display().to_string()
}

const NOBODY: [(&str, &str); 2] = [("authorization", "-"), ("content-type", "application/json")];

async fn bring_about(world: &World, event: &str, config: &str) {
    let backup = world.dir.path().join("backup.jsonl").display().to_string();
    let copy = format!("sqlite:{}", world.dir.path().join("copy.db").display());
    match event {
        ACCESS_REFUSED => {
            let wrong = format!("Bearer arc_live_0123abcd_{}", "0".repeat(64));
            world.raw("GET", "/v1/tenants/acme", &[("authorization", &wrong)], "").await.refused(401, "unauthorized");
        }
        SESSION_REFUSED => {
            let body = json!({"email": "nobody@example.com", "password": "a guess at something"}).to_string();
            assert_eq!(world.raw("POST", "/v1/session", &NOBODY, &body).await.status, 401);
        }
        CONFIG_RELOAD => drop(world.post("/v1/config/reload", json!({})).await),
        PROCESS_UPGRADE => drop(world.post("/v1/process/upgrade", json!(null)).await),
        STORE_BACKUP => drop(good(world, &["backup", "-c", config, &backup]).await),
        STORE_COPY => drop(good(world, &["store", "copy", "-c", config, "--to", &copy]).await),
        STORE_RESTORE => drop(good(world, &["restore", "-c", config, &backup, "--replace"]).await),
        STORE_RESEAL => drop(good(world, &["store", "reseal", "-c", config]).await),
        AUDIT_EXPORT => drop(world.get("/v1/audit/export?action=tenant.").await),
        AUDIT_VERIFY => drop(world.get("/v1/audit/verify").await),
        other => panic!("how does {other} come about?"),
    }
}

#[tokio::test]
async fn every_event_of_the_list_has_its_line() {
    let world = World::new().await;
    tenant(&world, "acme", "professional").await;
    let config = write_config(&world);
    for event in EVENTS {
        assert_eq!(noted(&world, event).await.len(), 0, "{event}");
        bring_about(&world, event, &config).await;
        line(&world, event, |_| true).await;
    }
    let told = world.get("/v1/audit/verify").await.text;
    assert!(told.contains("\"done\":true") && told.contains("\"faults\":0"), "{told}");
    let line = noted(&world, SESSION_REFUSED).await.remove(0);
    assert_eq!((&line["actor"], &line["detail"]), (&json!("nobody"), &json!({"why": "unknown"})));
    assert_eq!(line["from"], "127.0.0.1");
    assert!(!line.to_string().contains("nobody@example.com"), "what was typed may be anything");
}

#[tokio::test]
async fn refusals_of_every_kind_are_noted_where_they_belong() {
    let world = World::new().await;
    tenant(&world, "acme", "professional").await;
    tenant(&world, "other", "professional").await;
    let acme = world.get("/v1/tenants/acme").await.expect(200)["id"].clone();
    let token = world.post("/v1/tenants/acme/tokens", json!({"name": "reader"})).await.expect(201)["token"].clone();
    let bearer = format!("Bearer {}", token.as_str().unwrap());
    // Another tenant's path, and another tenant by parameter.
    world.raw("GET", "/v1/tenants/other", &[("authorization", &bearer)], "").await.refused(404, "tenant-not-found");
    let path = "/v1/audit/verify?tenant=other";
    world.raw("GET", path, &[("authorization", &bearer)], "").await.refused(404, "tenant-not-found");
    for route in ["/v1/tenants/{tenant}", "/v1/audit/verify"] {
        let told = line(&world, ACCESS_REFUSED, |line| line["subject"] == route).await;
        assert_eq!((&told["tenant"], &told["detail"]["code"]), (&acme, &json!("tenant-not-found")));
    }
    // Rank is for the handler to judge.
    let ada = member(&world, "acme", "ada@example.com", "admin").await;
    let up = json!({"role": "owner"});
    ada.call(&world, "PATCH", "/v1/tenants/acme/members/ada@example.com", up).await.refused(403, "outranked");
    let told = line(&world, ACCESS_REFUSED, |line| line["detail"]["code"] == "outranked").await;
    assert_eq!(told["actor"], format!("person:{}", ada.person));
    // Too often, for one address that nobody has.
    let body = json!({"email": "nobody@example.com", "password": "a guess at something"}).to_string();
    while world.raw("POST", "/v1/session", &NOBODY, &body).await.status != 429 {}
    line(&world, SESSION_REFUSED, |line| line["detail"]["why"] == "too-often").await;
}
