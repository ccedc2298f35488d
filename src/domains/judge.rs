//! From what was seen to a verdict on each record. Pure: looks in, findings out.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::Ipv4Net;

use super::diagnosis::{Finding, Verdict};
use crate::dns::Look;
use crate::model::Hostname;
use crate::tenancy::Wanted;

/// The looks at a claim's records.
#[derive(Clone, Debug)]
pub struct Seen {
    pub proof: Look,
    /// The proof's name with the domain twice, as some providers' forms make it; looked at only where the proof is missing.
    pub doubled: Option<Look>,
    /// The CNAME of the name that visitors use.
    pub cname: Look,
    /// Its addresses, of both families.
    pub addresses: [Look; 2],
    /// The addresses that lead here; `None`: nobody could be asked, and then no address is wrong.
    pub ours: Option<Vec<IpAddr>>,
    /// The `_acme-challenge` name: its CNAME and its TXT records.
    pub challenge: [Look; 2],
    /// The CAA records that count for the name, from itself or from above (RFC 8659 §3).
    pub caa: Look,
}

impl Seen {
    /// The addresses that visitors are led to.
    fn found(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().flat_map(|look| look.records()).filter_map(|text| text.parse().ok())
    }
}

/// Whether this is the proof that a claim asks for, among others or alone. Some forms keep the quotes of a zone file.
pub fn proves(look: &Look, value: &str) -> bool {
    look.records().iter().any(|text| bare(text) == value)
}

fn bare(text: &str) -> &str {
    text.trim().trim_matches('"').trim()
}

/// Whether any address was seen that visitors are led to.
pub fn has_address(seen: &Seen) -> bool {
    seen.found().next().is_some()
}

/// The ownership record.
pub fn proof(wanted: &Wanted, prefix: &str, seen: &Seen) -> Finding {
    let (name, value) = &wanted.proof;
    let expected = vec![value.clone()];
    if let Some(finding) = Finding::without_answer(&seen.proof, expected.clone()) {
        return finding;
    }
    if proves(&seen.proof, value) {
        return Finding::of(&seen.proof, expected, Verdict::Ok, String::new());
    }
    let records: Vec<&str> = seen.proof.records().iter().map(|text| bare(text)).collect();
    let doubled = seen.doubled.as_ref().filter(|look| proves(look, value));
    let (verdict, advice) = match (doubled, records.first()) {
        (Some(look), _) => (
            Verdict::Wrong,
            format!(
                "The record was set at {}: your provider adds the domain by itself, so leave it out of the name.",
                look.name
            ),
        ),
        (None, None) => (Verdict::Missing, format!("Set a TXT record at {name} with the value {value}")),
        (None, Some(_)) if records.iter().any(|text| text.starts_with(prefix)) => (
            Verdict::Wrong,
            format!("The TXT record at {name} is of another claim: replace it, or add one with the value {value}"),
        ),
        (None, Some(_)) => {
            (Verdict::Wrong, format!("The TXT record at {name} says something else: add one with the value {value}"))
        }
    };
    Finding::of(&seen.proof, expected, verdict, advice)
}

/// Whether visitors are led here: by the CNAME, or by addresses.
pub fn traffic(wanted: &Wanted, seen: &Seen) -> Finding {
    let by_address = |verdict, advice| {
        let expected = ours(seen).iter().map(IpAddr::to_string).collect();
        let look = seen.addresses.iter().find(|look| !look.records().is_empty()).unwrap_or(&seen.addresses[0]);
        let mut finding = Finding::of(look, expected, verdict, advice);
        finding.seen = seen.addresses.iter().flat_map(|look| look.records()).cloned().collect();
        finding
    };
    let by_name = |verdict, advice| Finding::of(&seen.cname, vec![wanted.edge.clone()], verdict, advice);
    if seen.cname.records().iter().any(|target| target.eq_ignore_ascii_case(&wanted.edge)) {
        return by_name(Verdict::Ok, String::new());
    }
    let found: Vec<IpAddr> = seen.found().collect();
    if !found.is_empty() {
        return match &seen.ours {
            None => {
                let why = format!("The addresses of {} could not be looked up; we will ask again.", wanted.edge);
                by_address(Verdict::Unknown, why)
            }
            Some(ours) if found.iter().all(|address| ours.contains(address)) => by_address(Verdict::Ok, String::new()),
            Some(_) => by_address(Verdict::Wrong, elsewhere(wanted, seen, &found)),
        };
    }
    // No address at all: either there is none, or nobody has said.
    for look in [&seen.addresses[0], &seen.addresses[1], &seen.cname] {
        if let Some(finding) = Finding::without_answer(look, vec![wanted.edge.clone()]) {
            return finding;
        }
    }
    match seen.cname.records().first() {
        Some(target) => {
            let advice =
                format!("{} is a CNAME to {target}, which has no address: point it at {}", wanted.visited, wanted.edge);
            by_name(Verdict::Wrong, advice)
        }
        None if wanted.apex => by_address(Verdict::Missing, to_set(wanted, seen)),
        None => by_name(Verdict::Missing, to_set(wanted, seen)),
    }
}

fn ours(seen: &Seen) -> &[IpAddr] {
    seen.ours.as_deref().unwrap_or_default()
}

