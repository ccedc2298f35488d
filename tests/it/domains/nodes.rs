//! Many claims, many who ask, and more than one node: each look is made once, a name has one owner, and what has changed
//! while DNS was asked counts.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tenantry::model::{DomainName, DomainState};
use tenantry::tenancy::TenancyError;

use super::room::{EDGE, NAME, Room, actor, name, proof};
use crate::support::dns::Resolver;
use crate::support::postgres::Server;

const PLAIN: &str = "authoritative = false\n";

async fn resolver() -> Resolver {
    let resolver = Resolver::start().await;
    resolver.set(EDGE, "A", &["127.0.0.9"]);
    resolver
}

fn many(default: usize, full: usize) -> usize {
    if std::env::var_os("TENANTRY_TEST_FULL").is_some() { full } else { default }
}

/// Two nodes on one PostgreSQL.
async fn two(resolver: &Resolver) -> [Room; 2] {
    let url = Server::shared().database().await;
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let first = Room::over(&url, resolver.address, PLAIN, dir).await;
    let second = first.beside(&url, resolver.address, PLAIN).await;
    [first, second]
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_one_makes_each_look_and_not_too_many_at_once() {
    let resolver = resolver().await;
    let [one, other] = two(&resolver).await;
    let number = many(120, 500);
    let names: Vec<_> = (0..number).map(|n| format!("shop{n}.many.example")).collect();
    for name in &names {
        one.claim("acme", name).await;
    }
    // Sixteen claims on each node, of each seven questions at once about the name and beneath it.
    let most = 2 * 16 * 7;
    resolver.hold("many.example");
    let released = async {
        resolver.is_asked("many.example", most).await;
        assert_eq!(resolver.asked("many.example"), most);
        resolver.release();
    };
    let (here, there, ()) = tokio::join!(one.look(), other.look(), released);
    eprintln!("{number} claims: {here} looked at here, {there} there; {} questions at once", resolver.most_waiting());
    assert_eq!(here + there, number);
    for name in &names {
        assert_eq!(resolver.asked(&proof(name)), 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_for_one_claim_holds_no_other_up() {
    let resolver = resolver().await;
    let room = Room::new(resolver.address, PLAIN).await;
    for n in 0..40 {
        room.claim("acme", &format!("shop{n}.many.example")).await;
    }
    resolver.hold("shop7.many.example");
    let looks = async { assert_eq!(room.look().await, 40) };
    let others = async {
        for n in (0..40).filter(|n| *n != 7) {
            resolver.is_asked(&format!(".shop{n}.many.example"), 1).await;
        }
        resolver.release();
    };
    tokio::join!(looks, others);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_prove_it_at_once_one_has_it() {
    let resolver = resolver().await;
    let nodes = two(&resolver).await;
    let number = many(20, 250);
    for n in 0..number {
        let name = format!("shop{n}.many.example");
        let tokens = [nodes[0].claim("acme", &name).await, nodes[1].claim("rival", &name).await];
        resolver.set(&proof(&name), "TXT", &[&tokens[0], &tokens[1]]);
        let looks = ["acme", "rival"].map(|tenant| {
            let (node, name) = (&nodes[usize::from(tenant == "rival")], &name);
            async move { node.domains.verify(&actor(), name, Some(tenant)).await.unwrap() }
        });
        let seen = join_all(looks).await;
        let claims = nodes[0].store.claims(&DomainName::parse(&name).unwrap()).await.unwrap();
        let held: Vec<_> = claims.iter().filter(|claim| claim.state.is_held()).collect();
        assert_eq!(held.len(), 1, "{claims:?}");
        // Each is told what is, also the one who came second.
        assert_eq!(seen.iter().filter(|seen| seen.state == DomainState::Verified).count(), 1, "{seen:?}");
        assert!(seen.iter().all(|seen| seen.proven == Some(true)));
        let order = nodes[1].store.order(&name).await.unwrap().unwrap();
        assert_eq!(order.tenant, Some(held[0].tenant));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_while_dns_is_asked_stays_given_up() {
    let resolver = resolver().await;
    let room = Room::new(resolver.address, PLAIN).await;
    let token = room.claim("acme", NAME).await;
    resolver.set(&proof(NAME), "TXT", &[&token]);
    resolver.set(NAME, "CNAME", &[EDGE]);
    let asking = actor();
    for afresh in [false, true] {
        resolver.hold(&proof(NAME));
        let asked = resolver.asked(&proof(NAME));
        let meanwhile = async {
            resolver.is_asked(&proof(NAME), asked + 1).await;
            room.tenancy.remove_domain(&actor(), NAME, None).await.unwrap();
            if afresh {
                room.claim("acme", NAME).await;
            }
            resolver.release();
        };
        let (seen, ()) = tokio::join!(room.domains.verify(&asking, NAME, None), meanwhile);
        let seen = seen.unwrap();
        assert_eq!((seen.state, seen.proven), (DomainState::Pending, Some(true)));
        assert!(!room.told("domain.verified", "acme").await && !room.order().await);
        assert!(room.store.held_domain(&name()).await.unwrap().is_none());
        if !afresh {
            let token = room.claim("acme", NAME).await;
            resolver.set(&proof(NAME), "TXT", &[&token]);
        }
    }
    // The one that was made afresh has a token of its own, which nobody has shown yet.
    room.look().await;
    assert_eq!(room.state("acme").await, DomainState::Verifying);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_second_is_told_so() {
    let resolver = resolver().await;
    let room = Room::new(resolver.address, PLAIN).await;
    let token = room.claim("acme", NAME).await;
    resolver.set(&proof(NAME), "TXT", &[&token]);
    let asking = actor();
    // The answer is kept back until the operator has vouched for the other one.
    resolver.hold(&proof(NAME));
    let meanwhile = async {
        resolver.is_asked(&proof(NAME), 1).await;
        room.vouch("rival", NAME).await;
        resolver.release();
    };
    let (seen, ()) = tokio::join!(room.domains.verify(&asking, NAME, Some("acme")), meanwhile);
    let seen = seen.unwrap();
    assert_eq!((seen.state, seen.proven), (DomainState::Pending, Some(true)));
    assert!(seen.summary.contains("another tenant holds it"), "{}", seen.summary);
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_asked_for_at_once_are_counted_each() {
    let resolver = resolver().await;
    for rooms in [vec![Room::new(resolver.address, PLAIN).await], two(&resolver).await.into()] {
        rooms[0].claim("acme", NAME).await;
        let looks = (0..40).map(|n| {
            let room = &rooms[n % rooms.len()];
            async move { room.domains.verify(&actor(), NAME, None).await }
        });
        let answers = join_all(looks).await;
        let made = answers.iter().filter(|answer| answer.is_ok()).count();
        let often = |answer: &&Result<_, TenancyError>| matches!(answer, Err(TenancyError::TooOften { .. }));
        assert_eq!((made, answers.iter().filter(often).count()), (10, 30));
        rooms[0].clock.advance(Duration::from_secs(601));
        assert!(rooms[0].domains.verify(&actor(), NAME, None).await.is_ok(), "later it may be asked for again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_on_postgresql_with_two_nodes_is_told_once() {
    let resolver = resolver().await;
    let nodes = two(&resolver).await;
    nodes[0].vouch("acme", NAME).await;
    resolver.set(NAME, "CNAME", &[EDGE]);
    let token = nodes[1].claim("rival", NAME).await;
    resolver.set(&proof(NAME), "TXT", &[&token]);
    for _ in 0..24 {
        tokio::join!(nodes[0].look(), nodes[1].look());
        nodes[0].clock.advance(Duration::from_secs(12 * 3600));
    }
    assert_eq!(nodes[1].state("rival").await, DomainState::Verified);
    let events = nodes[0].events().await;
    for (kind, tenant) in [("domain.contested", "acme"), ("domain.released", "acme"), ("domain.transferred", "rival")] {
        let told = events.iter().filter(|event| **event == (kind.to_owned(), tenant.to_owned())).count();
        assert_eq!(told, 1, "{kind}: {events:?}");
    }
}
