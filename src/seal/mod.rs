//! Secrets at rest: an AEAD envelope under a key-encryption key.

mod keyring;

pub use keyring::{Keyring, KeyringError, SigningKey};

/// Seals and opens secrets; clones share the key.
#[derive(Clone)]
pub struct Sealer;
