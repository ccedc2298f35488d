//! The state machine by tables, and by whole lives in which the process dies at any moment.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::acme::protocol::Problem;

const NAME: &str = "community.acme.example";
const PATIENCE: Duration = Duration::from_secs(600);
const NOW: Timestamp = Timestamp(1_800_000_000_000);
const DAY: Duration = Duration::from_secs(86_400);

fn at(stage: Stage) -> Order {
    Order { stage, ..Order::new() }
}

fn step(order: &Order, event: Event) -> Next {
    order.next(event, NAME, 0, PATIENCE, NOW)
}

fn proving() -> Order {
    let (authority, url) = ("one".to_owned(), "https://ca.example/order/1".to_owned());
    at(Stage::Proving { authority, url, method: ChallengeKind::Http01, since: NOW })
}

fn issued() -> Order {
    let stage = Stage::Issued { authority: "one".into(), not_before: NOW, not_after: NOW + 90 * DAY, window: None };
    Order { certificate: Some("c1".into()), ends: Some(NOW + 90 * DAY), ..at(stage) }
}

#[test]
fn the_good_way_needs_no_waiting() {
    let events = [
        (Event::Reserved { authority: "one".into() }, "placing"),
        (Event::Placed { url: "u".into(), method: ChallengeKind::Http01 }, "proving"),
        (Event::Proven, "finalizing"),
        (Event::Stored { certificate: "c1".into() }, "installed"),
        (Event::Served { not_before: NOW, not_after: NOW + 90 * DAY }, "issued"),
    ];
    let mut order = Order::new();
    for (event, word) in events {
        let next = step(&order, event);
        assert_eq!((next.order.stage.word(), next.at <= NOW, next.failed), (word, true, false));
        order = next.order;
    }
    assert_eq!((order.certificate.as_deref(), order.ends), (Some("c1"), Some(NOW + 90 * DAY)));
    let next = step(&order, Event::Window(None));
    assert_eq!(next.order.stage.word(), "issued");
    assert!(next.at > NOW + 45 * DAY && next.at < NOW + 75 * DAY, "{}", next.at);
}

#[test]
fn what_fails_backs_off_and_what_is_nobodys_fault_does_not_count() {
    let refused = |error| Event::Refused(error);
    let problem = || Problem { kind: "unauthorized".into(), detail: "no".into() };
    let later = Some(NOW + Duration::from_secs(60));
    let unavailable = || CaError::Unavailable { retry_after: later, why: "503".into() };
    let limited = || CaError::RateLimited { retry_after: later, detail: "too many".into() };
    let placing = || at(Stage::Placing { authority: "one".into(), since: NOW });
    for (order, event, word, failed) in [
        (Order::new(), Event::NotReady { code: "caa".into(), why: "no".into() }, "waiting", true),
        (Order::new(), Event::CannotTell { why: "timeout".into() }, "waiting", false),
        (Order::new(), Event::Held { until: NOW + DAY, why: "full".into() }, "waiting", false),
        (placing(), refused(CaError::Refused(problem())), "waiting", true),
        (placing(), refused(unavailable()), "waiting", false),
        (placing(), refused(limited()), "waiting", false),
        (proving(), refused(CaError::Gone(problem())), "waiting", true),
        (proving(), refused(unavailable()), "proving", false),
        (proving(), Event::Failed { code: "timeout".into(), why: "slow".into() }, "waiting", true),
        (proving(), Event::Stored { certificate: "?".into() }, "waiting", true),
    ] {
        let next = step(&order, event.clone());
        assert_eq!(
            (next.order.stage.word(), next.failed, next.failures),
            (word, failed, i64::from(failed)),
            "{event:?}"
        );
        assert!(next.at > NOW && next.order.failure.is_some(), "{event:?}");
        if matches!(event, Event::Refused(CaError::RateLimited { .. } | CaError::Unavailable { .. })) {
            assert!(next.at >= NOW + Duration::from_secs(60), "never before it was told");
        }
    }
}

