//! Passwords: what one must be, and its Argon2id hash (RFC 9106, with OWASP's parameters: 19 MiB, two passes). Hashing never
//! runs on a thread that serves others, and only so many at once: memory and time are what it costs on purpose.

use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::{PasswordHash as Phc, PasswordHasher, PasswordVerifier, SaltString};
use aws_lc_rs::rand;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

use super::SignInError;
use crate::store::{PasswordHash, StoreError};
use crate::tenancy::Fault;

/// In characters (NIST SP 800-63B asks for 8 to 15 at the least).
pub const LEAST: usize = 12;
/// In bytes. What is longer costs more to hash than it is worth.
pub const MOST: usize = 1024;
const AT_ONCE: usize = 2;
const PATIENCE: Duration = Duration::from_secs(5);
const SALT_BYTES: usize = 16;

/// The hash of no password: verifying against it takes as long as against somebody's.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$dGVuYW50cnktbm9ib2R5$ygP4Av3Ry4Xw3kPp0kWJt2m1N8dQx7vYc5oZbRfH9lE";

/// Passwords of twelve characters and more that many have had, and the beginnings of such.
const COMMON: &[&str] = &[
    "123456789012",
    "1234567890123",
    "qwertyuiop",
    "1q2w3e4r5t6y",
    "password1234",
    "passwordpassword",
    "password12345",
    "iloveyou1234",
    "administrator",
    "letmeinletmein",
    "adminadminadmin",
    "changemechangeme",
    "welcome12345",
    "correcthorsebatterystaple",
    "trustno1trustno1",
    "abcdefghijkl",
    "asdfghjkl123",
    "zxcvbnm12345",
    "qwerty123456",
    "qazwsxedcrfv",
    "monkeymonkey",
    "dragondragon",
    "football1234",
    "baseball1234",
    "sunshine1234",
    "superman1234",
    "princess1234",
    "starwars1234",
    "whatever1234",
    "computer1234",
    "1qaz2wsx3edc",
    "987654321098",
    "098765432109",
];

/// Hashes and verifies, a few at a time. Clones share the places.
#[derive(Clone)]
pub struct Passwords(Arc<Semaphore>);

impl Default for Passwords {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Passwords {
    /// The hash of a password that is fit to be one; `about` is what of its owner it must not be made of.
    pub async fn hash(&self, pointer: &str, password: &str, about: &[&str]) -> Result<PasswordHash, SignInError> {
        check(pointer, password, about).map_err(SignInError::Invalid)?;
        let place = self.place().await?;
        let password = Zeroizing::new(password.to_owned());
        let work = move || {
            let _place = place;
            let mut salt = [0_u8; SALT_BYTES];
            rand::fill(&mut salt).map_err(|_| failed("the system gives no random bytes"))?;
            let salt = SaltString::encode_b64(&salt).map_err(failed)?;
            let hash = Argon2::default().hash_password(password.as_bytes(), &salt).map_err(failed)?;
            Ok(PasswordHash::new(hash.to_string()))
        };
        tokio::task::spawn_blocking(work).await.map_err(failed)?
    }

