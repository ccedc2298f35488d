//! Asks for all the records of a claim at once, and puts together what they come to.

use std::net::IpAddr;

use super::diagnosis::{Diagnosis, Finding, Verdict};
use super::judge::{self, Seen};
use super::{Domains, life};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::dns::{Look, Outcome, RecordKind};
use crate::model::{Domain, DomainName, DomainState, Hostname};
use crate::tenancy::{Wanted, wanted};

/// The names above a name that are asked for CAA records.
const MOST_ABOVE: usize = 10;

impl Domains {
    /// Asks for everything that matters to this claim.
    pub(super) async fn see(&self, wanted: &Wanted, name: &DomainName) -> Seen {
        let host = name.host().as_str();
        let challenge = format!("_acme-challenge.{host}");
        let delegated = wanted.delegation.as_ref().map(|(_, target)| target);
        // Where a "no" out of a cache delays nobody, the zone is not asked as well.
        let (proof, cname, four, six, ours, alias, txt, caa) = tokio::join!(
            self.dns.look_for(&wanted.proof.0, RecordKind::Txt, |look| judge::proves(look, &wanted.proof.1)),
            self.dns.look_for(&wanted.visited, RecordKind::Cname, |look| look.records().contains(&wanted.edge)),
            self.answer(&wanted.visited, RecordKind::A),
            self.answer(&wanted.visited, RecordKind::Aaaa),
            self.ours(wanted),
            self.dns.look_for(&challenge, RecordKind::Cname, |look| match delegated {
                Some(target) => look.records().contains(target),
                None => look.is_answer(),
            }),
            self.answer(&challenge, RecordKind::Txt),
            self.caa_of(name.host()),
        );
        let missing = matches!(proof.outcome, Outcome::NoRecords | Outcome::NoName);
        let doubled = match missing {
            true => Some(self.answer(&format!("{}.{host}", wanted.proof.0), RecordKind::Txt).await),
            false => None,
        };
        let mut seen = Seen { proof, doubled, cname, addresses: [four, six], ours, challenge: [alias, txt], caa };
        let verdict = judge::traffic(wanted, &seen).verdict;
        if matches!(verdict, Verdict::Wrong | Verdict::Missing) || !judge::has_address(&seen) {
            // The addresses may be those of yesterday, out of a cache.
            for look in seen.addresses.iter_mut().filter(|look| look.is_answer() && !look.authoritative) {
                if let Some(now) = self.dns.look_at_zone(&wanted.visited, look.kind).await {
                    *look = now;
                }
            }
        }
        seen
    }

    /// Asks the resolvers, and the zone's own servers only where those have no answer of any kind.
    async fn answer(&self, name: &str, kind: RecordKind) -> Look {
        self.dns.look_for(name, kind, Look::is_answer).await
    }

    /// The addresses that lead here: those configured, else those of the name that customers point at. `None`: not all of
    /// them could be learnt, and then nobody's address is wrong.
    async fn ours(&self, wanted: &Wanted) -> Option<Vec<IpAddr>> {
        if !wanted.addresses.is_empty() {
            return Some(wanted.addresses.clone());
        }
        let looks =
            tokio::join!(self.dns.look(&wanted.edge, RecordKind::A), self.dns.look(&wanted.edge, RecordKind::Aaaa));
        let looks = [looks.0, looks.1];
        let all = looks.iter().flat_map(Look::records).filter_map(|text| text.parse().ok());
        Some(all.collect::<Vec<_>>()).filter(|all| !all.is_empty() && looks.iter().all(Look::is_answer))
    }

    /// The CAA records that count for a host: its own, or those of the nearest name above that has any.
    pub(super) async fn caa_of(&self, host: &Hostname) -> Look {
        let mut name = host.as_str();
        let mut look = self.answer(name, RecordKind::Caa).await;
        for _ in 0..MOST_ABOVE {
            if !matches!(look.outcome, Outcome::NoRecords | Outcome::NoName) {
                break;
            }
            let Some((_, above)) = name.split_once('.') else { break };
            name = above;
            look = self.answer(name, RecordKind::Caa).await;
        }
        look
    }