#[test]
fn a_proof_that_nobody_was_there_to_give_is_no_failure_of_the_domain() {
    let gone = Event::Disproven { code: "connection".into(), why: "refused".into(), interrupted: true };
    let next = step(&proving(), gone);
    assert_eq!((next.order.stage.clone(), next.failed, next.failures), (Stage::Waiting, false, 0));
    assert_eq!(next.order.method(), ChallengeKind::Http01, "the same way again");
    assert!(next.at > NOW && next.at <= NOW + Duration::from_secs(60));
}

#[test]
fn the_other_way_of_proving_is_tried_before_it_backs_off() {
    let no = || Event::Disproven { code: "connection".into(), why: "refused".into(), interrupted: false };
    let first = step(&proving(), no());
    assert_eq!(first.order.method(), ChallengeKind::TlsAlpn01);
    assert!(first.at <= NOW + Duration::from_secs(60));
    let mut second = proving();
    second.tried = first.order.tried;
    second.stage = match second.stage {
        Stage::Proving { authority, url, since, .. } => {
            Stage::Proving { authority, url, method: ChallengeKind::TlsAlpn01, since }
        }
        other => other,
    };
    let second = second.next(no(), NAME, 1, PATIENCE, NOW);
    assert_eq!((second.order.method(), second.failures), (ChallengeKind::Http01, 2));
    assert!(second.at > NOW + Duration::from_secs(300), "ten minutes, more or less");
    let mut dns = proving();
    dns.stage = Stage::Proving { authority: "one".into(), url: "u".into(), method: ChallengeKind::Dns01, since: NOW };
    assert!(step(&dns, no()).order.tried.is_empty(), "a wildcard has no other way");
}

#[test]
fn a_certificate_that_is_not_shown_is_looked_at_a_few_times_and_then_taken_back() {
    let mut order = at(Stage::Installed { authority: "one".into(), certificate: "c1".into(), tries: 0 });
    let mut looks = 0;
    loop {
        let next = step(&order, Event::NotServed { why: "another".into() });
        looks += 1;
        order = next.order;
        if next.failed {
            break;
        }
        assert!(next.at > NOW && next.at < NOW + Duration::from_secs(60));
    }
    assert_eq!((looks, order.stage.word(), order.reason.as_deref()), (5, "waiting", Some("not-served")));
}

#[test]
fn an_authority_that_is_away_for_too_long_loses_the_order() {
    let away = |at| Event::Refused(CaError::Unavailable { retry_after: Some(at), why: "gone".into() });
    let soon = step(&proving(), away(NOW + Duration::from_secs(60)));
    assert_eq!(soon.order.stage.word(), "proving");
    let long = step(&proving(), away(NOW + 2 * PATIENCE));
    assert_eq!(long.order.stage.word(), "waiting");
    assert!(long.at < NOW + Duration::from_secs(60), "another authority may be asked at once");
}

#[test]
fn a_renewal_follows_the_authoritys_wish_and_survives_its_silence() {
    let window = |from, to| {
        Some(RenewalWindow { start: NOW + from, end: NOW + to, ask_again: NOW + Duration::from_secs(6 * 3600) })
    };
    let later = step(&issued(), Event::Window(window(50 * DAY, 52 * DAY)));
    assert_eq!(later.order.stage.word(), "issued");
    assert_eq!(later.at, NOW + Duration::from_secs(6 * 3600), "it is asked again before");
    let now = issued().next(Event::Window(window(Duration::ZERO, DAY)), NAME, 0, PATIENCE, NOW + 2 * DAY);
    assert_eq!(now.order.stage.word(), "waiting");
    assert_eq!(now.order.certificate.as_deref(), Some("c1"), "what it replaces is remembered");
    let silent = Event::Refused(CaError::Unavailable { retry_after: None, why: "gone".into() });
    let young = issued().next(silent.clone(), NAME, 0, PATIENCE, NOW + DAY);
    assert_eq!((young.order.stage.word(), young.failed), ("issued", false));
    assert!(young.at <= NOW + 2 * DAY);
    let old = issued().next(silent, NAME, 0, PATIENCE, NOW + 80 * DAY);
    assert_eq!(old.order.stage.word(), "waiting", "by its lifetime it is due");
}

