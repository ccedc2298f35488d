//! One process takes over from another: what does not start changes nothing, and what drains still follows the changes.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use tokio_tungstenite::tungstenite::Message;

use super::{House, lives, signal, until};

fn script(house: &House, text: &str) -> PathBuf {
    let path = house.site.path().join("broken-program");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_come_to_serve_leaves_the_old_one_serving() {
    let house = House::start("[process]\nupgrade_deadline = \"1s\"\n").await;
    let pid = house.pid().await;
    let refused = async |why: &str| {
        let (code, said) = house.tenantry(&["upgrade"]).await;
        assert!(code == 1 && said.contains(why) && said.contains("everything stays as it was"), "{why}: {code} {said}");
        assert_eq!(house.pid().await, pid, "{why}");
        assert_eq!(house.ask("/readyz").await.0, 200);
    };
    house.lies_at(&script(&house, "exit 3"));
    refused("exit status: 3").await;
    house.lies_at(&script(&house, "exec sleep 1000"));
    refused("did not serve within 1 s").await;
    house.lies_at(&house.site.path().join("not-there"));
    refused("cannot be started").await;
    house.lies_at(env!("CARGO_BIN_EXE_tenantry").as_ref());
    let file = house.site.path().join("tenantry.toml");
    let right = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{right}\nunknown = 1\n")).unwrap();
    refused("unknown key `unknown`").await;
    std::fs::write(&file, right).unwrap();
    assert_eq!(house.metric("tenantry_upgrades_total{result=\"failed\"}").await, 4.0);
    house.upgrade().await;
    until("the old one has gone", async || !lives(pid)).await;
    assert_eq!(house.ask("/readyz").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_drains_follows_the_changes_and_is_waited_for_by_nobody() {
    let house = House::start("[process]\ndrain_deadline = \"60s\"\n").await;
    let old = house.pid().await;
    let mut socket = house.websocket().await;
    signal("USR2", old);
    until("another process serves", async || house.pid().await != old).await;
    let options = SqliteConnectOptions::new().filename(house.site.database()).read_only(true);
    let store = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    until("the old one is no node any more", async || {
        sqlx::query("SELECT COUNT(*) FROM nodes").fetch_one(&store).await.unwrap().get::<i64, _>(0) == 1
    })
    .await;
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    assert!(lives(old));
    let (code, said) = house.tenantry(&["tenant", "suspend", "acme"]).await;
    assert_eq!(code, 0, "{said}");
    let started = Instant::now();
    let end = socket.next().await.unwrap().unwrap();
    assert!(matches!(&end, Message::Close(Some(frame)) if u16::from(frame.code) == 1008), "{end:?}");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    until("nothing keeps the old one", async || !lives(old)).await;
    let new = house.pid().await;
    signal("TERM", new);
    until("the new one ends when it is told", async || !lives(new)).await;
}
