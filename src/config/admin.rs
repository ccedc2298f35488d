//! `[admin]`: the private listener of the admin API, `/metrics`, `/healthz` and `/readyz`; and the sessions of people there.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::oidc::OidcProvider;
use super::parsers::{self, NETWORK, SOCKET, URL};
use super::section::Section;
use crate::model::Brand;

const DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9900);
const MIB: u64 = 1 << 20;
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// `[admin]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admin {
    /// Default `127.0.0.1:9900`.
    pub address: SocketAddr,
    /// The largest request body, in bytes. Default 1 MiB.
    pub max_body: usize,
    /// Whose `X-Forwarded-For` is believed here. `None`: that of `headers.trusted_proxies`.
    pub trusted_proxies: Option<Vec<IpNet>>,
    /// How people reach the admin API, without a slash at the end. `None`: `https://<console>.<base>`.
    pub public_url: Option<String>,
    /// A session that is not used for so long is over. Default 30 minutes.
    pub session_idle: Duration,
    /// A session lasts no longer, used or not. Default 12 hours.
    pub session_absolute: Duration,
    /// Whom people can sign in through, besides with a password.
    pub oidc: Vec<OidcProvider>,
    /// The largest table of an import, in bytes. It is held in memory while it is imported,
    /// with its rows some six times its size. Default 64 MiB.
    pub max_import: usize,
}

impl Admin {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let idle = section.duration("session_idle", MINUTE..=DAY, 30 * MINUTE);
        let absolute = section.duration("session_absolute", 5 * MINUTE..=7 * DAY, 720 * MINUTE);
        if idle > absolute {
            section.fault("session_idle", "it is longer than session_absolute, and so would never count");
        }
        let given = section.has("trusted_proxies");
        let proxies = section.texts("trusted_proxies", NETWORK, parsers::network);
        Self {
            address: section.text("address", SOCKET, parsers::socket).unwrap_or(DEFAULT),
            max_body: section.size("max_body", 1024..=64 * MIB, MIB) as usize,
            trusted_proxies: given.then_some(proxies),
            public_url: section.text("public_url", URL, origin),
            session_idle: idle,
            session_absolute: absolute,
            oidc: OidcProvider::read_all(section),
            max_import: section.size("max_import", 1024..=1024 * MIB, 64 * MIB) as usize,
        }
    }

    /// How people reach the admin API, without a slash at the end.
    pub fn public_url(&self, brand: &Brand) -> String {
        self.public_url.clone().unwrap_or_else(|| format!("https://{}.{}", brand.console, brand.base))
    }
}

/// A scheme with a host and, if need be, a port.
fn origin(text: &str) -> Result<String, &'static str> {
    parsers::url(text)?;
    let bare = text.strip_suffix('/').unwrap_or(text);
    match bare.split_once("://") {
        Some((_, rest)) if !rest.contains(['/', '?', '#']) => Ok(bare.to_owned()),
        _ => Err("it has no path"),
    }
}
