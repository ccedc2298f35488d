//! The guard: every address that a customer can influence is judged here before anything connects to it, and what is then
//! connected to is the address that was judged, never the name again.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tokio::net::TcpStream;

use crate::config;

/// Clones share its rules.
#[derive(Clone, Debug)]
pub struct Guard(Arc<[IpNet]>);

/// An address that is not connected to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{address} is not a public address ({why}); [outbound] allow can make an exception")]
pub struct Refused {
    pub address: IpAddr,
    pub why: &'static str,
}

#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("there is no address to connect to")]
    NoAddress,
    #[error("{address} cannot be connected to: {source}")]
    Connect { address: SocketAddr, source: io::Error },
    #[error("{address} does not answer within {within:?}")]
    Timeout { address: SocketAddr, within: Duration },
}

impl Guard {
    pub fn new(config: &config::Outbound) -> Self {
        Self(config.allow.clone().into())
    }

    /// Whether this address may be connected to.
    pub fn permits(&self, address: IpAddr) -> Result<(), Refused> {
        if self.0.iter().any(|allowed| allowed.contains(&address)) {
            return Ok(());
        }
        let special = match address {
            IpAddr::V4(v4) => special_v4(v4),
            IpAddr::V6(v6) => special_v6(v6),
        };
        special.map_or(Ok(()), |why| Err(Refused { address, why }))
    }

    /// Connects to the first of these that answers. One that is refused ends it: whoever mixes public with private addresses
    /// is up to something.
    pub async fn connect(&self, addresses: &[SocketAddr], within: Duration) -> Result<TcpStream, OutboundError> {
        for address in addresses {
            self.permits(address.ip())?;
        }
        let mut last = OutboundError::NoAddress;
        for address in addresses.iter().take(MOST_TRIED).copied() {
            match tokio::time::timeout(within, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(source)) => last = OutboundError::Connect { address, source },
                Err(_) => last = OutboundError::Timeout { address, within },
            }
        }
        Err(last)
    }
}

/// Addresses of one host that are tried.
const MOST_TRIED: usize = 3;

/// The special-purpose registry of IANA (<https://www.iana.org/assignments/iana-ipv4-special-registry>), multicast, and what
/// is reserved.
const SPECIAL_V4: &[(Ipv4Net, &str)] = &[
    (net4(0, 0, 0, 0, 8), "this network"),
    (net4(10, 0, 0, 0, 8), "private"),
    (net4(100, 64, 0, 0, 10), "shared with a carrier"),
    (net4(127, 0, 0, 0, 8), "loopback"),
    (net4(169, 254, 0, 0, 16), "link-local, where cloud metadata is"),
    (net4(172, 16, 0, 0, 12), "private"),
    (net4(192, 0, 0, 0, 24), "protocol assignments"),
    (net4(192, 0, 2, 0, 24), "documentation"),
    (net4(192, 88, 99, 0, 24), "6to4 relays"),
    (net4(192, 168, 0, 0, 16), "private"),
    (net4(198, 18, 0, 0, 15), "benchmarks"),
    (net4(198, 51, 100, 0, 24), "documentation"),
    (net4(203, 0, 113, 0, 24), "documentation"),
    (net4(224, 0, 0, 0, 4), "multicast"),
    (net4(240, 0, 0, 0, 4), "reserved"),
];

/// Global unicast is 2000::/3; within it, what is special (<https://www.iana.org/assignments/iana-ipv6-special-registry>).
const SPECIAL_V6: &[(Ipv6Net, &str)] = &[
    (net6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), "protocol assignments"),
    (net6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "documentation"),
    (net6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "documentation"),
];

const fn net4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn net6(s: [u16; 8], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]), prefix)
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    SPECIAL_V4.iter().find(|(net, _)| net.contains(&address)).map(|(_, why)| *why)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    // An IPv4 address in an IPv6 coat is judged as what it leads to.
    if let Some(v4) = inner_v4(address) {
        return special_v4(v4);
    }
    if address.segments()[0] & 0xe000 != 0x2000 {
        return Some("not global unicast");
    }
    SPECIAL_V6.iter().find(|(net, _)| net.contains(&address)).map(|(_, why)| *why)
}

/// Mapped (`::ffff:0:0/96`), NAT64 (`64:ff9b::/96`, RFC 6052) and 6to4 (`2002::/16`, RFC 3056).
fn inner_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let from = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => Some(from(g, h)),
        (0x2002, ..) => Some(from(b, c)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allow: &[&str]) -> Guard {
        Guard::new(&config::Outbound { allow: allow.iter().map(|net| net.parse().unwrap()).collect() })
    }

    #[test]
    fn only_public_addresses_are_connected_to() {
        let guard = guard(&[]);
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.31.255.255",
            "192.168.0.1",
            "192.0.2.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fd00:ec2::254",
            "fc00::1",
            "ff02::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "::127.0.0.1",
            "100::1",
        ] {
            assert!(guard.permits(address.parse().unwrap()).is_err(), "{address}");
        }
        for address in
            ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::"]
        {
            assert_eq!(guard.permits(address.parse().unwrap()), Ok(()), "{address}");
        }
    }

    #[test]
    fn an_exception_is_for_its_network_alone() {
        let guard = guard(&["127.0.0.0/8"]);
        assert_eq!(guard.permits("127.0.0.1".parse().unwrap()), Ok(()));
        assert!(guard.permits("10.0.0.1".parse().unwrap()).is_err());
        assert!(guard.permits("::1".parse().unwrap()).is_err());
    }

    #[tokio::test]
    async fn one_refused_address_spoils_the_lot() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let within = Duration::from_secs(5);
        assert!(guard(&["127.0.0.0/8"]).connect(&[open], within).await.is_ok());
        let mixed = guard(&["127.0.0.0/8"]).connect(&[open, "10.0.0.1:80".parse().unwrap()], within).await;
        assert!(matches!(mixed, Err(OutboundError::Refused(_))), "{mixed:?}");
        assert!(matches!(guard(&[]).connect(&[open], within).await, Err(OutboundError::Refused(_))));
        assert!(matches!(guard(&[]).connect(&[], within).await, Err(OutboundError::NoAddress)));
    }
}
