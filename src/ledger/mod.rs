//! The audit ledger's arithmetic: how a line is hashed onto the one before it, how personal data is kept out of the hash,
//! what a signed checkpoint says, and how a chain is checked. Pure; nothing is read or written here.
//!
//! There is one chain for each tenant, with the lines about it, and one for the installation, with all others. Lines are
//! numbered from 1 in their chain. A line's hash is SHA-256 over the version of this encoding, the chain's name, the line's
//! number, the hash of the line before and every field of the line, each with its length before it. The first line follows
//! [`Hash::genesis`]. Tenants' lines are not in the installation's chain, but it says again and again where their chains
//! stand ([`Anchor`]); to the outside each is bound by checkpoints of its own.

mod anchor;
mod checkpoint;
mod personal;
mod proof;
mod verify;

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

pub use anchor::{ANCHOR, Anchor, digest as digest_of_anchors};
pub use checkpoint::{Checkpoint, KeyError, LedgerKeys, Signed, Statement, Unsigned};
pub use personal::{ERASE, ERASED, Personal, Split, is_email, merge, split, told_erased};
pub use proof::{Proof, Proved, Prover};
pub use verify::{Chain, Fault, Findings, Verifier, compare};

use crate::clock::Timestamp;

/// The chain of the lines that are about no tenant.
pub const INSTALLATION: &str = "installation";

/// The most faults that the check of one chain lists; more are counted.
pub const MOST_FAULTS: usize = 100;

/// What a line's hash begins with: the version of this encoding.
const DOMAIN: &[u8] = b"tenantry audit line v1";

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

/// A line as it is stored, in the very texts that its hash covers. JSON stays text: read and written again it might differ.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// Its number among all lines of the store.
    pub id: i64,
    pub at: Timestamp,
    /// Of the transaction that wrote it.
    pub revision: i64,
    pub actor: String,
    pub action: String,
    pub tenant: Option<String>,
    pub subject: String,
    pub detail: String,
    pub before: Option<String>,
    pub after: Option<String>,
    pub on_behalf: Option<String>,
    pub request_id: Option<String>,
    /// By place.
    pub personal: Vec<Personal>,
}

/// A line at its place in a chain, with the hashes that are stored with it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Linked {
    pub number: i64,
    /// `None`: what is stored is no hash.
    pub prev: Option<Hash>,
    pub hash: Option<Hash>,
    pub record: Record,
}

impl Record {
    /// The line's hash at that place of that chain.
    pub fn hash(&self, chain: &str, number: i64, prev: &Hash) -> Hash {
        let mut sum = Sum::new();
        sum.bytes(DOMAIN);
        sum.bytes(chain.as_bytes());
        sum.number(number);
        sum.bytes(&prev.0);
        sum.number(self.id);
        sum.number(self.at.millis());
        sum.number(self.revision);
        sum.bytes(self.actor.as_bytes());
        sum.bytes(self.action.as_bytes());
        sum.optional(self.tenant.as_deref());
        sum.bytes(self.subject.as_bytes());
        sum.bytes(self.detail.as_bytes());
        sum.optional(self.before.as_deref());
        sum.optional(self.after.as_deref());
        sum.optional(self.on_behalf.as_deref());
        sum.optional(self.request_id.as_deref());
        sum.number(self.personal.len() as i64);
        for personal in &self.personal {
            sum.bytes(personal.place.as_bytes());
            sum.bytes(&personal.digest);
        }
        sum.finish()
    }

    /// Whether each personal value is the one that its digest was made of. Erased ones are.
    pub fn personal_fits(&self) -> bool {
        self.personal.iter().all(Personal::fits)
    }
}

impl Hash {
    /// What the first line of a chain follows.
    pub fn genesis(chain: &str) -> Self {
        let mut sum = Sum::new();
        sum.bytes(b"tenantry audit chain v1");
        sum.bytes(chain.as_bytes());
        sum.finish()
    }

    /// 32 bytes, and no others.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_slice(&hex::decode(text).ok()?)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Fields under a digest, none of which can run into the next: each has its length before it.
struct Sum(Context);

impl Sum {
    fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn number(&mut self, number: i64) {
        self.0.update(&number.to_be_bytes());
    }

    fn optional(&mut self, text: Option<&str>) {
        self.0.update(&[u8::from(text.is_some())]);
        if let Some(text) = text {
            self.bytes(text.as_bytes());
        }
    }

    fn finish(self) -> Hash {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.0.finish().as_ref());
        Hash(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            id: 7,
            actor: "cli".into(),
            action: "tenant.create".into(),
            subject: "acme".into(),
            ..Record::default()
        }
    }

    #[test]
    fn every_field_is_under_the_hash() {
        let genesis = Hash::genesis("a");
        let hash = record().hash("a", 1, &genesis);
        assert_eq!(hash, record().hash("a", 1, &genesis));
        let changed = |edit: fn(&mut Record)| {
            let mut other = record();
            edit(&mut other);
            other.hash("a", 1, &genesis)
        };
        let others = [
            record().hash("b", 1, &genesis),
            record().hash("a", 2, &genesis),
            record().hash("a", 1, &Hash::genesis("b")),
            changed(|r| r.id = 8),
            changed(|r| r.at = Timestamp(1)),
            changed(|r| r.revision = 1),
            changed(|r| r.actor = "clit".into()),
            changed(|r| (r.actor, r.action) = ("clit".into(), "enant.create".into())),
            changed(|r| r.tenant = Some(String::new())),
            changed(|r| r.subject.clear()),
            changed(|r| r.detail = "{}".into()),
            changed(|r| r.before = Some("{}".into())),
            changed(|r| r.after = Some("{}".into())),
            changed(|r| r.on_behalf = Some("x".into())),
            changed(|r| r.request_id = Some("x".into())),
            changed(|r| r.personal.push(Personal::default())),
        ];
        let mut all: Vec<_> = others.iter().map(Hash::to_string).chain([hash.to_string()]).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), others.len() + 1);
        assert_eq!(Hash::parse(&hash.to_string()), Some(hash));
        assert_eq!(Hash::parse("00"), None);
    }
}
