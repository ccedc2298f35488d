//! Reads an uploaded chain: certificates in order, each signed by the next, strong, valid now, and for names that can be
//! served. Nothing is asked of anybody, and no trust anchor is consulted: a private authority's chain is as good.

use rustls_pki_types::pem::{PemObject, SectionKind};
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry as oid;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use super::checks::{CHAIN_CERTIFICATES, CHAIN_MAX, SHORT, Warning};
use super::pem;
use crate::clock::Timestamp;
use crate::model::DomainName;
use crate::tenancy::Fault;

pub(super) struct Chain {
    pub names: Vec<String>,
    pub pem: String,
    /// The leaf's `subjectPublicKey`.
    pub public_key: Vec<u8>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub warnings: Vec<Warning>,
}

/// All faults of a chain, never none.
pub(super) fn read(text: &str, now: Timestamp) -> Result<Chain, Vec<Fault>> {
    let ders = sections(text).map_err(|fault| vec![fault])?;
    let mut chain = Vec::with_capacity(ders.len());
    for (at, der) in ders.iter().enumerate() {
        match X509Certificate::from_der(der) {
            Ok(([], certificate)) => chain.push(certificate),
            _ => {
                let detail = format!("the {} certificate of the chain is no X.509 certificate", ordinal(at));
                return Err(vec![fault("not-a-certificate", detail)]);
            }
        }
    }
    let Some(leaf) = chain.first() else {
        return Err(vec![fault(
            "not-pem",
            "there is no certificate in it; it begins with -----BEGIN CERTIFICATE-----",
        )]);
    };
    let mut faults = Vec::new();
    faults.extend(order(&chain));
    faults.extend(chain.iter().enumerate().flat_map(|(at, certificate)| sound(at, certificate, now)));
    faults.extend(purpose(leaf));
    let names = names(leaf).map_err(|found| faults.extend(found)).unwrap_or_default();
    if !faults.is_empty() {
        return Err(faults);
    }
    let (not_before, not_after) = validity(leaf);
    Ok(Chain {
        names,
        pem: ders.iter().map(|der| pem::encode("CERTIFICATE", der).to_string()).collect(),
        public_key: leaf.public_key().subject_public_key.data.to_vec(),
        not_before,
        not_after,
        warnings: warnings(&chain, not_after, now),
    })
}

/// The certificates' DER, in the order of the text.
fn sections(text: &str) -> Result<Vec<Vec<u8>>, Fault> {
    if text.contains("PRIVATE KEY") {
        return Err(fault(
            "key-in-chain",
            "there is a private key in the chain; it goes into `key`, and whoever else has seen this file has the key",
        ));
    }
    if text.len() > CHAIN_MAX {
        return Err(fault("too-large", format!("a chain has at most {CHAIN_MAX} bytes of PEM")));
    }
    let mut ders = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
        match section {
            Ok((SectionKind::Certificate, der)) => ders.push(der),
            Ok((other, _)) => {
                let detail = format!("a chain has certificates only, and there is something else in it: {other:?}");
                return Err(fault("not-a-certificate", detail));
            }
            Err(_) => return Err(fault("not-pem", "this is not PEM from -----BEGIN CERTIFICATE----- on")),
        }
    }
    if ders.len() > CHAIN_CERTIFICATES {
        let detail = format!("a chain has at most {CHAIN_CERTIFICATES} certificates, and this has {}", ders.len());
        return Err(fault("too-large", detail));
    }
    Ok(ders)
}

