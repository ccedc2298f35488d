//! What DNS can answer, and what is made of it. Knot is the zone's own server; the resolver before it remembers old things.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tenantry::dns::{Outcome, RecordKind};
use tenantry::domains::{Diagnosis, Finding, Verdict};
use tenantry::model::DomainState;

use super::room::{DAY, EDGE, NAME, Room, actor, proof};
use crate::support::dns::Resolver;
use crate::support::knot::Knot;

const ALLOW: &str = "[outbound]\nallow = [\"127.0.0.0/8\"]\n";

fn knot(records: &str) -> impl Future<Output = Knot> {
    Knot::start("acme.example", "hmac-sha256", records)
}

/// A resolver that knows the zone's server and the edge, and of the zone itself nothing.
async fn resolver() -> Resolver {
    let resolver = Resolver::start().await;
    resolver.set("acme.example", "NS", &["ns.acme.example"]);
    resolver.set("ns.acme.example", "A", &["127.0.0.1"]);
    resolver.set(EDGE, "A", &["127.0.0.9"]);
    resolver
}

fn of(diagnosis: &Diagnosis, kind: RecordKind) -> &Finding {
    diagnosis.findings.iter().find(|finding| finding.kind == kind).unwrap()
}

fn port(knot: &Knot) -> String {
    format!("authoritative_port = {}\n", knot.address.port())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_that_a_resolver_remembers_delays_nobody() {
    let resolver = resolver().await;
    let knot = knot(&format!("_arythmatic-verification.shop 60 TXT placeholder\nshop 60 CNAME {EDGE}.\n")).await;
    let room = Room::new(resolver.address, &(port(&knot) + ALLOW)).await;
    let token = room.claim("acme", NAME).await;
    let before = room.domains.diagnose(NAME, None).await.unwrap();
    let found = of(&before, RecordKind::Txt);
    assert_eq!((found.verdict, &found.seen[..]), (Verdict::Wrong, &["placeholder".to_owned()][..]));
    knot.update(&format!("add {}. 60 TXT \"{token}\"", proof(NAME))).await;
    let after = room.domains.verify(&actor(), NAME, None).await.unwrap();
    assert_eq!((after.state, after.proven, after.points_here), (DomainState::Verified, Some(true), Some(true)));
    let found = of(&after, RecordKind::Txt);
    assert_eq!((&found.server, found.authoritative), (&Some(knot.address.to_string()), true));
    assert!(of(&after, RecordKind::Cname).authoritative);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_resolver_remembers_is_asked_afresh_where_it_is_not_what_was_hoped_for() {
    let resolver = resolver().await;
    resolver.set(&proof("acme.example"), "TXT", &["arythmatic-verify=of-last-year"]);
    resolver.set("acme.example", "A", &["198.51.100.7"]);
    let knot = knot("_arythmatic-verification 60 TXT later\n@ 60 A 127.0.0.9\n").await;
    let room = Room::new(resolver.address, &(port(&knot) + ALLOW)).await;
    let token = room.claim("acme", "acme.example").await;
    knot.update(&format!("add {}. 60 TXT \"{token}\"", proof("acme.example"))).await;
    let seen = room.domains.verify(&actor(), "acme.example", None).await.unwrap();
    assert_eq!((seen.proven, seen.points_here, seen.state), (Some(true), Some(true), DomainState::Verified));
    let traffic = of(&seen, RecordKind::A);
    assert_eq!((traffic.authoritative, &traffic.seen[..]), (true, &["127.0.0.9".to_owned()][..]));

    // What the zone says counts, not what is hoped for.
    resolver.set("acme.example", "A", &["198.51.100.8"]);
    let elsewhere = Knot::start("acme.example", "hmac-sha256", "@ 60 A 198.51.100.7\n").await;
    let room = Room::new(resolver.address, &(port(&elsewhere) + ALLOW)).await;
    room.claim("acme", "acme.example").await;
    let seen = room.domains.diagnose("acme.example", None).await.unwrap();
    assert_eq!(seen.points_here, Some(false));
    assert_eq!(of(&seen, RecordKind::A).seen, ["198.51.100.7"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_whose_server_has_a_private_address_is_not_asked() {
    let resolver = resolver().await;
    let knot = knot("_arythmatic-verification.shop 60 TXT later\n").await;
    let room = Room::new(resolver.address, &port(&knot)).await;
    room.claim("acme", NAME).await;
    let seen = room.domains.diagnose(NAME, None).await.unwrap();
    let txt = of(&seen, RecordKind::Txt);
    assert_eq!((txt.verdict, txt.authoritative), (Verdict::Missing, false));
    assert_eq!(txt.server, Some(resolver.address.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_long_texts_and_long_answers_are_read_to_their_end() {
    let long = "x".repeat(300);
    let many: String =
        (0..40).map(|n| format!("many 60 TXT \"record number {n} of those that fill an answer\"\n")).collect();
    let knot = knot(&format!(
        "a 60 CNAME b\nb 60 CNAME c\nc 60 A 127.0.0.9\nd 60 CNAME elsewhere.invalid.\nloop 60 CNAME pool\npool 60 CNAME loop\n\
         long 60 TXT \"{}\" \"{}\"\n{many}@ 60 CAA 0 issue \"ca.example; validationmethods=http-01\"\n@ 60 CAA 0 iodef \"mailto:x@acme.example\"\n\
         deny 60 CAA 0 issue \";\"\n",
        &long[..255],
        &long[255..],
    ))
    .await;
    let room = Room::new(knot.address, "authoritative = false\n").await;
    let ask = async |name: &str, kind| room.dns.look(&format!("{name}.acme.example"), kind).await;
    let records = async |name: &str, kind| ask(name, kind).await.records().to_vec();
    assert_eq!(records("a", RecordKind::A).await, ["127.0.0.9"]);
    assert_eq!(records("a", RecordKind::Cname).await, ["b.acme.example"], "its own, not the next one's");
    assert_eq!(records("long", RecordKind::Txt).await, [long.as_str()]);
    assert_eq!(records("many", RecordKind::Txt).await.len(), 40);
    assert_eq!(ask("a", RecordKind::Aaaa).await.outcome, Outcome::NoRecords);
    assert_eq!(ask("nobody", RecordKind::A).await.outcome, Outcome::NoName);
    assert!(matches!(ask("loop", RecordKind::A).await.outcome, Outcome::Failed(why) if why.contains("CNAMEs")));
    // It leads out of what this server knows, which refuses then: that is not a no.
    assert!(matches!(ask("d", RecordKind::A).await.outcome, Outcome::Failed(why) if why.contains("refused")));
    let mut caa = room.dns.look("acme.example", RecordKind::Caa).await.records().to_vec();
    caa.sort();
    assert_eq!(caa[1], "0 issue \"ca.example; validationmethods=http-01\"");
    assert_eq!(records("deny", RecordKind::Caa).await, ["0 issue \";\""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn caa_is_that_of_the_nearest_name_above_which_has_any() {
    let knot = knot(&format!("@ 60 CAA 0 issue \"other.example\"\nshop 60 CNAME {EDGE}.\n*.deep 60 A 127.0.0.9\nown 60 CAA 0 issue \"ours.example; x=y\"\n")).await;
    let more = "authoritative = false\n[domains]\naddresses = [\"127.0.0.9\"]\n[[acme.authority]]\nname = \"x\"\ndirectory = \"https://127.0.0.1:1/\"\ncaa = [\"ours.example\"]\n";
    let room = Room::new(knot.address, more).await;
    for (name, verdict, at) in [
        ("a.b.deep.acme.example", Verdict::Wrong, "acme.example"),
        ("own.acme.example", Verdict::Ok, "own.acme.example"),
        ("www.own.acme.example", Verdict::Ok, "own.acme.example"),
    ] {
        room.claim("acme", name).await;
        let seen = room.domains.diagnose(name, None).await.unwrap();
        let caa = of(&seen, RecordKind::Caa);
        assert_eq!((caa.verdict, caa.name.as_str()), (verdict, at), "{name}");
        assert_eq!(caa.advice.contains("forbid"), verdict == Verdict::Wrong);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_that_do_not_hold_prove_nothing_and_lose_nobody_a_domain() {
    let resolver = resolver().await;
    let knot = knot(&format!("_arythmatic-verification.shop 60 TXT later\nshop 60 CNAME {EDGE}.\n")).await;
    let room = Room::new(resolver.address, &(port(&knot) + ALLOW)).await;
    let token = room.claim("acme", NAME).await;
    knot.update(&format!("add {}. 60 TXT \"{token}\"", proof(NAME))).await;
    for name in [NAME, &proof(NAME)] {
        resolver.bogus(name, true);
    }
    // The zone's own server, which validates nothing, would say yes.
    let seen = room.domains.verify(&actor(), NAME, None).await.unwrap();
    assert_eq!((seen.state, seen.proven, seen.points_here), (DomainState::Pending, None, None));
    let txt = of(&seen, RecordKind::Txt);
    assert!(txt.verdict == Verdict::Bogus && txt.advice.contains("DNSSEC"), "{txt:?}");
    for name in [NAME, &proof(NAME)] {
        resolver.bogus(name, false);
    }
    let seen = room.domains.verify(&actor(), NAME, None).await.unwrap();
    assert_eq!(seen.state, DomainState::Verified);
    room.goes_live().await;
    resolver.bogus(NAME, true);
    for _ in 0..30 {
        room.after(DAY).await;
    }
    assert_eq!(room.state("acme").await, DomainState::Live);
    assert!(!room.told("domain.moved", "acme").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_edge_or_the_resolver_is_silent_nobody_moves_and_nobody_fails() {
    let resolver = Resolver::start().await;
    resolver.set(EDGE, "A", &["127.0.0.9"]);
    resolver.set(NAME, "A", &["127.0.0.9"]);
    let room = Room::new(resolver.address, "authoritative = false\n").await;
    room.vouch("acme", NAME).await;
    room.goes_live().await;
    let token = room.claim("rival", "late.example").await;
    // The edge's own name cannot be looked up, or has gone: customers lead where they always led.
    resolver.fail(EDGE, true);
    room.after(2 * DAY).await;
    assert_eq!(room.state("acme").await, DomainState::Live);
    resolver.fail(EDGE, false);
    resolver.set(EDGE, "A", &[]);
    room.after(2 * DAY).await;
    assert_eq!(room.state("acme").await, DomainState::Live);
    // Nothing at all can be looked up, for a month.
    for name in [NAME, &proof(NAME), &proof("late.example"), "late.example"] {
        resolver.fail(name, true);
    }
    for _ in 0..30 {
        room.after(DAY).await;
    }
    assert_eq!(room.state("acme").await, DomainState::Live);
    let late = room.domains.diagnose("late.example", None).await.unwrap();
    assert_eq!((late.state, late.proven), (DomainState::Pending, None));
    resolver.fail(&proof("late.example"), false);
    resolver.set(&proof("late.example"), "TXT", &[&token]);
    room.after(DAY).await;
    let late = room.tenancy.domain("late.example", None).await.unwrap().domain;
    assert_eq!(late.state, DomainState::Verified);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_look_asks_a_bounded_number_of_questions_and_ends_in_time() {
    // The longest name there is: each label could be a zone.
    let name = format!("{}deep.example", "a.".repeat(60));
    let resolver = resolver().await;
    let room = Room::new(resolver.address, ALLOW).await;
    room.claim("acme", &name).await;
    room.look().await;
    let asked = resolver.asked("");
    eprintln!("one look at a name of {} labels: {asked} questions", name.matches('.').count() + 1);
    assert!(asked <= 100, "{asked}");

    let ordinary = resolver.asked("");
    room.claim("acme", NAME).await;
    room.look().await;
    eprintln!("one look at {NAME}: {} questions", resolver.asked("") - ordinary);
    assert!(resolver.asked("") - ordinary <= 40);

    // Nobody answers: every question takes its whole timeout.
    let silent: SocketAddr = resolver.address;
    resolver.hold("");
    let room = Room::new(silent, &format!("timeout = \"100ms\"\n{ALLOW}")).await;
    room.claim("acme", &name).await;
    let begun = Instant::now();
    let seen = room.domains.diagnose(&name, None).await.unwrap();
    let took = begun.elapsed();
    eprintln!("one look where nobody answers: {took:?}");
    assert_eq!((seen.proven, seen.points_here), (None, None));
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_is_not_proven_by_the_record_of_before() {
    let resolver = Resolver::start().await;
    resolver.set(EDGE, "A", &["127.0.0.9"]);
    let room = Room::new(resolver.address, "authoritative = false\n").await;
    let token = room.claim("acme", NAME).await;
    resolver.set(&proof(NAME), "TXT", &[&token]);
    resolver.set(NAME, "A", &["127.0.0.9"]);
    room.look().await;
    room.goes_live().await;
    resolver.set(NAME, "A", &["198.51.100.7"]);
    for _ in 0..9 {
        room.after(DAY).await;
    }
    assert_eq!(room.state("acme").await, DomainState::Released);
    resolver.set(NAME, "A", &["127.0.0.9"]);
    let again = room.domains.verify(&actor(), NAME, None).await.unwrap();
    assert_eq!((again.state, again.proven), (DomainState::Released, Some(false)));
    let fresh = room.tenancy.domain(NAME, None).await.unwrap().records[0].value.clone();
    assert_ne!(fresh, token);
    resolver.set(&proof(NAME), "TXT", &[&token, &fresh]);
    // No rest for the one who had it last.
    assert_eq!(room.domains.verify(&actor(), NAME, None).await.unwrap().state, DomainState::Verified);
}
