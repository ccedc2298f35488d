//! A host name, parsed once. Nothing behind this type ever sees the bytes that the client sent.

use std::borrow::Borrow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A DNS host name in its one canonical spelling: lowercase ASCII (IDNA A-labels, UTS #46 non-transitional), no
/// trailing dot, no port, 1–253 bytes, each label 1–63 letters, digits or inner dashes, never an IP address.
/// Cloning is cheap; equality is byte equality.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hostname(Arc<str>);

/// Why a text is no host name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HostnameError {
    #[error("a host name is missing")]
    Empty,
    #[error("a host name has at most 253 bytes")]
    TooLong,
    #[error("each part of a host name has 1 to 63 letters, digits or dashes, with no dash at either end")]
    Label,
    #[error("an IP address is not a host name")]
    IpAddress,
    #[error("the port is not a number from 1 to 65535")]
    Port,
}

impl Hostname {
    /// The longest name that DNS can carry, in bytes (RFC 1035 §2.3.4, without the root's dot).
    pub const MAX: usize = 253;

    /// Parses a host name without a port, in any spelling: `Acme.Example.`, `bücher.example`, `xn--bcher-kva.example`.
    pub fn parse(text: &str) -> Result<Self, HostnameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(HostnameError::Empty);
        }
        let mut buffer = [0; Self::MAX];
        if let Some(plain) = lowercase_plain(text.as_bytes(), &mut buffer)? {
            return Ok(Self(plain.into()));
        }
        Self::parse_idna(text)
    }

    /// Parses the authority of a request (`Host` or `:authority`): a host name with an optional port
    /// (RFC 9110 §7.2). User information is an error, as RFC 9110 §4.2.4 asks.
    pub fn parse_authority(authority: &[u8]) -> Result<Self, HostnameError> {
        let text = std::str::from_utf8(authority).map_err(|_| HostnameError::Label)?;
        if let Some(rest) = text.strip_prefix('[') {
            let (inside, after) = rest.split_once(']').ok_or(HostnameError::Label)?;
            after
                .strip_prefix(':')
                .map_or(if after.is_empty() { Ok(()) } else { Err(HostnameError::Label) }, check_port)?;
            return Err(match inside.parse::<Ipv6Addr>() {
                Ok(_) => HostnameError::IpAddress,
                Err(_) => HostnameError::Label,
            });
        }
        match text.split_once(':') {
            Some((host, port)) => {
                check_port(port)?;
                Self::parse(host)
            }
            None => Self::parse(text),
        }
    }

    /// The slow way, for names that are not plain ASCII letters, digits and dashes.
    fn parse_idna(text: &str) -> Result<Self, HostnameError> {
        let ascii =
            idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::URL).map_err(|_| HostnameError::Label)?;
        let ascii = ascii.strip_suffix('.').unwrap_or(&ascii);
        check_shape(ascii.as_bytes())?;
        Ok(Self(ascii.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// The name one label up, if there is one.
    pub fn parent(&self) -> Option<Self> {
        self.0.split_once('.').map(|(_, rest)| Self(rest.into()))
    }

    /// What stands before `.base`, when this name lies beneath `base`.
    pub fn beneath<'a>(&'a self, base: &Self) -> Option<&'a str> {
        self.0.strip_suffix(base.as_str())?.strip_suffix('.').filter(|rest| !rest.is_empty())
    }

    /// `label.self`, when that is a host name.
    pub fn child(&self, label: &str) -> Result<Self, HostnameError> {
        Self::parse(&format!("{label}.{self}"))
    }
}

fn check_port(port: &str) -> Result<(), HostnameError> {
    // An empty port is allowed by RFC 3986 §3.2.3 and means the scheme's own.
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    match digits && port.parse::<u16>().is_ok_and(|n| n > 0) || port.is_empty() {
        true => Ok(()),
        false => Err(HostnameError::Port),
    }
}

/// Copies a name of ASCII letters, digits and dashes into `buffer` in lower case. `None` when the name needs IDNA:
/// it is not ASCII, or a label claims to be punycode already and must be checked.
fn lowercase_plain<'b>(text: &[u8], buffer: &'b mut [u8; Hostname::MAX]) -> Result<Option<&'b str>, HostnameError> {
    if !text.is_ascii() {
        return Ok(None);
    }
    if text.len() > Hostname::MAX {
        return Err(HostnameError::TooLong);
    }
    let lower = &mut buffer[..text.len()];
    lower.copy_from_slice(text);
    lower.make_ascii_lowercase();
    if lower.windows(4).any(|w| w == b"xn--") {
        return Ok(None);
    }
    check_shape(lower)?;
    std::str::from_utf8(lower).map(Some).map_err(|_| HostnameError::Label)
}

