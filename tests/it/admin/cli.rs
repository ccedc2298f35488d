//! The program itself against a running admin API: what it prints, where, and how it ends.

use std::process::Output;

use base64::Engine;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;

use super::world::World;
use crate::certificates::pki::Pki;

pub fn tenantry(world: &World) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenantry"));
    command.current_dir(world.dir.path()).env_clear();
    command.env("TENANTRY_ADMIN", &world.base).env("TENANTRY_TOKEN", &world.token);
    command
}

pub async fn run(world: &World, line: &[&str]) -> (i32, String, String) {
    ended(tenantry(world).args(line).output().await.unwrap())
}

fn ended(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

pub async fn good(world: &World, line: &[&str]) -> String {
    let (code, out, err) = run(world, line).await;
    assert_eq!((code, err.as_str()), (0, ""), "{line:?}");
    out
}

pub async fn json_of(world: &World, line: &[&str]) -> Value {
    serde_json::from_str(&good(world, line).await).unwrap()
}

#[tokio::test]
async fn tenants_from_a_shell() {
    let world = World::new().await;
    let line = ["tenant", "create", "acme", "--name", "Acme Ltd", "--plan", "growth", "--status", "active"];
    let out = good(&world, &line).await;
    let line = |label: &str| out.lines().find_map(|line| line.strip_prefix(label)).map(str::trim);
    assert_eq!((line("status"), line("host")), (Some("active"), Some("acme.connect.localhost")), "{out}");
    good(&world, &["tenant", "create", "shop", "--parent", "acme"]).await;
    let list = good(&world, &["tenant", "list"]).await;
    assert_eq!(
        list.lines().next().unwrap().split_whitespace().collect::<Vec<_>>(),
        ["SLUG", "NAME", "STATUS", "PLAN", "HOST"]
    );
    assert_eq!(list.lines().count(), 3, "{list}");
    let listed = json_of(&world, &["tenant", "list", "--json", "--status", "trial"]).await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(json_of(&world, &["tenant", "rename", "acme", "Acme", "--json"]).await["name"], "Acme");
    assert_eq!(json_of(&world, &["plan", "set", "acme", "professional", "--json"]).await["plan"], "professional");
    let back = json_of(&world, &["plan", "set", "shop", "--inherit", "--json"]).await;
    assert_eq!((&back["plan"], &back["effective"]["plan"]), (&json!(null), &json!("professional")));
    good(&world, &["tenant", "features", "acme", "--off", "sso,scim"]).await;
    let features = json_of(&world, &["tenant", "features", "acme", "--on", "scim", "--json"]).await;
    assert_eq!(features["features"], json!({"on": ["scim"], "off": ["sso"]}));
    let features = json_of(&world, &["tenant", "features", "acme", "--reset", "scim,sso", "--json"]).await;
    assert_eq!(features["features"], json!({"on": [], "off": []}));
    let out = good(&world, &["tenant", "suspend", "acme", "--reason", "invoice overdue", "--public"]).await;
    assert!(out.contains("suspended") && out.contains("invoice overdue"), "{out}");
    let out = good(&world, &["tenant", "show", "shop"]).await;
    assert!(out.contains("suspended (its own: trial)"), "{out}");
    assert_eq!(json_of(&world, &["tenant", "activate", "acme", "--json"]).await["status"], "active");
    let extended = json_of(&world, &["tenant", "extend-trial", "shop", "7", "--json"]).await;
    assert_eq!(extended["trial_ends"], "2026-12-12T12:00:00Z");
    assert_eq!(json_of(&world, &["tenant", "cancel", "shop", "--json"]).await["status"], "cancelled");
    assert_eq!(json_of(&world, &["tenant", "restore", "shop", "--json"]).await["status"], "trial");
}

#[tokio::test]
async fn domains_and_tokens_from_a_shell() {
    let world = World::new().await;
    good(&world, &["tenant", "create", "acme", "--plan", "growth"]).await;
    let out = good(&world, &["domain", "add", "acme", "Community.Acme.Example"]).await;
    assert!(out.contains("_arythmatic-verification.community.acme.example"), "{out}");
    let verified = ["domain", "add", "acme", "community.acme.example", "--verified", "--json"];
    assert_eq!(json_of(&world, &verified).await["state"], "verified");
    assert!(good(&world, &["domain", "list", "acme"]).await.contains("verified"));
    let shown = json_of(&world, &["domain", "show", "community.acme.example", "--json"]).await;
    assert_eq!(shown["state"], "verified");
    assert_eq!(good(&world, &["domain", "remove", "community.acme.example"]).await, "removed community.acme.example\n");

    let (code, token, note) = run(&world, &["token", "create", "deploy"]).await;
    assert_eq!((code, note.as_str()), (0, "keep it safe: it is not shown again\n"));
    let file = world.dir.path().join("deploy-token");
    std::fs::write(&file, &token).unwrap();
    let mut command = tenantry(&world);
    command.env_remove("TENANTRY_TOKEN").args(["token", "list", "--json", "--token-file"]).arg(&file);
    let (code, out, _) = ended(command.output().await.unwrap());
    let names: Value = serde_json::from_str::<Value>(&out).unwrap();
    assert_eq!((code, &names[0]["name"], &names[1]["name"]), (0, &json!("deploy"), &json!("test")));
    assert_eq!(good(&world, &["token", "revoke", "deploy"]).await, "revoked deploy\n");
    // The token that `tenantry dev` leaves is found.
    std::fs::create_dir(world.dir.path().join(".dev")).unwrap();
    std::fs::write(world.dir.path().join(".dev/operator-token"), format!("{}\n", world.token)).unwrap();
    let output = tenantry(&world).env_remove("TENANTRY_TOKEN").args(["token", "list"]).output().await.unwrap();
    assert_eq!(ended(output).0, 0);
}

#[tokio::test]
async fn certificates_orders_and_events_from_a_shell() {
    let world = World::new().await;
    world.tenant_with_domains("acme", &["shop.example"]).await;
    good(&world, &["domain", "add", "acme", "later.example"]).await;
    let out = good(&world, &["domain", "diagnose", "later.example"]).await;
    assert!(out.contains("unknown  TXT") && out.contains("- Nobody could be asked for"), "{out}");
    let seen = json_of(&world, &["domain", "verify", "later.example", "--tenant", "acme", "--json"]).await;
    assert_eq!((&seen["state"], &seen["findings"][1]["verdict"]), (&json!("pending"), &json!("unknown")));
    assert_eq!(json_of(&world, &["domain", "list", "--json", "--state", "pending"]).await.as_array().unwrap().len(), 1);
    assert_eq!(good(&world, &["domain", "list"]).await.lines().count(), 3);
    let queue = good(&world, &["cert", "queue"]).await;
    assert!(queue.lines().nth(1).unwrap().starts_with("shop.example  waiting  1"), "{queue}");
    let (chain, key) = Pki::new(world.clock.now()).chain(&["shop.example"], 5);
    std::fs::write(world.dir.path().join("chain.pem"), &chain).unwrap();
    std::fs::write(world.dir.path().join("key.pem"), &key).unwrap();
    let line = ["cert", "upload", "--chain", "chain.pem", "--key", "key.pem"];
    let (code, out, err) = run(&world, &line).await;
    assert_eq!((code, err.starts_with("tenantry: mind: it ends ")), (0, true), "{err}");
    assert!(out.contains("in use for  shop.example") && out.contains("-----BEGIN CERTIFICATE-----\n"), "{out}");
    let listed = json_of(&world, &["cert", "list", "--name", "shop.example", "--json"]).await;
    let id = listed[0]["id"].as_str().unwrap();
    assert!(good(&world, &["cert", "list"]).await.lines().nth(1).unwrap().ends_with("in use"));
    assert!(good(&world, &["domain", "show", "shop.example"]).await.contains(id));
    let (code, _, err) = run(&world, &["cert", "revoke", id]).await;
    assert!(code == 1 && err.contains("409 not-ours"), "{err}");
    let out = good(&world, &["cert", "revoke", id, "--only-here", "--reason", "key-compromise"]).await;
    assert!(out.contains("revoked"), "{out}");
    assert!(good(&world, &["cert", "issue", "shop.example"]).await.contains("waiting"));
    let (code, _, err) = run(&world, &["cert", "renew", "shop.example"]).await;
    assert!(code == 1 && err.contains("not-issued"), "{err}");
    assert_eq!(good(&world, &["cert", "delete", id]).await, format!("deleted {id}\n"));
    let events = json_of(&world, &["event", "list", "--subject", "shop.example", "--json"]).await;
    let kinds: Vec<_> = events.as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert!(kinds.ends_with(&["certificate.uploaded", "certificate.revoked", "certificate.deleted"]), "{kinds:?}");
    let after = events[events.as_array().unwrap().len() - 2]["id"].as_str().unwrap();
    assert_eq!(good(&world, &["event", "list", "--after", after]).await.lines().count(), 2);
    let (code, _, err) = run(&world, &["cert", "upload", "--chain", "nothing.pem", "--key", "key.pem"]).await;
    assert!(code == 1 && err.contains("cannot read nothing.pem"), "{err}");
}

#[tokio::test]
async fn refusals_end_with_1_and_name_the_field() {
    let world = World::new().await;
    let before = world.revision().await;
    let (code, out, err) = run(&world, &["tenant", "create", "www", "--plan", "gold"]).await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("  /slug: the slug \"www\" is reserved"), "{err}");
    assert!(err.contains("  /plan: ") && err.contains("(422 invalid, request "), "{err}");
    let (code, out, err) = run(&world, &["tenant", "show", "nobody", "--json"]).await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert_eq!(serde_json::from_str::<Value>(&err).unwrap()["code"], "tenant-not-found");
    let output = tenantry(&world).env("TENANTRY_TOKEN", "wrong").args(["tenant", "list"]).output().await.unwrap();
    let (code, _, err) = ended(output);
    assert!(code == 1 && err.contains("401 unauthorized") && !err.contains("wrong\n"), "{err}");
    let output = tenantry(&world).env_remove("TENANTRY_TOKEN").args(["tenant", "list"]).output().await.unwrap();
    let (code, _, err) = ended(output);
    assert!(code == 1 && err.contains("--token-file"), "{err}");
    assert_eq!(world.revision().await, before);
}

