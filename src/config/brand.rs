//! `[brand]`: the installation's own names.

use super::parsers::{self, HOSTNAME, TITLE, URL};
use super::section::Section;
use crate::model::{Brand, Slug};

const BASE: &str = "connect.arythmatic.cloud";
const TXT_LABEL: &str = "one label with an underscore before it, such as \"_acme-verification\"";
const TXT_PREFIX: &str = "1 to 64 visible ASCII characters, such as \"acme-verify=\"";
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

    if base_is_wrong {
        return None;
    }
    let base = base.or_else(|| parsers::hostname(BASE).ok())?;
    if base.labels().count() == 1 {
        section.fault("base", format!("found \"{base}\", expected a name with a dot: tenants live beneath it"));
    }
    for (host, spot) in &own_hosts {
        if *host == base || host.beneath(&base).is_some() {
            let message = format!("{host} is the base domain or lies beneath it; name its label under brand.reserved");
            section.fault_at(spot, message);
        }
    }
    let mut brand = Brand::for_base(base);
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
    Some(brand)
}

/// An underscore keeps it out of the way of hosts (RFC 8552).
fn txt_label(text: &str) -> Result<String, &'static str> {
    let rest = text.strip_prefix('_').ok_or("it begins with an underscore")?;
    Slug::parse(rest).map(|_| text.to_owned()).map_err(|_| "")
}

fn txt_prefix(text: &str) -> Result<String, &'static str> {
    let good = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    if (1..=64).contains(&text.len()) && text.bytes().all(good) { Ok(text.to_owned()) } else { Err("") }
}

fn key_prefix(text: &str) -> Result<String, &'static str> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if (1..=16).contains(&text.len()) && text.bytes().all(good) { Ok(text.to_owned()) } else { Err("") }
}
