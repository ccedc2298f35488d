//! Secrets at rest: an AEAD envelope under a key-encryption key.

/// Seals and opens secrets; clones share the key.
#[derive(Clone)]
pub struct Sealer;
