//! `[dns]`: whom to ask for the records that customers set, and `[outbound]`: which addresses may be connected to where a
//! customer can influence the address.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::parsers::{self, NETWORK};
use super::section::Section;

const SERVER: &str = "an IP address such as \"192.0.2.53\" or with a port, \"192.0.2.53:5353\"";

/// `[dns]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dns {
    /// Resolvers to ask, in this order. Default: those of the system (`/etc/resolv.conf`).
    pub servers: Vec<SocketAddr>,
    /// How long one question may take, tries included. Default 5 s.
    pub timeout: Duration,
    /// Ask the servers of the zone itself where a resolver says "no", so that a "no" from its cache delays nobody. Default
    /// true.
    pub authoritative: bool,
    /// The port at which zones' own servers are asked. Default 53; another one is for tests.
    pub authoritative_port: u16,
}

/// `[outbound]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outbound {
    /// Networks that may be connected to although they are private, local or otherwise special. Default: none.
    pub allow: Vec<IpNet>,
}

impl Dns {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let timeouts = Duration::from_millis(100)..=Duration::from_secs(60);
        Self {
            servers: section.texts("servers", SERVER, server),
            timeout: section.duration("timeout", timeouts, Duration::from_secs(5)),
            authoritative: section.flag("authoritative", true),
            authoritative_port: section.number("authoritative_port", 1..=u16::MAX, 53),
        }
    }
}

impl Outbound {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self { allow: section.texts("allow", NETWORK, parsers::network) }
    }
}

fn server(text: &str) -> Result<SocketAddr, &'static str> {
    if let Ok(address) = text.parse() {
        return Ok(SocketAddr::new(address, 53));
    }
    text.parse::<SocketAddr>().ok().filter(|address| address.port() > 0).ok_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_address_with_or_without_a_port() {
        for (text, expected) in
            [("192.0.2.53", "192.0.2.53:53"), ("192.0.2.53:5353", "192.0.2.53:5353"), ("::1", "[::1]:53")]
        {
            assert_eq!(server(text).map(|server| server.to_string()), Ok(expected.to_owned()));
        }
        for text in ["", "dns.example", "192.0.2.53:0", "192.0.2.53:", "[::1]"] {
            assert!(server(text).is_err(), "{text}");
        }
    }
}
