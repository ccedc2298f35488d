//! `[tls]`: what every TLS listener has in common.

use std::path::PathBuf;
use std::time::Duration;

use super::beside;
use super::parsers::{self, PATH};
use super::section::Section;

/// `[tls]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tls {
    /// Refuse TLS 1.2. Default false.
    pub min_version_13: bool,
    /// From the first byte to the end of the handshake. Default 10 s.
    pub handshake_timeout: Duration,
    /// A certificate for names that nobody knows; without one (the default) their handshake is refused.
    pub fallback: Option<FallbackCertificate>,
    /// How long the first visitor of a domain whose certificate is being ordered waits for it. Default 5 s.
    pub certificate_wait: Duration,
    /// Certificates kept parsed and ready. Default 20,000.
    pub cache: u64,
}

/// `[tls.fallback]`: PEM files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FallbackCertificate {
    pub chain: PathBuf,
    pub key: PathBuf,
}

impl Tls {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let timeouts = Duration::from_millis(100)..=Duration::from_secs(600);
        Self {
            min_version_13: section.choice("min_version", &[("1.2", false), ("1.3", true)], false),
            handshake_timeout: section.duration("handshake_timeout", timeouts, Duration::from_secs(10)),
            fallback: section.optional_section("fallback", FallbackCertificate::read).flatten(),
            certificate_wait: section.duration(
                "certificate_wait",
                Duration::ZERO..=Duration::from_secs(30),
                Duration::from_secs(5),
            ),
            cache: section.number("cache", 1..=10_000_000, 20_000),
        }
    }
}

impl FallbackCertificate {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let chain = section.required("chain", PATH, parsers::path);
        let key = section.required("key", PATH, parsers::path);
        let (chain, key) = (chain?, key?);
        let chain = beside::certificates(section, "chain", chain)?.path;
        beside::private_key(section, "key", &key);
        Some(Self { chain, key })
    }
}
