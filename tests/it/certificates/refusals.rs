//! Every reason to refuse a chain or a key, each with its code and its place; and what is only warned of.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519};
use rcgen::{PKCS_RSA_SHA256, RsaKeySize, SanType};
use tenantry::certificates::{CHAIN_MAX, check};
use tenantry::clock::{Clock, Timestamp};

use super::pki::Pki;

const RSA_1024: &str = include_str!("rsa1024.pem");

fn now() -> Timestamp {
    Clock::system().now()
}

/// The places and codes of all faults.
#[track_caller]
fn refused(chain: &str, key: &str) -> Vec<(String, &'static str)> {
    let Err(faults) = check(chain, key, now()) else { panic!("it was not refused") };
    for fault in &faults {
        assert!(!fault.detail.is_empty());
        for line in key.lines().filter(|line| line.len() > 40) {
            assert!(!fault.detail.contains(line), "{}", fault.detail);
        }
    }
    faults.into_iter().map(|fault| (fault.pointer, fault.code)).collect()
}

#[track_caller]
fn chain_fault(chain: &str, key: &str, code: &str) {
    assert_eq!(refused(chain, key), [("/chain".to_owned(), code)].map(|(p, c)| (p, c.to_owned().leak() as &str)));
}

#[test]
fn the_form_of_a_chain() {
    let pki = Pki::new(now());
    let (leaf, key) = pki.leaf(&["a.example"], 90);
    let middle = &pki.intermediate_pem;
    for (chain, code) in [
        (String::new(), "not-pem"),
        ("hello".to_owned(), "not-pem"),
        ("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n".to_owned(), "not-pem"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(), "not-a-certificate"),
        (format!("{leaf}{key}"), "key-in-chain"),
        (format!("{leaf}{}", middle.repeat(10)), "too-large"),
        (format!("{leaf}{}", " ".repeat(CHAIN_MAX)), "too-large"),
    ] {
        chain_fault(&chain, &key, code);
    }
    for chain in [format!("{leaf}{middle}"), format!("# leaf\n{leaf}\n# more\n{middle}")] {
        let checked = check(&chain, &key, now()).unwrap_or_else(|faults| panic!("{faults:?}"));
        assert_eq!(checked.chain, format!("{leaf}{middle}").replace("\r\n", "\n"));
        assert!(checked.warnings.is_empty());
    }
}

#[test]
fn the_order_of_a_chain() {
    let pki = Pki::new(now());
    let (leaf, key) = pki.leaf(&["a.example"], 90);
    let (middle, root) = (&pki.intermediate_pem, &pki.root_pem);
    let faults = check(&format!("{leaf}{root}{middle}"), &key, now()).err().unwrap();
    assert_eq!(faults[0].code, "wrong-order");
    assert!(
        faults[0].detail.contains("1 (CN=Leaf), then 3 (CN=Intermediate), then 2 (CN=Root)"),
        "{}",
        faults[0].detail
    );
    let codes = |chain: &str| refused(chain, &key).into_iter().map(|(_, code)| code).collect::<Vec<_>>();
    assert!(codes(&format!("{middle}{leaf}")).contains(&"wrong-order"));
    assert!(codes(&format!("{leaf}{root}")).contains(&"broken-chain"));
    // The same names, other keys: only the signature tells.
    let other = Pki::new(now());
    assert!(codes(&format!("{leaf}{}", other.intermediate_pem)).contains(&"broken-chain"));
    assert!(codes(middle).contains(&"not-a-leaf"));
    assert!(codes(root).contains(&"self-signed"));
}

