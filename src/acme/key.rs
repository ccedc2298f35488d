//! The key of a certificate to be, the request that is signed with it, and whether what came back fits both.

use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::config::KeyKind;

/// Why there is no key, or no certificate that fits it.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("no key could be made: {0}")]
    Key(#[from] rcgen::Error),
    #[error("the authority's answer is no chain of certificates in PEM: {0}")]
    Chain(String),
    #[error("the certificate does not carry {0}")]
    Name(String),
    #[error("the certificate was made for another key")]
    OtherKey,
}

/// A fresh key, PKCS#8 PEM.
pub fn generate(kind: KeyKind) -> Result<Zeroizing<String>, KeyError> {
    let key = match kind {
        KeyKind::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
        KeyKind::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?,
    };
    Ok(Zeroizing::new(key.serialize_pem()))
}

/// The request for a certificate with these names (RFC 2986), DER. No subject: the names are in the extension that counts.
pub fn request(names: &[String], key: &str) -> Result<Vec<u8>, KeyError> {
    let key = KeyPair::from_pem(key)?;
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(&key)?.der().to_vec())
}

/// What of a leaf matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leaf {
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// Reads the leaf of a chain.
pub fn leaf(chain: &str) -> Result<Leaf, KeyError> {
    with_leaf(chain, |leaf| Ok(validity(leaf)))
}

/// Checks that the leaf of `chain` carries `names` and belongs to `key`.
pub fn check(chain: &str, names: &[String], key: &str) -> Result<Leaf, KeyError> {
    let key = KeyPair::from_pem(key)?;
    with_leaf(chain, |leaf| {
        let carried = leaf.subject_alternative_name().ok().flatten();
        let carried: Vec<&str> = carried
            .iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(*name),
                _ => None,
            })
            .collect();
        if let Some(missing) =
            names.iter().find(|name| !carried.iter().any(|carried| carried.eq_ignore_ascii_case(name)))
        {
            return Err(KeyError::Name(missing.clone()));
        }
        if leaf.public_key().raw != key.subject_public_key_info() {
            return Err(KeyError::OtherKey);
        }
        Ok(validity(leaf))
    })
}

fn with_leaf<T>(chain: &str, read: impl FnOnce(&X509Certificate<'_>) -> Result<T, KeyError>) -> Result<T, KeyError> {
    let der = CertificateDer::from_pem_slice(chain.as_bytes()).map_err(|error| KeyError::Chain(error.to_string()))?;
    let (_, leaf) = X509Certificate::from_der(&der).map_err(|error| KeyError::Chain(error.to_string()))?;
    read(&leaf)
}

fn validity(leaf: &X509Certificate<'_>) -> Leaf {
    let at = |time: x509_parser::time::ASN1Time| Timestamp(time.timestamp().saturating_mul(1000));
    Leaf { not_before: at(leaf.validity().not_before), not_after: at(leaf.validity().not_after) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_fits_its_own_key_and_names_alone() {
        let names = vec!["a.example".to_owned(), "*.b.example".to_owned()];
        for kind in [KeyKind::P256, KeyKind::Rsa2048] {
            let key = generate(kind).unwrap();
            assert!(!request(&names, &key).unwrap().is_empty());
            let pair = KeyPair::from_pem(&key).unwrap();
            let chain = CertificateParams::new(names.clone()).unwrap().self_signed(&pair).unwrap().pem();
            assert_eq!(check(&chain, &names, &key).unwrap(), leaf(&chain).unwrap());
            assert!(
                matches!(check(&chain, &["c.example".into()], &key), Err(KeyError::Name(name)) if name == "c.example")
            );
            let other = generate(KeyKind::P256).unwrap();
            assert!(matches!(check(&chain, &names, &other), Err(KeyError::OtherKey)));
        }
        let key = generate(KeyKind::P256).unwrap();
        for garbage in ["", "garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(check(garbage, &names, &key), Err(KeyError::Chain(_))), "{garbage}");
        }
    }
}