#[tokio::test]
async fn an_address_where_nothing_answers_is_named() {
    let world = World::new().await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let (code, _, err) = run(&world, &["tenant", "list", "--admin", &address]).await;
    assert_eq!(code, 1);
    assert!(err.contains(&address) && err.contains("refused") && err.contains("tenantry dev"), "{err}");
}

#[tokio::test]
async fn a_command_line_that_makes_no_sense_ends_with_2() {
    let world = World::new().await;
    for line in [
        &["tenant", "create"] as &[&str],
        &["tenant", "create", "a", "--status", "suspended"],
        &["tenant", "extend-trial", "a", "many"],
        &["tenant", "suspend", "a", "--public"],
        &["plan", "set", "a"],
        &["plan", "set", "a", "growth", "--inherit"],
        &["plan", "set", "a", "growth", "--when", "soon"],
        &["tenant", "list", "--admin", "ftp://127.0.0.1:1"],
        &["no-such-command"],
    ] {
        let (code, out, err) = run(&world, line).await;
        assert_eq!((code, out.as_str()), (2, ""), "{line:?}");
        assert!(!err.is_empty(), "{line:?}");
    }
    for line in [
        &["--help"] as &[&str],
        &["tenant", "--help"],
        &["tenant", "suspend", "--help"],
        &["token", "--help"],
        &["cert", "--help"],
        &["plan", "--help"],
        &["feature", "--help"],
        &["event", "--help"],
    ] {
        assert!(good(&world, line).await.contains("Example"), "{line:?}");
    }
}

