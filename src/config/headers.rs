//! `[headers]`: what is believed from in front, and what backends are told.

use ipnet::IpNet;

use super::parsers::{self, NETWORK};
use super::section::Section;
use crate::model::Brand;

const ISSUER: &str = "1 to 200 visible characters, such as \"https://connect.example.com\"";

/// `[headers]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Headers {
    /// Whose `X-Forwarded-For`, `X-Forwarded-Proto`, `X-Request-Id` and `traceparent` are believed. Default: nobody's.
    pub trusted_proxies: Vec<IpNet>,
    /// `iss` of the assertion. Default `https://<base>`.
    pub issuer: String,
}

impl Headers {
    pub(super) fn read(section: &mut Section<'_>, brand: Option<&Brand>) -> Self {
        let default = || brand.map(|brand| format!("https://{}", brand.base)).unwrap_or_default();
        Self {
            trusted_proxies: section.texts("trusted_proxies", NETWORK, parsers::network),
            issuer: section.text("issuer", ISSUER, issuer).unwrap_or_else(default),
        }
    }
}

fn issuer(text: &str) -> Result<String, &'static str> {
    let good = (1..=200).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if good { Ok(text.to_owned()) } else { Err("") }
}
