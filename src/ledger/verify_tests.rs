//! Whatever is done to a chain is found, and where.

use proptest::prelude::*;

use super::*;
use crate::clock::Timestamp;
use crate::ledger::{Personal, Record};

fn chain_of(lines: i64) -> (Chain, Vec<Linked>) {
    let name = "0198-tenant";
    let mut prev = Hash::genesis(name);
    let mut all = Vec::new();
    for number in 1..=lines {
        let personal = match number % 3 {
            0 => vec![Personal::new("/from".into(), None, [number as u8; 16], &serde_json::json!("192.0.2.1"))],
            _ => Vec::new(),
        };
        let record = Record {
            id: number * 2,
            at: Timestamp(1_000 + number),
            revision: number,
            actor: "operator:ci".into(),
            action: "tenant.rename".into(),
            subject: format!("s{number}"),
            detail: "{}".into(),
            personal,
            ..Record::default()
        };
        let hash = record.hash(name, number, &prev);
        all.push(Linked { number, prev: Some(prev), hash: Some(hash), record });
        prev = hash;
    }
    (Chain { name: name.into(), number: lines, head: prev, cut: (0, Hash::genesis(name)) }, all)
}

/// What the chain itself tells, and then what checkpoints do.
fn check(chain: &Chain, lines: &[Linked], checkpoints: &[Checkpoint]) -> Vec<Fault> {
    let mut verifier = Verifier::new(chain.clone());
    for line in lines {
        verifier.add(line.clone());
    }
    let found = verifier.finish();
    assert_eq!((found.lines, found.more), (lines.len() as u64, 0));
    let hashes = lines.iter().map(|line| (line.number, line.hash)).collect();
    found.faults.into_iter().chain(compare(chain, checkpoints, &hashes)).collect()
}

/// Makes every hash from line `at` on anew, the head included.
fn rehash(chain: &mut Chain, lines: &mut [Linked], at: usize) {
    let mut prev = lines[at].prev.unwrap();
    for line in &mut lines[at..] {
        let hash = line.record.hash(&chain.name, line.number, &prev);
        (line.prev, line.hash) = (Some(prev), Some(hash));
        prev = hash;
    }
    chain.head = prev;
}

fn renumber(lines: &mut [Linked]) {
    for (at, line) in lines.iter_mut().enumerate() {
        line.number = at as i64 + 1;
    }
}

fn checkpoint(chain: &Chain, line: &Linked) -> Checkpoint {
    Checkpoint { chain: chain.name.clone(), number: line.number, hash: line.hash.unwrap(), at: Timestamp(0) }
}

