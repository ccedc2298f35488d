//! People: somebody who signs in, by one e-mail address, and may be a member of many tenants. How they prove who they are
//! is no part of what is said here.

use std::fmt;
use std::str::FromStr;

use email_address::{EmailAddress, Options};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::{Hostname, TenantId};
use crate::clock::Timestamp;

macro_rules! ids {
    ($($(#[doc = $about:literal])+ $name:ident;)+) => {
        $(
            $(#[doc = $about])+
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
            #[serde(transparent)]
            pub struct $name(pub Uuid);

            impl $name {
                pub fn new() -> Self {
                    Self(Uuid::now_v7())
                }

                pub fn parse(text: &str) -> Option<Self> {
                    Uuid::try_parse(text).ok().map(Self)
                }
            }

            impl Default for $name {
                fn default() -> Self {
                    Self::new()
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    self.0.hyphenated().fmt(f)
                }
            }

            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    fmt::Display::fmt(self, f)
                }
            }
        )+
    };
}

ids! {
    /// A person's identity: a UUIDv7, so that ids sort by creation.
    PersonId;
    /// A session's name, for its owner and for the edge. It is no secret: that is in the cookie, or in its signature.
    SessionId;
    /// A business unit of a tenant.
    UnitId;
    /// An invitation's name. It is no secret: that is its token.
    InvitationId;
}

/// Somebody who can sign in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Person {
    pub id: PersonId,
    pub email: Email,
    /// The display name.
    pub name: String,
    /// The tenancy that a new session begins in.
    pub default_tenant: Option<TenantId>,
    /// Cannot sign in, whatever they prove.
    pub disabled: bool,
    /// Somebody has shown, or an operator has said, that the address is theirs. Until then they are whoever held an
    /// invitation to it, and nothing that is meant for the address is to reach them.
    pub verified: bool,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// The revision of the store that last wrote it.
    pub revision: i64,
}

/// An e-mail address in the one spelling in which it is kept and compared: all of it in lower case, the domain in IDNA
/// A-labels. No quoted local part, no address literal, no display name (RFC 5321 §4.1.2, without what nobody uses).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Email(Box<str>);

/// Why a text is no e-mail address.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EmailError {
    #[error("an e-mail address has at most {} bytes", Email::MAX)]
    Length,
    #[error("this is no e-mail address; one looks like name@example.com")]
    Shape,
}

impl Email {
    /// In bytes (RFC 5321 §4.5.3.1.3, without the angle brackets).
    pub const MAX: usize = 254;

    pub fn parse(text: &str) -> Result<Self, EmailError> {
        if text.len() > Self::MAX {
            return Err(EmailError::Length);
        }
        let options = Options::default().without_display_text().without_domain_literal().with_required_tld();
        let address = EmailAddress::parse_with_options(text.trim(), options).map_err(|_| EmailError::Shape)?;
        let domain = Hostname::parse(address.domain()).map_err(|_| EmailError::Shape)?;
        let local = address.local_part();
        if local.contains('"') || local.chars().any(char::is_control) {
            return Err(EmailError::Shape);
        }
        let email = format!("{}@{domain}", local.to_lowercase());
        if email.len() > Self::MAX { Err(EmailError::Length) } else { Ok(Self(email.into())) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands behind the `@`.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl FromStr for Email {
    type Err = EmailError;

    fn from_str(text: &str) -> Result<Self, EmailError> {
        Self::parse(text)
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Serialize for Email {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Email {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_address_is_one_address() {
        for (text, wanted) in [
            ("ada@example.com", "ada@example.com"),
            (" Ada@Example.COM ", "ada@example.com"),
            ("ada+x@bücher.example", "ada+x@xn--bcher-kva.example"),
            ("o'neil@example.com", "o'neil@example.com"),
        ] {
            let email = Email::parse(text).unwrap();
            assert_eq!(email.as_str(), wanted, "{text}");
            assert_eq!(Email::parse(email.as_str()).unwrap(), email, "{text}: as it is kept, it is read back");
        }
        assert_eq!(Email::parse("a@b.example").unwrap().domain(), "b.example");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@localhost",
            "ada@[192.0.2.1]",
            "Ada <ada@example.com>",
            "\"a b\"@example.com",
            "a b@example.com",
            "ada@example..com",
            "ada@-example.com",
            "a\u{0}b@example.com",
            "ada@example.com\n",
        ] {
            let parsed = Email::parse(text);
            assert!(parsed.is_err() || text.trim() != text, "{text:?}: {parsed:?}");
        }
        assert_eq!(Email::parse(&format!("{}@example.com", "a".repeat(250))), Err(EmailError::Length));
    }
}
