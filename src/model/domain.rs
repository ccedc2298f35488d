//! A custom domain and its state.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Hostname, HostnameError, TenantId};
use crate::clock::Timestamp;

/// What a tenant can claim: a host name, or every name one label beneath one (`*.community.example`). The wildcard does
/// not cover the name that it hangs from, just as in a certificate (RFC 6125 §6.4.3).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName {
    host: Hostname,
    wildcard: bool,
}

impl DomainName {
    /// `community.acme.example` or `*.community.example`, in any spelling.
    pub fn parse(text: &str) -> Result<Self, HostnameError> {
        match text.strip_prefix("*.") {
            Some(host) => Ok(Self::beneath(Hostname::parse(host)?)),
            None => Hostname::parse(text).map(Self::from),
        }
    }

    /// `*.<host>`
    pub fn beneath(host: Hostname) -> Self {
        Self { host, wildcard: true }
    }

    /// The host name, or what the wildcard hangs from: where the records that prove ownership live.
    pub fn host(&self) -> &Hostname {
        &self.host
    }

    pub fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// Whether a visit to `host` is one to this domain.
    pub fn covers(&self, host: &Hostname) -> bool {
        match self.wildcard {
            false => *host == self.host,
            true => host.beneath(&self.host).is_some_and(|label| !label.contains('.')),
        }
    }
}

impl From<Hostname> for DomainName {
    fn from(host: Hostname) -> Self {
        Self { host, wildcard: false }
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.wildcard {
            f.write_str("*.")?;
        }
        fmt::Display::fmt(&self.host, f)
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for DomainName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `pending` → `verifying` → `verified` → `live`, and `moved` / `failed` / `released` (product.md, *Custom domains*).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DomainState {
    /// Claimed; the records have not been seen yet.
    Pending,
    /// Some of the records have been seen.
    Verifying,
    /// Proven; its certificate is on the way.
    Verified,
    /// Served with a certificate, which a handshake has shown.
    Live,
    /// Held, but its records lead elsewhere: released when the grace period ends.
    Moved,
    /// Never proven within the time for it: no more checks but on demand.
    Failed,
    /// Was held and is no more; only its tenant's own list still shows it.
    Released,
}

impl DomainState {
    pub const ALL: [Self; 7] =
        [Self::Pending, Self::Verifying, Self::Verified, Self::Live, Self::Moved, Self::Failed, Self::Released];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Verifying => "verifying",
            Self::Verified => "verified",
            Self::Live => "live",
            Self::Moved => "moved",
            Self::Failed => "failed",
            Self::Released => "released",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether the domain belongs to its tenant and is served. `moved` is, until its grace ends.
    pub fn is_held(self) -> bool {
        matches!(self, Self::Verified | Self::Live | Self::Moved)
    }
}

impl fmt::Display for DomainState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One claim of a tenant to a name. At most one claim to a name is *held* at a time; pending ones never block it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Domain {
    pub name: DomainName,
    pub tenant: TenantId,
    pub state: DomainState,
    /// The value that the ownership TXT record must carry.
    pub token: String,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub revision: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_covers_one_label_and_not_its_own_name() {
        let host = |text: &str| Hostname::parse(text).unwrap();
        let wild = DomainName::parse("*.Community.Example.").unwrap();
        assert_eq!(wild.to_string(), "*.community.example");
        assert_eq!(DomainName::parse(&wild.to_string()), Ok(wild.clone()));
        assert!(wild.covers(&host("a.community.example")));
        for other in ["community.example", "a.b.community.example", "acommunity.example"] {
            assert!(!wild.covers(&host(other)), "{other}");
        }
        let plain = DomainName::parse("community.example").unwrap();
        assert!(plain.covers(&host("community.example")) && !plain.covers(&host("a.community.example")));
        for text in ["*", "*.", "**.a.example", "*a.example", "a.*.example", ""] {
            assert!(DomainName::parse(text).is_err(), "{text}");
        }
    }
}
