//! `[admin]`: the private listener of the admin API, `/metrics`, `/healthz` and `/readyz`.

use std::net::{Ipv4Addr, SocketAddr};

use super::parsers::{self, SOCKET};
use super::section::Section;

const DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9900);
const MIB: u64 = 1 << 20;

/// `[admin]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admin {
    /// Default `127.0.0.1:9900`.
    pub address: SocketAddr,
    /// The largest request body, in bytes. Default 1 MiB.
    pub max_body: usize,
    /// The largest table of an import, in bytes. It is held in memory while it is imported. Default 64 MiB.
    pub max_import: usize,
}

impl Admin {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            address: section.text("address", SOCKET, parsers::socket).unwrap_or(DEFAULT),
            max_body: section.size("max_body", 1024..=64 * MIB, MIB) as usize,
            max_import: section.size("max_import", 1024..=1024 * MIB, 64 * MIB) as usize,
        }
    }
}
