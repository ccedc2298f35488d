//! What a service manager hears (sd_notify(3)): a socket in the place of systemd's.

use std::time::Duration;

use tempfile::TempDir;
use tokio::net::UnixDatagram;

use super::{House, signal, until};

async fn hear(socket: &UnixDatagram, wanted: &str) -> String {
    let mut heard = Vec::new();
    let listening = async {
        loop {
            let mut buffer = [0; 4096];
            let length = socket.recv(&mut buffer).await.unwrap();
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.lines().any(|line| line.starts_with(wanted)) {
                return text;
            }
            heard.push(text);
        }
    };
    let text = tokio::time::timeout(Duration::from_secs(20), listening).await;
    text.unwrap_or_else(|_| panic!("{wanted} was never said; only {heard:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_is_told_what_happens() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "200000")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let house = House::start_with("", &environment).await;
    hear(&socket, "READY=1").await;
    for _ in 0..3 {
        hear(&socket, "WATCHDOG=1").await;
    }
    let pid = house.pid().await;
    signal("HUP", pid);
    let reloading = hear(&socket, "RELOADING=1").await;
    let now = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
    assert!(now.parse::<u64>().unwrap() > 0, "{reloading}");
    hear(&socket, "READY=1").await;
    signal("USR2", pid);
    let replaced = hear(&socket, "MAINPID=").await;
    let next = replaced.lines().find_map(|line| line.strip_prefix("MAINPID=")).unwrap().parse().unwrap();
    assert_ne!(next, pid);
    // Both may answer for a moment: the old one what has come to it already.
    until("the one that was named answers", async || house.pid().await == next).await;
    hear(&socket, "WATCHDOG=1").await;
    signal("TERM", next);
    hear(&socket, "STOPPING=1").await;
}
