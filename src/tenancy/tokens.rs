//! The operators' API tokens. A token is shown once, when it is made; the store keeps its SHA-256.

use aws_lc_rs::{digest, rand};
use serde_json::json;
use zeroize::{Zeroize, Zeroizing};

use super::error::{Fault, Faults, Kind, TenancyError};
use super::{Actor, Done, Tenancy};
use crate::clock::Timestamp;
use crate::model::Brand;
use crate::store::{StoreError, TokenRow};

const PREFIX_BYTES: usize = 4;
const SECRET_BYTES: usize = 32;
const NAME_MAX: usize = 64;

/// A token that was just made: the only moment at which its text exists.
pub struct IssuedToken {
    pub row: TokenRow,
    /// `<brand>_live_<prefix>_<secret>`, all but the brand in hexadecimal: `arc_live_0123abcd_…`
    pub secret: Zeroizing<String>,
}

impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedToken").field("name", &self.row.name).finish_non_exhaustive()
    }
}

/// What the store keeps of a token.
pub fn hash_token(secret: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
    hash
}

impl Tenancy {
    /// Makes a token with all of an operator's rights. `expires`: never, by default.
    pub async fn create_token(
        &self,
        actor: &Actor,
        name: &str,
        expires: Option<Timestamp>,
    ) -> Result<Done<IssuedToken>, TenancyError> {
        let now = self.clock.now();
        let mut faults = Faults::default();
        let name = faults.take(check_name(name));
        if expires.is_some_and(|at| at <= now) {
            faults.add("/expires", "out-of-range", format!("a token expires in the future; it is {now} now"));
        }
        let name = faults.or(name)?;
        let secret = generate(&self.config().brand.key_prefix)?;
        let row = TokenRow { name, hash: hash_token(&secret), created: now, expires };
        let mut write = self.store.write().await?;
        write.insert_token(&row).await.map_err(|error| match error {
            StoreError::Conflict(_) => {
                TenancyError::conflict("/name", "token-exists", format!("there is a token {:?} already", row.name))
            }
            other => other.into(),
        })?;
        let entry = actor.entry("token.create", None, &row.name, json!({ "expires": expires }));
        self.finish(write, entry, IssuedToken { row, secret }).await
    }

    /// Every token, expired ones too, without what they hash.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, TenancyError> {
        Ok(self.store.tokens().await?)
    }

    /// Makes a token worthless at once. The last one that works stays, or nobody could make another.
    pub async fn revoke_token(&self, actor: &Actor, name: &str) -> Result<Done<()>, TenancyError> {
        let mut write = self.store.write().await?;
        // Looked at while nobody else can write, or two who revoke the last two tokens would both be allowed to.
        if is_last(&self.store.tokens().await?, name, self.clock.now()) {
            let detail = format!("{name:?} is the last token that works; create another before revoking it");
            return Err(TenancyError::conflict("", "last-token", detail));
        }
        if !write.delete_token(name).await? {
            return Err(TenancyError::NotFound(Kind::Token, name.to_owned()));
        }
        let entry = actor.entry("token.revoke", None, name, json!({}));
        self.finish(write, entry, ()).await
    }

    /// Who presents this token: `operator:<name>`. `None` when it is unknown, malformed or expired.
    pub async fn authenticate(&self, secret: &str) -> Result<Option<String>, TenancyError> {
        // What cannot be a token costs no question to the store.
        if !looks_like_a_token(secret) {
            return Ok(None);
        }
        let row = self.store.token_by_hash(&hash_token(secret)).await?;
        let now = self.clock.now();
        Ok(row.filter(|row| row.expires.is_none_or(|at| at > now)).map(|row| format!("operator:{}", row.name)))
    }
}

/// Whether this token works and no other does.
fn is_last(tokens: &[TokenRow], name: &str, now: Timestamp) -> bool {
    let usable: Vec<_> = tokens.iter().filter(|token| token.expires.is_none_or(|at| at > now)).collect();
    matches!(usable.as_slice(), [only] if only.name == name)
}

/// Random bytes from the cryptographic generator.
pub(super) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| StoreError::Unavailable("the system gives no random bytes".to_owned()))?;
    Ok(bytes)
}

/// Whether a text has the shape of a token. Its brand may be that of earlier days: what was issued stays good.
fn looks_like_a_token(text: &str) -> bool {
    let mut parts = text.split('_');
    let hex = |part: Option<&str>, bytes: usize| {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        part.is_some_and(|part| part.len() == 2 * bytes && part.bytes().all(digit))
    };
    parts.next().is_some_and(|brand| !brand.is_empty() && brand.len() <= Brand::KEY_PREFIX_MAX)
        && parts.next() == Some("live")
        && hex(parts.next(), PREFIX_BYTES)
        && hex(parts.next(), SECRET_BYTES)
        && parts.next().is_none()
}

fn generate(brand: &str) -> Result<Zeroizing<String>, StoreError> {
    let prefix = hex::encode(random::<PREFIX_BYTES>()?);
    let mut bytes = random::<SECRET_BYTES>()?;
    let secret = Zeroizing::new(hex::encode(bytes));
    bytes.zeroize();
    Ok(Zeroizing::new(format!("{brand}_live_{prefix}_{}", *secret)))
}

fn check_name(name: &str) -> Result<String, Fault> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(good) {
        let detail = format!("a token's name has 1 to {NAME_MAX} letters, digits, dashes, underscores, dots and @");
        return Err(Fault::new("/name", "invalid-name", detail));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_looks_like_one_and_little_else_does() {
        let made = generate("acme1").unwrap();
        assert!(made.starts_with("acme1_live_") && looks_like_a_token(&made), "{}", *made);
        let secret = "0".repeat(64);
        assert!(looks_like_a_token(&format!("arc_live_0123abcd_{secret}")));
        for wrong in [
            String::new(),
            format!("live_0123abcd_{secret}"),
            format!("_live_0123abcd_{secret}"),
            format!("arc_test_0123abcd_{secret}"),
            format!("arc_live_0123abc_{secret}"),
            format!("arc_live_0123ABCD_{secret}"),
            format!("arc_live_0123abcd_{secret}0"),
            format!("arc_live_0123abcd_{secret}_"),
            format!("{}_live_0123abcd_{secret}", "a".repeat(17)),
        ] {
            assert!(!looks_like_a_token(&wrong), "{wrong}");
        }
    }
}
