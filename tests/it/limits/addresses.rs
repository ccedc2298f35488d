//! What one client address may do: come anew, and ask for names that nobody knows. IPv6 counts by /64.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tenantry::clock::Clock;
use tenantry::tls::LocalCa;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::still;
use crate::support::client::tls_config;
use crate::support::world::World;

/// Two listeners behind a load balancer that tells who comes: `lb` in the clear, `lbs` with TLS.
const BEHIND: &str = "[[listener]]\nname = \"lb\"\naddress = \"127.0.0.1:0\"\ntls = false\nproxy_protocol = \"required\"\n\
    proxy_sources = [\"127.0.0.0/8\"]\n[[listener]]\nname = \"lbs\"\naddress = \"127.0.0.1:0\"\n\
    proxy_protocol = \"required\"\nproxy_sources = [\"127.0.0.0/8\"]\n";

async fn come(to: SocketAddr, client: &str) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let line = match client.contains(':') {
        true => format!("PROXY TCP6 {client} ::1 4096 443\r\n"),
        false => format!("PROXY TCP4 {client} 127.0.0.1 4096 443\r\n"),
    };
    stream.write_all(line.as_bytes()).await.unwrap();
    stream
}

/// Whether a connection of this client is served.
async fn served(world: &World, client: &str) -> bool {
    let mut stream = come(world.running.address("lb").unwrap(), client).await;
    let ask = "GET /.well-known/acme-challenge/x HTTP/1.1\r\nHost: acme.connect.localhost\r\nConnection: close\r\n\r\n";
    let _ = stream.write_all(ask.as_bytes()).await;
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer.starts_with("HTTP/1.1 404")
}

#[derive(PartialEq, Eq, Debug)]
enum Hello {
    Served,
    Unknown,
    /// Turned away before anybody looked.
    Refused,
}

async fn hello(world: &World, client: &str, name: &str) -> Hello {
    let before = world.running.metrics().connections_refused.with_label_values(&["unknown-sni"]).get();
    let stream = come(world.running.address("lbs").unwrap(), client).await;
    let connector = TlsConnector::from(Arc::new(tls_config(world, &["http/1.1"])));
    let outcome = connector.connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await;
    let after = world.running.metrics().connections_refused.with_label_values(&["unknown-sni"]).get();
    match outcome {
        Ok(_) => Hello::Served,
        Err(_) if after > before => Hello::Refused,
        Err(_) => Hello::Unknown,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_connections_of_one_address_have_a_rate() {
    let settings = format!("{BEHIND}[limits]\nnew_connections_per_second = 10\nnew_connections_burst = 3\n");
    let world = still(World::builder().settings(&settings)).await;
    for client in ["192.0.2.1", "2001:db8::1"] {
        for n in 0..3 {
            assert!(served(&world, client).await, "{client} {n}");
        }
        assert!(!served(&world, client).await, "{client}");
    }
    assert!(!served(&world, "2001:db8::ffff:7").await, "the same /64");
    assert!(served(&world, "2001:db8:0:1::1").await, "another /64");
    assert!(served(&world, "192.0.2.2").await, "the neighbour");
    let refused = world.running.metrics().connections_refused.with_label_values(&["new-connections"]).get();
    assert_eq!(refused, 3);
    world.clock.advance(Duration::from_millis(100));
    assert!(served(&world, "192.0.2.1").await, "earned back");
    assert!(!served(&world, "192.0.2.1").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_nobody_knows_have_a_rate_and_known_ones_do_not_suffer() {
    let settings = format!("{BEHIND}[limits]\nunknown_sni_per_second = 1\nunknown_sni_burst = 3\n");
    let world = still(World::builder().settings(&settings)).await;
    let client = "192.0.2.1";
    assert_eq!(hello(&world, client, "acme.connect.localhost").await, Hello::Served);
    for n in 0..3 {
        assert_eq!(hello(&world, client, &format!("nobody-{n}.example")).await, Hello::Unknown);
    }
    assert_eq!(hello(&world, client, "nobody-3.example").await, Hello::Refused);
    // One that is remembered as unknown costs as much as a new one.
    assert_eq!(hello(&world, client, "nobody-1.example").await, Hello::Refused);
    assert_eq!(hello(&world, client, "acme.connect.localhost").await, Hello::Served);
    assert_eq!(hello(&world, "192.0.2.2", "nobody-3.example").await, Hello::Unknown, "the neighbour");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(hello(&world, client, "nobody-4.example").await, Hello::Unknown);
    assert_eq!(hello(&world, client, "nobody-5.example").await, Hello::Refused);
    for n in 0..3 {
        assert_eq!(hello(&world, &format!("2001:db8::{n}"), "nobody.example").await, Hello::Unknown);
    }
    assert_eq!(hello(&world, "2001:db8::9", "nobody.example").await, Hello::Refused, "the same /64");
    assert_eq!(hello(&world, "2001:db8:0:1::9", "nobody.example").await, Hello::Unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_certificate_makes_no_name_known() {
    tenantry::app::install_crypto().unwrap();
    let dir = tempfile::TempDir::new().unwrap();
    let (chain, key) = (dir.path().join("chain.pem"), dir.path().join("key.pem"));
    let fallback = LocalCa::create(Clock::system()).unwrap().issue(&["fallback.invalid".into()], 30).unwrap();
    std::fs::write(&chain, &fallback.chain).unwrap();
    std::fs::write(&key, fallback.key.as_bytes()).unwrap();
    let settings = format!(
        "{BEHIND}[tls.fallback]\nchain = {chain:?}\nkey = {key:?}\n[limits]\nunknown_sni_per_second = 1\nunknown_sni_burst = 2\n"
    );
    let world = still(World::builder().settings(&settings)).await;
    let client = "192.0.2.1";
    for n in 0..2 {
        assert_eq!(hello(&world, client, &format!("nobody-{n}.example")).await, Hello::Unknown);
    }
    assert_eq!(hello(&world, client, "nobody-0.example").await, Hello::Refused);
    assert_eq!(hello(&world, client, "acme.connect.localhost").await, Hello::Served);
}