    /// Whether this is the password. `None`: it is nobody's, which takes as long to find out.
    pub async fn verify(&self, password: &str, hash: Option<&PasswordHash>) -> Result<bool, SignInError> {
        if password.len() > MOST {
            return Ok(false);
        }
        let place = self.place().await?;
        let password = Zeroizing::new(password.to_owned());
        let (known, hash) = (hash.is_some(), hash.cloned());
        let work = move || {
            let _place = place;
            let text = hash.as_ref().map_or(NOBODYS, PasswordHash::as_str);
            let right =
                Phc::new(text).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
            right && known
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| failed(error).into())
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, SignInError> {
        match tokio::time::timeout(PATIENCE, Arc::clone(&self.0).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(SignInError::TooOften { retry_after: PATIENCE }),
        }
    }
}

/// A password that nobody guesses: 125 bits in five groups, without letters that look like others.
pub fn generate() -> Result<Zeroizing<String>, StoreError> {
    let mut bytes = Zeroizing::new([0_u8; 25]);
    rand::fill(&mut *bytes).map_err(|_| failed("the system gives no random bytes"))?;
    let groups = bytes.chunks(5).map(|group| {
        group.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect::<String>()
    });
    Ok(Zeroizing::new(groups.collect::<Vec<_>>().join("-")))
}

/// 32 characters: each byte chooses evenly.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

fn failed(error: impl ToString) -> StoreError {
    StoreError::Unavailable(format!("a password could not be hashed: {}", error.to_string()))
}

/// Long enough, no old acquaintance, and not made of its owner's name.
fn check(pointer: &str, password: &str, about: &[&str]) -> Result<(), Fault> {
    let length = password.chars().count();
    if length < LEAST {
        let detail = format!("a password has at least {LEAST} characters, and this has {length}");
        return Err(Fault::new(pointer, "too-short", detail));
    }
    if password.len() > MOST {
        return Err(Fault::new(pointer, "too-long", format!("a password has at most {MOST} bytes")));
    }
    let lower = password.to_lowercase();
    let mut kinds: Vec<char> = lower.chars().collect();
    kinds.sort_unstable();
    kinds.dedup();
    // Half of what is there must be neither a common one nor the owner.
    let mostly = |part: &str| part.len() >= 4 && lower.contains(part) && lower.len() < 2 * part.len();
    if kinds.len() < 5 || COMMON.iter().any(|common| lower.starts_with(common)) {
        let detail =
            "many people have had this password, or one like it; take several words that do not belong together";
        return Err(Fault::new(pointer, "too-common", detail));
    }
    if about.iter().any(|about| mostly(&about.to_lowercase())) {
        let detail =
            "this is hardly more than your own name or address; take several words that do not belong together";
        return Err(Fault::new(pointer, "too-common", detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_long_and_not_everybodys() {
        let about = ["ada.lovelace@example.com", "ada.lovelace"];
        for (password, code) in [
            ("", "too-short"),
            ("short", "too-short"),
            ("aaaaaaaaaaaaaaaa", "too-common"),
            ("abababababababab", "too-common"),
            ("Password1234!", "too-common"),
            ("ada.lovelace@example.com", "too-common"),
            ("Ada.Lovelace1", "too-common"),
        ] {
            assert_eq!(check("/password", password, &about).unwrap_err().code, code, "{password}");
        }
        assert_eq!(check("/password", &"aB3$x".repeat(300), &about).unwrap_err().code, "too-long");
        for password in ["tram velvet osprey", "über den Wolken", "kR7#vv91Lq0p"] {
            assert!(check("/password", password, &about).is_ok(), "{password}");
        }
    }

    #[tokio::test]
    async fn a_hash_knows_its_password_and_says_how_it_was_made() {
        let passwords = Passwords::default();
        let hash = passwords.hash("/password", "tram velvet osprey", &[]).await.unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(passwords.verify("tram velvet osprey", Some(&hash)).await.unwrap());
        assert!(!passwords.verify("tram velvet ospreys", Some(&hash)).await.unwrap());
        assert!(!passwords.verify("tram velvet osprey", None).await.unwrap());
        let again = passwords.hash("/password", "tram velvet osprey", &[]).await.unwrap();
        assert_ne!(hash, again, "each has its own salt");
        assert!(!format!("{hash:?}").contains("argon2"));
    }

    #[test]
    fn nobodys_hash_costs_what_everybodys_does() {
        let nobodys = Phc::new(NOBODYS).unwrap();
        let params = argon2::Params::try_from(&nobodys).unwrap();
        assert_eq!((params.m_cost(), params.t_cost(), params.p_cost()), (19_456, 2, 1));
        assert_eq!(nobodys.algorithm.as_str(), "argon2id");
        assert_eq!(nobodys.hash.unwrap().len(), 32);
    }
}
