//! Secrets at rest: an AEAD envelope under a key-encryption key. Plaintext and key bytes are wiped when dropped, and
//! nothing in here is ever printed: no secret, no key, not even in `Debug`.
//!
//! An envelope is `version (1) ‖ key id (8) ‖ nonce (12) ‖ ciphertext ‖ tag (16)`, AES-256-GCM with a random nonce. Its
//! associated data are the version, the key id and the *purpose* ("certificates/0198…"), so that an envelope moved to
//! another row does not open there. The key id says which key made it, so that a second key can live beside the first.

mod key;
mod token;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf;
use zeroize::{Zeroize, Zeroizing};

pub use key::{KEY_BYTES, KeyFile};

/// Seals and opens secrets: seals under its newest key, opens with whichever of its keys an envelope names. Clones share
/// the keys.
#[derive(Clone)]
pub struct Sealer {
    newest: Arc<Key>,
    old: Vec<Arc<Key>>,
}

struct Key {
    id: KeyId,
    /// For secrets at rest.
    aead: RandomizedNonceKey,
    /// For what is given out and comes back.
    tokens: RandomizedNonceKey,
}

/// Which key sealed an envelope: derived from the key, and says nothing about it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 8]);

/// Why a key could not be had, or a secret not be sealed or opened. The texts name the source and what would be right.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SealError {
    #[error("the key-encryption key cannot be read from {from}: {why}")]
    Unreadable { from: String, why: String },
    #[error(
        "the key-encryption key in {from} is {found}; it must be {KEY_BYTES} random bytes in base64 \
         (`head -c {KEY_BYTES} /dev/urandom | base64` makes one)"
    )]
    Malformed { from: String, found: String },
    #[error("the key-encryption key in {path} can be read by others (mode {mode:04o}); run: chmod 600 {path}")]
    Exposed { path: String, mode: u32 },
    #[error("{path} exists already, and a key is never overwritten: what it sealed would be lost")]
    Exists { path: String },
    #[error("the key-encryption key cannot be written to {path}: {why}")]
    Unwritable { path: String, why: String },
    #[error(
        "{purpose} is sealed under key {found}, but the key-encryption key configured is {have}, and none of \
         store.old_keys is that one; name where key {found} is in store.old_keys, or put it back as store.key"
    )]
    OtherKey { purpose: String, found: KeyId, have: KeyId },
    #[error("{purpose} is no envelope that this version can read")]
    NoEnvelope { purpose: String },
    #[error("{purpose} does not open: it was altered, or belongs to another row")]
    Altered { purpose: String },
    #[error("the cryptographic library refused to {0}")]
    Library(&'static str),
}

const VERSION: u8 = 1;
const TAG: usize = 16;
const HEADER: usize = 1 + 8 + NONCE_LEN;

