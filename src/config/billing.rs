//! `[billing]`: the secrets that the billing system signs its webhooks with (Standard Webhooks). No secret ever shows in a
//! fault or in `Debug`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::secrets::Secret;
use super::section::Section;

const SECRET: &str = "a secret such as \"whsec_…\", which is base64 of 24 to 64 random bytes, or where it is: \
                      \"file:<path>\" or \"credential:<name>\"";
const PREFIX: &str = "whsec_";
/// As many as a rotation can need, and more.
const MOST: usize = 8;

/// `[billing]`. Without it no billing system is listened to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Billing {
    /// The keys of HMAC-SHA-256, decoded. A webhook that is signed with one of them counts. Never none.
    pub secrets: Vec<Secret>,
}

impl Billing {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        section.require("secrets", &format!("a list, each {SECRET}"));
        let spot = section.spot("secrets");
        if section.is_empty_list("secrets") {
            section.fault_at(&spot, format!("found none, expected at least one, each {SECRET}"));
        }
        let secrets = section.secret_list("secrets", SECRET, key);
        if secrets.len() > MOST {
            section.fault_at(&spot, format!("found {}, expected at most {MOST}: the old ones can go", secrets.len()));
        }
        Self { secrets }
    }
}

/// The key behind `whsec_<base64>` (Standard Webhooks, *Signature scheme*).
fn key(text: &str) -> Option<Secret> {
    let mut bytes = Zeroizing::new(STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?);
    (24..=64).contains(&bytes.len()).then(|| Secret::from(std::mem::take(&mut *bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_base64_of_24_to_64_bytes_after_its_prefix() {
        let of = |length: usize| format!("{PREFIX}{}", STANDARD.encode(vec![7u8; length]));
        assert_eq!(key(&of(24)).map(|key| key.expose().to_vec()), Some(vec![7; 24]));
        assert!(key(&of(64)).is_some());
        for text in [of(23), of(65), of(32).replace(PREFIX, ""), format!("{PREFIX}%"), PREFIX.to_owned(), String::new()]
        {
            assert!(key(&text).is_none(), "{text}");
        }
    }
}
