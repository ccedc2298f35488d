//! `[acme]`: certificates from authorities that speak ACME (RFC 8555). No secret ever shows in a fault or in `Debug`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::parsers::{self, HOSTNAME, NAME, PATH, URL};
use super::secrets::Secret;
use super::section::Section;
use super::units::parse_duration;
use crate::model::Hostname;

const CONTACT: &str = "a contact such as \"mailto:ops@example.com\"";
const SOCKET: &str = "an IP address with a port, such as \"192.0.2.53:53\"";
const RATE: &str = "a number per time, such as \"300/3h\"";
const PROFILE: &str = "the name of a profile, such as \"tlsserver\"";
const KEY_ID: &str = "the key's identifier, as the authority gave it";
const SECRET: &str = "the key, in base64 as the authority or the DNS server gave it, or where it is: \"file:<path>\" or \
                      \"credential:<name>\"";
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// `[acme]`. Without an authority no certificate is ordered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Acme {
    /// In the order in which they are asked: the next one only while those before it are down.
    pub authorities: Vec<Authority>,
    /// Whom an authority writes to. Default: nobody.
    pub contact: Vec<String>,
    /// The kind of key that each certificate gets afresh. Default P-256.
    pub key: KeyKind,
    /// Orders under way at the same time, of one node. Default 32.
    pub concurrency: u32,
    /// Before an order, ask the domain over port 80 and see whether this fleet answers. Default true.
    pub self_probe: bool,
    /// The ports at which an authority, and the probe, reach this fleet. Default 80 and 443; others are for tests.
    pub http_port: u16,
    pub tls_port: u16,
    /// How long one exchange with an authority may take, its answer included. Default 30 s.
    pub deadline: Duration,
    /// How long to wait for every node to know the answer to a challenge before the authority is told. Default 10 s.
    pub node_wait: Duration,
    /// An authority that is to be left alone for longer than this is passed over for the next one. Default 10 minutes.
    pub failover_after: Duration,
    /// How names are proven that only DNS can prove: wildcards. Default: not at all.
    pub dns: Option<DnsProvider>,
}

/// `[[acme.authority]]`
#[derive(Clone, PartialEq, Eq)]
pub struct Authority {
    /// What it is called in the store, metrics and logs.
    pub name: String,
    /// The URL of its directory.
    pub directory: String,
    /// A PEM file of trust anchors for its own HTTPS. Default: the system's.
    pub roots: Option<PathBuf>,
    /// The profile to order under, where it has such. Default: its own default.
    pub profile: Option<String>,
    /// External account binding (RFC 8555 §7.3.4).
    pub eab: Option<ExternalAccount>,
    /// The names by which CAA records (RFC 8659) allow it. Default: any record that allows somebody else forbids it only
    /// if this list is not empty.
    pub caa: Vec<Hostname>,
    pub limits: AuthorityLimits,
}

/// What an authority allows; the defaults are those of Let's Encrypt
/// (<https://letsencrypt.org/docs/rate-limits/>, August 2026).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuthorityLimits {
    /// New orders of our account. Default 300/3h.
    pub orders: Rate,
    /// Certificates for one registered domain. Default 50/7d.
    pub per_domain: Rate,
    /// Certificates for exactly the same names. Default 5/7d.
    pub per_set: Rate,
    /// Failed validations of one name. Default 5/1h.
    pub failures: Rate,
}

/// So many per time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    pub number: u32,
    pub per: Duration,
}

#[derive(Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    pub key_id: String,
    /// The HMAC key, decoded.
    pub key: Secret,
}

/// The kind of a certificate's key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyKind {
    P256,
    Rsa2048,
}

/// `[acme.dns]`: how TXT records for dns-01 are set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DnsProvider {
    pub kind: DnsProviderKind,
    /// The zone in which customers' `_acme-challenge` CNAMEs end: `<id>.<delegation>`. Default: wildcard domains of
    /// customers are refused.
    pub delegation: Option<Hostname>,
    /// How long to wait, at most, until the zone's servers show a record that was set. Default 60 s.
    pub propagation: Duration,
    /// How long a record lives in caches. Default 60 s.
    pub ttl: Duration,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DnsProviderKind {
    /// Dynamic update (RFC 2136), signed with TSIG (RFC 8945).
    Rfc2136(Rfc2136),
    /// A program, called as `<program> set|clear <name> <value>`.
    Command(PathBuf),
}

#[derive(Clone, PartialEq, Eq)]
pub struct Rfc2136 {
    pub server: SocketAddr,
    pub zone: Hostname,
    pub key_name: Hostname,
    pub algorithm: TsigAlgorithm,
    pub secret: Secret,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TsigAlgorithm {
    HmacSha256,
    HmacSha384,
    HmacSha512,
}

impl Acme {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let kinds = [("p256", KeyKind::P256), ("rsa2048", KeyKind::Rsa2048)];
        let read = section.sections("authority", |section| {
            let spot = section.spot("name");
            (Authority::read(section), spot)
        });
        let mut names: Vec<&str> = Vec::new();
        for (authority, spot) in &read {
            let Some(authority) = authority else { continue };
            if names.contains(&authority.name.as_str()) {
                section.fault_at(spot, format!("a second authority of the name \"{}\"", authority.name));
            }
            names.push(&authority.name);
        }
        Self {
            authorities: read.into_iter().filter_map(|(authority, _)| authority).collect(),
            contact: section.texts("contact", CONTACT, contact),
            key: section.choice("key", &kinds, KeyKind::P256),
            concurrency: section.number("concurrency", 1..=1_000, 32),
            self_probe: section.flag("self_probe", true),
            http_port: section.number("http_port", 1..=u16::MAX, 80),
            tls_port: section.number("tls_port", 1..=u16::MAX, 443),
            deadline: section.duration("deadline", SECOND..=300 * SECOND, 30 * SECOND),
            node_wait: section.duration("node_wait", SECOND / 10..=300 * SECOND, 10 * SECOND),
            failover_after: section.duration("failover_after", Duration::ZERO..=24 * HOUR, 600 * SECOND),
            dns: section.optional_section("dns", DnsProvider::read).flatten(),
        }
    }
}

