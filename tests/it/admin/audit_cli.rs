//! The ledger from a shell: lists that go on, what a check's ending says, files of checkpoints that are torn or say nothing,
//! and an export that is checked without asking anybody.

use std::os::unix::fs::PermissionsExt;

use http::Response;
use serde_json::{Value, json};
use tenantry::clock::Clock;
use tenantry::tls::LocalCa;

use super::cli::{good, json_of, run, tenantry};
use super::world::World;
use crate::support::script::{Script, full};

async fn with_tenant() -> World {
    let world = World::new().await;
    world.post("/v1/tenants", json!({"slug": "acme", "name": "Acme", "status": "active"})).await.expect(201);
    for at in 0..5 {
        world.call("PATCH", "/v1/tenants/acme", json!({"name": format!("A{at}")})).await.expect(200);
    }
    world
}

#[tokio::test]
async fn a_list_goes_on_where_it_ended() {
    let world = with_tenant().await;
    let line = ["audit", "list", "--action", "tenant.", "--json"];
    let ids = |text: &str| -> Vec<i64> {
        let lines: Value = serde_json::from_str(text).unwrap();
        lines.as_array().unwrap().iter().map(|line| line["id"].as_i64().unwrap()).collect()
    };
    let all = ids(&good(&world, &line).await);
    assert_eq!(all.len(), 6);
    let (code, out, err) = run(&world, &[&line[..], &["--limit", "4"]].concat()).await;
    assert_eq!((code, ids(&out)), (0, all[..4].to_vec()));
    let cursor = err.trim().strip_prefix("there is more: --cursor ").unwrap();
    let rest = good(&world, &[&line[..], &["--cursor", cursor]].concat()).await;
    assert_eq!(ids(&rest), all[4..]);
}

#[tokio::test]
async fn what_could_not_be_checked_is_not_what_was_found() {
    let world = with_tenant().await;
    let file = world.dir.path().join("checkpoints.jsonl");
    let name = file.to_str().unwrap();
    let verify = ["audit", "verify", "--checkpoint", name];
    for nothing in ["", "\n\n", "{\"chain\":\"inst"] {
        std::fs::write(&file, nothing).unwrap();
        let (code, _, err) = run(&world, &verify).await;
        assert_eq!(code, 1, "{nothing:?}");
        assert!(err.contains("the ledger was held against nothing"), "{err}");
    }
    // One line was broken off; what came after it stands on a line of its own.
    let told = good(&world, &["audit", "checkpoint", "--tenant", "acme"]).await;
    std::fs::write(&file, format!("{}\n{told}", &told[..40])).unwrap();
    let (code, out, err) = run(&world, &verify).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("against 1 checkpoint: in order") && err.contains("passed over: 1"), "{out}{err}");
    let sound = json_of(&world, &[&verify[..], &["--json", "--tenant", "acme"]].concat()).await;
    assert_eq!((&sound["compared"], &sound["torn"], &sound["unlisted"]), (&json!(1), &json!([1]), &json!(0)));
    // Of another chain alone.
    let own = good(&world, &["audit", "checkpoint"]).await;
    std::fs::write(&file, own).unwrap();
    let (code, _, err) = run(&world, &[&verify[..], &["--tenant", "acme"]].concat()).await;
    assert!(code == 1 && err.contains("has no checkpoint of what was checked"), "{err}");
    // Nobody to ask; in JSON, too.
    let mut gone = tenantry(&world);
    gone.env("TENANTRY_ADMIN", "http://127.0.0.1:1").args(["audit", "verify", "--json"]);
    let output = gone.output().await.unwrap();
    let problem: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((output.status.code(), &problem["code"]), (Some(1), &json!("unreachable")));
    let mut gone = tenantry(&world);
    gone.env_remove("TENANTRY_TOKEN").args(["tenant", "list", "--json"]);
    let problem: Value = serde_json::from_slice(&gone.output().await.unwrap().stderr).unwrap();
    assert_eq!(problem["code"], "no-token");
}

