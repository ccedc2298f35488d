//! Texts that are given out and come back: sealed as secrets are, under a key of their own, so that however many are given
//! out, no nonce of an envelope that lasts is spent on one. Every node of a store takes back what another gave, and what
//! was given before a restart.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{SealError, Sealer};

impl Sealer {
    /// A text for somebody who brings it back for the same `purpose`: they can neither read nor change it, nor take it
    /// elsewhere. Base64url.
    pub fn give(&self, purpose: &str, text: &str) -> Result<String, SealError> {
        let envelope = self.newest.seal(&self.newest.tokens, purpose, text.as_bytes())?;
        Ok(URL_SAFE_NO_PAD.encode(envelope))
    }

    /// What [`Sealer::give`] gave for this purpose; `None` for anything else.
    pub fn take_back(&self, purpose: &str, given: &str) -> Option<String> {
        let envelope = URL_SAFE_NO_PAD.decode(given).ok()?;
        let text = self.open_with(|key| &key.tokens, purpose, &envelope).ok()?;
        std::str::from_utf8(&text).ok().map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::KEY_BYTES;

    #[test]
    fn what_was_given_comes_back_to_its_purpose_alone_and_cannot_be_read() {
        let sealer = |byte| Sealer::from_key_bytes(&[byte; KEY_BYTES]).unwrap();
        let given = sealer(1).give("members of acme", "ada@example.com").unwrap();
        assert!(given.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{given}");
        let bytes = URL_SAFE_NO_PAD.decode(&given).unwrap();
        assert!(!bytes.windows(3).any(|window| window == b"ada"));
        // By another process of the same key, and after that key was changed.
        for ours in [sealer(1), sealer(2).and_old(&sealer(1))] {
            assert_eq!(ours.take_back("members of acme", &given).as_deref(), Some("ada@example.com"));
            assert_eq!(ours.take_back("members of beta", &given), None);
        }
        assert_eq!(sealer(2).take_back("members of acme", &given), None);
        for wrong in ["", "x", "???", &given[1..], &format!("{given}A")] {
            assert_eq!(sealer(1).take_back("members of acme", wrong), None, "{wrong}");
        }
        // No secret's envelope passes for one, nor the other way around.
        let secret = sealer(1).seal("a", b"secret").unwrap();
        assert_eq!(sealer(1).take_back("a", &URL_SAFE_NO_PAD.encode(secret)), None);
        let given = sealer(1).give("a", "secret").unwrap();
        assert!(sealer(1).open("a", &URL_SAFE_NO_PAD.decode(given).unwrap()).is_err());
    }
}
