//! `[brand]`: the installation's own names.

use super::parsers::{self, HOSTNAME, TITLE, URL};
use super::section::Section;
use crate::model::{Brand, Slug};

const BASE: &str = "connect.arythmatic.cloud";
const TXT_LABEL: &str = "one label of 2 to 63 characters with an underscore before it, such as \"_acme-verification\"";
const TXT_PREFIX: &str = "1 to 64 visible ASCII characters but \\ and quotes, such as \"acme-verify=\"";
const KEY_PREFIX: &str = "1 to 16 lowercase letters and digits, such as \"acme\"";
const LABEL: &str = "one label under the base domain, such as \"shop\"";

/// `None` when the base domain is none; the fault is noted.
pub(super) fn read(section: &mut Section<'_>) -> Option<Brand> {
    let name = section.text("name", TITLE, parsers::title);
    let base = section.text("base", HOSTNAME, parsers::hostname);
    let base_is_wrong = base.is_none() && section.has("base");
    let more = section.texts("reserved", LABEL, Slug::parse);
    let console = section.text("console", LABEL, Slug::parse).map(|slug| slug.to_string());
    let own_hosts = section.spotted_texts("own_hosts", HOSTNAME, parsers::hostname);
    let main_site = section.text("main_site", URL, parsers::url);
    let edge_label = section.text("edge_label", LABEL, Slug::parse).map(|slug| slug.to_string());
    let verification_label = section.text("verification_label", TXT_LABEL, txt_label);
    let verification_prefix = section.text("verification_prefix", TXT_PREFIX, txt_prefix);
    let key_prefix = section.text("key_prefix", KEY_PREFIX, key_prefix);
    let directory = section.flag("directory", false);

    if base_is_wrong {
        return None;
    }
    let base = base.or_else(|| parsers::hostname(BASE).ok())?;
    for (host, spot) in &own_hosts {
        if *host == base || host.beneath(&base).is_some() {
            let message = format!("{host} is the base domain or lies beneath it; name its label under brand.reserved");
            section.fault_at(spot, message);
        }
    }
    let mut brand = Brand::for_base(base);
    brand.directory = directory;
    brand.own_hosts = own_hosts.into_iter().map(|(host, _)| host).collect();
    brand.reserved.extend(more.iter().map(Slug::to_string));
    let texts = [
        (name, &mut brand.name),
        (console, &mut brand.console),
        (main_site, &mut brand.main_site),
        (edge_label, &mut brand.edge_label),
        (verification_label, &mut brand.verification_label),
        (verification_prefix, &mut brand.verification_prefix),
        (key_prefix, &mut brand.key_prefix),
    ];
    for (text, place) in texts {
        if let Some(text) = text {
            *place = text;
        }
    }
    // Customers' CNAMEs point there, so no tenant can have it.
    brand.reserved.insert(brand.edge_label.clone());
    check_names(section, &brand);
    Some(brand)
}

/// What the names must be to each other.
fn check_names(section: &Section<'_>, brand: &Brand) {
    let Brand { base, console, edge_label, .. } = brand;
    if base.labels().count() == 1 {
        section.fault("base", format!("found \"{base}\", expected a name with a dot: tenants live beneath it"));
    }
    if console == edge_label {
        section.fault("edge_label", "the console has this label; customers' domains do not point at the console");
    }
    if let Err(error) = base.child(edge_label) {
        section.fault("edge_label", format!("with the base domain behind it, it is no host name: {error}"));
    }
}

/// An underscore keeps it out of the way of hosts (RFC 8552).
fn txt_label(text: &str) -> Result<String, &'static str> {
    let rest = text.strip_prefix('_').ok_or("it begins with an underscore")?;
    // With the underscore, it is a label yet (RFC 1035 §2.3.4).
    if text.len() <= 63 && Slug::parse(rest).is_ok() { Ok(text.to_owned()) } else { Err("") }
}

fn txt_prefix(text: &str) -> Result<String, &'static str> {
    let good = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'\\');
    if (1..=64).contains(&text.len()) && text.bytes().all(good) { Ok(text.to_owned()) } else { Err("") }
}

/// Underscores separate the parts of a key.
fn key_prefix(text: &str) -> Result<String, &'static str> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if (1..=Brand::KEY_PREFIX_MAX).contains(&text.len()) && text.bytes().all(good) {
        Ok(text.to_owned())
    } else {
        Err("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Hostname;

    #[test]
    fn the_defaults_keep_the_rules_for_what_is_configured() {
        let brand = Brand::for_base(Hostname::parse(BASE).unwrap());
        assert_eq!(parsers::title(&brand.name).as_deref(), Ok(brand.name.as_str()));
        assert_eq!(parsers::url(&brand.main_site).as_deref(), Ok(brand.main_site.as_str()));
        assert!(Slug::parse(&brand.console).is_ok() && Slug::parse(&brand.edge_label).is_ok());
        assert_eq!(txt_label(&brand.verification_label).as_deref(), Ok(brand.verification_label.as_str()));
        assert_eq!(txt_prefix(&brand.verification_prefix).as_deref(), Ok(brand.verification_prefix.as_str()));
        assert_eq!(key_prefix(&brand.key_prefix).as_deref(), Ok(brand.key_prefix.as_str()));
        assert!(brand.reserved.contains(&brand.edge_label));
    }

    #[test]
    fn strings_have_their_bounds() {
        assert!(txt_label("_a").is_ok() && txt_label(&format!("_{}", "a".repeat(62))).is_ok());
        for text in ["", "_", "a", "_a.b", "_A", "_-a", "_a-", "_ä", &format!("_{}", "a".repeat(63))] {
            assert!(txt_label(text).is_err(), "{text}");
        }
        assert!(txt_prefix(&"a".repeat(64)).is_ok());
        for text in ["", "a b", "a\"", "a'", "a\\", "ä", &"a".repeat(65)] {
            assert!(txt_prefix(text).is_err(), "{text}");
        }
        assert!(key_prefix("a1").is_ok() && key_prefix(&"a".repeat(16)).is_ok());
        for text in ["", "Arc", "a_b", "a-b", &"a".repeat(17)] {
            assert!(key_prefix(text).is_err(), "{text}");
        }
    }
}