proptest! {
    #[test]
    fn an_untouched_chain_has_no_fault(lines in 0_i64..60, at in 0_usize..60) {
        let (chain, all) = chain_of(lines);
        let signed: Vec<_> = all.get(at).map(|line| checkpoint(&chain, line)).into_iter().collect();
        prop_assert_eq!(check(&chain, &all, &signed), []);
    }

    #[test]
    fn a_changed_line_is_named(lines in 1_i64..60, at: prop::sample::Index, what in 0..7) {
        let (chain, mut all) = chain_of(lines);
        let line = &mut all[at.index(lines as usize)];
        match what {
            0 => line.record.actor.push('x'),
            1 => line.record.at = Timestamp(5),
            2 => line.record.detail = "{\"a\":1}".into(),
            3 => line.record.after = Some("{}".into()),
            4 => line.hash = None,
            5 => line.record.personal.push(Personal {
                salt: Some(vec![1; 16]),
                value: Some("\"x\"".into()),
                ..Personal::default()
            }),
            _ => line.prev = Some(Hash([1; 32])),
        }
        let number = line.number;
        prop_assert_eq!(check(&chain, &all, &[]), [Fault::Changed { number }]);
    }

    #[test]
    fn a_changed_line_with_a_hash_of_its_own_is_named_by_the_next_or_the_head(lines in 1_i64..60, at: prop::sample::Index) {
        let (chain, mut all) = chain_of(lines);
        let line = &mut all[at.index(lines as usize)];
        line.record.subject.push('x');
        line.hash = Some(line.record.hash(&chain.name, line.number, &line.prev.unwrap()));
        let number = line.number;
        prop_assert_eq!(check(&chain, &all, &[]), [Fault::Changed { number }]);
    }

    #[test]
    fn removed_lines_are_named_whether_the_rest_is_numbered_anew_or_not(
        lines in 4_i64..60, at: prop::sample::Index, count in 1_usize..5, anew: bool,
    ) {
        let (mut chain, mut all) = chain_of(lines);
        // Not at the end: two lines follow, which show how they were moved.
        let from = at.index(lines as usize - 3);
        let count = count.min(lines as usize - 2 - from);
        all.drain(from..from + count);
        if anew {
            renumber(&mut all);
            chain.number -= count as i64;
        }
        let from = from as i64 + 1;
        prop_assert_eq!(check(&chain, &all, &[]), [Fault::Missing { from, to: from + count as i64 - 1 }]);
    }

    #[test]
    fn a_missing_tail_is_named_by_the_head_or_by_a_checkpoint(lines in 2_i64..60, at: prop::sample::Index, hidden: bool) {
        let (mut chain, mut all) = chain_of(lines);
        let signed = [checkpoint(&chain, all.last().unwrap())];
        let kept = at.index(lines as usize);
        all.truncate(kept);
        if hidden {
            chain.number = kept as i64;
            chain.head = all.last().map_or(Hash::genesis(&chain.name), |line| line.hash.unwrap());
            prop_assert_eq!(check(&chain, &all, &[]), []);
            prop_assert_eq!(check(&chain, &all, &signed), [Fault::Missing { from: kept as i64 + 1, to: lines }]);
        } else {
            prop_assert_eq!(check(&chain, &all, &[]), [Fault::Missing { from: kept as i64 + 1, to: lines }]);
        }
    }

    #[test]
    fn two_lines_in_each_others_place_are_named(
        lines in 2_i64..200, one: prop::sample::Index, other: prop::sample::Index, with_hashes: bool,
    ) {
        let (chain, mut all) = chain_of(lines);
        let (one, other) = (one.index(lines as usize), other.index(lines as usize));
        prop_assume!(one != other);
        let (one, other) = (one.min(other), one.max(other));
        all.swap(one, other);
        if with_hashes {
            renumber(&mut all);
        } else {
            // What they say changes places, and nothing else.
            let (a, b) = (all[one].clone(), all[other].clone());
            let said = |from: &Linked, into: &Linked| Linked {
                record: Record { id: into.record.id, ..from.record.clone() }, ..into.clone()
            };
            (all[one], all[other]) = (said(&a, &b), said(&b, &a));
        }
        let mut found = check(&chain, &all, &[]);
        found.sort_by_key(|fault| match fault { Fault::Reordered { number, .. } => *number, _ => 0 });
        let (one, other) = (one as i64 + 1, other as i64 + 1);
        prop_assert_eq!(found, [
            Fault::Reordered { number: one, really: other }, Fault::Reordered { number: other, really: one },
        ]);
    }

    #[test]
    fn a_chain_that_was_made_anew_is_told_by_a_checkpoint(lines in 3_i64..60, at: prop::sample::Index) {
        let (mut chain, mut all) = chain_of(lines);
        let signed = [checkpoint(&chain, &all[0]), checkpoint(&chain, all.last().unwrap())];
        let at = 1 + at.index(lines as usize - 1);
        all[at].record.action = "nothing.happened".into();
        rehash(&mut chain, &mut all, at);
        prop_assert_eq!(check(&chain, &all, &[]), []);
        prop_assert_eq!(check(&chain, &all, &signed), [Fault::Rewritten { after: 1, number: lines }]);
    }

    #[test]
    fn what_is_left_after_a_cut_verifies_and_no_other_beginning_does(lines in 3_i64..60, at: prop::sample::Index) {
        let (mut chain, mut all) = chain_of(lines);
        let kept = 1 + at.index(lines as usize - 2);
        chain.cut = (kept as i64, all[kept - 1].hash.unwrap());
        all.drain(..kept);
        prop_assert_eq!(check(&chain, &all, &[]), []);
        chain.cut.1 = Hash([1; 32]);
        prop_assert_eq!(check(&chain, &all, &[]), [Fault::Beginning { number: kept as i64 + 1 }]);
    }

    #[test]
    fn a_line_that_was_put_in_is_named(lines in 3_i64..60, at: prop::sample::Index) {
        let (chain, mut all) = chain_of(lines);
        let at = at.index(lines as usize);
        let twin = Linked { record: Record { id: 999, ..all[at].record.clone() }, ..all[at].clone() };
        all.insert(at + 1, twin);
        prop_assert_eq!(check(&chain, &all, &[]), [Fault::Added { number: at as i64 + 1 }]);
    }
}

#[test]
fn what_is_erased_while_a_chain_is_read_is_told_by_a_line_behind_its_end() {
    let (chain, mut all) = chain_of(10);
    let (salt, value) = all[5].record.personal.first_mut().map(|one| (&mut one.salt, &mut one.value)).unwrap();
    (*salt, *value) = (None, None);
    let digest = all[5].record.personal[0].digest.clone();
    let detail = crate::ledger::told_erased([(6, "/from", &digest[..])]).to_string();
    let record = Record { id: 22, action: "audit.erase".into(), detail, ..Record::default() };
    let hash = record.hash(&chain.name, 11, &chain.head);
    let told = Linked { number: 11, prev: Some(chain.head), hash: Some(hash), record };
    let found = |later: Option<&Linked>| {
        let mut verifier = Verifier::new(chain.clone());
        all.iter().for_each(|line| verifier.add(line.clone()));
        later.into_iter().for_each(|line| verifier.later(line));
        verifier.finish().faults
    };
    assert_eq!(found(None), [Fault::Erased { number: 6 }]);
    assert_eq!(found(Some(&told)), []);
    // Not by a line that is not as it was written.
    let changed = Linked { record: Record { actor: "x".into(), ..told.record.clone() }, ..told };
    assert_eq!(found(Some(&changed)), [Fault::Erased { number: 6 }]);
}
