//! What is seen, and what is said about it: a table for each record.

use super::*;
use crate::clock::Timestamp;
use crate::dns::{Outcome, RecordKind};

const PREFIX: &str = "arythmatic-verify=";

fn wanted() -> Wanted {
    Wanted {
        proof: ("_arythmatic-verification.shop.acme.example".into(), format!("{PREFIX}t0ken")),
        visited: "shop.acme.example".into(),
        edge: "edge.connect.example".into(),
        addresses: vec!["192.0.2.1".parse().unwrap()],
        apex: false,
        delegation: None,
    }
}

fn look(name: &str, kind: RecordKind, outcome: Outcome) -> Look {
    let server = Some("192.0.2.53:53".parse().unwrap());
    Look { name: name.into(), kind, outcome, server, authoritative: true, at: Timestamp(7) }
}

fn records(texts: &[&str]) -> Outcome {
    match texts {
        [] => Outcome::NoRecords,
        texts => Outcome::Records(texts.iter().map(|text| (*text).to_owned()).collect()),
    }
}

/// Nothing is set anywhere.
fn nothing() -> Seen {
    let none = |name: &str, kind| look(name, kind, Outcome::NoName);
    Seen {
        proof: none(&wanted().proof.0, RecordKind::Txt),
        doubled: None,
        cname: none("shop.acme.example", RecordKind::Cname),
        addresses: [none("shop.acme.example", RecordKind::A), none("shop.acme.example", RecordKind::Aaaa)],
        ours: Some(wanted().addresses),
        challenge: [
            none("_acme-challenge.shop.acme.example", RecordKind::Cname),
            none("_acme-challenge.shop.acme.example", RecordKind::Txt),
        ],
        caa: none("acme.example", RecordKind::Caa),
    }
}

fn says(finding: &Finding, verdict: Verdict, words: &str) {
    assert_eq!(finding.verdict, verdict, "{finding:?}");
    assert!(finding.advice.contains(words), "{words:?} is not in {:?}", finding.advice);
    assert_eq!(finding.advice.is_empty(), verdict == Verdict::Ok);
}

#[test]
fn the_proof() {
    let seen = |texts: &[&str]| Seen { proof: look(&wanted().proof.0, RecordKind::Txt, records(texts)), ..nothing() };
    let judged = |seen: &Seen| proof(&wanted(), PREFIX, seen);
    for texts in [
        &["arythmatic-verify=t0ken"] as &[&str],
        &["\"arythmatic-verify=t0ken\""],
        &[" arythmatic-verify=t0ken "],
        &["v=spf1 -all", "arythmatic-verify=other", "arythmatic-verify=t0ken"],
    ] {
        says(&judged(&seen(texts)), Verdict::Ok, "");
    }
    says(&judged(&nothing()), Verdict::Missing, "Set a TXT record at _arythmatic-verification.shop.acme.example");
    says(&judged(&seen(&["arythmatic-verify=other"])), Verdict::Wrong, "of another claim");
    says(&judged(&seen(&["t0ken"])), Verdict::Wrong, "says something else");
    let doubled =
        look("_a.shop.acme.example.shop.acme.example", RecordKind::Txt, records(&["arythmatic-verify=t0ken"]));
    says(&judged(&Seen { doubled: Some(doubled), ..nothing() }), Verdict::Wrong, "leave it out of the name");
    for (outcome, verdict, words) in [
        (Outcome::Failed("timeout".into()), Verdict::Unknown, "we will ask again"),
        (Outcome::DnssecFailed, Verdict::Bogus, "DNSSEC"),
    ] {
        let proof = look(&wanted().proof.0, RecordKind::Txt, outcome);
        says(&judged(&Seen { proof, ..nothing() }), verdict, words);
    }
}

