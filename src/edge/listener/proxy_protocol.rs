//! The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt): who the visitor is, told by a load balancer
//! that the configuration trusts. Not a byte behind the header is read here.

use std::io;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use ppp::{v1, v2};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Why a connection was closed before anything else.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    #[error("{0} is not among the sources of PROXY headers")]
    Source(IpAddr),
    #[error("the connection does not start with a PROXY header")]
    Missing,
    #[error("the PROXY header is longer than this server takes")]
    TooLong,
    #[error("the PROXY header is malformed")]
    Malformed,
    #[error("the connection ended within the PROXY header")]
    Io(#[from] io::Error),
}

impl ProxyError {
    /// For the metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Source(_) => "proxy-source",
            _ => "proxy-header",
        }
    }
}

const V1_START: &[u8] = b"PROXY ";
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Start, command, family, length.
const V2_FIXED: usize = 16;
/// The longest version 1 header, line end included.
const V1_MOST: usize = 107;
/// Enough for addresses and what balancers add: authority, TLS facts, unique ids.
const V2_MOST: usize = 2048;

/// Reads the header. The visitor's address is the peer's own where the header names none (LOCAL, UNKNOWN).
pub(super) async fn client(tcp: &mut TcpStream, peer: SocketAddr, sources: &[IpNet]) -> Result<SocketAddr, ProxyError> {
    let address = peer.ip().to_canonical();
    if !sources.iter().any(|source| source.contains(&address)) {
        return Err(ProxyError::Source(address));
    }
    let (mut header, mut ahead) = (Vec::new(), [0; 256]);
    loop {
        // Seen first and taken then, so that what follows the header stays in the socket.
        let seen = tcp.peek(&mut ahead).await?;
        let known = header.len();
        header.extend_from_slice(&ahead[..seen]);
        let end = end(&header)?;
        header.truncate(end.unwrap_or(header.len()));
        tcp.read_exact(&mut ahead[..header.len() - known]).await?;
        if end.is_some_and(|end| end == header.len()) {
            return Ok(source(&header)?.unwrap_or(peer));
        }
        if seen == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}

/// Where the header ends, as soon as that can be told; then it may be beyond `seen`.
fn end(seen: &[u8]) -> Result<Option<usize>, ProxyError> {
    if begins(seen, V2_START) {
        let Some(fixed) = seen.first_chunk::<V2_FIXED>() else { return Ok(None) };
        let end = V2_FIXED + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
        return if end > V2_MOST { Err(ProxyError::TooLong) } else { Ok(Some(end)) };
    }
    if !begins(seen, V1_START) {
        return Err(ProxyError::Missing);
    }
    match seen.iter().take(V1_MOST).position(|byte| *byte == b'\n') {
        Some(at) => Ok(Some(at + 1)),
        None if seen.len() >= V1_MOST => Err(ProxyError::TooLong),
        None => Ok(None),
    }
}

fn begins(seen: &[u8], start: &[u8]) -> bool {
    let common = seen.len().min(start.len());
    seen[..common] == start[..common]
}

/// The visitor's address in a whole header.
fn source(header: &[u8]) -> Result<Option<SocketAddr>, ProxyError> {
    if header.starts_with(V1_START) {
        let header = v1::Header::try_from(header).map_err(|_| ProxyError::Malformed)?;
        return Ok(match header.addresses {
            v1::Addresses::Tcp4(ip) => Some((ip.source_address, ip.source_port).into()),
            v1::Addresses::Tcp6(ip) => Some((ip.source_address, ip.source_port).into()),
            v1::Addresses::Unknown => None,
        });
    }
    let header = v2::Header::try_from(header).map_err(|_| ProxyError::Malformed)?;
    Ok(match (header.command, header.protocol, header.addresses) {
        (v2::Command::Local, ..) => None,
        (_, v2::Protocol::Datagram, _) => return Err(ProxyError::Malformed),
        (_, _, v2::Addresses::IPv4(ip)) => Some((ip.source_address, ip.source_port).into()),
        (_, _, v2::Addresses::IPv6(ip)) => Some((ip.source_address, ip.source_port).into()),
        (_, _, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = (addresses.len() as u16).to_be_bytes();
        [V2_START, &[0x20 | command, family], &length, addresses].concat()
    }

    #[test]
    fn headers_say_who_the_visitor_is() {
        let four = [192, 0, 2, 1, 198, 51, 100, 1, 0x10, 0, 1, 187];
        let tlv = [&four[..], &[4, 0, 2, 0, 0]].concat();
        let cases: [(&[u8], Option<&str>); 8] = [
            (b"PROXY TCP4 192.0.2.1 198.51.100.1 4096 443\r\n", Some("192.0.2.1:4096")),
            (b"PROXY TCP6 2001:db8::1 2001:db8::2 4096 443\r\n", Some("[2001:db8::1]:4096")),
            (b"PROXY UNKNOWN\r\n", None),
            (b"PROXY UNKNOWN ffff:f::1 ffff:f::2 1 2\r\n", None),
            (&v2(1, 0x11, &four), Some("192.0.2.1:4096")),
            (&v2(1, 0x11, &tlv), Some("192.0.2.1:4096")),
            (&v2(0, 0, &[]), None),
            (&v2(0, 0x11, &four), None),
        ];
        for (header, expected) in cases {
            assert_eq!(end(header).unwrap(), Some(header.len()), "{header:?}");
            assert_eq!(source(header).unwrap(), expected.map(|text| text.parse().unwrap()), "{header:?}");
            for cut in 0..header.len() {
                assert!(end(&header[..cut]).unwrap().is_none_or(|end| end > cut), "{header:?} at {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let long = format!("PROXY TCP4 {}\r\n", "1".repeat(120));
        for wrong in [b"GET / HTTP/1.1\r\n".as_slice(), b"\x16\x03\x01", b"PROXYTCP4 ", b"\r\n\r\nGET", long.as_bytes()]
        {
            assert!(end(wrong).is_err(), "{wrong:?}");
        }
        assert!(end(&v2(1, 0x11, &[0; 3000])).is_err());
        for malformed in [
            b"PROXY TCP4 192.0.2.1 198.51.100.1 4096\r\n".as_slice(),
            b"PROXY TCP4 192.0.2.300 198.51.100.1 4096 443\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 4096 443\n",
            b"PROXY TCP5 192.0.2.1 198.51.100.1 4096 443\r\n",
            &v2(1, 0x11, &[1, 2, 3]),
            &v2(5, 0x11, &[0; 12]),
            &v2(1, 0x12, &[0; 12]),
        ] {
            assert!(source(malformed).is_err(), "{malformed:?}");
        }
    }
}