impl Sealer {
    /// A sealer with this key-encryption key. The caller's copy stays the caller's to wipe.
    pub fn from_key_bytes(key: &[u8; KEY_BYTES]) -> Result<Self, SealError> {
        // The bytes are random already, so they serve as HKDF's pseudo-random key (RFC 5869 §3.3); the id and the
        // AEAD key are derived apart, so that the id printed in an error tells nothing.
        let root = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, key);
        let id = KeyId(*derive::<8>(&root, b"tenantry seal v1: key id")?);
        let aead = cipher(&root, b"tenantry seal v1: AES-256-GCM")?;
        let tokens = cipher(&root, b"tenantry seal v1: AES-256-GCM, tokens")?;
        Ok(Self { newest: Arc::new(Key { id, aead, tokens }), old: Vec::new() })
    }

    /// The same, and it opens what `old` can open.
    pub fn and_old(mut self, old: &Self) -> Self {
        self.old.push(Arc::clone(&old.newest));
        self.old.extend(old.old.iter().cloned());
        self
    }

    /// The id of the key that new envelopes are sealed under.
    pub fn key_id(&self) -> KeyId {
        self.newest.id
    }

    /// Whether there are keys of earlier days.
    pub fn has_old(&self) -> bool {
        !self.old.is_empty()
    }

    /// The same secret under the newest key; `None` when it is sealed under that one already.
    pub fn reseal(&self, purpose: &str, envelope: &[u8]) -> Result<Option<Vec<u8>>, SealError> {
        if split(envelope).is_some_and(|(found, ..)| found == self.newest.id) {
            return Ok(None);
        }
        let secret = self.open(purpose, envelope)?;
        self.seal(purpose, &secret).map(Some)
    }

    /// Seals `secret` for one place only: `purpose` is `<table>/<key>`, and has to be given again to open it.
    pub fn seal(&self, purpose: &str, secret: &[u8]) -> Result<Vec<u8>, SealError> {
        self.newest.seal(&self.newest.aead, purpose, secret)
    }

    /// Opens an envelope that [`Sealer::seal`] made for the same purpose.
    pub fn open(&self, purpose: &str, envelope: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        self.open_with(|key| &key.aead, purpose, envelope)
    }

    fn open_with(
        &self,
        cipher: impl Fn(&Key) -> &RandomizedNonceKey,
        purpose: &str,
        envelope: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (found, nonce, sealed) =
            split(envelope).ok_or_else(|| SealError::NoEnvelope { purpose: purpose.into() })?;
        let key = std::iter::once(&self.newest)
            .chain(&self.old)
            .find(|key| key.id == found)
            .ok_or_else(|| SealError::OtherKey { purpose: purpose.into(), found, have: self.newest.id })?;
        let mut secret = Zeroizing::new(sealed.to_vec());
        let aad = Aad::from(associated_data(found, purpose));
        let length = cipher(key)
            .open_in_place(Nonce::assume_unique_for_key(nonce), aad, &mut secret)
            .map_err(|_| SealError::Altered { purpose: purpose.into() })?
            .len();
        secret.truncate(length);
        Ok(secret)
    }
}

impl Key {
    fn seal(&self, cipher: &RandomizedNonceKey, purpose: &str, secret: &[u8]) -> Result<Vec<u8>, SealError> {
        // One allocation of the final size: growing would leave a copy of the plaintext behind.
        let mut envelope = Vec::with_capacity(HEADER + secret.len() + TAG);
        envelope.push(VERSION);
        envelope.extend_from_slice(&self.id.0);
        envelope.extend_from_slice(&[0; NONCE_LEN]);
        envelope.extend_from_slice(secret);
        let aad = Aad::from(associated_data(self.id, purpose));
        match cipher.seal_in_place_separate_tag(aad, &mut envelope[HEADER..]) {
            Ok((nonce, tag)) => {
                envelope[HEADER - NONCE_LEN..HEADER].copy_from_slice(nonce.as_ref());
                envelope.extend_from_slice(tag.as_ref());
                Ok(envelope)
            }
            Err(_) => {
                envelope.zeroize();
                Err(SealError::Library("seal"))
            }
        }
    }
}

fn split(envelope: &[u8]) -> Option<(KeyId, [u8; NONCE_LEN], &[u8])> {
    let (version, rest) = envelope.split_first()?;
    let (id, rest) = rest.split_first_chunk::<8>()?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
    (*version == VERSION && sealed.len() >= TAG).then_some((KeyId(*id), *nonce, sealed))
}

fn associated_data(id: KeyId, purpose: &str) -> Vec<u8> {
    let mut data = Vec::with_capacity(1 + 8 + purpose.len());
    data.push(VERSION);
    data.extend_from_slice(&id.0);
    data.extend_from_slice(purpose.as_bytes());
    data
}

struct Length<const N: usize>;

impl<const N: usize> hkdf::KeyType for Length<N> {
    fn len(&self) -> usize {
        N
    }
}

