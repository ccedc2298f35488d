//! Wildcards of customers: claimed only where a delegation makes them possible, and ordered only when it is there.

use tenantry::dns::RecordKind;
use tenantry::domains::{Readiness, Verdict};
use tenantry::model::{DomainName, DomainState, Hostname};
use tenantry::tenancy::{NewDomain, TenancyError};

use super::room::{EDGE, Room, actor, proof};
use crate::support::dns::Resolver;
use crate::support::knot::Knot;

const WILD: &str = "*.community.example";
const DELEGATING: &str = "authoritative = false\n[acme.dns]\nprovider = \"command\"\ncommand = \"/bin/true\"\ndelegation = \"acme.connect.example\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn without_a_delegation_there_are_none() {
    let resolver = Resolver::start().await;
    let room = Room::new(resolver.address, "authoritative = false\n").await;
    let new = NewDomain { domain: WILD.into(), verified: false };
    let refused = room.tenancy.add_domain(&actor(), "acme", &new).await.unwrap_err();
    let TenancyError::Invalid(faults) = &refused else { panic!("{refused:?}") };
    assert_eq!((faults[0].code, faults[0].pointer.as_str()), ("wildcard-unavailable", "/domain"));
    for name in ["*.connect.example", "*.co.uk", "*.example", "a.*.community.example"] {
        let new = NewDomain { domain: name.into(), verified: false };
        assert!(room.tenancy.add_domain(&actor(), "acme", &new).await.is_err(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_it_is_asked_for_before_anything_is_ordered() {
    let knot = Knot::start(
        "community.example",
        "hmac-sha256",
        &format!("* 60 CNAME {EDGE}.\n@ 60 CAA 0 issue \"ours.example\"\n@ 60 CAA 0 issuewild \";\"\n"),
    )
    .await;
    let room = Room::new(knot.address, DELEGATING).await;
    let new = NewDomain { domain: WILD.into(), verified: false };
    let claim = room.tenancy.add_domain(&actor(), "acme", &new).await.unwrap().value;
    let delegation = claim.records.iter().find(|record| record.name == "_acme-challenge.community.example").unwrap();
    assert_eq!(delegation.kind, "CNAME");
    assert!(delegation.value.ends_with(".acme.connect.example"));
    knot.update(&format!("add {}. 60 TXT \"{}\"", proof("community.example"), claim.records[0].value)).await;
    let seen = room.domains.verify(&actor(), WILD, None).await.unwrap();
    // The zone's own wildcard covers the name of the challenge too: it leads to the edge, where nobody can prove anything.
    assert_eq!((seen.state, seen.points_here), (DomainState::Verified, Some(true)));
    let at = |kind| seen.findings.iter().find(|f| f.name.starts_with("_acme-challenge.") && f.kind == kind);
    let challenge = at(RecordKind::Cname).unwrap();
    assert_eq!((challenge.verdict, &challenge.expected[..]), (Verdict::Wrong, &[delegation.value.clone()][..]));
    assert!(challenge.advice.contains(&delegation.value));

    let name = DomainName::parse(WILD).unwrap();
    let ours = [Hostname::parse("ours.example").unwrap()];
    let code = async |caa: &[Hostname]| match room.domains.preflight(&name, caa).await {
        Readiness::NotReady { code, .. } => code.to_owned(),
        other => format!("{other:?}"),
    };
    assert_eq!(code(&ours).await, "caa", "nobody may issue for the wildcard, whoever may for the name");
    assert_eq!(code(&[]).await, "delegation");
    knot.update(&format!("add _acme-challenge.community.example. 60 CNAME {}.", delegation.value)).await;
    assert_eq!(room.domains.preflight(&name, &[]).await, Readiness::Ready);
}