/// The sentence for a name that leads to somebody else.
fn elsewhere(wanted: &Wanted, seen: &Seen, found: &[IpAddr]) -> String {
    let name = &wanted.visited;
    let strangers: Vec<String> =
        found.iter().filter(|address| !ours(seen).contains(address)).map(IpAddr::to_string).collect();
    if strangers.len() < found.len() {
        return format!("Some addresses of {name} are ours and some are not: remove {}", strangers.join(", "));
    }
    if found.iter().any(|address| is_cloudflare(*address)) {
        return format!(
            "{name} leads to Cloudflare's proxy: switch the record to \"DNS only\" there. {}",
            to_set(wanted, seen)
        );
    }
    match seen.cname.records().first() {
        Some(target) => format!("{name} leads to {target}, which is not us. {}", to_set(wanted, seen)),
        None => format!("{name} leads to {}, which is not us. {}", strangers.join(", "), to_set(wanted, seen)),
    }
}

fn to_set(wanted: &Wanted, seen: &Seen) -> String {
    let (name, edge) = (&wanted.visited, &wanted.edge);
    if !wanted.apex {
        return format!("Set a CNAME record at {name} to {edge}");
    }
    let addresses: Vec<String> = ours(seen).iter().map(IpAddr::to_string).collect();
    match addresses.is_empty() {
        true => format!("A domain itself can have no CNAME: set an ALIAS or ANAME record at {name} to {edge}"),
        false => format!(
            "A domain itself can have no CNAME: set an ALIAS or ANAME record at {name} to {edge}, or address records to {}",
            addresses.join(", ")
        ),
    }
}

/// What is left, or needed, at `_acme-challenge`.
pub fn challenge(wanted: &Wanted, seen: &Seen) -> Option<Finding> {
    let [cname, txt] = &seen.challenge;
    let Some((name, target)) = &wanted.delegation else {
        // Nothing is needed there; what is there was somebody else's.
        let left = [cname, txt].into_iter().find(|look| !look.records().is_empty())?;
        let advice = format!("{} is left from another provider: it does no harm here, and can be removed.", left.name);
        return Some(Finding::of(left, Vec::new(), Verdict::Stale, advice));
    };
    let expected = vec![target.clone()];
    if let Some(finding) = Finding::without_answer(cname, expected.clone()) {
        return Some(finding);
    }
    let ok = cname.records().iter().any(|seen| seen.eq_ignore_ascii_case(target));
    let (verdict, advice) = match (ok, cname.records().first(), txt.records().first()) {
        (true, ..) => (Verdict::Ok, String::new()),
        (false, Some(other), _) => {
            (Verdict::Wrong, format!("{name} is a CNAME to {other}: a wildcard needs it to lead to {target}"))
        }
        (false, None, Some(_)) => {
            (Verdict::Wrong, format!("{name} has TXT records of another provider: replace them by a CNAME to {target}"))
        }
        (false, None, None) => (Verdict::Missing, format!("Set a CNAME record at {name} to {target}")),
    };
    Some(Finding::of(cname, expected, verdict, advice))
}

/// Whether the CAA records let one of our authorities issue. `ours`: the names by which they are allowed; empty where that
/// is not configured, and then nothing is judged.
pub fn caa(ours: &[Hostname], wildcard: bool, seen: &Seen) -> Option<Finding> {
    if ours.is_empty() {
        return None;
    }
    let expected: Vec<String> = ours.iter().map(|name| format!("0 issue \"{name}\"")).collect();
    if let Some(finding) = Finding::without_answer(&seen.caa, expected.clone()) {
        return Some(finding);
    }
    let records: Vec<(String, String)> = seen.caa.records().iter().filter_map(|text| property(text)).collect();
    let of = |tag: &str| records.iter().filter(|(found, _)| found == tag).map(|(_, value)| value).collect::<Vec<_>>();
    // For a wildcard `issuewild` counts, and `issue` where there is none (RFC 8659 §4.3).
    let wild = of("issuewild");
    let rules = if wildcard && !wild.is_empty() { wild } else { of("issue") };
    if rules.is_empty() {
        return None;
    }
    let allowed: BTreeSet<&str> =
        rules.iter().map(|value| value.split(';').next().unwrap_or_default().trim()).collect();
    let ok = ours.iter().any(|name| allowed.contains(name.as_str()));
    let (verdict, advice) = match ok {
        true => (Verdict::Ok, String::new()),
        false => {
            let tag = if wildcard { "issuewild" } else { "issue" };
            let advice =
                format!("The CAA records at {} forbid our authority: add 0 {tag} \"{}\"", seen.caa.name, ours[0]);
            (Verdict::Wrong, advice)
        }
    };
    Some(Finding::of(&seen.caa, expected, verdict, advice))
}

/// Tag and value of `0 issue "ca.example; key=value"`.
fn property(text: &str) -> Option<(String, String)> {
    let mut parts = text.splitn(3, ' ');
    let _flags = parts.next()?;
    let tag = parts.next()?.to_ascii_lowercase();
    let value = parts.next()?.trim().trim_matches('"').to_ascii_lowercase();
    Some((tag, value))
}

/// Cloudflare's proxy (<https://www.cloudflare.com/ips-v4>, November 2026), the one that customers most often have in front
/// without knowing.
fn is_cloudflare(address: IpAddr) -> bool {
    const RANGES: &[(u32, u8)] = &[
        (0x6810_0000, 13), // 104.16.0.0/13
        (0x6818_0000, 14), // 104.24.0.0/14
        (0xac40_0000, 13), // 172.64.0.0/13
        (0xa29e_0000, 15), // 162.158.0.0/15
        (0xbc72_6000, 20), // 188.114.96.0/20
        (0x8d65_4000, 18), // 141.101.64.0/18
    ];
    let IpAddr::V4(address) = address else { return false };
    RANGES.iter().any(|(net, prefix)| Ipv4Net::new((*net).into(), *prefix).is_ok_and(|net| net.contains(&address)))
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