fn cipher(root: &hkdf::Prk, info: &[u8]) -> Result<RandomizedNonceKey, SealError> {
    let derived = derive::<KEY_BYTES>(root, info)?;
    RandomizedNonceKey::new(&AES_256_GCM, &*derived).map_err(|_| SealError::Library("take the key"))
}

fn derive<const N: usize>(root: &hkdf::Prk, info: &[u8]) -> Result<Zeroizing<[u8; N]>, SealError> {
    let mut out = Zeroizing::new([0; N]);
    root.expand(&[info], Length::<N>)
        .and_then(|okm| okm.fill(&mut *out))
        .map_err(|_| SealError::Library("derive a key"))?;
    Ok(out)
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("key", &self.newest.id).finish_non_exhaustive()
    }
}

impl KeyId {
    /// As it stands in an envelope, from its second byte on.
    pub fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sealer(byte: u8) -> Sealer {
        Sealer::from_key_bytes(&[byte; KEY_BYTES]).unwrap()
    }

    #[test]
    fn an_envelope_opens_only_where_and_with_what_it_was_sealed() {
        let ours = sealer(1);
        let envelope = ours.seal("certificates/1", b"secret").unwrap();
        assert_eq!(**ours.open("certificates/1", &envelope).unwrap(), *b"secret");
        assert_eq!(
            ours.open("certificates/2", &envelope).unwrap_err(),
            SealError::Altered { purpose: "certificates/2".into() }
        );
        let theirs = sealer(2);
        let error = theirs.open("certificates/1", &envelope).unwrap_err();
        assert_eq!(
            error,
            SealError::OtherKey { purpose: "certificates/1".into(), found: ours.key_id(), have: theirs.key_id() }
        );
        assert!(error.to_string().contains(&ours.key_id().to_string()), "{error}");
    }

    #[test]
    fn an_old_key_opens_and_the_newest_seals() {
        let (old, new) = (sealer(1), sealer(2));
        let envelope = old.seal("a", b"secret").unwrap();
        let both = new.clone().and_old(&old);
        assert_eq!(**both.open("a", &envelope).unwrap(), *b"secret");
        let again = both.reseal("a", &envelope).unwrap().unwrap();
        assert_eq!(**new.open("a", &again).unwrap(), *b"secret");
        assert_eq!(both.reseal("a", &again).unwrap(), None);
        let error = both.open("a", &sealer(3).seal("a", b"secret").unwrap()).unwrap_err().to_string();
        assert!(error.contains(&sealer(3).key_id().to_string()) && error.contains("store.old_keys"), "{error}");
    }

    #[test]
    fn the_same_secret_never_seals_alike() {
        assert_ne!(sealer(1).seal("a", b"secret").unwrap(), sealer(1).seal("a", b"secret").unwrap());
    }

    #[test]
    fn debug_shows_the_key_id_and_nothing_else() {
        let sealer = sealer(7);
        assert_eq!(format!("{sealer:?}"), format!("Sealer {{ key: {}, .. }}", sealer.key_id()));
    }

    proptest! {
        #[test]
        fn whatever_is_sealed_opens_again(secret in proptest::collection::vec(any::<u8>(), 0..300), purpose in "\\PC{0,40}") {
            let envelope = sealer(3).seal(&purpose, &secret).unwrap();
            prop_assert_eq!(envelope.len(), HEADER + secret.len() + TAG);
            prop_assert_eq!(&**sealer(3).open(&purpose, &envelope).unwrap(), &secret);
        }

        #[test]
        fn one_changed_bit_anywhere_is_noticed(at in 0usize..HEADER + 6 + TAG, bit in 0u8..8) {
            let mut envelope = sealer(3).seal("p", b"secret").unwrap();
            envelope[at] ^= 1 << bit;
            prop_assert!(sealer(3).open("p", &envelope).is_err());
        }

        #[test]
        fn bytes_that_are_no_envelope_are_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(sealer(3).open("p", &bytes).is_err());
        }
    }
}