#[tokio::test]
async fn check_says_what_is_wrong_with_a_configuration() {
    let world = World::new().await;
    let dir = world.dir.path().join("config");
    std::fs::create_dir(&dir).unwrap();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config");
    for file in ["tenantry.toml", "routing.toml", "plans.toml"] {
        std::fs::copy(format!("{shipped}/{file}"), dir.join(file)).unwrap();
    }
    let out = good(&world, &["check", "-c", "config"]).await;
    assert!(out.starts_with("config: in order: 4 listeners"), "{out}");
    std::fs::write(dir.join("plans.toml"), "default_plan = 'x'\ncolour = 1\n").unwrap();
    let (code, out, err) = run(&world, &["check"]).await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("plans.toml:2:1: colour") && err.lines().count() > 1, "{err}");
}

#[tokio::test]
async fn the_stores_key_is_changed_from_a_shell() {
    let world = World::new().await;
    let dir = world.dir.path();
    let key = |byte: u8| base64::engine::general_purpose::STANDARD.encode([byte; 32]);
    let url = dir.join("tenantry.db").display().to_string();
    let configure = |lines: &str| {
        let text = include_str!("../../../config/tenantry.toml")
            .replace("sqlite:/var/lib/tenantry/tenantry.db", &format!("sqlite:{url}"))
            .replace("key = \"credential:store-key\"\n", "")
            .replace("old_keys = []\n", lines);
        std::fs::create_dir_all(dir.join("config")).unwrap();
        std::fs::write(dir.join("config/tenantry.toml"), text).unwrap();
    };
    configure("key = \"env:NEW\"\nold_keys = [\"env:OLD\"]\n");
    for file in ["routing.toml", "plans.toml"] {
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config");
        std::fs::copy(format!("{shipped}/{file}"), dir.join("config").join(file)).unwrap();
    }
    let call = async |line: &[&str]| {
        let output = tenantry(&world).env("OLD", key(7)).env("NEW", key(8)).args(line).output().await.unwrap();
        ended(output)
    };
    let (code, out, _) = call(&["check"]).await;
    assert!(code == 0 && out.contains("1 key still configured; run `tenantry store reseal -c config`"), "{out}");
    let (code, out, err) = call(&["store", "reseal"]).await;
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("everything is sealed under key ") && out.contains("needed no more"), "{out}");
    configure("key = \"env:OLD\"\n");
    let (code, _, err) = call(&["store", "reseal", "--json"]).await;
    assert!(code == 1 && err.contains("store.old_keys") && !err.contains(&key(7)), "{err}");
    configure("key = \"env:NEW\"\n");
    let (code, out, _) = call(&["store", "reseal", "--json"]).await;
    assert_eq!((code, serde_json::from_str::<Value>(&out).unwrap()["secrets"].clone()), (0, json!(0)));
}
