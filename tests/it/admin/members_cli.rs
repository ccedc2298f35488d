//! Members, roles, units and invitations from a shell.

use std::process::Stdio;

use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::cli::{good, json_of, tenantry};
use super::members::tenant;
use super::world::World;

#[tokio::test]
async fn members_from_a_shell() {
    let world = World::new().await;
    tenant(&world, "acme", "professional").await;
    let add = ["member", "add", "acme", "ada@example.com", "--name", "Ada", "--role", "owner"];
    assert!(good(&world, &add).await.contains("owner"));
    good(&world, &["member", "add", "acme", "bob@example.com"]).await;
    let unit = json_of(&world, &["unit", "create", "acme", "Sales", "--json"]).await["id"].as_str().unwrap().to_owned();
    let low = ["unit", "create", "acme", "North", "--parent", &unit, "--json"];
    let low = json_of(&world, &low).await["id"].as_str().unwrap().to_owned();
    good(&world, &["unit", "rename", "acme", &low, "South"]).await;
    good(&world, &["unit", "move", "acme", &low, "--top"]).await;
    assert_eq!(good(&world, &["unit", "list", "acme"]).await.lines().count(), 3);
    good(&world, &["member", "set-unit", "acme", "bob@example.com", &unit]).await;
    assert!(good(&world, &["unit", "delete", "acme", &unit, "--to", "none"]).await.contains("1 member"));

    let role = ["role", "create", "acme", "auditors", "--base", "moderator", "--scope", "audit:read,tenant:read"];
    good(&world, &role).await;
    good(&world, &["role", "change", "acme", "auditors", "--title", "Those who look"]).await;
    assert!(good(&world, &["role", "list", "acme"]).await.contains("Those who look"));
    good(&world, &["member", "set-role", "acme", "bob@example.com", "auditors"]).await;
    let listed = json_of(&world, &["member", "list", "acme", "--role", "auditors", "--json"]).await;
    assert_eq!(listed[0]["email"], "bob@example.com");
    good(&world, &["role", "delete", "acme", "auditors", "--replacement", "member"]).await;
    assert_eq!(json_of(&world, &["role", "show", "acme", "member", "--json"]).await["built_in"], true);

    good(&world, &["member", "remove", "acme", "bob@example.com"]).await;
    assert!(good(&world, &["member", "list", "acme", "--state", "removed"]).await.contains("bob@example.com"));
    good(&world, &["member", "restore", "acme", "bob@example.com"]).await;
    let purge = ["member", "purge", "acme", "bob@example.com", "--confirm", "bob@example.com", "--json"];
    assert_eq!(json_of(&world, &purge).await["state"], "purging");
    good(&world, &["member", "purge", "acme", "bob@example.com", "--cancel"]).await;
    let export = json_of(&world, &["member", "export", "acme", "bob@example.com"]).await;
    assert_eq!(export["membership"]["state"], "removed");
    assert!(good(&world, &["member", "show", "acme", "ada@example.com"]).await.contains("Ada"));
}

#[tokio::test]
async fn invitations_from_a_shell() {
    let world = World::new().await;
    tenant(&world, "acme", "growth").await;
    let create = ["invitation", "create", "acme", "ada@example.com", "--role", "admin", "--json"];
    let made = json_of(&world, &create).await;
    let id = made["id"].as_str().unwrap();
    assert!(good(&world, &["invitation", "list", "acme"]).await.contains("ada@example.com"));
    let again = json_of(&world, &["invitation", "resend", "acme", id, "--json"]).await;
    let mut accepting = tenantry(&world)
        .args(["invitation", "accept", "--name", "Ada Lovelace", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = format!("{}\ntram velvet osprey\n", again["token"].as_str().unwrap());
    accepting.stdin.take().unwrap().write_all(lines.as_bytes()).await.unwrap();
    let out = accepting.wait_with_output().await.unwrap();
    assert!(out.status.success());
    let joined: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(joined["member"]["email"], json!("ada@example.com"));
    let other = json_of(&world, &["invitation", "create", "acme", "b@example.com", "--json"]).await;
    good(&world, &["invitation", "revoke", "acme", other["id"].as_str().unwrap()]).await;
}