    /// One look at a claim; changes nothing.
    pub(super) async fn look_at(&self, domain: &Domain, config: &Config) -> (Diagnosis, Seen) {
        let wanted = wanted(domain, config);
        let seen = self.see(&wanted, &domain.name).await;
        let caa: Vec<Hostname> = config.acme.authorities.iter().flat_map(|ca| ca.caa.clone()).collect();
        // One authority of which it is not known under which name it is allowed makes the list useless.
        let judged = config.acme.authorities.iter().all(|ca| !ca.caa.is_empty());
        let caa = if judged { caa } else { Vec::new() };
        let proof = judge::proof(&wanted, &config.brand.verification_prefix, &seen);
        let traffic = judge::traffic(&wanted, &seen);
        let others = [judge::challenge(&wanted, &seen), judge::caa(&caa, domain.name.is_wildcard(), &seen)];
        let (proven, points_here) = (proof.verdict.holds(), traffic.verdict.holds());
        let mut findings = vec![proof, traffic];
        findings.extend(others.into_iter().flatten());
        let diagnosis = Diagnosis {
            domain: domain.name.to_string(),
            unicode: unicode(&domain.name),
            state: domain.state,
            checked_at: self.clock.now(),
            proven,
            points_here,
            summary: String::new(),
            findings,
            next_check: None,
        };
        (diagnosis, seen)
    }
}

/// The name as people write it, where that is not how DNS does.
fn unicode(name: &DomainName) -> Option<String> {
    let ascii = name.host().as_str();
    let (unicode, valid) = idna::domain_to_unicode(ascii);
    (valid.is_ok() && unicode != ascii).then(|| if name.is_wildcard() { format!("*.{unicode}") } else { unicode })
}

/// What a look comes to, in one sentence.
pub(super) fn summary(diagnosis: &Diagnosis, progress: &life::Progress, held_by_another: bool) -> String {
    let at = |time: Option<Timestamp>| time.map_or_else(|| "when you ask for it".to_owned(), |at| format!("at {at}"));
    let wrong = |finding: &&Finding| matches!(finding.verdict, Verdict::Missing | Verdict::Wrong | Verdict::Bogus);
    let count = diagnosis.findings.iter().filter(wrong).count();
    let next = at(diagnosis.next_check);
    match diagnosis.state {
        DomainState::Live if count == 0 => "Everything is as it should be; the domain is live.".into(),
        DomainState::Live => format!("The domain is live; {count} of its records want your attention."),
        DomainState::Verified if diagnosis.points_here == Some(true) => {
            "The domain is yours; its certificate is being ordered.".into()
        }
        DomainState::Verified => format!("The domain is yours; it does not lead here yet. We look again {next}."),
        DomainState::Moved => {
            let since = progress.moved.map_or_else(String::new, |since| format!(" since {since}"));
            format!("The domain leads elsewhere{since}; it is released if it does not come back. We look again {next}.")
        }
        DomainState::Pending | DomainState::Verifying if held_by_another && diagnosis.proven == Some(true) => {
            "You prove the domain, but another tenant holds it. If that one's proof stays away, it becomes yours."
                .into()
        }
        DomainState::Pending | DomainState::Verifying if diagnosis.proven == Some(true) => {
            format!("You prove the domain; it was given up lately, and rests. We look again {next}.")
        }
        DomainState::Pending | DomainState::Verifying => {
            format!("{count} of its records want your attention. We look again {next}.")
        }
        DomainState::Failed => "The proof was not seen in time. Set the records, then ask for a look.".into(),
        DomainState::Released => {
            "The domain was given up. To have it again, set its records, then ask for a look.".into()
        }
    }
}
