//! One archive of all that there is of a tenant, through the API and the command line.

use std::collections::BTreeMap;
use std::io::Read;

use serde_json::{Value, json};

use crate::admin::world::World;

/// The files of an archive.
fn files(bytes: &[u8]) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(bytes);
    let read = |entry: Result<tar::Entry<'_, &[u8]>, std::io::Error>| {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (entry.path().unwrap().display().to_string(), text)
    };
    archive.entries().unwrap().map(read).collect()
}

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn an_archive_has_everything_but_secrets_and_says_when_it_is_whole() {
    let world = World::new().await;
    world.tenant_with_domains("acme", &["shop.acme.example", "www.acme.example"]).await;
    world.tenant_with_domains("rival", &["rival.example"]).await;
    let token = json!({ "name": "ci", "scopes": ["domains:read"] });
    let secret = world.post("/v1/tenants/acme/tokens", token).await.expect(201)["token"].as_str().unwrap().to_owned();
    // More rows than one part has.
    for n in 0..501 {
        let path = "/v1/tenants/acme/extend-trial";
        if n == 0 {
            world.post(path, json!({ "days": 1 })).await.refused(409, "invalid-transition");
        }
        world.call("PATCH", "/v1/tenants/acme", json!({ "name": format!("Acme {n}") })).await.expect(200);
    }
    let reply = world.get("/v1/tenants/acme/export").await;
    assert_eq!(reply.header("content-type"), "application/x-tar");
    assert_eq!(reply.header("content-disposition"), "attachment; filename=\"acme.tar\"");
    reply.expect(200);
    assert!(!reply.text.contains(&secret) && !reply.text.contains("rival"));
    let files = files(reply.text.as_bytes());
    let tenant: Value = serde_json::from_str(&files["tenant.json"]).unwrap();
    assert_eq!(tenant["name"], "Acme 500");
    let domains: Vec<_> = rows(&files["domains/00001.jsonl"]).iter().map(|row| row["domain"].clone()).collect();
    assert_eq!(domains, ["shop.acme.example", "www.acme.example"]);
    let token = &rows(&files["tokens/00001.jsonl"])[0];
    assert_eq!((&token["name"], token.get("operator")), (&json!("ci"), Some(&Value::Null)));
    assert!(token["role"].is_string(), "{token}");
    for fact in ["reason_public", "status_before", "phase_ends", "domains_until"] {
        assert!(tenant.get(fact).is_some(), "{fact} in {tenant}");
    }
    assert_eq!(rows(&files["orders/00001.jsonl"])[0]["names"], json!(["shop.acme.example"]));
    // The ledger as its own export has it, so that what was taken along can be compared with it.
    let own = world.get("/v1/tenants/acme/audit?limit=1&action=tenant.rename").await.expect(200)["items"][0].clone();
    let lines = rows(&files["audit/00001.jsonl"]);
    let line = lines.iter().find(|line| line["id"] == own["id"]).unwrap();
    assert_eq!(line, &own);
    assert!(line["hash"].is_string() && line["number"].is_i64() && line["chain"] == tenant["id"], "{line}");
    assert!(files.contains_key("audit/00002.jsonl"));
    for kind in ["members", "invitations", "roles", "units", "events", "certificates"] {
        assert!(files["manifest.json"].contains(&format!("\"{kind}\"")), "{kind}");
    }
    let manifest: Value = serde_json::from_str(&files["manifest.json"]).unwrap();
    assert_eq!((&manifest["slug"], &manifest["format"]), (&json!("acme"), &json!("tenantry-export-1")));
    for (kind, said) in manifest["kinds"].as_object().unwrap() {
        let parts = files.iter().filter(|(path, _)| path.starts_with(&format!("{kind}/")));
        let (parts, found) = parts.fold((0, 0), |(parts, found), (_, text)| (parts + 1, found + rows(text).len()));
        assert_eq!((said["files"].as_u64(), said["rows"].as_u64()), (Some(parts), Some(found as u64)), "{kind}");
    }
    assert_eq!(world.ledger().await[0]["action"], "tenant.export");
    world.get("/v1/tenants/nobody/export").await.refused(404, "tenant-not-found");
}

#[tokio::test]
async fn the_command_line_handles_a_whole_life() {
    let world = World::new().await;
    let run = async |args: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_tenantry"));
        command.args(args).args(["--admin", &world.base, "--json"]).env("TENANTRY_TOKEN", &world.token);
        let output = command.current_dir(world.dir.path()).output().await.unwrap();
        let text = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.success(), serde_json::from_slice::<Value>(&text).unwrap_or(Value::Null))
    };
    let good = async |args: &[&str]| {
        let (success, json) = run(args).await;
        assert!(success, "{args:?}: {json}");
        json
    };
    good(&["tenant", "create", "acme", "--plan", "growth", "--status", "active"]).await;
    good(&["tenant", "create", "shop", "--status", "active"]).await;
    assert_eq!(good(&["tenant", "parent", "shop", "acme"]).await["effective"]["plan"], "growth");
    let settings = good(&["tenant", "settings", "acme", "--set", "language=de"]).await;
    assert_eq!(settings["settings"]["language"]["value"], "de");
    let effective = good(&["tenant", "effective", "shop"]).await;
    assert_eq!(effective["settings"]["language"], json!({ "value": "de", "from": "parent", "tenant": "acme" }));
    let contacts = good(&["tenant", "contacts", "acme", "--add", "billing:Pat Doe <Pat@acme.example>"]).await;
    assert_eq!(contacts["contacts"][0], json!({ "name": "Pat Doe", "email": "pat@acme.example", "kind": "billing" }));
    good(&["tenant", "contacts", "acme", "--remove", "pat@acme.example"]).await;
    good(&["tenant", "export", "acme", "--output", "out.tar"]).await;
    let archive = std::fs::read(world.dir.path().join("out.tar")).unwrap();
    assert!(files(&archive).contains_key("manifest.json"));
    good(&["tenant", "cancel", "shop"]).await;
    good(&["tenant", "restore", "shop"]).await;
    let (success, refused) = run(&["tenant", "delete", "acme", "--slug", "acme"]).await;
    assert!(!success && refused["code"] == "has-children", "{refused}");
    let deleted = good(&["tenant", "delete", "acme", "--slug", "acme", "--children"]).await;
    assert_eq!(deleted["removed"]["tenants"], 2);
}
