//! The certificate that answers an acme-tls/1 challenge (RFC 8737 §3). It proves one thing to a CA and is good for
//! nothing else.

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{CertificateParams, CustomExtension, Error, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::model::Hostname;

/// A fresh key and a self-signed certificate for `name` alone, with the critical acmeIdentifier extension.
pub(super) fn certificate(
    name: &Hostname,
    key_authorization: &str,
) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), Error> {
    let mut params = CertificateParams::new(vec![name.to_string()])?;
    let proof = digest(&SHA256, key_authorization.as_bytes());
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(proof.as_ref())];
    let key = KeyPair::generate()?;
    let leaf = params.self_signed(&key)?;
    Ok((leaf.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
}
