//! Who gets in: caps, PROXY headers, and sockets that were there before.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use tenantry::config::{self, Limits};
use tenantry::edge::listener::{Inherited, socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::heads::exchange;
use super::world::{World, limits};

const LAST: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

/// What a v2 header from 192.0.2.7:4096 with this command looks like.
fn v2(command: u8) -> Vec<u8> {
    let start = b"\r\n\r\n\0\r\nQUIT\n";
    [&start[..], &[0x20 | command, 0x11, 0, 12], &[192, 0, 2, 7, 127, 0, 0, 1, 0x10, 0, 1, 187]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_headers_name_the_visitor_and_leave_the_request_alone() {
    let world = World::new().await;
    let visitor: SocketAddr = "192.0.2.7:4096".parse().unwrap();
    let v1 = b"PROXY TCP4 192.0.2.7 127.0.0.1 4096 443\r\n".to_vec();
    for (header, named) in [(v1, true), (v2(1), true), (b"PROXY UNKNOWN\r\n".to_vec(), false), (v2(0), false)] {
        let stream = TcpStream::connect(world.proxied).await.unwrap();
        let own = stream.local_addr().unwrap();
        let answer = exchange(stream, &[&header, LAST].concat()).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
        let last = world.last();
        assert_eq!((last.peer, last.client), (own, if named { visitor } else { own }));
    }
    // A byte at a time, as a header that is cut by the network may arrive.
    let mut stream = TcpStream::connect(world.proxied).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in v2(1) {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert!(exchange(stream, LAST).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(world.last().client, visitor);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_proxy_header_nothing_is_served() {
    let world = World::new().await;
    for wrong in [LAST, b"PROXY TCP4 192.0.2.7\r\n", b"PROXY NONSENSE\r\n", &[22, 3, 1, 0, 5]] {
        let mut stream = TcpStream::connect(world.proxied).await.unwrap();
        stream.write_all(wrong).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert_eq!(answer, b"", "{wrong:?}");
    }
    assert_eq!(world.refused("proxy-header"), 4);
    let far = World::with(limits(), Some("192.0.2.0/24")).await;
    let mut stream = TcpStream::connect(far.proxied).await.unwrap();
    // Closed before it is read: writing may fail already.
    let _ = stream.write_all(&v2(1)).await;
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert_eq!(far.refused("proxy-source"), 1);
    assert!(far.backend_saw().is_empty() && world.backend_saw().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_a_cap_are_closed_at_once_and_places_come_back() {
    let in_all = Limits { connections: 2, ..limits() };
    let per_address = Limits { connections_per_address: 2, ..limits() };
    for (limits, reason) in [(in_all, "connections"), (per_address, "address")] {
        let world = World::with(limits, None).await;
        let mut open = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(world.plain).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
            let mut answer = [0; 15];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200 OK");
            open.push(stream);
        }
        let mut third = TcpStream::connect(world.plain).await.unwrap();
        assert_eq!(third.read(&mut [0; 1]).await.unwrap_or(0), 0);
        assert_eq!(world.refused(reason), 1);
        open.clear();
        while world.metrics.connections_open.get() > 0 {
            tokio::task::yield_now().await;
        }
        let stream = TcpStream::connect(world.plain).await.unwrap();
        assert!(exchange(stream, LAST).await.starts_with("HTTP/1.1 200 "));
    }
}

/// Run by the test below in a process of its own, whose standard input is a listening socket.
#[test]
fn inherited_child() {
    if std::env::var_os("LISTEN_FDS").is_none() {
        return;
    }
    let mut inherited = Inherited::from_env().unwrap();
    let listener = config::Listener {
        name: "web".to_owned(),
        address: "127.0.0.1:0".parse().unwrap(),
        tls: false,
        proxy_protocol: None,
        public_port: 0,
    };
    let socket = socket(&listener, &mut inherited).unwrap();
    assert_eq!(inherited.unused().count(), 0);
    assert_eq!(socket.local_addr().unwrap().to_string(), std::env::var("EXPECTED_ADDRESS").unwrap());
}

#[test]
fn a_socket_is_inherited_the_listen_fds_way() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "connection::listeners::inherited_child", "--nocapture"])
        .envs([("LISTEN_FDS", "1"), ("LISTEN_FDS_FIRST_FD", "0"), ("LISTEN_FDNAMES", "web")])
        .env("EXPECTED_ADDRESS", address)
        .env_remove("LISTEN_PID")
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}
