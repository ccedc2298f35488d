//! The last step before `live`: seeing the certificate in a handshake. How that is done is the composition root's affair.

use async_trait::async_trait;

/// Makes a handshake against this installation's own listeners.
#[async_trait]
pub trait Proof: Send + Sync {
    /// Whether a visitor of `name` is shown the leaf of this chain; says what it was shown instead.
    async fn serves(&self, name: &str, chain: &str) -> Result<(), String>;
}
