//! `[[listener]]`: where the edge takes connections.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::parsers::{self, NAME, NETWORK, SOCKET};
use super::section::{Section, Spot};

/// One `[[listener]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// Also the name of an inherited socket (LISTEN_FDNAMES). Never `admin`: that is the admin service's.
    pub name: String,
    /// Port 0: the system picks one.
    pub address: SocketAddr,
    /// Default true.
    pub tls: bool,
    /// PROXY protocol: `None` is off; else required, and only from these sources.
    pub proxy_protocol: Option<Vec<IpNet>>,
    /// The port that visitors see, for redirects and `X-Forwarded-Port`; by default the address's own.
    pub public_port: u16,
}

impl Listener {
    /// Reads all of them, and sees to it that they can stand side by side, next to the admin service.
    pub(super) fn read_all(root: &mut Section<'_>, admin: SocketAddr) -> Vec<Self> {
        let read =
            root.sections("listener", |section| (Self::read(section), section.spot("name"), section.spot("address")));
        root.require_some("listener");
        let mut names: Vec<(&str, &Spot)> = Vec::new();
        let mut addresses = vec![(admin, "the admin service")];
        for (listener, name_spot, address_spot) in &read {
            let Some(listener) = listener else { continue };
            if listener.name == "admin" {
                root.fault_at(name_spot, "the name \"admin\" belongs to the socket of [admin]; choose another");
            } else if names.iter().any(|(name, _)| *name == listener.name) {
                root.fault_at(name_spot, format!("a second listener of the name \"{}\"", listener.name));
            }
            if let Some((address, whose)) = addresses.iter().find(|(address, _)| clash(*address, listener.address)) {
                let message = format!("{} cannot be had beside {address} of {whose}", listener.address);
                root.fault_at(address_spot, message);
            }
            names.push((&listener.name, name_spot));
            addresses.push((listener.address, &listener.name));
        }
        read.into_iter().filter_map(|(listener, ..)| listener).collect()
    }

    fn read(section: &mut Section<'_>) -> Option<Self> {
        let name = section.required("name", NAME, parsers::name);
        let address = section.required("address", SOCKET, parsers::socket);
        let tls = section.flag("tls", true);
        let required = section.choice("proxy_protocol", &[("off", false), ("required", true)], false);
        let sources = section.texts("proxy_sources", NETWORK, parsers::network);
        let own_port = address.map_or(0, |address| address.port());
        let public_port = section.number("public_port", 1..=u16::MAX, own_port);
        const SOURCES: &str = "the networks whose PROXY protocol headers are believed";
        if required && section.is_empty_list("proxy_sources") {
            section.fault("proxy_sources", format!("found no network, expected {SOURCES}"));
        } else if required {
            section.require("proxy_sources", SOURCES);
        } else if section.has("proxy_sources") {
            section.fault("proxy_sources", "it means nothing here; expected proxy_protocol = \"required\" beside it");
        }
        Some(Self { name: name?, address: address?, tls, proxy_protocol: required.then_some(sources), public_port })
    }
}

/// Whether two sockets cannot be bound at once: the same port, and one address covers the other.
fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let covers =
        a.ip() == b.ip() || ((a.ip().is_unspecified() || b.ip().is_unspecified()) && a.is_ipv4() == b.is_ipv4());
    a.port() == b.port() && a.port() != 0 && covers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_clash_when_one_covers_the_other() {
        for (a, b, expected) in [
            ("127.0.0.1:443", "127.0.0.1:443", true),
            ("0.0.0.0:443", "127.0.0.1:443", true),
            ("[::]:443", "[::1]:443", true),
            ("[::]:443", "0.0.0.0:443", false),
            ("127.0.0.1:443", "127.0.0.2:443", false),
            ("127.0.0.1:443", "127.0.0.1:80", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            let (a, b) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!((clash(a, b), clash(b, a)), (expected, expected), "{a} {b}");
        }
    }
}
