//! The installation's own names: its base domain, what it reserves, and what kind of host a name is.

use std::collections::BTreeSet;

use super::{Hostname, HostnameError, Slug};

/// The names and strings of this installation (`[brand]`; product.md, *Names and strings*).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Brand {
    /// What people see: "Arythmatic Connect".
    pub name: String,
    pub base: Hostname,
    /// Labels under the base that no tenant can have.
    pub reserved: BTreeSet<String>,
    /// The label of the operators' console: `ops`.
    pub console: String,
    /// Further hosts of the operator's own, outside the base domain, that route like reserved ones.
    pub own_hosts: BTreeSet<Hostname>,
    /// Where "a way to the main site" leads; by default `https://<base>/`.
    pub main_site: String,
    /// The label under the base domain that customers point their CNAME at: `edge`.
    pub edge_label: String,
    /// The label of the ownership TXT record: `_arythmatic-verification`.
    pub verification_label: String,
    /// What stands before the token in that record: `arythmatic-verify=`.
    pub verification_prefix: String,
    /// What API keys begin with: `arc`, as in `arc_live_<prefix>_<secret>`.
    pub key_prefix: String,
    /// Whether the edge answers `/directory` and `/sitemap.xml` on the main site.
    pub directory: bool,
}

/// What kind of host a name is, before anyone looks for its tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HostClass {
    /// The base domain itself: the main site.
    Apex,
    /// The operators' console.
    Console,
    /// Another reserved label under the base, or a host of the operator's own.
    Reserved,
    /// `<slug>.<base>`, if such a tenant exists.
    Tenant(Slug),
    /// Beneath the base, but nothing that could be a slug.
    Subdomain,
    /// Anywhere else: a customer's own domain, or a stranger's.
    Custom,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BrandError {
    #[error("it is the base domain, or lies beneath it")]
    OwnBase,
    #[error("it is a host of the operator's own")]
    OwnHost,
    #[error("it is a public suffix, under which anyone can register names")]
    PublicSuffix,
    #[error("a single label is not a domain that a customer can own")]
    SingleLabel,
}

impl Brand {
    /// The labels that product.md reserves in every installation.
    pub const RESERVED: [&str; 8] = ["connect", "ops", "www", "edge", "api", "admin", "status", "mail"];

    /// The most letters and digits that API keys can begin with.
    pub const KEY_PREFIX_MAX: usize = 16;

    /// The defaults of product.md for a base domain.
    pub fn for_base(base: Hostname) -> Self {
        Self {
            name: "Arythmatic Connect".into(),
            reserved: Self::RESERVED.map(String::from).into(),
            console: "ops".into(),
            own_hosts: BTreeSet::new(),
            main_site: format!("https://{base}/"),
            edge_label: "edge".into(),
            verification_label: "_arythmatic-verification".into(),
            verification_prefix: "arythmatic-verify=".into(),
            key_prefix: "arc".into(),
            directory: false,
            base,
        }
    }

    pub fn classify(&self, host: &Hostname) -> HostClass {
        if *host == self.base {
            return HostClass::Apex;
        }
        if self.own_hosts.contains(host) {
            return HostClass::Reserved;
        }
        match host.beneath(&self.base) {
            None => HostClass::Custom,
            Some(label) if label == self.console => HostClass::Console,
            Some(label) if self.reserved.contains(label) => HostClass::Reserved,
            Some(label) => Slug::parse(label).map_or(HostClass::Subdomain, HostClass::Tenant),
        }
    }

    pub fn is_reserved(&self, slug: &Slug) -> bool {
        self.console == slug.as_str() || self.reserved.contains(slug.as_str())
    }

    /// `<slug>.<base>`.
    pub fn tenant_host(&self, slug: &Slug) -> Result<Hostname, HostnameError> {
        self.base.child(slug.as_str())
    }

    /// Whether a customer may claim this name at all (product.md, *Custom domains*).
    pub fn claimable(&self, host: &Hostname) -> Result<(), BrandError> {
        if *host == self.base || host.beneath(&self.base).is_some() {
            return Err(BrandError::OwnBase);
        }
        if self.own_hosts.contains(host) {
            return Err(BrandError::OwnHost);
        }
        if host.labels().count() == 1 {
            return Err(BrandError::SingleLabel);
        }
        // Only suffixes that the list names count: an unlisted top-level label (a company's own, `localhost`) is
        // covered by the single-label rule.
        if psl::suffix(host.as_str().as_bytes()).is_some_and(|s| s.is_known() && s == host.as_str()) {
            return Err(BrandError::PublicSuffix);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brand() -> Brand {
        Brand {
            own_hosts: [Hostname::parse("www.arythmatic.cloud").unwrap()].into(),
            ..Brand::for_base(Hostname::parse("connect.localhost").unwrap())
        }
    }

    #[test]
    fn hosts_fall_into_their_classes() {
        let tenant = |slug: &str| HostClass::Tenant(Slug::parse(slug).unwrap());
        for (host, class) in [
            ("connect.localhost", HostClass::Apex),
            ("ops.connect.localhost", HostClass::Console),
            ("www.connect.localhost", HostClass::Reserved),
            ("www.arythmatic.cloud", HostClass::Reserved),
            ("acme.connect.localhost", tenant("acme")),
            ("a.acme.connect.localhost", HostClass::Subdomain),
            ("xn--bcher-kva.connect.localhost", HostClass::Subdomain),
            ("community.acme.localhost", HostClass::Custom),
            ("notconnect.localhost", HostClass::Custom),
        ] {
            assert_eq!(brand().classify(&Hostname::parse(host).unwrap()), class, "{host}");
        }
    }

    #[test]
    fn nobody_claims_what_is_not_theirs() {
        let claim = |host: &str| brand().claimable(&Hostname::parse(host).unwrap());
        assert_eq!(claim("community.acme.example"), Ok(()));
        assert_eq!(claim("connect.localhost"), Err(BrandError::OwnBase));
        assert_eq!(claim("x.acme.connect.localhost"), Err(BrandError::OwnBase));
        assert_eq!(claim("www.arythmatic.cloud"), Err(BrandError::OwnHost));
        assert_eq!(claim("co.uk"), Err(BrandError::PublicSuffix));
        assert_eq!(claim("intranet"), Err(BrandError::SingleLabel));
    }
}
