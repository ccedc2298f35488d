//! A certificate with its private key, between the store and the listener.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::clock::Timestamp;

/// A chain and its key, unsealed. The key is wiped when the value is dropped, and never printed.
#[derive(Clone)]
pub struct Certificate {
    pub id: String,
    /// Names as served: `community.acme.example`, `*.connect.example.com`.
    pub names: Vec<String>,
    /// PEM, leaf first.
    pub chain: String,
    /// PKCS#8 PEM.
    pub key: Zeroizing<String>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub source: CertificateSource,
    /// The configured name of the authority that signed it (`letsencrypt`); empty where that is not known.
    pub authority: String,
}

/// Where a certificate came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CertificateSource {
    /// From a certificate authority, by this installation.
    Acme,
    /// Brought by its owner: takes precedence for as long as it is valid.
    Uploaded,
    /// From the local authority of `tenantry dev` and of tests.
    Local,
}

impl CertificateSource {
    pub const ALL: [Self; 3] = [Self::Acme, Self::Uploaded, Self::Local];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acme => "acme",
            Self::Uploaded => "uploaded",
            Self::Local => "local",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == text)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("id", &self.id)
            .field("names", &self.names)
            .field("not_after", &self.not_after)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