#[tokio::test]
async fn an_export_is_checked_without_asking_anybody() {
    let world = with_tenant().await;
    let path = |name: &str| world.dir.path().join(name).display().to_string();
    let (proof, keys, told) = (path("proof.jsonl"), path("keys.json"), path("told.jsonl"));
    std::fs::write(&keys, good(&world, &["audit", "keys"]).await).unwrap();
    let text = good(&world, &["audit", "export", "--format", "proof"]).await;
    std::fs::write(&proof, &text).unwrap();
    std::fs::write(&told, good(&world, &["audit", "checkpoint", "--tenant", "acme"]).await).unwrap();
    let offline = async |more: &[&str]| {
        let mut command = tenantry(&world);
        command.env("TENANTRY_ADMIN", "http://127.0.0.1:1").env_remove("TENANTRY_TOKEN");
        command.args(["audit", "verify", "--offline", &proof, "--keys", &keys]).args(more);
        let output = command.output().await.unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, out) = offline(&[]).await;
    assert!(code == 0 && out.contains(" in 2 chains: in order"), "{out}");
    let (code, out) = offline(&["--checkpoint", &told, "--json"]).await;
    let sound: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &sound["compared"], &sound["faults"]), (0, &json!(1), &json!([])));
    // Only whole chains are proofs; a tenant's own has its chain alone.
    let (code, _, err) = run(&world, &["audit", "export", "--format", "proof", "--action", "tenant."]).await;
    assert!(code == 1 && err.contains("narrowed by tenant alone"), "{err}");
    let own = good(&world, &["audit", "export", "--format", "proof", "--tenant", "acme"]).await;
    assert_eq!(own.lines().filter(|line| line.starts_with("{\"chain\"")).count(), 1);

    let renamed = text.replace("A3", "B3");
    assert_ne!(renamed, text);
    std::fs::write(&proof, renamed).unwrap();
    let (code, out) = offline(&[]).await;
    assert!(code == 3 && out.contains(" was changed"), "{out}");
    let cut: Vec<_> = text.lines().collect();
    std::fs::write(&proof, cut[..cut.len() - 1].join("\n")).unwrap();
    let (code, out) = offline(&[]).await;
    assert!(code == 3 && out.contains("it breaks off before its end"), "{out}");
    std::fs::write(&proof, "{}").unwrap();
    assert_eq!(offline(&[]).await.0, 1);
}

#[tokio::test]
async fn an_archive_is_for_its_owners_eyes_and_goes_to_stdout_when_asked() {
    let world = with_tenant().await;
    let file = world.dir.path().join("acme.tar");
    let told = json_of(&world, &["tenant", "export", "acme", "--output", file.to_str().unwrap(), "--json"]).await;
    let about = std::fs::metadata(&file).unwrap();
    assert_eq!((about.permissions().mode() & 0o777, &told["bytes"]), (0o600, &json!(about.len())));
    let output = tenantry(&world).args(["tenant", "export", "acme", "--output", "-"]).output().await.unwrap();
    assert!(output.status.success() && output.stdout.len() >= 1_024);
    assert!(!world.dir.path().join("-").exists() && !world.dir.path().join("-.tar").exists());
}

#[tokio::test]
async fn what_prints_json_prints_it_everywhere() {
    let world = World::new().await;
    let all = json_of(&world, &["config", "schema", "--all", "schemas", "--json"]).await;
    assert_eq!(all["files"].as_array().unwrap().len(), 3);
    let (code, _, err) = run(&world, &["token", "create", "x", "-c", "/nowhere", "--json"]).await;
    let problem: Value = serde_json::from_str(&err).unwrap();
    assert_eq!((code, &problem["code"]), (1, &json!("failed")));
    let to = "postgres://somebody:secret@db.example/tenantry";
    let (code, _, err) = run(&world, &["store", "copy", "--to", to]).await;
    assert!(code == 1 && err.contains("PGPASSWORD") && !err.contains("secret@"), "{err}");
}

#[tokio::test]
async fn an_admin_listener_behind_tls_is_reached() {
    tenantry::app::install_crypto().unwrap();
    let world = with_tenant().await;
    let ca = LocalCa::create(Clock::system()).unwrap();
    let front = Script::tls(&ca, "127.0.0.1", &["http/1.1"], |_| async { Response::new(full("{\"items\":[]}")) }).await;
    let base = format!("https://{}", front.address);
    let roots = world.dir.path().join("ca.pem");
    std::fs::write(&roots, ca.certificate()).unwrap();
    let list = async |more: &[(&str, &str)]| {
        let mut command = tenantry(&world);
        command.env("TENANTRY_ADMIN", &base).envs(more.iter().copied()).args(["token", "list", "--json"]);
        let output = command.output().await.unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(list(&[("TENANTRY_ADMIN_CA", roots.to_str().unwrap())]).await, (0, "[]\n".to_owned()));
    assert_eq!(list(&[]).await.0, 1, "nobody whom the system trusts has vouched for it");
}
