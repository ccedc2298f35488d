//! `[[admin.oidc]]`: the OpenID Connect providers through which people sign in. No client secret ever shows in a fault or in
//! `Debug`.

use std::fmt;
use std::path::PathBuf;

use super::parsers::{self, HOSTNAME, NAME, PATH};
use super::secrets::Secret;
use super::section::Section;

const ISSUER: &str = "an issuer such as \"https://login.example.com\"";
const CLIENT: &str = "the client's identifier, as the provider gave it";
const SECRET: &str =
    "the client's secret, as the provider gave it, or where it is: \"file:<path>\" or \"credential:<name>\"";
const SCOPE: &str = "a scope such as \"email\", without a blank";

/// `[[admin.oidc]]`
#[derive(Clone, PartialEq, Eq)]
pub struct OidcProvider {
    /// What it is called in URLs and in the ledger.
    pub name: String,
    /// Its issuer identifier, exactly as its tokens have it (OpenID Connect Core 1.0 §2).
    pub issuer: String,
    pub client_id: String,
    pub client_secret: Secret,
    /// Asked for beside `openid`. Default `email` and `profile`.
    pub scopes: Vec<String>,
    /// The domains of e-mail addresses that may sign in. Empty, the default: any.
    pub email_domains: Vec<String>,
    /// Whether an e-mail address that it has verified makes somebody the person here who has that address: whoever runs the
    /// provider can then be anybody with such an address. Default: where `email_domains` says which those are.
    pub link_by_email: bool,
    /// Whether somebody unknown becomes a person by signing in. Default false.
    pub create_people: bool,
    /// A PEM file of trust anchors for its HTTPS. Default: the system's.
    pub roots: Option<PathBuf>,
}

impl OidcProvider {
    pub(super) fn read_all(section: &mut Section<'_>) -> Vec<Self> {
        let read = section.sections("oidc", |section| {
            let spot = section.spot("name");
            (Self::read(section), spot)
        });
        let mut names: Vec<&str> = Vec::new();
        for (provider, spot) in &read {
            let Some(provider) = provider else { continue };
            if names.contains(&provider.name.as_str()) {
                section.fault_at(spot, format!("a second provider of the name \"{}\"", provider.name));
            }
            names.push(&provider.name);
        }
        read.into_iter().filter_map(|(provider, _)| provider).collect()
    }

    fn read(section: &mut Section<'_>) -> Option<Self> {
        let name = section.required("name", NAME, provider_name);
        let issuer = section.required("issuer", ISSUER, issuer);
        let filled = |text: &str| if text.is_empty() { Err("") } else { Ok(text.to_owned()) };
        let client_id = section.required("client_id", CLIENT, filled);
        let text = |text: &str| (!text.is_empty()).then(|| Secret::from(text.as_bytes().to_vec()));
        let client_secret = section.secret("client_secret", SECRET, text);
        let usual = || ["email", "profile"].map(str::to_owned).to_vec();
        let given = section.has("scopes");
        let scopes = section.texts("scopes", SCOPE, scope);
        let domains = section.texts("email_domains", HOSTNAME, parsers::hostname);
        let link_by_email = section.flag("link_by_email", !domains.is_empty());
        let create_people = section.flag("create_people", false);
        let roots = section.text("roots", PATH, parsers::path);
        Some(Self {
            name: name?,
            issuer: issuer?,
            client_id: client_id?,
            client_secret: client_secret?,
            scopes: if given { scopes } else { usual() },
            email_domains: domains.into_iter().map(|domain| domain.to_string()).collect(),
            link_by_email,
            create_people,
            roots,
        })
    }
}

impl fmt::Debug for OidcProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcProvider").field("name", &self.name).field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// `password` is how people sign in without a provider.
fn provider_name(text: &str) -> Result<String, &'static str> {
    if text == "password" { Err("that is the way without a provider") } else { parsers::name(text) }
}

/// HTTPS, but for this machine itself; no query and no fragment (OpenID Connect Discovery 1.0 §3).
fn issuer(text: &str) -> Result<String, &'static str> {
    parsers::url(text)?;
    let uri: http::Uri = text.parse().map_err(|_| "it cannot be read")?;
    let local = matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match uri.scheme_str() {
        _ if text.contains(['?', '#']) => Err("it has no query and no fragment"),
        Some("https") => Ok(text.to_owned()),
        _ if local => Ok(text.to_owned()),
        _ => Err("it starts with https://"),
    }
}

/// A scope token (RFC 6749 §3.3).
fn scope(text: &str) -> Result<String, &'static str> {
    let good = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    if !text.is_empty() && text.bytes().all(good) { Ok(text.to_owned()) } else { Err("") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_are_https_unless_they_are_this_machine() {
        for text in
            ["https://login.example.com", "https://login.example.com/realms/a", "http://127.0.0.1:4593/api/oidc"]
        {
            assert_eq!(issuer(text).as_deref(), Ok(text));
        }
        for text in
            ["", "login.example.com", "http://login.example.com", "https://a.example/?b", "https://a.example/#b"]
        {
            assert!(issuer(text).is_err(), "{text}");
        }
    }
}
