//! Listening sockets: bound here, or inherited from whoever started this process (systemd, or the process that this one
//! replaces) the LISTEN_FDS way (sd_listen_fds(3)).

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use listenfd::ListenFd;
use socket2::{Domain, Socket, Type};

use crate::config::Listener;

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Why a listener has no socket.
#[derive(Debug, thiserror::Error)]
#[error("listener `{name}`: cannot listen on {address}: {source}")]
pub struct SocketError {
    name: String,
    address: SocketAddr,
    source: io::Error,
}

/// Sockets that were handed to this process and not taken yet.
#[derive(Debug, Default)]
pub struct Inherited {
    listeners: Vec<(Option<String>, TcpListener)>,
    predecessor: Option<UnixStream>,
    /// They come from a process of ours, whose configuration may have been another.
    of_ours: bool,
}

/// The name of the socket, among those handed over, at which the process that is to be replaced waits for a word. No
/// listener can have it.
pub const PREDECESSOR: &str = "@predecessor";

impl Inherited {
    /// From LISTEN_FDS and LISTEN_FDNAMES. To be called once, early: the variables are taken out of the environment so
    /// that no child inherits them.
    pub fn from_env() -> io::Result<Self> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').map(|name| Some(name.to_owned()).filter(|name| !name.is_empty()));
        let mut fds = ListenFd::from_env();
        let mut inherited = Self::default();
        for index in 0..fds.len() {
            let name = names.next().flatten();
            if name.as_deref() == Some(PREDECESSOR) {
                // One end of a pair of stream sockets; what it is called on the way makes no difference to it.
                let end = fds.take_unix_listener(index)?;
                inherited.predecessor = end.map(|end| UnixStream::from(OwnedFd::from(end)));
                inherited.of_ours = true;
            } else if let Some(socket) = fds.take_tcp_listener(index)? {
                inherited.listeners.push((name, socket));
            }
        }
        Ok(inherited)
    }

    /// Where the process that this one is to replace waits, if there is one.
    pub fn take_predecessor(&mut self) -> Option<UnixStream> {
        self.predecessor.take()
    }

    /// The socket of that name, else the one that is bound to the listener's address. A name counts for a service
    /// manager's word on the address; of a process that this one replaces, a socket of the same name may be bound to an
    /// address that the listener had before.
    fn take(&mut self, listener: &Listener) -> Option<TcpListener> {
        let fits = |socket: &TcpListener| socket.local_addr().is_ok_and(|local| fits(local, listener.address));
        let (sockets, of_ours) = (&self.listeners, self.of_ours);
        let is_named = |(name, socket): &(Option<String>, TcpListener)| {
            name.as_deref() == Some(&*listener.name) && (!of_ours || fits(socket))
        };
        let bound = |socket: &TcpListener| socket.local_addr().is_ok_and(|local| local == listener.address);
        let found = sockets.iter().position(is_named).or_else(|| sockets.iter().position(|(_, socket)| bound(socket)));
        found.map(|index| self.listeners.swap_remove(index).1)
    }

    /// What no listener has taken, for a warning: an inherited socket that nobody serves is a mistake in a unit file.
    pub fn unused(&self) -> impl Iterator<Item = String> {
        self.listeners.iter().map(|(name, socket)| match (name, socket.local_addr()) {
            (Some(name), _) => name.clone(),
            (None, Ok(address)) => address.to_string(),
            (None, Err(_)) => "unknown".to_owned(),
        })
    }
}

/// The listener's socket: inherited when there is one, else bound now.
pub fn socket(listener: &Listener, inherited: &mut Inherited) -> Result<TcpListener, SocketError> {
    let ready = match inherited.take(listener) {
        Some(socket) => socket.set_nonblocking(true).map(|()| socket),
        None => bind(listener.address),
    };
    ready.map_err(|source| SocketError { name: listener.name.clone(), address: listener.address, source })
}

/// Whether a socket at `local` is what was asked for; port 0 asks for any.
fn fits(local: SocketAddr, asked: SocketAddr) -> bool {
    local == asked || (asked.port() == 0 && local.ip() == asked.ip())
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restart must not wait for connections of the old process to leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `[::]:443` stands beside `0.0.0.0:443`: each takes its own family alone, whatever the system's default is.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(name: &str, address: &str) -> Listener {
        Listener {
            name: name.to_owned(),
            address: address.parse().unwrap(),
            tls: false,
            proxy_protocol: None,
            public_port: 0,
        }
    }

    #[test]
    fn of_a_process_before_only_what_is_bound_as_it_should_be_is_taken() {
        let sockets: Vec<_> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let names = ["web", "any"].map(|name| Some(name.to_owned()));
        let listeners = names.into_iter().zip(sockets).collect();
        let mut inherited = Inherited { listeners, predecessor: None, of_ours: true };
        let moved = socket(&listener("web", "127.0.0.2:0"), &mut inherited).unwrap();
        assert_eq!(moved.local_addr().unwrap().ip().to_string(), "127.0.0.2", "its address is another now");
        let any = socket(&listener("any", "127.0.0.1:0"), &mut inherited).unwrap();
        assert_eq!(any.local_addr().unwrap(), addresses[1]);
        assert_eq!(inherited.unused().collect::<Vec<_>>(), ["web"]);
        let renamed = socket(&listener("www", &addresses[0].to_string()), &mut inherited).unwrap();
        assert_eq!(renamed.local_addr().unwrap(), addresses[0]);
    }

    #[test]
    fn a_name_counts_before_an_address_and_what_is_left_is_named() {
        let sockets: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let names = [Some("web".to_owned()), None, Some("spare".to_owned())];
        let mut inherited =
            Inherited { listeners: names.into_iter().zip(sockets).collect(), predecessor: None, of_ours: false };
        let web = socket(&listener("web", "127.0.0.1:1"), &mut inherited).unwrap();
        assert_eq!(web.local_addr().unwrap(), addresses[0]);
        let plain = socket(&listener("plain", &addresses[1].to_string()), &mut inherited).unwrap();
        assert_eq!(plain.local_addr().unwrap(), addresses[1]);
        let bound = socket(&listener("own", "127.0.0.1:0"), &mut inherited).unwrap();
        assert!(!addresses.contains(&bound.local_addr().unwrap()));
        assert_eq!(inherited.unused().collect::<Vec<_>>(), ["spare"]);
    }

    #[test]
    fn a_taken_address_is_named_in_the_error() {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = first.local_addr().unwrap().to_string();
        let error = socket(&listener("web", &address), &mut Inherited::default()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("listener `web`: cannot listen on {address}: ")), "{error}");
    }
}
