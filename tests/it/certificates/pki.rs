//! Chains of every kind, sound and unsound, made for one test.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use tenantry::clock::Timestamp;
use time::{Duration, OffsetDateTime};

/// A root and an intermediate authority.
pub struct Pki {
    pub root_pem: String,
    pub intermediate_pem: String,
    intermediate: Issuer<'static, KeyPair>,
    now: OffsetDateTime,
}

impl Pki {
    pub fn new(now: Timestamp) -> Self {
        let now = OffsetDateTime::from_unix_timestamp(now.secs()).unwrap();
        let (root, root_pem) = {
            let key = KeyPair::generate().unwrap();
            let params = authority("Root", now);
            let pem = params.self_signed(&key).unwrap().pem();
            (Issuer::new(params, key), pem)
        };
        let key = KeyPair::generate().unwrap();
        let params = authority("Intermediate", now);
        let intermediate_pem = params.signed_by(&key, &root).unwrap().pem();
        Self { root_pem, intermediate_pem, intermediate: Issuer::new(params, key), now }
    }

    /// A leaf for these names from an hour ago for `days`, and its key.
    pub fn leaf(&self, names: &[&str], days: i64) -> (String, String) {
        self.leaf_with(names, KeyPair::generate().unwrap(), |params| params.not_after = self.now + Duration::days(days))
    }

    pub fn leaf_with(
        &self,
        names: &[&str],
        key: KeyPair,
        tweak: impl FnOnce(&mut CertificateParams),
    ) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "Leaf");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = self.now - Duration::hours(1);
        params.not_after = self.now + Duration::days(90);
        tweak(&mut params);
        (params.signed_by(&key, &self.intermediate).unwrap().pem(), key.serialize_pem())
    }

    /// Leaf and intermediate, as a server sends them; and the key.
    pub fn chain(&self, names: &[&str], days: i64) -> (String, String) {
        let (leaf, key) = self.leaf(names, days);
        (format!("{leaf}{}", self.intermediate_pem), key)
    }

    pub fn date(&self, days: i64) -> OffsetDateTime {
        self.now + Duration::days(days)
    }
}

fn authority(name: &str, now: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.not_before = now - Duration::days(100);
    params.not_after = now + Duration::days(3650);
    params
}