#[test]
fn renewals_that_were_held_do_not_come_back_together() {
    let until = NOW + DAY;
    let back = |name: &str| {
        let waiting = Order { stage: Stage::Waiting, ..issued() };
        waiting.next(Event::Held { until, why: "away".into() }, name, 0, PATIENCE, NOW).at
    };
    let times: Vec<Timestamp> = (0..1000).map(|n| back(&format!("{n}.example"))).collect();
    assert!(times.iter().all(|time| *time >= until && *time <= until + 9 * DAY));
    let in_first_day = times.iter().filter(|time| **time < until + DAY).count();
    assert!(in_first_day < 250, "{in_first_day} of 1000 within a day of nine");
}

#[test]
fn it_is_kept_as_json_that_names_its_stage() {
    let stages = [
        Stage::Waiting,
        Stage::Placing { authority: "one".into(), since: NOW },
        proving().stage,
        Stage::Finalizing { authority: "one".into(), url: "u".into(), since: NOW },
        Stage::Installed { authority: "one".into(), certificate: "c2".into(), tries: 3 },
        issued().stage,
    ];
    // Each alone, and in the middle of a renewal that has had its troubles.
    let troubled = |stage: Stage| {
        let mut order = Order { stage, ..issued() };
        order.note("dns", "why".into(), NOW);
        order.tried.push(ChallengeKind::Http01);
        order
    };
    let orders = stages.clone().map(at).into_iter().chain(stages.map(troubled));
    for order in orders {
        let text = serde_json::to_string(&order).unwrap();
        assert!(text.contains(&format!("\"stage\":\"{}\"", order.stage.word())), "{text}");
        assert_eq!(serde_json::from_str::<Order>(&text).unwrap(), order);
    }
    assert_eq!(serde_json::from_str::<Order>("{\"stage\":\"waiting\"}").unwrap(), Order::new());
}

/// What the world does next, and whether the process dies before it is written down, or right after.
#[derive(Clone, Debug)]
struct Turn {
    works: bool,
    dies_before: bool,
    dies_after: bool,
}

fn turn() -> impl Strategy<Value = Turn> {
    (proptest::bool::weighted(0.8), proptest::bool::weighted(0.2), proptest::bool::weighted(0.2))
        .prop_map(|(works, dies_before, dies_after)| Turn { works, dies_before, dies_after })
}

proptest! {
    /// Whatever dies when: each order that is placed has its own budget, a key is never asked for twice, and in the end
    /// the certificate is there.
    #[test]
    fn it_ends_issued_whoever_dies_when(turns in proptest::collection::vec(turn(), 0..60)) {
        let (mut order, mut failures, mut now) = (Order::new(), 0, NOW);
        let (mut budget, mut placed) = (0_u32, 0_u32);
        let calm = std::iter::repeat_n(Turn { works: true, dies_before: false, dies_after: false }, 20);
        for turn in turns.into_iter().chain(calm) {
            let fail = || Event::Failed { code: "x".into(), why: "x".into() };
            let event = match (&order.stage, turn.works) {
                (Stage::Issued { .. }, _) => break,
                (_, false) => fail(),
                (Stage::Waiting, _) => Event::Reserved { authority: "one".into() },
                (Stage::Placing { .. }, _) => { placed += 1; Event::Placed { url: "u".into(), method: ChallengeKind::Http01 } }
                (Stage::Proving { .. }, _) => Event::Proven,
                (Stage::Finalizing { .. }, _) => Event::Stored { certificate: "c".into() },
                (Stage::Installed { .. }, _) => Event::Served { not_before: now, not_after: now + 90 * DAY },
            };
            let resume = |order: &Order, failures, now| order.next(Event::Resumed, NAME, failures, PATIENCE, now).order;
            if turn.dies_before {
                order = resume(&order, failures, now);
                continue;
            }
            budget += u32::from(matches!(event, Event::Reserved { .. }));
            let next = order.next(event, NAME, failures, PATIENCE, now);
            (order, failures, now) = (next.order, next.failures, now.max(next.at));
            if turn.dies_after {
                order = resume(&order, failures, now);
            }
            prop_assert!(placed <= budget, "an order without a budget: {placed} > {budget}");
        }
        prop_assert_eq!(order.stage.word(), "issued");
    }
}
