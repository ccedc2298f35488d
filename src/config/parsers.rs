//! Texts that several sections read: names, hosts, addresses, networks, URLs. An error says why in words that fit behind
//! "expected a …:", and never repeats the text.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

use crate::model::{Hostname, HostnameError};

pub(super) const HOSTNAME: &str = "a host name such as \"connect.example.com\"";
pub(super) const SOCKET: &str = "an IP address with a port, such as \"0.0.0.0:443\" or \"[::]:443\"";
pub(super) const NETWORK: &str = "an IP network such as \"10.0.0.0/8\", or one address";
pub(super) const NAME: &str = "a name of 1 to 64 lowercase letters, digits, dashes and underscores, a letter first";
pub(super) const TITLE: &str = "a text of 1 to 120 characters on one line";
pub(super) const URL: &str = "a URL such as \"https://www.example.com/\"";
pub(super) const PATH: &str = "the path of a file";

pub(super) fn hostname(text: &str) -> Result<Hostname, HostnameError> {
    Hostname::parse(text)
}

pub(super) fn socket(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "")
}

/// A network, or a single address as the network of its own.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let network: IpNet = text.parse().map_err(|_| String::new())?;
    // What lies beyond the prefix would be ignored: `10.1.2.3/8` may be meant as 10.1.2.3/32 or as 10.0.0.0/8.
    if network.trunc() == network { Ok(network) } else { Err(format!("the network is {}", network.trunc())) }
}

/// The name of a listener, a pool or a route.
pub(super) fn name(text: &str) -> Result<String, &'static str> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase());
    if starts && text.len() <= 64 && text.bytes().all(good) { Ok(text.to_owned()) } else { Err("") }
}

pub(super) fn title(text: &str) -> Result<String, &'static str> {
    let good = (1..=120).contains(&text.chars().count()) && !text.contains(char::is_control) && text.trim() == text;
    if good { Ok(text.to_owned()) } else { Err("") }
}

/// An absolute `http` or `https` URL without user information.
pub(super) fn url(text: &str) -> Result<String, &'static str> {
    let uri: http::Uri = text.parse().map_err(|_| "it cannot be read")?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("https" | "http"), Some(authority)) if !authority.as_str().contains('@') => Ok(text.to_owned()),
        (Some("https" | "http"), Some(_)) => Err("it has no place for a user"),
        _ => Err("it starts with https:// or http://"),
    }
}

pub(super) fn path(text: &str) -> Result<PathBuf, &'static str> {
    if text.is_empty() || text.contains('\0') { Err("") } else { Ok(text.into()) }
}

/// `host:port`, `ip:port` or `[ip]:port`, in its canonical spelling.
pub(super) fn backend(text: &str) -> Result<String, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return if address.port() > 0 { Ok(address.to_string()) } else { Err("the port is missing".into()) };
    }
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or("a port is a number from 1 to 65535")?;
    let host = Hostname::parse(host).map_err(|error| error.to_string())?;
    Ok(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_exact() {
        assert_eq!(network("10.0.0.0/8"), "10.0.0.0/8".parse().map_err(|_| String::new()));
        assert_eq!(network("192.0.2.1").map(|n| n.to_string()), Ok("192.0.2.1/32".into()));
        assert_eq!(network("10.1.2.3/8"), Err("the network is 10.0.0.0/8".into()));
        assert!(network("10.0.0.0/33").is_err());
    }

    #[test]
    fn backends_have_a_host_and_a_port() {
        for (text, canonical) in
            [("App.Internal:8080", "app.internal:8080"), ("10.0.0.1:80", "10.0.0.1:80"), ("[::1]:80", "[::1]:80")]
        {
            assert_eq!(backend(text).as_deref(), Ok(canonical));
        }
        for text in ["app", "app:", "app:0", "app:65536", "10.0.0.1:0", "http://app:80", "::1:80", ":80", "a b:80"] {
            assert!(backend(text).is_err(), "{text}");
        }
    }

    #[test]
    fn urls_are_absolute() {
        assert!(url("https://example.com/upgrade?from=edge").is_ok());
        for text in ["", "/upgrade", "example.com", "ftp://example.com", "https://", "https://user@example.com/"] {
            assert!(url(text).is_err(), "{text}");
        }
    }
}
