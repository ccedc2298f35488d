//! Probes on TCP connections that may be silent for long: a peer that has gone without a word (a cable, a mobile phone, a
//! firewall that forgot) is noticed, and what it held is given back. Nothing here ends a connection whose peer answers.

use std::io;
use std::time::Duration;

use pingora_core::protocols::TcpKeepalive as Probes;
use pingora_core::upstreams::peer::PeerOptions;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Silence before the first probe; then one each [`INTERVAL`], and after [`COUNT`] without an answer the peer is gone.
const IDLE: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_secs(15);
const COUNT: u32 = 4;
/// How long what was sent may stay without an acknowledgement (RFC 5482). Probes are not sent while anything is.
const UNHEARD: Duration = Duration::from_secs(120);

/// Probes on this connection from now on.
pub fn keep_alive(tcp: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(tcp);
    let probes = TcpKeepalive::new().with_time(IDLE).with_interval(INTERVAL).with_retries(COUNT);
    socket.set_tcp_keepalive(&probes)?;
    socket.set_tcp_user_timeout(Some(UNHEARD))
}

/// Probes on the connections to a backend that the proxy engine makes itself.
pub fn keep_alive_upstream(options: &mut PeerOptions) {
    options.tcp_keepalive =
        Some(Probes { idle: IDLE, interval: INTERVAL, count: COUNT as usize, user_timeout: UNHEARD });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silent_peer_is_probed_and_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        assert!(!SockRef::from(&tcp).keepalive().unwrap());
        keep_alive(&tcp).unwrap();
        let socket = SockRef::from(&tcp);
        assert!(socket.keepalive().unwrap());
        assert_eq!((socket.tcp_keepalive_time().unwrap(), socket.tcp_keepalive_interval().unwrap()), (IDLE, INTERVAL));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), COUNT);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNHEARD));
    }
}