#[test]
fn where_visitors_are_led() {
    let seen = |cname: &[&str], four: &[&str], six: &[&str]| Seen {
        cname: look("shop.acme.example", RecordKind::Cname, records(cname)),
        addresses: [
            look("shop.acme.example", RecordKind::A, records(four)),
            look("shop.acme.example", RecordKind::Aaaa, records(six)),
        ],
        ..nothing()
    };
    for (cname, four, six, verdict, words) in [
        (&["Edge.Connect.Example"] as &[&str], &[] as &[&str], &[] as &[&str], Verdict::Ok, ""),
        (&[], &["192.0.2.1"], &[], Verdict::Ok, ""),
        (&["alias.acme.example"], &["192.0.2.1"], &[], Verdict::Ok, ""),
        (&[], &[], &[], Verdict::Missing, "Set a CNAME record at shop.acme.example to edge.connect.example"),
        (&["elsewhere.example"], &[], &[], Verdict::Wrong, "which has no address"),
        (&["elsewhere.example"], &["198.51.100.7"], &[], Verdict::Wrong, "leads to elsewhere.example"),
        (&[], &["198.51.100.7"], &[], Verdict::Wrong, "leads to 198.51.100.7, which is not us"),
        (&[], &["192.0.2.1", "198.51.100.7"], &[], Verdict::Wrong, "remove 198.51.100.7"),
        (&[], &["192.0.2.1"], &["2001:db8::7"], Verdict::Wrong, "remove 2001:db8::7"),
        (&[], &["104.16.1.1"], &[], Verdict::Wrong, "Cloudflare"),
    ] {
        says(&traffic(&wanted(), &seen(cname, four, six)), verdict, words);
    }
    let unknown = Seen { ours: None, ..seen(&[], &["198.51.100.7"], &[]) };
    says(&traffic(&wanted(), &unknown), Verdict::Unknown, "could not be looked up");
    let apex = Wanted { apex: true, visited: "acme.example".into(), ..wanted() };
    says(&traffic(&apex, &nothing()), Verdict::Missing, "can have no CNAME");
    assert!(traffic(&apex, &nothing()).advice.contains("192.0.2.1"));
    let failed = |kind| look("shop.acme.example", kind, Outcome::Failed("timeout".into()));
    let unknown = Seen { addresses: [failed(RecordKind::A), failed(RecordKind::Aaaa)], ..nothing() };
    says(&traffic(&wanted(), &unknown), Verdict::Unknown, "we will ask again");
    let dnssec = look("shop.acme.example", RecordKind::A, Outcome::DnssecFailed);
    let broken = Seen { addresses: [dnssec, failed(RecordKind::Aaaa)], ..nothing() };
    says(&traffic(&wanted(), &broken), Verdict::Bogus, "DNSSEC");
    let half = Seen {
        addresses: [broken.addresses[0].clone(), seen(&[], &[], &["2001:db8::7"]).addresses[1].clone()],
        ..nothing()
    };
    says(&traffic(&wanted(), &half), Verdict::Wrong, "which is not us");
    // The edge itself cannot be looked up: nobody's address is wrong, and the CNAME is right as ever.
    for (cname, four, verdict, words) in [
        (&[] as &[&str], &["192.0.2.1"] as &[&str], Verdict::Unknown, "edge.connect.example"),
        (&[], &["192.0.2.1", "198.51.100.7"], Verdict::Unknown, "we will ask again"),
        (&["edge.connect.example"], &["198.51.100.7"], Verdict::Ok, ""),
        (&[], &[], Verdict::Missing, "Set a CNAME"),
    ] {
        says(&traffic(&wanted(), &Seen { ours: None, ..seen(cname, four, &[]) }), verdict, words);
    }
}

#[test]
fn what_is_at_the_challenges_name() {
    let seen = |cname: &[&str], txt: &[&str]| Seen {
        challenge: [
            look("_acme-challenge.x", RecordKind::Cname, records(cname)),
            look("_acme-challenge.x", RecordKind::Txt, records(txt)),
        ],
        ..nothing()
    };
    assert_eq!(challenge(&wanted(), &nothing()), None);
    says(&challenge(&wanted(), &seen(&[], &["old"])).unwrap(), Verdict::Stale, "another provider");
    says(&challenge(&wanted(), &seen(&["old.example"], &[])).unwrap(), Verdict::Stale, "can be removed");
    let delegation = Some(("_acme-challenge.x".to_owned(), "1a2b.acme.connect.example".to_owned()));
    let wild = Wanted { delegation, ..wanted() };
    for (cname, txt, verdict, words) in [
        (&["1A2b.acme.connect.example"] as &[&str], &[] as &[&str], Verdict::Ok, ""),
        (&[], &[], Verdict::Missing, "Set a CNAME record at _acme-challenge.x to 1a2b.acme.connect.example"),
        (&["other.example"], &[], Verdict::Wrong, "is a CNAME to other.example"),
        (&[], &["old"], Verdict::Wrong, "replace them by a CNAME"),
    ] {
        says(&challenge(&wild, &seen(cname, txt)).unwrap(), verdict, words);
    }
}

#[test]
fn which_authorities_may_issue() {
    let ours = [Hostname::parse("letsencrypt.org").unwrap()];
    let seen = |texts: &[&str]| Seen { caa: look("acme.example", RecordKind::Caa, records(texts)), ..nothing() };
    let judged = |wildcard, texts: &[&str]| caa(&ours, wildcard, &seen(texts)).map(|finding| finding.verdict);
    for (wildcard, texts, verdict) in [
        (false, &[] as &[&str], None),
        (false, &["0 iodef \"mailto:x@example\""], None),
        (false, &["0 issue \"letsencrypt.org\""], Some(Verdict::Ok)),
        (false, &["0 issue \"LetsEncrypt.org; validationmethods=http-01\""], Some(Verdict::Ok)),
        (false, &["0 issue \"digicert.com\"", "0 issue \"letsencrypt.org\""], Some(Verdict::Ok)),
        (false, &["0 issue \"digicert.com\""], Some(Verdict::Wrong)),
        (false, &["0 issue \";\""], Some(Verdict::Wrong)),
        (false, &["0 issuewild \"digicert.com\""], None),
        (true, &["0 issue \"letsencrypt.org\""], Some(Verdict::Ok)),
        (true, &["0 issue \"letsencrypt.org\"", "0 issuewild \"digicert.com\""], Some(Verdict::Wrong)),
        (true, &["0 issue \"digicert.com\"", "0 issuewild \"letsencrypt.org\""], Some(Verdict::Ok)),
    ] {
        assert_eq!(judged(wildcard, texts), verdict, "{wildcard} {texts:?}");
    }
    assert!(caa(&[], false, &seen(&["0 issue \"digicert.com\""])).is_none(), "nobody has said under which name");
    let failed = Seen { caa: look("acme.example", RecordKind::Caa, Outcome::Failed("x".into())), ..nothing() };
    assert_eq!(caa(&ours, false, &failed).map(|finding| finding.verdict), Some(Verdict::Unknown));
}
