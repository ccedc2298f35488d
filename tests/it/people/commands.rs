//! The first operator, made on the machine; people and sessions from a shell.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::support::visitor::Visitor;
use crate::support::world::World;

fn tenantry(arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tenantry"))
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_operator_is_made_on_the_machine() {
    let world = World::builder().settings("[tenancy]\noperator = \"house\"\n").start().await;
    let dir = world.files.display().to_string();
    let backend = world.backend.address.to_string();
    let environment = [("BACKEND", backend.as_str())];
    let made = tenantry(&["operator", "create", "ada@example.com", "-c", &dir], &environment, "");
    let password = stdout(&made).trim().to_owned();
    assert_eq!((password.len(), password.split('-').count()), (29, 5), "{password}");
    let mut ada = Visitor::signed_in(&world, "ada@example.com", &password).await;
    assert_eq!(ada.get("/v1/session").await.json["operator"], true);
    assert_eq!(ada.get("/v1/tenants/house").await.status, 200, "it was made");
    // Once more: a new password, and whoever knew the old one is out.
    let again = ["operator", "create", "ada@example.com", "--password-stdin", "-c", &dir];
    let short = tenantry(&again, &environment, "short\n");
    assert!(!short.status.success() && String::from_utf8_lossy(&short.stderr).contains("at least 12 characters"));
    stdout(&tenantry(&again, &environment, "a quite new password\n"));
    assert_eq!(ada.get("/v1/session").await.status, 401);
    let mut ada = Visitor::signed_in(&world, "ada@example.com", "a quite new password").await;
    assert_eq!(ada.get("/v1/session").await.json["operator"], true);

    let admin = format!("http://{}", world.admin());
    let token = world.token("ops").await;
    let environment = [("TENANTRY_ADMIN", admin.as_str()), ("TENANTRY_TOKEN", token.as_str())];
    let run = |arguments: &[&str]| stdout(&tenantry(arguments, &environment, ""));
    assert!(run(&["person", "list"]).contains("ada@example.com"));
    assert!(run(&["person", "create", "eve@example.com", "--name", "Eve"]).contains("Eve"));
    let listed: serde_json::Value =
        serde_json::from_str(&run(&["session", "list", "ada@example.com", "--json"])).unwrap();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["method"]), (1, &serde_json::json!("password")));
    assert_eq!(run(&["session", "end", "ada@example.com"]), "ended 1 session\n");
    assert_eq!(ada.get("/v1/session").await.status, 401);
    let alone = tenantry(&["person", "disable", "ada@example.com"], &environment, "");
    assert!(!alone.status.success() && String::from_utf8_lossy(&alone.stderr).contains("last owner"));
    run(&["member", "add", "house", "eve@example.com", "--role", "owner"]);
    assert!(run(&["person", "disable", "ada@example.com"]).contains("true"));
    assert_eq!(Visitor::new(&world).sign_in("ada@example.com", "a quite new password").await.status, 401);
    assert!(run(&["person", "enable", "ada@example.com"]).contains("false"));
    Visitor::signed_in(&world, "ada@example.com", "a quite new password").await;
}