impl Authority {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let name = section.required("name", NAME, parsers::name);
        let directory = section.required("directory", URL, parsers::url);
        let eab = section.optional_section("eab", |section| {
            let key_id =
                section.required("key_id", KEY_ID, |text| if text.is_empty() { Err("") } else { Ok(text.to_owned()) });
            let key = section.secret("key", SECRET, decoded);
            Some(ExternalAccount { key_id: key_id?, key: key? })
        });
        let roots = section.text("roots", PATH, parsers::path);
        let profile =
            section.text("profile", PROFILE, |text| if text.is_empty() { Err("") } else { Ok(text.to_owned()) });
        let caa = section.texts("caa", HOSTNAME, parsers::hostname);
        let limits = section.section("limits", AuthorityLimits::read);
        Some(Self { name: name?, directory: directory?, roots, profile, eab: eab.flatten(), caa, limits })
    }
}

impl AuthorityLimits {
    fn read(section: &mut Section<'_>) -> Self {
        let day = 24 * HOUR;
        let mut rate = |key, number, per| section.text(key, RATE, Rate::parse).unwrap_or(Rate { number, per });
        Self {
            orders: rate("orders", 300, 3 * HOUR),
            per_domain: rate("per_domain", 50, 7 * day),
            per_set: rate("per_set", 5, 7 * day),
            failures: rate("failures", 5, HOUR),
        }
    }
}

impl Rate {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (number, per) = text.split_once('/').ok_or("")?;
        let number = number.parse().ok().filter(|number| (1..=1_000_000).contains(number)).ok_or("")?;
        let per = parse_duration(per).filter(|per| (SECOND..=366 * 24 * HOUR).contains(per)).ok_or("")?;
        Ok(Self { number, per })
    }
}

impl DnsProvider {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let kind = section.required("provider", "\"rfc2136\" or \"command\"", |text| match text {
            "rfc2136" => Ok(true),
            "command" => Ok(false),
            _ => Err(""),
        });
        if kind.is_none() {
            section.forgive_unknown();
        }
        let delegation = section.text("delegation", HOSTNAME, parsers::hostname);
        let propagation = section.duration("propagation", SECOND..=HOUR, 60 * SECOND);
        let ttl = section.duration("ttl", SECOND..=HOUR, 60 * SECOND);
        let update = section.when(kind == Some(true), Rfc2136::read).flatten().map(DnsProviderKind::Rfc2136);
        let command = section.when(kind == Some(false), |section| section.required("command", PATH, parsers::path));
        let kind = update.or(command.flatten().map(DnsProviderKind::Command))?;
        Some(Self { kind, delegation, propagation, ttl })
    }
}

impl Rfc2136 {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let algorithms = [
            ("hmac-sha256", TsigAlgorithm::HmacSha256),
            ("hmac-sha384", TsigAlgorithm::HmacSha384),
            ("hmac-sha512", TsigAlgorithm::HmacSha512),
        ];
        let server = section.required("server", SOCKET, parsers::socket);
        let zone = section.required("zone", HOSTNAME, parsers::hostname);
        let key_name = section.required("key_name", HOSTNAME, parsers::hostname);
        let algorithm = section.choice("algorithm", &algorithms, TsigAlgorithm::HmacSha256);
        let secret = section.secret("secret", SECRET, decoded);
        Some(Self { server: server?, zone: zone?, key_name: key_name?, algorithm, secret: secret? })
    }
}

fn contact(text: &str) -> Result<String, &'static str> {
    let address = text.strip_prefix("mailto:").ok_or("it begins with mailto:")?;
    let good = address.contains('@') && !address.contains(|c: char| c.is_whitespace() || c == ',' || c == '?');
    if good { Ok(text.to_owned()) } else { Err("") }
}

/// Base64, with either alphabet, padded or not.
fn decoded(text: &str) -> Option<Secret> {
    use base64::Engine;
    use base64::alphabet::{STANDARD, URL_SAFE};
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [STANDARD, URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, config).decode(text.trim()).ok())
        .filter(|key| !key.is_empty())
        .map(Secret::from)
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("name", &self.name)
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Rfc2136 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rfc2136").field("server", &self.server).field("zone", &self.zone).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_numbers_per_time() {
        assert_eq!(Rate::parse("300/3h"), Ok(Rate { number: 300, per: 3 * HOUR }));
        for text in ["", "300", "0/3h", "300/0s", "/3h", "300/3", "300 / 3h", "-1/1h"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_come_in_either_alphabet() {
        for text in ["+/+/", "-_-_", "aGVsbG8=", "aGVsbG8"] {
            assert!(decoded(text).is_some(), "{text}");
        }
        for text in ["", "=", "a b", "ü"] {
            assert!(decoded(text).is_none(), "{text}");
        }
    }

    #[test]
    fn contacts_are_mail_addresses() {
        assert!(contact("mailto:ops@example.com").is_ok());
        for text in ["", "ops@example.com", "mailto:", "mailto:ops", "mailto:a@b,c@d", "tel:+1"] {
            assert!(contact(text).is_err(), "{text}");
        }
    }
}
