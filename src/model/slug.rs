//! A tenant's slug: the label before the base domain, chosen once and never renamed.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// 1–63 lowercase letters, digits and dashes, no dash at either end, not `xn--…`. Whether a slug is *reserved* depends
/// on the configuration: see [`super::Brand::is_reserved`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug(Box<str>);

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SlugError {
    #[error("a slug has 1 to 63 characters")]
    Length,
    #[error("a slug consists of lowercase letters, digits and dashes")]
    Character,
    #[error("a slug neither starts nor ends with a dash")]
    Dash,
    #[error("a slug does not start with xn--")]
    Punycode,
}

impl Slug {
    pub fn parse(text: &str) -> Result<Self, SlugError> {
        if text.is_empty() || text.len() > 63 {
            return Err(SlugError::Length);
        }
        if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(SlugError::Character);
        }
        if text.starts_with('-') || text.ends_with('-') {
            return Err(SlugError::Dash);
        }
        if text.starts_with("xn--") {
            return Err(SlugError::Punycode);
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Slug {
    type Err = SlugError;
    fn from_str(text: &str) -> Result<Self, SlugError> {
        Self::parse(text)
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0)
    }
}

impl Serialize for Slug {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Slug {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|e| serde::de::Error::custom(format!("{text:?}: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Hostname;
    use proptest::prelude::*;

    #[test]
    fn refusals_name_their_reason() {
        for (text, why) in [
            ("", SlugError::Length),
            ("Acme", SlugError::Character),
            ("a.b", SlugError::Character),
            ("a_b", SlugError::Character),
            ("-a", SlugError::Dash),
            ("a-", SlugError::Dash),
            ("xn--a", SlugError::Punycode),
            ("é", SlugError::Character),
        ] {
            assert_eq!(Slug::parse(text), Err(why), "{text:?}");
        }
        assert_eq!(Slug::parse(&"a".repeat(64)), Err(SlugError::Length));
    }

    proptest! {
        #[test]
        fn every_slug_is_a_label_of_a_host(text in "\\PC{0,70}|[a-z0-9-]{1,64}") {
            if let Ok(slug) = Slug::parse(&text) {
                let base = Hostname::parse("connect.localhost").unwrap();
                let host = base.child(slug.as_str()).unwrap();
                prop_assert_eq!(host.beneath(&base), Some(text.as_str()));
            }
        }
    }
}
