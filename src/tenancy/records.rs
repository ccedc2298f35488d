//! The DNS records that a claim asks its tenant to set. Pure.

use std::net::IpAddr;

use aws_lc_rs::digest;

use crate::config::Config;
use crate::model::Domain;

/// A DNS record to set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// `TXT`, `CNAME`, `A`, `AAAA`.
    pub kind: &'static str,
    pub name: String,
    pub value: String,
    /// What it is for.
    pub purpose: &'static str,
}

/// What DNS is to say of a claimed domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Where the proof is, and what it says.
    pub proof: (String, String),
    /// The name that visitors use; with a wildcard, one beneath it stands for all.
    pub visited: String,
    /// Where a CNAME is to lead.
    pub edge: String,
    /// The addresses that are as good as the CNAME, where they are configured.
    pub addresses: Vec<IpAddr>,
    /// It is a registered domain itself, which can have no CNAME (RFC 1034 §3.6.2).
    pub apex: bool,
    /// A wildcard's: the name of the CNAME through which we can prove it to an authority, and where that leads.
    pub delegation: Option<(String, String)>,
}

/// What a wildcard's visitors are looked up under; the label is nobody's.
const ANY_LABEL: &str = "tenantry-probe";

/// What this claim's records are to be.
pub fn wanted(domain: &Domain, config: &Config) -> Wanted {
    let brand = &config.brand;
    let host = domain.name.host();
    let delegated = config.acme.dns.as_ref().and_then(|dns| dns.delegation.as_ref());
    let wildcard = domain.name.is_wildcard();
    Wanted {
        proof: (
            format!("{}.{host}", brand.verification_label),
            format!("{}{}", brand.verification_prefix, domain.token),
        ),
        visited: if wildcard { format!("{ANY_LABEL}.{host}") } else { host.to_string() },
        edge: format!("{}.{}", brand.edge_label, brand.base),
        addresses: config.domains.addresses.clone(),
        apex: !wildcard && psl::domain_str(host.as_str()) == Some(host.as_str()),
        delegation: delegated
            .filter(|_| wildcard)
            .map(|zone| (format!("_acme-challenge.{host}"), format!("{}.{zone}", label(&domain.token)))),
    }
}

/// A label that belongs to this claim alone, and tells nothing of its token.
fn label(token: &str) -> String {
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    hex::encode(&digest.as_ref()[..8])
}

impl Wanted {
    /// As people are told.
    pub fn records(&self, domain: &Domain) -> Vec<Record> {
        let (name, value) = self.proof.clone();
        let mut records = vec![Record { kind: "TXT", name, value, purpose: "proves that the tenant owns the domain" }];
        let purpose = "leads visitors to the edge";
        let name = domain.name.to_string();
        if self.apex {
            let address = |address: &IpAddr| Record {
                kind: if address.is_ipv4() { "A" } else { "AAAA" },
                name: name.clone(),
                value: address.to_string(),
                purpose: "leads visitors to the edge; an ALIAS or ANAME record to the edge's name does as well",
            };
            records.extend(self.addresses.iter().map(address));
        }
        if records.len() == 1 {
            let kind = if self.apex { "ALIAS" } else { "CNAME" };
            records.push(Record { kind, name, value: self.edge.clone(), purpose });
        }
        if let Some((name, value)) = self.delegation.clone() {
            records.push(Record { kind: "CNAME", name, value, purpose: "lets us prove the wildcard to the authority" });
        }
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::config::Sources;
    use crate::model::{DomainName, DomainState, TenantId};

    fn domain(name: &str) -> Domain {
        Domain {
            name: DomainName::parse(name).unwrap(),
            tenant: TenantId::new(),
            state: DomainState::Pending,
            token: "t0ken".into(),
            created: Timestamp(0),
            updated: Timestamp(0),
            revision: 1,
        }
    }

    fn config(more: &str) -> Config {
        let tenantry = format!(
            "[brand]\nbase = \"connect.example\"\n[[listener]]\nname = \"https\"\naddress = \"127.0.0.1:0\"\n\
             [store]\nurl = \"sqlite:/x\"\nkey = \"file:/k\"\n{more}"
        );
        let routing = "[[pool]]\nname = \"app\"\nbackends = [\"127.0.0.1:1\"]\n[[route]]\nname = \"all\"\nhost = \"any\"\npool = \"app\"\n";
        let plans = include_str!("../../config/plans.toml");
        Config::parse(&Sources::new(tenantry, routing, plans), &|_| None).unwrap_or_else(|faults| panic!("{faults}"))
    }

    fn kinds(name: &str, config: &Config) -> Vec<(&'static str, String, String)> {
        let domain = domain(name);
        let records = wanted(&domain, config).records(&domain);
        records.into_iter().map(|record| (record.kind, record.name, record.value)).collect()
    }

    #[test]
    fn each_kind_of_domain_is_told_what_it_can_set() {
        let plain = config("[domains]\naddresses = [\"192.0.2.1\", \"2001:db8::1\"]\n");
        let proof =
            |host: &str| ("TXT", format!("_arythmatic-verification.{host}"), "arythmatic-verify=t0ken".to_owned());
        let cname = ("CNAME", "shop.acme.example".to_owned(), "edge.connect.example".to_owned());
        assert_eq!(kinds("shop.acme.example", &plain), [proof("shop.acme.example"), cname]);
        let addresses = [("A", "192.0.2.1"), ("AAAA", "2001:db8::1")];
        let addresses = addresses.map(|(kind, address)| (kind, "acme.example".to_owned(), address.to_owned()));
        assert_eq!(kinds("acme.example", &plain)[1..], addresses);
        let bare = config("");
        let alias = ("ALIAS", "acme.example".to_owned(), "edge.connect.example".to_owned());
        assert_eq!(kinds("acme.example", &bare)[1..], [alias]);

        let delegating = config(
            "[acme.dns]\nprovider = \"command\"\ncommand = \"/bin/true\"\ndelegation = \"acme.connect.example\"\n",
        );
        let wild = kinds("*.acme.example", &delegating);
        assert_eq!(wild[0], proof("acme.example"));
        assert_eq!(wild[1], ("CNAME", "*.acme.example".into(), "edge.connect.example".into()));
        assert_eq!((wild[2].0, wild[2].1.as_str()), ("CNAME", "_acme-challenge.acme.example"));
        assert!(wild[2].2.ends_with(".acme.connect.example") && !wild[2].2.contains("t0ken"));
    }
}
