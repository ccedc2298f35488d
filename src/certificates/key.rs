//! Reads an uploaded private key. It is kept in one form, whatever it came in; its text is never part of a fault.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use zeroize::Zeroizing;

use super::checks::KEY_MAX;
use super::pem;
use crate::tenancy::Fault;

pub(super) struct Key {
    /// As in the certificate's `subjectPublicKey`.
    pub public: Vec<u8>,
    /// PKCS#8 PEM.
    pub pem: Zeroizing<String>,
}

/// A PEM private key: PKCS#8, PKCS#1 or SEC1; RSA, P-256, P-384 or Ed25519.
pub(super) fn read(text: &str) -> Result<Key, Fault> {
    let fault = |code, detail: &str| Fault::new("/key", code, detail);
    if text.len() > KEY_MAX {
        return Err(fault("too-large", &format!("a key has at most {KEY_MAX} bytes of PEM")));
    }
    if text.contains("ENCRYPTED") {
        let detail = "this key is encrypted with a passphrase; decrypt it first, as with `openssl pkey -in key.pem`";
        return Err(fault("encrypted-key", detail));
    }
    let der = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
        let detail = "this is no private key in PEM; it begins with -----BEGIN PRIVATE KEY-----, or with RSA or EC \
                      before PRIVATE";
        fault("not-a-key", detail)
    })?;
    let (public, pkcs8) = parse(&der).ok_or_else(|| {
        fault(
            "weak-key",
            "a key is RSA with 2048 to 8192 bits, P-256, P-384 or Ed25519; this is another kind, or damaged",
        )
    })?;
    Ok(Key { public, pem: pem::encode("PRIVATE KEY", &pkcs8) })
}

/// The public key, and the private one as PKCS#8.
fn parse(der: &PrivateKeyDer<'_>) -> Option<(Vec<u8>, Zeroizing<Vec<u8>>)> {
    let bytes = der.secret_der();
    let rsa = match der {
        PrivateKeyDer::Pkcs1(_) => rsa::KeyPair::from_der(bytes).ok(),
        PrivateKeyDer::Pkcs8(_) => rsa::KeyPair::from_pkcs8(bytes).ok(),
        _ => None,
    };
    if let Some(key) = rsa {
        let pkcs8 = Zeroizing::new(key.as_der().ok()?.as_ref().to_vec());
        return Some((key.public_key().as_ref().to_vec(), pkcs8));
    }
    for algorithm in [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING] {
        if let Ok(key) = EcdsaKeyPair::from_private_key_der(algorithm, bytes) {
            let pkcs8 = Zeroizing::new(key.to_pkcs8v1().ok()?.as_ref().to_vec());
            return Some((key.public_key().as_ref().to_vec(), pkcs8));
        }
    }
    let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes).ok()?;
    let pkcs8 = Zeroizing::new(key.to_pkcs8v1().ok()?.as_ref().to_vec());
    Some((key.public_key().as_ref().to_vec(), pkcs8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_refused_and_never_repeated() {
        let secret = "MC4CAQAwBQYDK2VwBCIEIDontlookatthis";
        for (text, code) in [
            (String::new(), "not-a-key"),
            (secret.to_owned(), "not-a-key"),
            (format!("-----BEGIN CERTIFICATE-----\n{secret}\n-----END CERTIFICATE-----\n"), "not-a-key"),
            (format!("-----BEGIN PRIVATE KEY-----\n{secret}AAAAA\n-----END PRIVATE KEY-----\n"), "weak-key"),
            (format!("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{secret}\n"), "encrypted-key"),
            ("x".repeat(KEY_MAX + 1), "too-large"),
        ] {
            let fault = read(&text).err().unwrap();
            assert_eq!((fault.pointer.as_str(), fault.code), ("/key", code), "{}", fault.detail);
            assert!(!fault.detail.contains("Dontlook"), "{}", fault.detail);
        }
    }
}
