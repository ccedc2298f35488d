//! With a whole Tenantry: what a message says is in force when it has been answered, its secrets are read again with the
//! configuration, and openssl and curl are all that it takes to send one.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tenantry::clock::Timestamp;

use super::{OTHER, PATH, SECRET, sign};
use crate::support::client::get;
use crate::support::world::World;

/// Writes `secret` where the configuration says that it is.
fn put_secret(dir: &std::path::Path, secret: &str) {
    let path = dir.join("billing-secret");
    fs::write(&path, format!("{secret}\n")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
}

/// A world that listens to a billing system, with the tenant `acme`.
async fn world(home: &tempfile::TempDir) -> World {
    put_secret(home.path(), SECRET);
    let secrets = format!("[billing]\nsecrets = [\"file:{}\"]\n", home.path().join("billing-secret").display());
    let world = World::builder().settings(&secrets).start().await;
    world.tenant("acme", "growth").await;
    world
}

async fn deliver(world: &World, secret: &str, id: &str, about: Value) -> (u16, Value) {
    let now = world.clock.now();
    let mut message = json!({"type": "subscription.updated", "occurred_at": now, "tenant": {"slug": "acme"}});
    message.as_object_mut().unwrap().extend(about.as_object().unwrap().clone());
    let (at, body) = (now.secs(), message.to_string());
    let request = Request::post(format!("http://{}{PATH}", world.admin()))
        .header("content-type", "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", at)
        .header("webhook-signature", sign(secret, id, at, body.as_bytes()));
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let answer = client.request(request.body(Full::from(body)).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_is_in_force_with_the_answer() {
    let home = tempfile::tempdir().unwrap();
    let world = world(&home).await;
    let host = world.host("acme");
    for round in 0..5 {
        assert_eq!(get(&world, &host, "/").await.status, StatusCode::OK, "round {round}");
        let (status, answer) = deliver(&world, SECRET, &format!("msg_{round}a"), json!({"status": "suspended"})).await;
        assert_eq!((status, &answer["result"]), (200, &json!("applied")), "{answer}");
        assert_eq!(get(&world, &host, "/").await.code(), "tenant-suspended", "round {round}");
        assert_eq!(deliver(&world, SECRET, &format!("msg_{round}b"), json!({"status": "active"})).await.0, 200);
    }
    // A gate opens and shuts with the plan.
    let export = async || {
        let mut sender = crate::support::client::h2(&world, &host).await;
        let request = crate::support::client::request(http::Method::POST, &host, "/analytics/export");
        crate::support::client::send_h2(&mut sender, request.body(Full::default()).unwrap()).await.status
    };
    assert_eq!(export().await, StatusCode::OK);
    deliver(&world, SECRET, "msg_down", json!({"plan": "free", "when": "now"})).await;
    assert_eq!(export().await, StatusCode::PAYMENT_REQUIRED);
    deliver(&world, SECRET, "msg_up", json!({"plan": "growth"})).await;
    assert_eq!(export().await, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_secret_is_read_again_with_the_configuration() {
    let home = tempfile::tempdir().unwrap();
    let world = world(&home).await;
    assert_eq!(deliver(&world, SECRET, "msg_1", json!({})).await.0, 200);
    put_secret(home.path(), OTHER);
    assert_eq!(deliver(&world, OTHER, "msg_2", json!({})).await.0, 401);
    let reloaded = world.running.reloader().reload(false).await.unwrap_or_else(|_| panic!("it was refused"));
    assert!(reloaded.changes.sections.contains(&"billing"), "{:?}", reloaded.changes);
    assert_eq!(deliver(&world, OTHER, "msg_2", json!({})).await.0, 200);
    assert_eq!(deliver(&world, SECRET, "msg_3", json!({})).await.0, 401);
    // One that is no secret leaves the one that is.
    put_secret(home.path(), "whsec_short");
    assert!(world.running.reloader().reload(false).await.is_err());
    assert_eq!(deliver(&world, OTHER, "msg_3", json!({})).await.0, 200);
    // Switched off.
    let lines = world.read("tenantry");
    world.write("tenantry", lines.split_once("[billing]").unwrap().0);
    assert!(world.running.reloader().reload(false).await.is_ok());
    assert_eq!(deliver(&world, OTHER, "msg_4", json!({})).await.1["code"], "billing-not-configured");
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_and_curl_can_tell_it_too() {
    let home = tempfile::tempdir().unwrap();
    let world = world(&home).await;
    let script = include_str!("sign.sh").replace("127.0.0.1:9900", &world.admin().to_string());
    let directory = home.path().to_owned();
    let output = tokio::task::spawn_blocking(move || {
        Command::new("sh").arg("-ec").arg(script).current_dir(directory).output().unwrap()
    });
    let output = output.await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&answer["result"], &answer["changed"]), (&json!("applied"), &json!(["limits"])));
    let tenant = world.running.tenancy().show("acme").await.unwrap().tenant;
    assert!(tenant.subscription.told > Some(Timestamp(0)));
}
