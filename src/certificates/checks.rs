//! What an uploaded chain and key must be before anybody is served with them. Pure: texts and a time in; facts and
//! warnings, or every fault that was found, out. No fault ever repeats a byte of a key.

use std::time::Duration;

use zeroize::Zeroizing;

use super::chain;
use super::key;
use crate::clock::Timestamp;
use crate::tenancy::Fault;

/// The longest chain, as PEM, in bytes.
pub const CHAIN_MAX: usize = 64 << 10;
/// The most certificates in a chain.
pub const CHAIN_CERTIFICATES: usize = 10;
/// The longest key, as PEM, in bytes.
pub const KEY_MAX: usize = 16 << 10;
/// With less time left than this, the answer warns.
pub const SHORT: Duration = Duration::from_secs(7 * 24 * 3600);

/// A chain and its key that belong together and can be served.
pub struct Checked {
    /// What the leaf is for, in one spelling: `community.acme.example`, `*.acme.example`. Not empty, none twice.
    pub names: Vec<String>,
    /// PEM, leaf first, and nothing else.
    pub chain: String,
    /// PKCS#8 PEM.
    pub key: Zeroizing<String>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub warnings: Vec<Warning>,
}

/// What is allowed, but perhaps not meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Warning {
    /// Stable, for programs: `expires-soon`, `no-intermediate`, `root-included`, `name-not-served`, …
    pub code: &'static str,
    /// For people.
    pub detail: String,
}

impl Warning {
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// Checks everything that can be checked without the store. All faults that were found, never none.
pub fn check(chain: &str, key: &str, now: Timestamp) -> Result<Checked, Vec<Fault>> {
    let mut faults = Vec::new();
    let chain = chain::read(chain, now).map_err(|found| faults.extend(found)).ok();
    let key = key::read(key).map_err(|fault| faults.push(fault)).ok();
    if let (Some(chain), Some(key)) = (&chain, &key)
        && chain.public_key != key.public
    {
        let detail = "this key does not belong to the first certificate of the chain; send the key that its request was \
                      made with";
        faults.push(Fault::new("/key", "key-mismatch", detail));
    }
    match (chain, key) {
        (Some(chain), Some(key)) if faults.is_empty() => Ok(Checked {
            names: chain.names,
            chain: chain.pem,
            key: key.pem,
            not_before: chain.not_before,
            not_after: chain.not_after,
            warnings: chain.warnings,
        }),
        _ => Err(faults),
    }
}
