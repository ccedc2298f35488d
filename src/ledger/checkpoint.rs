//! Signed statements about a chain: how far it goes, or where it was cut. They are kept outside of the store, where whoever
//! can change the store cannot reach them; a chain that does not go so far, or another way, has lost or changed lines.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::Hash;
use crate::clock::Timestamp;

/// What is said of a chain: its line `number` has that hash.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// A tenant's id, or [`super::INSTALLATION`].
    pub chain: String,
    /// How many lines it has had; 0: none yet.
    pub number: i64,
    pub hash: Hash,
    pub at: Timestamp,
}

/// With what meaning it is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Statement {
    /// The chain goes at least so far.
    Checkpoint,
    /// The lines up to this one were cut off, because they were old enough.
    Cut,
}

/// A checkpoint with its signature: one line of the exported file.
///
/// Signed (Ed25519, RFC 8032) is the text `tenantry audit checkpoint v1`, then chain, number, hash in hexadecimal and time in
/// RFC 3339, each on a line of its own, the last one ended, too.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Signed {
    #[serde(flatten)]
    pub checkpoint: Checkpoint,
    /// The id of the key.
    pub key: String,
    /// Base64url without padding.
    pub signature: String,
}

/// The keys that sign, the newest last. Old ones are kept for as long as anything that they signed may be shown.
#[derive(Serialize, Deserialize, Clone)]
pub struct LedgerKeys {
    keys: Vec<LedgerKey>,
}

#[derive(Serialize, Deserialize, Clone, Zeroize, ZeroizeOnDrop)]
struct LedgerKey {
    #[zeroize(skip)]
    id: String,
    /// Ed25519, PKCS#8 v1 DER.
    pkcs8: Vec<u8>,
    /// The raw Ed25519 public key.
    #[zeroize(skip)]
    public: Vec<u8>,
}

/// Why there is no key, or none that signs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the operating system gave no randomness for a new key of the ledger")]
    Randomness,
    #[error("the stored key of the ledger does not parse; it was written by another version or is damaged")]
    Damaged,
}

/// Why a signed statement is not to be believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unsigned {
    #[error("it names a key that is none of this installation's")]
    UnknownKey,
    #[error("its signature is not of what it says")]
    Wrong,
}

impl LedgerKeys {
    /// The name under which the store keeps them.
    pub const SECRET: &'static str = "ledger-key";

    pub fn generate() -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Randomness)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| KeyError::Randomness)?.as_ref().to_vec();
        let public = pair.public_key().as_ref().to_vec();
        let id = URL_SAFE_NO_PAD.encode(&aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &public).as_ref()[..9]);
        Ok(Self { keys: vec![LedgerKey { id, pkcs8, public }] })
    }

    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        serde_json::to_vec(self).map(Zeroizing::new).map_err(|_| KeyError::Damaged)
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        serde_json::from_slice(bytes).map_err(|_| KeyError::Damaged)
    }

    /// The id of the key that signs.
    pub fn newest(&self) -> Option<&str> {
        self.keys.last().map(|key| key.id.as_str())
    }

    /// Signs with the newest key.
    pub fn sign(&self, statement: Statement, checkpoint: Checkpoint) -> Result<Signed, KeyError> {
        let key = self.keys.last().ok_or(KeyError::Damaged)?;
        let pair = Ed25519KeyPair::from_pkcs8(&key.pkcs8).map_err(|_| KeyError::Damaged)?;
        let signature = pair.sign(statement.text(&checkpoint).as_bytes());
        Ok(Signed { checkpoint, key: key.id.clone(), signature: URL_SAFE_NO_PAD.encode(signature) })
    }

    pub fn check(&self, statement: Statement, signed: &Signed) -> Result<(), Unsigned> {
        let key = self.keys.iter().find(|key| key.id == signed.key).ok_or(Unsigned::UnknownKey)?;
        let signature = URL_SAFE_NO_PAD.decode(&signed.signature).map_err(|_| Unsigned::Wrong)?;
        let public = UnparsedPublicKey::new(&ED25519, &key.public);
        let text = statement.text(&signed.checkpoint);
        public.verify(text.as_bytes(), &signature).map_err(|_| Unsigned::Wrong)
    }

    /// Public halves alone, as [`LedgerKeys::jwks`] gives them: they check, and do not sign.
    pub fn from_jwks(set: &serde_json::Value) -> Result<Self, KeyError> {
        let key = |key: &serde_json::Value| {
            let public = URL_SAFE_NO_PAD.decode(key["x"].as_str()?).ok().filter(|public| public.len() == 32)?;
            let ours = key["kty"] == "OKP" && key["crv"] == "Ed25519";
            ours.then(|| Some(LedgerKey { id: key["kid"].as_str()?.to_owned(), pkcs8: Vec::new(), public }))?
        };
        let keys = set["keys"].as_array().ok_or(KeyError::Damaged)?;
        let keys = keys.iter().map(|one| key(one).ok_or(KeyError::Damaged)).collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// The public halves as a JSON Web Key Set (RFC 7517, RFC 8037).
    pub fn jwks(&self) -> serde_json::Value {
        let key = |key: &LedgerKey| {
            serde_json::json!({
                "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": key.id,
                "x": URL_SAFE_NO_PAD.encode(&key.public),
            })
        };
        serde_json::json!({ "keys": self.keys.iter().map(key).collect::<Vec<_>>() })
    }
}

impl Statement {
    fn text(self, checkpoint: &Checkpoint) -> String {
        let title = match self {
            Self::Checkpoint => "tenantry audit checkpoint v1",
            Self::Cut => "tenantry audit cut v1",
        };
        let Checkpoint { chain, number, hash, at } = checkpoint;
        format!("{title}\n{chain}\n{number}\n{hash}\n{at}\n")
    }
}

impl std::fmt::Debug for LedgerKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no SHA-256 in hexadecimal")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_believed_as_it_was_signed_and_in_no_other_way() {
        let keys = LedgerKeys::generate().unwrap();
        let checkpoint =
            Checkpoint { chain: "a".into(), number: 5, hash: Hash([7; 32]), at: Timestamp(1_700_000_000_123) };
        let signed = keys.sign(Statement::Checkpoint, checkpoint).unwrap();
        let line = serde_json::to_string(&signed).unwrap();
        let read: Signed = serde_json::from_str(&line).unwrap();
        assert_eq!(read, signed, "{line}");
        let keys = LedgerKeys::from_bytes(&keys.to_bytes().unwrap()).unwrap();
        assert_eq!(keys.check(Statement::Checkpoint, &read), Ok(()));
        assert_eq!(keys.check(Statement::Cut, &read), Err(Unsigned::Wrong));
        let mut other = read.clone();
        other.checkpoint.number = 4;
        assert_eq!(keys.check(Statement::Checkpoint, &other), Err(Unsigned::Wrong));
        assert_eq!(LedgerKeys::generate().unwrap().check(Statement::Checkpoint, &read), Err(Unsigned::UnknownKey));
        assert!(!format!("{keys:?}{}", keys.jwks()).contains(&format!("{:?}", keys.keys[0].pkcs8)));
    }
}
