//! Personal data in lines of the ledger: taken out before a line is hashed, put back when it is shown. The hash covers a
//! salted digest alone, so that value and salt can be erased and the chain still verifies.

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What is shown in the place of an erased value.
pub const ERASED: &str = "(erased)";

/// The action of the lines that tell of an erasure: [`told_erased`] is their detail.
pub const ERASE: &str = "audit.erase";

/// A value of a line that says something about a person.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Personal {
    /// A JSON pointer (RFC 6901) into the line: `/subject`, `/detail/email`; `/from` for the caller's address.
    pub place: String,
    /// Whom it is about: a person's id, or an e-mail address in lower case. Erased with the value.
    pub person: Option<String>,
    /// 16 random bytes. `None`: erased.
    #[serde(with = "hexed::optional")]
    pub salt: Option<Vec<u8>>,
    /// JSON. `None`: erased.
    pub value: Option<String>,
    /// SHA-256 over salt, place, value and person; of older lines, without the person.
    #[serde(with = "hexed")]
    pub digest: Vec<u8>,
}

/// The parts of a line that are free in form.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Split {
    pub subject: String,
    pub detail: Value,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

impl Personal {
    pub fn new(place: String, person: Option<String>, salt: [u8; 16], value: &Value) -> Self {
        let value = value.to_string();
        let digest = digest(&salt, &place, &value, Some(person.as_deref()));
        Self { place, person, salt: Some(salt.to_vec()), value: Some(value), digest }
    }

    /// Whether the digest is of this value. An erased one fits; half of one does not.
    pub fn fits(&self) -> bool {
        match (&self.salt, &self.value) {
            (None, None) => true,
            (Some(salt), Some(value)) => {
                let is = |person| digest(salt, &self.place, value, person) == self.digest;
                is(Some(self.person.as_deref())) || is(None)
            }
            _ => false,
        }
    }

    pub fn is_erased(&self) -> bool {
        self.salt.is_none() && self.value.is_none()
    }
}

/// What a line says of values that are erased with it: their lines' numbers in its own chain, places and digests.
pub fn told_erased<'a>(erased: impl IntoIterator<Item = (i64, &'a str, &'a [u8])>) -> Value {
    let told = erased.into_iter().map(|(number, place, digest)| {
        // A place that reads like an address would be taken for one.
        let place = Some(place).filter(|place| !is_email(place));
        json!({ "line": number, "place": place, "digest": hex::encode(digest) })
    });
    json!({ "erased": told.collect::<Vec<_>>() })
}

/// The lines and digests that such a text tells of.
pub(super) fn erased_by(detail: &str) -> Vec<(i64, Vec<u8>)> {
    let detail: Value = serde_json::from_str(detail).unwrap_or_default();
    let told = |told: &Value| Some((told["line"].as_i64()?, hex::decode(told["digest"].as_str()?).ok()?));
    detail["erased"].as_array().into_iter().flatten().filter_map(told).collect()
}

/// Takes out of `line` what is personal: every text that is an e-mail address, and what stands at `marked` (pointers such
/// as `/detail/name`). Returns places and values, by place.
pub fn split(line: &mut Split, marked: &[String]) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (root, value) in line.roots() {
        let below = marked.iter().filter_map(|place| place.strip_prefix(root)).filter(|rest| rest.starts_with('/'));
        for rest in below {
            if let Some(value) = value.pointer_mut(rest).filter(|value| !value.is_null()) {
                found.push((format!("{root}{rest}"), value.take()));
            }
        }
        addresses(root.to_owned(), value, &mut found);
    }
    if is_email(&line.subject) || marked.iter().any(|place| place == SUBJECT) {
        found.push((SUBJECT.to_owned(), Value::String(std::mem::take(&mut line.subject))));
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found.dedup_by(|(a, _), (b, _)| a == b);
    found
}

/// Puts it back. What was erased says so.
pub fn merge(line: &mut Split, personal: &[Personal]) {
    for Personal { place, value, .. } in personal {
        let value = match value {
            Some(text) => serde_json::from_str(text).unwrap_or(Value::Null),
            None => Value::String(ERASED.to_owned()),
        };
        if place == SUBJECT {
            line.subject = value.as_str().unwrap_or_default().to_owned();
            continue;
        }
        for (root, whole) in line.roots() {
            let rest = place.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/'));
            if let Some(there) = rest.and_then(|rest| whole.pointer_mut(rest)) {
                *there = value.clone();
            }
        }
    }
}

