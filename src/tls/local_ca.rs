//! A certificate authority of one's own, for `tenantry dev` and for tests: never for the public.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::clock::{Clock, Timestamp};
use crate::model::{Certificate, CertificateSource};

/// Signs certificates for whatever it is asked.
#[derive(Clone)]
pub struct LocalCa {
    issuer: Arc<Issuer<'static, KeyPair>>,
    certificate: Arc<str>,
    clock: Clock,
}

#[derive(Debug, thiserror::Error)]
pub enum LocalCaError {
    #[error("the local certificate authority: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
}

impl LocalCa {
    /// A fresh authority that lives in memory only.
    pub fn create(clock: Clock) -> Result<Self, LocalCaError> {
        let key = KeyPair::generate()?;
        Self::sign_itself(key, clock)
    }

    /// The authority kept in `<dir>/ca.pem` and `<dir>/ca.key`, made on first use.
    pub fn load_or_create(dir: &Path, clock: Clock) -> Result<Self, LocalCaError> {
        let (certificate, key) = (dir.join("ca.pem"), dir.join("ca.key"));
        if certificate.exists() && key.exists() {
            let pem = read(&certificate)?;
            let key = KeyPair::from_pem(&Zeroizing::new(read(&key)?))?;
            let issuer = Issuer::from_ca_cert_pem(&pem, key)?;
            return Ok(Self { issuer: Arc::new(issuer), certificate: pem.into(), clock });
        }
        let pair = KeyPair::generate()?;
        write_private(&key, &pair.serialize_pem())?;
        let ca = Self::sign_itself(pair, clock)?;
        std::fs::write(&certificate, ca.certificate.as_bytes())
            .map_err(|source| LocalCaError::File { path: certificate, source })?;
        Ok(ca)
    }

    /// The authority's own certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A P-256 certificate for these names (wildcards allowed), valid from an hour ago for `days`.
    pub fn issue(&self, names: &[String], days: i64) -> Result<Certificate, LocalCaError> {
        self.issue_with(names, days, KeyPair::generate()?)
    }

    /// The same with a key of the caller's choice (an RSA one, say).
    pub fn issue_with(&self, names: &[String], days: i64, key: KeyPair) -> Result<Certificate, LocalCaError> {
        let mut params = CertificateParams::new(names.to_vec())?;
        let common = names.first().map(String::as_str).unwrap_or_default();
        params.distinguished_name = name_of(common);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let now = date_time(self.clock.now())?;
        params.not_before = now - Duration::hours(1);
        params.not_after = now + Duration::days(days);
        let not_before = Timestamp(params.not_before.unix_timestamp() * 1000);
        let not_after = Timestamp(params.not_after.unix_timestamp() * 1000);
        let leaf = params.signed_by(&key, &self.issuer)?;
        Ok(Certificate {
            id: Uuid::now_v7().to_string(),
            names: names.to_vec(),
            chain: leaf.pem(),
            key: Zeroizing::new(key.serialize_pem()),
            not_before,
            not_after,
            source: CertificateSource::Local,
            authority: "local".into(),
        })
    }

    fn sign_itself(key: KeyPair, clock: Clock) -> Result<Self, LocalCaError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name_of("Tenantry development authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let now = date_time(clock.now())?;
        params.not_before = now - Duration::days(1);
        params.not_after = now + Duration::days(825);
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Arc::new(Issuer::new(params, key)), certificate: certificate.into(), clock })
    }
}

fn date_time(at: Timestamp) -> Result<OffsetDateTime, LocalCaError> {
    OffsetDateTime::from_unix_timestamp(at.secs()).map_err(|_| LocalCaError::Certificate(rcgen::Error::Time))
}

fn name_of(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn read(path: &Path) -> Result<String, LocalCaError> {
    std::fs::read_to_string(path).map_err(|source| LocalCaError::File { path: path.into(), source })
}

/// Readable by its owner alone from the first byte on.
fn write_private(path: &Path, text: &str) -> Result<(), LocalCaError> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| LocalCaError::File { path: path.into(), source })
}
