//! `[domains]`: how custom domains are proven, and what becomes of those that lead elsewhere.

use std::net::IpAddr;
use std::time::Duration;

use super::section::Section;

const ADDRESS: &str = "an IP address such as \"192.0.2.1\"";
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// `[domains]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Domains {
    /// The addresses that visitors reach the edge at: what an apex domain, which can have no CNAME, is told to use. Default:
    /// none, and they are looked up at `<edge_label>.<base>`.
    pub addresses: Vec<IpAddr>,
    /// How long a claim is looked at by itself before it is `failed`. Default 7 days.
    pub pending_for: Duration,
    /// How often a held domain is looked at again. Default a day.
    pub recheck: Duration,
    /// How long a domain that leads elsewhere is kept, and a holder whose domain is challenged is warned. Default 7 days.
    pub grace: Duration,
    /// How long a released name rests before somebody else can have it. Default a day.
    pub cooldown: Duration,
    /// How many looks at one claim can be asked for within ten minutes. Default 10.
    pub verify_limit: u32,
    /// Claims looked at at the same time. Default 16.
    pub concurrency: u32,
}

impl Domains {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            addresses: section.texts("addresses", ADDRESS, |text| text.parse::<IpAddr>().map_err(|_| "")),
            pending_for: section.duration("pending_for", MINUTE..=90 * DAY, 7 * DAY),
            recheck: section.duration("recheck", MINUTE..=30 * DAY, DAY),
            grace: section.duration("grace", MINUTE..=90 * DAY, 7 * DAY),
            cooldown: section.duration("cooldown", Duration::ZERO..=90 * DAY, DAY),
            verify_limit: section.number("verify_limit", 1..=1_000, 10),
            concurrency: section.number("concurrency", 1..=1_000, 16),
        }
    }
}