/// Length, labels, and that the last label cannot be read as a number (WHATWG URL: such a host is an IPv4 address).
fn check_shape(name: &[u8]) -> Result<(), HostnameError> {
    if name.is_empty() {
        return Err(HostnameError::Empty);
    }
    if name.len() > Hostname::MAX {
        return Err(HostnameError::TooLong);
    }
    let mut last: &[u8] = &[];
    for label in name.split(|b| *b == b'.') {
        let inner = label.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
        let ends = label.first() != Some(&b'-') && label.last() != Some(&b'-');
        if label.is_empty() || label.len() > 63 || !inner || !ends {
            return Err(HostnameError::Label);
        }
        last = label;
    }
    let hex = last.strip_prefix(b"0x").is_some_and(|h| h.iter().all(u8::is_ascii_hexdigit));
    if hex || last.iter().all(u8::is_ascii_digit) {
        let dotted = std::str::from_utf8(name).is_ok_and(|n| n.parse::<Ipv4Addr>().is_ok());
        return Err(if dotted { HostnameError::IpAddress } else { HostnameError::Label });
    }
    Ok(())
}

impl std::str::FromStr for Hostname {
    type Err = HostnameError;
    fn from_str(text: &str) -> Result<Self, HostnameError> {
        Self::parse(text)
    }
}

impl Borrow<str> for Hostname {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<[u8]> for Hostname {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl AsRef<str> for Hostname {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0)
    }
}

impl Serialize for Hostname {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Hostname {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|e| serde::de::Error::custom(format!("{text:?}: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_spelling_of_a_name_is_one_name() {
        let acme = Hostname::parse("acme.connect.localhost").unwrap();
        for spelling in [
            "ACME.connect.LOCALHOST",
            "acme.connect.localhost.",
            "acme.connect.localhost:8443",
            "Acme.Connect.Localhost.:443",
        ] {
            assert_eq!(Hostname::parse_authority(spelling.as_bytes()).as_ref(), Ok(&acme), "{spelling}");
        }
        let idn = Hostname::parse("bücher.example").unwrap();
        assert_eq!(idn.as_str(), "xn--bcher-kva.example");
        for spelling in ["BÜCHER.example", "XN--BCHER-KVA.EXAMPLE", "bu\u{308}cher.example", "bücher。example"] {
            assert_eq!(Hostname::parse(spelling).as_ref(), Ok(&idn), "{spelling}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_reason() {
        use HostnameError::*;
        let long = format!("{}.example", "a.".repeat(130));
        let cases: [(&str, HostnameError); 22] = [
            ("", Empty),
            (".", Empty),
            ("..", Label),
            ("a..b", Label),
            (".a", Label),
            ("-a.example", Label),
            ("a-.example", Label),
            ("a_b.example", Label),
            ("a b.example", Label),
            ("user@a.example", Label),
            ("a.example:0", Port),
            ("a.example:65536", Port),
            ("a.example:x", Port),
            ("a.example:1:2", Port),
            ("a.example:+80", Port),
            ("127.0.0.1", IpAddress),
            ("[::1]", IpAddress),
            ("[::1]:80", IpAddress),
            ("1.2.3", Label),
            ("a.0x7f", Label),
            ("xn--a.example", Label),
            (&long, TooLong),
        ];
        for (text, why) in cases {
            assert_eq!(Hostname::parse_authority(text.as_bytes()), Err(why), "{text:?}");
        }
        assert_eq!(Hostname::parse_authority(b"a\xff.example"), Err(Label));
        assert_eq!(Hostname::parse(&format!("{}.example", "a".repeat(64))), Err(Label));
    }

    #[test]
    fn beneath_needs_a_whole_label() {
        let base = Hostname::parse("connect.localhost").unwrap();
        let beneath = |name: &str| Hostname::parse(name).unwrap().beneath(&base).map(str::to_owned);
        assert_eq!(beneath("acme.connect.localhost").as_deref(), Some("acme"));
        assert_eq!(beneath("a.b.connect.localhost").as_deref(), Some("a.b"));
        assert_eq!(beneath("xconnect.localhost"), None);
        assert_eq!(beneath("connect.localhost"), None);
    }

    proptest! {
        #[test]
        fn parsing_is_idempotent_and_never_panics(text in "\\PC{0,80}") {
            if let Ok(host) = Hostname::parse(&text) {
                prop_assert_eq!(Hostname::parse(host.as_str()), Ok(host.clone()));
                prop_assert!(host.as_str().len() <= Hostname::MAX);
                prop_assert!(!host.as_str().bytes().any(|b| b.is_ascii_uppercase() || !b.is_ascii()));
            }
        }

        #[test]
        fn case_dot_and_port_never_change_the_name(
            name in "[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\\.[a-z]([a-z0-9-]{0,10}[a-z0-9])?){1,3}",
            upper in proptest::collection::vec(any::<bool>(), 64), dot in any::<bool>(), port in proptest::option::of(1u16..),
        ) {
            let spelled: String = name.chars().zip(upper.iter().cycle())
                .map(|(c, up)| if *up { c.to_ascii_uppercase() } else { c }).collect();
            let spelled = format!("{spelled}{}{}", if dot { "." } else { "" }, port.map(|p| format!(":{p}")).unwrap_or_default());
            prop_assert_eq!(Hostname::parse_authority(spelled.as_bytes()), Hostname::parse(&name));
        }

        #[test]
        fn different_plain_names_stay_different(a in "[a-z]{1,12}\\.example", b in "[a-z]{1,12}\\.example") {
            prop_assert_eq!(a == b, Hostname::parse(&a) == Hostname::parse(&b));
        }
    }
}