/// Each must be signed by the next (RFC 8446 §4.4.2 lets servers be sloppy; clients are the poorer for it).
fn order(chain: &[X509Certificate<'_>]) -> Option<Fault> {
    let at = chain.windows(2).position(|pair| !signed_by(&pair[0], &pair[1]))?;
    let (below, above) = (&chain[at], &chain[at + 1]);
    if let Some(right) = rearranged(chain) {
        let list = right.iter().map(|at| format!("{} ({})", at + 1, chain[*at].subject())).collect::<Vec<_>>();
        let detail = format!("the certificates are in the wrong order; the right one is: {}", list.join(", then "));
        return Some(fault("wrong-order", detail));
    }
    let detail = format!(
        "the {} certificate ({}) is not signed by the {} one ({}); what belongs there is the certificate of its issuer, {}",
        ordinal(at),
        below.subject(),
        ordinal(at + 1),
        above.subject(),
        below.issuer(),
    );
    Some(fault("broken-chain", detail))
}

/// The order in which all of them make a chain, if there is one.
fn rearranged(chain: &[X509Certificate<'_>]) -> Option<Vec<usize>> {
    let mut order = vec![chain.iter().position(|certificate| !certificate.is_ca())?];
    while order.len() < chain.len() {
        let last = &chain[*order.last()?];
        order.push((0..chain.len()).find(|at| !order.contains(at) && signed_by(last, &chain[*at]))?);
    }
    Some(order)
}

fn signed_by(below: &X509Certificate<'_>, above: &X509Certificate<'_>) -> bool {
    let named = below.issuer() == above.subject() && above.is_ca();
    // What this library cannot verify is believed by its name: clients verify it anyway.
    named
        && matches!(
            below.verify_signature(Some(above.public_key())),
            Ok(()) | Err(X509Error::SignatureUnsupportedAlgorithm)
        )
}

/// Validity and strength of one certificate.
fn sound(at: usize, certificate: &X509Certificate<'_>, now: Timestamp) -> Vec<Fault> {
    let mut faults = Vec::new();
    let which = ordinal(at);
    let (from, until) = validity(certificate);
    if until <= now {
        faults.push(fault("expired", format!("the {which} certificate of the chain has expired: it ended {until}")));
    }
    if from > now {
        faults.push(fault("not-yet-valid", format!("the {which} certificate of the chain is valid from {from} on")));
    }
    if !is_strong(certificate) {
        let detail = format!(
            "the {which} certificate of the chain has a key that is too weak or of an unknown kind; RSA needs 2048 bits, \
             and else it is P-256, P-384 or Ed25519"
        );
        faults.push(fault("weak-key", detail));
    }
    // Nobody verifies the signature that a root has from itself.
    if certificate.issuer() != certificate.subject() && !is_well_signed(certificate) {
        let detail = format!(
            "the {which} certificate of the chain is signed with an algorithm that clients do not trust any more, such as \
             SHA-1 or MD5, or do not know"
        );
        faults.push(fault("weak-signature", detail));
    }
    faults
}

fn is_strong(certificate: &X509Certificate<'_>) -> bool {
    let spki = certificate.public_key();
    match spki.parsed() {
        Ok(PublicKey::RSA(key)) => key.key_size() >= 2048,
        Ok(PublicKey::EC(_)) => {
            let curve = spki.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
            // An authority may have a larger curve than a leaf of ours can.
            curve.is_some_and(|curve| [oid::OID_EC_P256, oid::OID_NIST_EC_P384, oid::OID_NIST_EC_P521].contains(&curve))
        }
        _ => spki.algorithm.algorithm == oid::OID_SIG_ED25519,
    }
}

fn is_well_signed(certificate: &X509Certificate<'_>) -> bool {
    let good = [
        oid::OID_PKCS1_SHA256WITHRSA,
        oid::OID_PKCS1_SHA384WITHRSA,
        oid::OID_PKCS1_SHA512WITHRSA,
        oid::OID_PKCS1_RSASSAPSS,
        oid::OID_SIG_ECDSA_WITH_SHA256,
        oid::OID_SIG_ECDSA_WITH_SHA384,
        oid::OID_SIG_ECDSA_WITH_SHA512,
        oid::OID_SIG_ED25519,
    ];
    good.contains(&certificate.signature_algorithm.algorithm)
}

/// A leaf is for servers, and somebody else's word.
fn purpose(leaf: &X509Certificate<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    if leaf.issuer() == leaf.subject() {
        faults.push(fault("self-signed", "the certificate is signed by itself; visitors would see a warning"));
    } else if leaf.is_ca() {
        faults
            .push(fault("not-a-leaf", "the first certificate of the chain is an authority's; a server's comes first"));
    }
    if let Ok(Some(usage)) = leaf.extended_key_usage()
        && !usage.value.server_auth
        && !usage.value.any
    {
        let detail = "the certificate is not for servers: its extended key usage lacks serverAuth";
        faults.push(fault("not-for-servers", detail));
    }
    faults
}

/// The names of the leaf, in one spelling.
fn names(leaf: &X509Certificate<'_>) -> Result<Vec<String>, Vec<Fault>> {
    let extension = leaf.subject_alternative_name().ok().flatten();
    let all = extension.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let (mut names, mut faults) = (Vec::new(), Vec::new());
    for name in all {
        let GeneralName::DNSName(text) = name else {
            let detail = "the certificate is for something else than DNS names (an address, a mailbox) as well";
            faults.push(fault("unsupported-name", detail));
            continue;
        };
        match DomainName::parse(text) {
            Ok(name) => names.push(name.to_string()),
            Err(why) => faults.push(fault("unsupported-name", format!("the certificate names {text:?}: {why}"))),
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    if all.is_empty() {
        let detail = "the certificate names no host in its subject alternative names; clients look nowhere else";
        faults.push(fault("no-names", detail));
    }
    if faults.is_empty() { Ok(names) } else { Err(faults) }
}

fn warnings(chain: &[X509Certificate<'_>], not_after: Timestamp, now: Timestamp) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if not_after.since(now) < SHORT {
        warnings.push(Warning::new("expires-soon", format!("it ends {not_after}: have the next one ready")));
    }
    if chain.len() == 1 {
        let detail = "the chain is the certificate alone; most authorities need their intermediate certificates in it";
        warnings.push(Warning::new("no-intermediate", detail));
    }
    if chain.last().is_some_and(|last| chain.len() > 1 && last.issuer() == last.subject()) {
        let detail = "the chain ends with a root, which no client needs: each handshake is larger for nothing";
        warnings.push(Warning::new("root-included", detail));
    }
    warnings
}

fn validity(certificate: &X509Certificate<'_>) -> (Timestamp, Timestamp) {
    let at = |seconds: i64| Timestamp(seconds.saturating_mul(1000));
    let validity = certificate.validity();
    (at(validity.not_before.timestamp()), at(validity.not_after.timestamp()))
}

fn ordinal(at: usize) -> String {
    match at {
        0 => "first".into(),
        1 => "second".into(),
        2 => "third".into(),
        more => format!("{}th", more + 1),
    }
}

fn fault(code: &'static str, detail: impl Into<String>) -> Fault {
    Fault::new("/chain", code, detail)
}
