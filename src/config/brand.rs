//! `[brand]`: the installation's own names.

use super::parsers::{self, HOSTNAME, TITLE, URL};
use super::section::Section;
use crate::model::{Brand, Slug};

const BASE: &str = "connect.arythmatic.cloud";
const NAME: &str = "Arythmatic Connect";
const CONSOLE: &str = "ops";
const LABEL: &str = "one label under the base domain, such as \"shop\"";

/// `None` when the base domain is none; the fault is noted.
pub(super) fn read(section: &mut Section<'_>) -> Option<Brand> {
    let name = section.text("name", TITLE, parsers::title).unwrap_or_else(|| NAME.to_owned());
    let base = section.text("base", HOSTNAME, parsers::hostname);
    let base_is_wrong = base.is_none() && section.has("base");
    let more = section.texts("reserved", LABEL, Slug::parse);
    let console = section.text("console", LABEL, Slug::parse).map_or(CONSOLE.to_owned(), |slug| slug.to_string());
    let own_hosts = section.spotted_texts("own_hosts", HOSTNAME, parsers::hostname);
    let main_site = section.text("main_site", URL, parsers::url);

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
    let reserved = Brand::RESERVED.iter().map(|label| (*label).to_owned());
    Some(Brand {
        name,
        reserved: reserved.chain(more.iter().map(Slug::to_string)).collect(),
        console,
        own_hosts: own_hosts.into_iter().map(|(host, _)| host).collect(),
        main_site: main_site.unwrap_or_else(|| format!("https://{base}/")),
        base,
    })
}
