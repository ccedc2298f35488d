//! A certificate with its private key, between the store and the listener.

use std::fmt;

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
    pub not_after: Timestamp,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("id", &self.id)
            .field("names", &self.names)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}
