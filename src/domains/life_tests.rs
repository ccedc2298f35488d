//! What follows from what was seen: by tables, by whole stories, and whatever happens when nobody can be asked.

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const NAME: &str = "shop.acme.example";

fn config() -> config::Domains {
    config::Domains {
        addresses: Vec::new(),
        pending_for: 7 * DAY,
        recheck: DAY,
        grace: 7 * DAY,
        cooldown: DAY,
        verify_limit: 3,
        concurrency: 1,
    }
}

fn facts(proven: Option<bool>, points_here: Option<bool>) -> Facts {
    Facts { proven, points_here, holder: None, rests_until: None, has_certificate: true, brought: false, covered: true }
}

fn step(state: DomainState, facts: &Facts, after: Duration) -> (Step, Option<Timestamp>) {
    let (step, _, at) = next(state, Progress::default(), facts, NAME, NOW, &config(), NOW + after);
    (step, at)
}

#[test]
fn a_claim_is_proven_or_fails_in_time() {
    use DomainState::*;
    let (yes, no, unknown) = (Some(true), Some(false), None);
    for (state, proven, points, after, expected) in [
        (Pending, no, no, HOUR, Step::Stay),
        (Pending, no, yes, HOUR, Step::Set(Verifying)),
        (Verifying, no, no, HOUR, Step::Set(Pending)),
        (Verifying, no, unknown, HOUR, Step::Stay),
        (Pending, yes, no, HOUR, Step::Verify),
        (Verifying, yes, yes, HOUR, Step::Verify),
        (Pending, no, no, 7 * DAY, Step::Fail),
        (Pending, unknown, no, 30 * DAY, Step::Stay),
        (Failed, yes, yes, 30 * DAY, Step::Verify),
        (Failed, no, yes, 30 * DAY, Step::Stay),
        (Released, yes, yes, 30 * DAY, Step::Verify),
        (Released, no, no, 30 * DAY, Step::Stay),
    ] {
        assert_eq!(step(state, &facts(proven, points), after).0, expected, "{state} {proven:?} {points:?}");
    }
    assert_eq!(step(Failed, &facts(no, no), DAY).1, None, "looked at on demand alone");
    let resting = Facts { rests_until: Some(NOW + DAY), ..facts(yes, yes) };
    assert_eq!(step(Pending, &resting, HOUR), (Step::Stay, Some(NOW + DAY)));
    assert_eq!(step(Pending, &resting, 2 * DAY).0, Step::Verify);
}

#[test]
fn a_held_domain_moves_returns_and_is_released() {
    use DomainState::*;
    let here = facts(Some(false), Some(true));
    let away = facts(Some(true), Some(false));
    assert_eq!(step(Live, &here, HOUR).0, Step::Stay, "the proof may go once it has served");
    assert_eq!(step(Verified, &away, HOUR).0, Step::Stay, "it has never led here, and is waited for");
    let (moved, progress, at) = next(Live, Progress::default(), &away, NAME, NOW, &config(), NOW);
    assert_eq!((moved, progress.moved, at), (Step::Move, Some(NOW), Some(NOW + HOUR)));
    let later = |facts: &Facts, after| next(Moved, progress.clone(), facts, NAME, NOW, &config(), NOW + after).0;
    assert_eq!(later(&away, 6 * DAY), Step::Stay);
    assert_eq!(later(&here, 6 * DAY), Step::Return(Live));
    assert_eq!(later(&Facts { has_certificate: false, ..here }, 6 * DAY), Step::Return(Verified));
    assert_eq!(later(&away, 7 * DAY), Step::Release);
    assert_eq!(later(&facts(None, None), 30 * DAY), Step::Stay, "could not ask is not an answer");
}

/// Tells the story of a challenger, look by look: hours, whether the holder's proof was there, and what follows.
fn challenge_story(looks: &[(u32, Option<bool>, Step)]) {
    let mut progress = Progress::default();
    for (hours, holder, expected) in looks {
        let facts = Facts { holder: Some(Holder { proven: *holder }), ..facts(Some(true), Some(true)) };
        let now = NOW + HOUR * *hours;
        let (step, kept, at) = next(DomainState::Pending, progress, &facts, NAME, NOW, &config(), now);
        assert_eq!(step, *expected, "after {hours} h");
        assert!(at.is_some_and(|at| at > now));
        progress = kept;
    }
}

#[test]
fn a_challenger_needs_three_looks_over_a_day_and_then_the_grace() {
    let (gone, there, unknown) = (Some(false), Some(true), None);
    use Step::{Contest, Stay, Transfer};
    challenge_story(&[
        (0, gone, Stay),
        (12, gone, Stay),
        (24, gone, Contest),
        (36, gone, Stay),
        (24 + 7 * 24 - 1, gone, Stay),
        (24 + 7 * 24, gone, Transfer),
    ]);
    challenge_story(&[(0, gone, Stay), (1, gone, Stay), (2, gone, Stay), (25, gone, Stay), (37, gone, Contest)]);
    challenge_story(&[(0, gone, Stay), (12, gone, Stay), (24, there, Stay), (36, gone, Stay), (48, gone, Stay)]);
    challenge_story(&[(0, gone, Stay), (12, unknown, Stay), (24, gone, Stay), (36, gone, Contest)]);
    challenge_story(&[
        (0, gone, Stay),
        (12, gone, Stay),
        (24, gone, Contest),
        (36, there, Stay),
        (24 * 30, gone, Stay),
    ]);
}

#[test]
fn a_plan_that_covers_it_no_more_is_noticed_once() {
    let uncovered = Facts { covered: false, ..facts(Some(true), Some(true)) };
    let (first, progress, _) = next(DomainState::Live, Progress::default(), &uncovered, NAME, NOW, &config(), NOW);
    assert_eq!((first, progress.uncovered), (Step::Uncover, Some(NOW)));
    let (again, progress, _) = next(DomainState::Live, progress, &uncovered, NAME, NOW, &config(), NOW + DAY);
    assert_eq!(again, Step::Stay);
    let covered = facts(Some(true), Some(true));
    let (_, progress, _) = next(DomainState::Live, progress, &covered, NAME, NOW, &config(), NOW + 2 * DAY);
    assert_eq!(progress.uncovered, None);
}

#[test]
fn looks_can_be_asked_for_so_often_and_no_more() {
    let mut progress = Progress::default();
    for second in 0..3 {
        assert_eq!(ask(&mut progress, 3, NOW + Duration::from_secs(second)), Ok(()));
    }
    assert_eq!(ask(&mut progress, 3, NOW + Duration::from_secs(100)), Err(Duration::from_secs(500)));
    assert_eq!(ask(&mut progress, 3, NOW + Duration::from_secs(600)), Ok(()));
}

proptest! {
    /// Nobody can be asked, for however long and in whatever state: nothing ever changes, and it is always asked again.
    #[test]
    fn silence_decides_nothing(hours in proptest::collection::vec(1_u32..500, 1..40), index in 0_usize..7) {
        let state = DomainState::ALL[index];
        let (mut progress, mut now) = (Progress::default(), NOW);
        for gap in hours {
            now = now + HOUR * gap;
            let silent = Facts { holder: Some(Holder { proven: None }), ..facts(None, None) };
            let (step, kept, at) = next(state, progress, &silent, NAME, NOW, &config(), now);
            prop_assert_eq!(step, Step::Stay);
            let on_demand = matches!(state, DomainState::Failed | DomainState::Released);
            prop_assert!(on_demand || at.is_some_and(|at| at > now));
            progress = kept;
        }
    }
}