#[test]
fn names_time_and_purpose() {
    let pki = Pki::new(now());
    let key = || KeyPair::generate().unwrap();
    let cases = [
        ("expired", pki.leaf_with(&["a.example"], key(), |p| p.not_after = pki.date(-1) + time::Duration::hours(23))),
        ("not-yet-valid", pki.leaf_with(&["a.example"], key(), |p| p.not_before = pki.date(1))),
        (
            "not-for-servers",
            pki.leaf_with(&["a.example"], key(), |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
        ),
        ("no-names", pki.leaf_with(&[], key(), |_| ())),
        (
            "unsupported-name",
            pki.leaf_with(&["a.example"], key(), |p| {
                p.subject_alt_names.push(SanType::IpAddress("192.0.2.1".parse().unwrap()));
            }),
        ),
        ("unsupported-name", pki.leaf_with(&["a.*.example"], key(), |_| ())),
    ];
    for (code, (leaf, key)) in cases {
        chain_fault(&format!("{leaf}{}", pki.intermediate_pem), &key, code);
    }
    // No purpose at all is every purpose (RFC 5280 §4.2.1.12).
    let (leaf, key) =
        pki.leaf_with(&["A.Example", "a.example", "*.A.example"], key(), |p| p.extended_key_usages.clear());
    let checked = check(&format!("{leaf}{}", pki.intermediate_pem), &key, now()).unwrap_or_else(|f| panic!("{f:?}"));
    assert_eq!(checked.names, ["a.example", "*.a.example"]);
}

#[test]
fn strength() {
    let pki = Pki::new(now());
    let (leaf, key) = pki.leaf_with(&["a.example"], KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512).unwrap(), |_| ());
    assert_eq!(refused(&leaf, &key), [("/key".to_owned(), "weak-key")]);
    let (_, key) = pki.leaf(&["a.example"], 90);
    assert!(refused(RSA_1024, &key).contains(&("/chain".to_owned(), "weak-key")));
    // ecdsa-with-SHA256 becomes ecdsa-with-SHA1: 1.2.840.10045.4.3.2 and 1.2.840.10045.4.1 differ in length, so the one
    // with SHA-224 stands for all that are refused.
    let (leaf, key) = pki.leaf(&["a.example"], 90);
    let body: String = leaf.lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = STANDARD.decode(body).unwrap();
    let oid = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    let places: Vec<_> = der.windows(oid.len()).enumerate().filter(|(_, w)| *w == oid).map(|(at, _)| at).collect();
    assert_eq!(places.len(), 2);
    for at in places {
        der[at + oid.len() - 1] = 0x01;
    }
    let weak = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der));
    chain_fault(&weak, &key, "weak-signature");
}

#[test]
fn keys_of_every_good_kind_are_kept_as_pkcs8() {
    let pki = Pki::new(now());
    for key in [
        KeyPair::generate().unwrap(),
        KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
        KeyPair::generate_for(&PKCS_ED25519).unwrap(),
        KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(),
    ] {
        let (leaf, key) = pki.leaf_with(&["a.example"], key, |_| ());
        let checked = check(&leaf, &key, now()).unwrap_or_else(|faults| panic!("{faults:?}"));
        assert!(checked.key.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert!(KeyPair::from_pem(&checked.key).is_ok());
        let stranger = KeyPair::generate().unwrap().serialize_pem();
        assert_eq!(refused(&leaf, &stranger), [("/key".to_owned(), "key-mismatch")]);
    }
}

#[test]
fn all_faults_are_told_at_once_and_small_things_are_warned_of() {
    let pki = Pki::new(now());
    let (leaf, _) = pki.leaf_with(&["a.example"], KeyPair::generate().unwrap(), |p| {
        p.not_after = pki.date(0) - time::Duration::minutes(1);
        p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let codes: Vec<_> = refused(&leaf, "no key").into_iter().map(|(_, code)| code).collect();
    assert_eq!(codes, ["expired", "not-for-servers", "not-a-key"]);
    let (leaf, key) = pki.leaf(&["a.example"], 6);
    let codes = |chain: &str| {
        let checked = check(chain, &key, now()).unwrap_or_else(|faults| panic!("{faults:?}"));
        checked.warnings.into_iter().map(|warning| warning.code).collect::<Vec<_>>()
    };
    assert_eq!(codes(&leaf), ["expires-soon", "no-intermediate"]);
    assert_eq!(codes(&format!("{leaf}{}{}", pki.intermediate_pem, pki.root_pem)), ["expires-soon", "root-included"]);
}
