//! The keys that sign what leaves the house: tenant assertions (EdDSA) and session cookies (HMAC). One ring for all
//! nodes, kept sealed in the store, rotated with overlap. Pure: whoever rotates also writes it down.

mod site;

use std::time::Duration;

pub use site::SiteCookie;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::clock::Timestamp;

/// Every key that is still worth something, oldest first.
#[derive(Serialize, Deserialize, Clone)]
pub struct Keyring {
    keys: Vec<SigningKey>,
}

/// One generation of signing keys.
#[derive(Serialize, Deserialize, Clone, Zeroize, ZeroizeOnDrop)]
pub struct SigningKey {
    #[zeroize(skip)]
    pub id: String,
    #[zeroize(skip)]
    created: i64,
    /// Ed25519, PKCS#8 v1 DER.
    pkcs8: Vec<u8>,
    /// 32 bytes for HMAC-SHA-256.
    session: Vec<u8>,
    /// The raw Ed25519 public key.
    #[zeroize(skip)]
    public: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    #[error("the operating system gave no randomness for a new signing key")]
    Randomness,
    #[error("the stored keyring does not parse; it was written by another version or is damaged")]
    Damaged,
}

impl Keyring {
    /// The name under which the store keeps the ring.
    pub const SECRET: &'static str = "assertion-key";
    /// A new key takes over after this time, so that every node and every cached JWKS knows it first.
    pub const LEAD: Duration = Duration::from_secs(600);
    /// How long a key signs before the next one is made.
    pub const LIFE: Duration = Duration::from_secs(30 * 86_400);
    /// How long a retired key stays published: longer than anything that it signed is valid.
    /// A session lasts 7 days at the most.
    pub const OVERLAP: Duration = Duration::from_secs(8 * 86_400);

    pub fn generate(now: Timestamp) -> Result<Self, KeyringError> {
        Ok(Self { keys: vec![SigningKey::generate(now)?] })
    }

    /// The ring after whatever is due at `now`, or `None` when nothing is.
    pub fn rotated(&self, now: Timestamp) -> Result<Option<Self>, KeyringError> {
        let mut keys = self.keys.clone();
        if keys.last().is_none_or(|newest| now.since(Timestamp(newest.created)) >= Self::LIFE) {
            keys.push(SigningKey::generate(now)?);
        }
        // A key is retired when its successor takes over.
        while keys.len() > 1 && now.since(Timestamp(keys[1].created)) >= Self::LEAD + Self::OVERLAP {
            keys.remove(0);
        }
        Ok((keys.len() != self.keys.len() || keys.last().map(|k| &k.id) != self.keys.last().map(|k| &k.id))
            .then_some(Self { keys }))
    }

    /// The key that signs at `now`: the newest that everybody has had time to learn of.
    pub fn current(&self, now: Timestamp) -> Option<&SigningKey> {
        self.keys.iter().rev().find(|key| now.since(Timestamp(key.created)) >= Self::LEAD).or(self.keys.first())
    }

    /// The key made last, whether or not it signs yet.
    pub fn newest(&self) -> Option<&SigningKey> {
        self.keys.last()
    }

    pub fn find(&self, id: &str) -> Option<&SigningKey> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// The public halves as a JSON Web Key Set (RFC 7517, RFC 8037).
    pub fn jwks(&self) -> serde_json::Value {
        let keys: Vec<_> = self
            .keys
            .iter()
            .map(|key| {
                serde_json::json!({
                    "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": key.id,
                    "x": URL_SAFE_NO_PAD.encode(&key.public),
                })
            })
            .collect();
        serde_json::json!({ "keys": keys })
    }

    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        serde_json::to_vec(self).map(Zeroizing::new).map_err(|_| KeyringError::Damaged)
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyringError> {
        serde_json::from_slice(bytes).map_err(|_| KeyringError::Damaged)
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

impl SigningKey {
    fn generate(now: Timestamp) -> Result<Self, KeyringError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyringError::Randomness)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| KeyringError::Randomness)?;
        let mut session = vec![0; 32];
        aws_lc_rs::rand::fill(&mut session).map_err(|_| KeyringError::Randomness)?;
        let public = pair.public_key().as_ref().to_vec();
        let id = URL_SAFE_NO_PAD.encode(&aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &public).as_ref()[..9]);
        Ok(Self { id, created: now.millis(), pkcs8: pkcs8.as_ref().to_vec(), session, public })
    }

    /// The private key for signing assertions, PKCS#8 DER.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The key for session cookies.
    pub fn session_secret(&self) -> &[u8] {
        &self.session
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_published_before_it_signs_and_the_old_one_outlives_what_it_signed() {
        let start = Timestamp(1_000_000_000_000);
        let ring = Keyring::generate(start).unwrap();
        let first = ring.current(start).unwrap().id.clone();
        assert!(ring.rotated(start + Duration::from_secs(86_400)).unwrap().is_none());

        let due = start + Keyring::LIFE;
        let ring = ring.rotated(due).unwrap().unwrap();
        assert_eq!(ring.jwks()["keys"].as_array().unwrap().len(), 2);
        assert_eq!(ring.current(due).unwrap().id, first);
        let second = ring.current(due + Keyring::LEAD).unwrap().id.clone();
        assert_ne!(second, first);

        assert!(ring.find(&first).is_some());
        let ring = ring.rotated(due + Keyring::LEAD + Keyring::OVERLAP).unwrap().unwrap();
        assert!(ring.find(&first).is_none());
        assert_eq!(ring.current(due + Keyring::LIFE).unwrap().id, second);
    }

    #[test]
    fn the_ring_survives_its_bytes_and_shows_no_secret() {
        let ring = Keyring::generate(Timestamp(0)).unwrap();
        let again = Keyring::from_bytes(&ring.to_bytes().unwrap()).unwrap();
        assert_eq!(again.jwks(), ring.jwks());
        assert!(Keyring::from_bytes(b"{}").is_err());
        let shown = format!("{ring:?}{}", ring.jwks());
        assert!(!shown.contains(&URL_SAFE_NO_PAD.encode(ring.keys[0].session_secret())), "{shown}");
    }
}