/// One `@` with something on both sides, no blank: all that is told apart here is an address from other text.
pub fn is_email(text: &str) -> bool {
    let plain =
        |part: &str| !part.is_empty() && !part.contains(|c: char| c == '@' || c.is_whitespace() || c.is_control());
    text.len() <= 320 && text.split_once('@').is_some_and(|(local, host)| plain(local) && plain(host))
}

impl Split {
    fn roots(&mut self) -> impl Iterator<Item = (&'static str, &mut Value)> {
        let changed = [("/before", self.before.as_mut()), ("/after", self.after.as_mut())];
        let changed = changed.into_iter().filter_map(|(root, value)| Some((root, value?)));
        std::iter::once((DETAIL, &mut self.detail)).chain(changed)
    }
}

fn addresses(place: String, value: &mut Value, found: &mut Vec<(String, Value)>) {
    match value {
        Value::String(text) if is_email(text) => found.push((place, value.take())),
        Value::Array(items) => {
            for (at, item) in items.iter_mut().enumerate() {
                addresses(format!("{place}/{at}"), item, found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                addresses(format!("{place}/{}", name.replace('~', "~0").replace('/', "~1")), member, found);
            }
        }
        _ => {}
    }
}

/// `person`: under the digest, too, unless it is of the first form.
fn digest(salt: &[u8], place: &str, value: &str, person: Option<Option<&str>>) -> Vec<u8> {
    let mut sum = Context::new(&SHA256);
    let title: &[u8] = if person.is_some() { b"tenantry audit personal v2" } else { b"tenantry audit personal v1" };
    let whom = person.map(|person| person.unwrap_or_default().as_bytes());
    for part in [title, salt, place.as_bytes(), value.as_bytes()].into_iter().chain(whom) {
        sum.update(&(part.len() as u64).to_be_bytes());
        sum.update(part);
    }
    sum.finish().as_ref().to_vec()
}

/// Bytes in hexadecimal.
mod hexed {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&hex::encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }

    pub mod optional {
        use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

        pub fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
            bytes.as_ref().map(hex::encode).serialize(serializer)
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
            let text = Option::<String>::deserialize(deserializer)?;
            text.map(hex::decode).transpose().map_err(D::Error::custom)
        }
    }
}

const SUBJECT: &str = "/subject";
const DETAIL: &str = "/detail";

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Split {
        Split {
            subject: "Ann@Example.com".into(),
            detail: json!({"name": "Ann", "to": ["a@b.example", "plain"], "odd/key~": "x@y"}),
            before: None,
            after: Some(json!("c@d.example")),
        }
    }

    fn stored(found: &[(String, Value)]) -> Vec<Personal> {
        found.iter().map(|(place, value)| Personal::new(place.clone(), None, [3; 16], value)).collect()
    }

    #[test]
    fn what_is_personal_leaves_the_line_and_comes_back() {
        let mut bare = line();
        let found = split(&mut bare, &["/detail/name".into(), "/detail/none".into(), "/after/x".into()]);
        let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, ["/after", "/detail/name", "/detail/odd~1key~0", "/detail/to/0", "/subject"]);
        let left = format!("{bare:?}");
        assert!(["Ann", "a@b", "c@d", "x@y"].iter().all(|text| !left.contains(text)), "{left}");
        merge(&mut bare, &stored(&found));
        assert_eq!(bare, line());
    }

    #[test]
    fn an_erased_value_fits_its_digest_and_says_so() {
        let mut bare = line();
        let mut personal = stored(&split(&mut bare, &[]));
        assert!(personal.iter().all(Personal::fits));
        let mut other = personal[0].clone();
        other.value = Some("\"another\"".into());
        assert!(!other.fits());
        let mut other = personal[0].clone();
        other.person = Some("somebody else".into());
        assert!(!other.fits());
        // As older programs wrote it.
        let (salt, value) = (other.salt.clone().unwrap(), other.value.clone().unwrap());
        other.digest = digest(&salt, &other.place, &value, None);
        assert!(other.fits());
        for one in &mut personal {
            (one.salt, one.value) = (None, None);
        }
        assert!(personal.iter().all(Personal::fits));
        merge(&mut bare, &personal);
        assert_eq!((bare.subject.as_str(), &bare.detail["to"][0]), (ERASED, &json!(ERASED)));
    }

    #[test]
    fn addresses_are_told_from_other_text() {
        for good in ["a@b", "ann.o'hara+x@example.com", "ö@ü.example"] {
            assert!(is_email(good), "{good}");
        }
        for bad in ["", "@", "a@", "@b", "a b@c", "a@b@c", "write to a@b.example"] {
            assert!(!is_email(bad), "{bad}");
        }
    }
}
