//! One process takes over from another: what does not start changes nothing, and what drains still follows the changes.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use futures_util::{SinkExt, StreamExt};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use tokio_tungstenite::tungstenite::Message;

use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use super::{House, lives, signal, until};
use crate::support::client::get_plain_at;
use crate::support::node::Site;
use crate::support::program::port;
use crate::support::underway::Slow;
use crate::support::world::BASE;

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
    // The first time that it is told: that makes others drain, and it drains already.
    signal("TERM", old);
    until("it has heard", async || house.process.said("a second signal ends it at once")).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_ends_with_the_process_that_it_began_with() {
    let house = House::start("[process]\ndrain_deadline = \"60s\"\n").await;
    let (slow, file) = (Slow::start().await, house.site.path().join("routing.toml"));
    let routing = std::fs::read_to_string(&file).unwrap();
    let backends = routing.lines().find(|line| line.starts_with("backends = ")).unwrap();
    std::fs::write(&file, routing.replace(backends, &format!("backends = [\"{}\"]", slow.address()))).unwrap();
    let (code, said) = house.tenantry(&["reload"]).await;
    assert_eq!(code, 0, "{said}");
    let stream = TokioIo::new(house.tls("h2").await.unwrap());
    let (two, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let (one, connection) = http1::handshake(TokioIo::new(house.tls("http/1.1").await.unwrap())).await.unwrap();
    tokio::spawn(connection);
    let under_way = slow.begin(two, one, &house.host()).await;
    let old = house.pid().await;
    house.upgrade().await;
    until("another process serves", async || house.pid().await != old).await;
    assert_eq!(house.visit().await, 200, "by the new one");
    assert!(lives(old), "it waits for what it has begun");
    slow.end(under_way).await;
    until("nothing keeps the old one", async || !lives(old)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_told_to_end_takes_along_the_one_that_was_starting_to_replace_it() {
    let house = House::start("").await;
    let (old, begun) = (house.pid().await, house.site.path().join("begun"));
    let program = env!("CARGO_BIN_EXE_tenantry");
    let slow = format!("echo $$ > {}.new; mv {0}.new {0}; sleep 3; exec {program} \"$@\"", begun.display());
    house.lies_at(&script(&house, &slow));
    signal("USR2", old);
    until("a successor starts", async || begun.exists()).await;
    let next: u64 = std::fs::read_to_string(&begun).unwrap().trim().parse().unwrap();
    assert!(lives(next));
    signal("TERM", old);
    until("the old one has ended", async || !lives(old)).await;
    assert!(!lives(next), "it was waited for");
    // What the script had begun has the sockets for a moment longer.
    until("nobody has the ports", async || TcpStream::connect(house.site.https).await.is_err()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_a_service_manager_has_opened_are_taken() {
    tenantry::app::install_crypto().unwrap();
    let bind = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (https, http) = (bind(), bind());
    let site = Site::new(https.local_addr().unwrap().port(), http.local_addr().unwrap().port(), "").await;
    let config = site.path().display().to_string();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tenantry"));
    command.args(["serve", "-c", &config, "--state", &config]);
    command.env("LISTEN_FDS", "2").env("LISTEN_FDNAMES", "https:http").env_remove("LISTEN_PID");
    let mappings = [https, http].into_iter().zip(3..);
    let mappings = mappings.map(|(socket, child_fd)| FdMapping { parent_fd: socket.into(), child_fd }).collect();
    command.fd_mappings(mappings).unwrap();
    // A process that bound the addresses itself would find them taken.
    let _process = Command::from(command).kill_on_drop(true).spawn().unwrap();
    until("it answers there", async || get_plain_at(site.http, BASE, "/").await.is_ok_and(|a| a.status == 200)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_told_to_end_while_it_starts_ends() {
    tenantry::app::install_crypto().unwrap();
    let site = Site::new(port(), port(), "").await;
    // A database that takes connections and says nothing.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let file = site.path().join("tenantry.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let url = format!("url = \"postgres://tenantry:x@{}/tenantry?sslmode=disable\"", mute.local_addr().unwrap());
    let text: Vec<_> = text.lines().map(|line| if line.starts_with("url = ") { &url } else { line }).collect();
    std::fs::write(&file, text.join("\n")).unwrap();
    let config = site.path().display().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenantry"));
    command.args(["serve", "-c", &config, "--state", &config]).kill_on_drop(true);
    let mut process = command.spawn().unwrap();
    let _held = mute.accept().await.unwrap();
    signal("TERM", process.id().unwrap().into());
    let ended = tokio::time::timeout(Duration::from_secs(10), process.wait()).await;
    assert!(ended.expect("it ends").unwrap().success(), "as it was told");
}
