//! The ledger as it can be checked away from the store: every line with all that its hash covers, and for each chain the
//! signed word of where it stands and of where it was cut. Whoever has that and the public keys needs to believe nobody.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Chain, Fault, Hash, LedgerKeys, Linked, Signed, Statement, Verifier};

/// A line of such an export: a chain, then its lines by number, then the next chain; at last the end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    Chain {
        /// Where it stands.
        standing: Signed,
        /// Where it was cut; `null`: nowhere.
        cut: Option<Box<Signed>>,
        /// The id of the last line of which something was erased before erasures were told of; 0: none was.
        excused: i64,
    },
    Line(Box<Linked>),
    /// An export without it broke off.
    End {
        chains: u64,
        lines: u64,
    },
}

/// What the check of an export came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Proved {
    pub chains: u64,
    pub lines: u64,
    /// Each with its chain.
    pub faults: Vec<(String, Fault)>,
    /// What is wrong with the export itself, for people.
    pub wrong: Vec<String>,
}

/// The check of an export: [`Prover::add`] each of its lines, then [`Prover::finish`].
pub struct Prover {
    keys: LedgerKeys,
    open: Option<(String, Verifier)>,
    /// The chains that were there, and what each stood at.
    seen: BTreeMap<String, (i64, Hash)>,
    ended: Option<(u64, u64)>,
    found: Proved,
}

impl Prover {
    pub fn new(keys: LedgerKeys) -> Self {
        Self { keys, open: None, seen: BTreeMap::new(), ended: None, found: Proved::default() }
    }

    pub fn add(&mut self, proof: Proof) {
        if self.ended.is_some() {
            return self.wrong("something comes after its end".to_owned());
        }
        match proof {
            Proof::Chain { standing, cut, excused } => self.begin(&standing, cut.as_deref(), excused),
            Proof::Line(line) => match &mut self.open {
                Some((_, verifier)) => {
                    self.found.lines += 1;
                    verifier.add(*line);
                }
                None => self.wrong("a line comes before its chain".to_owned()),
            },
            Proof::End { chains, lines } => self.ended = Some((chains, lines)),
        }
    }

    /// Where the chain stood when it was exported; `None`: it is not in the export.
    pub fn standing(&self, chain: &str) -> Option<(i64, Hash)> {
        self.seen.get(chain).copied()
    }

    pub fn finish(mut self) -> Proved {
        self.close();
        match self.ended {
            Some(told) if told == (self.found.chains, self.found.lines) => {}
            Some((chains, lines)) => {
                let (had, of) = (self.found.lines, self.found.chains);
                self.wrong(format!("it had {lines} lines in {chains} chains, and has {had} in {of}"));
            }
            None => self.wrong("it breaks off before its end".to_owned()),
        }
        self.found
    }

    fn begin(&mut self, standing: &Signed, cut: Option<&Signed>, excused: i64) {
        self.close();
        let told = &standing.checkpoint;
        let (name, genesis) = (told.chain.clone(), Hash::genesis(&told.chain));
        if let Err(why) = self.keys.check(Statement::Checkpoint, standing) {
            self.wrong(format!("where the chain {name} stands is not to be believed: {why}"));
        }
        let cut = cut.map(|cut| match self.keys.check(Statement::Cut, cut) {
            _ if cut.checkpoint.chain != name => Err("it is of another chain".to_owned()),
            Ok(()) => Ok((cut.checkpoint.number, cut.checkpoint.hash)),
            Err(why) => Err(why.to_string()),
        });
        let cut = cut.unwrap_or(Ok((0, genesis))).unwrap_or_else(|why| {
            self.wrong(format!("where the chain {name} was cut is not to be believed: {why}"));
            (0, genesis)
        });
        if self.seen.insert(name.clone(), (told.number, told.hash)).is_some() {
            self.wrong(format!("the chain {name} is there twice"));
        }
        self.found.chains += 1;
        let chain = Chain { name: name.clone(), number: told.number, head: told.hash, cut };
        self.open = Some((name, Verifier::new(chain).excusing(excused)));
    }

    fn close(&mut self) {
        let Some((name, verifier)) = self.open.take() else { return };
        let found = verifier.finish();
        self.found.faults.extend(found.faults.into_iter().map(|fault| (name.clone(), fault)));
        if found.more > 0 {
            self.wrong(format!("{} more faults in the chain {name} are not listed", found.more));
        }
    }

    fn wrong(&mut self, what: String) {
        self.found.wrong.push(what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::ledger::{Checkpoint, Personal, Record};

    fn export(keys: &LedgerKeys) -> Vec<Proof> {
        let mut head = Hash::genesis("a");
        let mut lines = Vec::new();
        for number in 1..=3 {
            let personal = vec![Personal::new("/from".into(), Some("x".into()), [7; 16], &"192.0.2.1".into())];
            let at = Timestamp(1_700_000_000_000 + number);
            let record = Record { id: number, at, subject: format!("s{number}"), personal, ..Record::default() };
            let prev = head;
            head = record.hash("a", number, &prev);
            lines.push(Proof::Line(Box::new(Linked { number, prev: Some(prev), hash: Some(head), record })));
        }
        let checkpoint = Checkpoint { chain: "a".into(), number: 3, hash: head, at: Timestamp(5) };
        let standing = keys.sign(Statement::Checkpoint, checkpoint).unwrap();
        let mut all = vec![Proof::Chain { standing, cut: None, excused: 0 }];
        all.extend(lines);
        all.push(Proof::End { chains: 1, lines: 3 });
        all
    }

    fn judge(keys: &LedgerKeys, export: &[Proof]) -> Proved {
        let public = LedgerKeys::from_jwks(&keys.jwks()).unwrap();
        let mut prover = Prover::new(public);
        for proof in export {
            let text = serde_json::to_string(proof).unwrap();
            prover.add(serde_json::from_str(&text).unwrap());
        }
        prover.finish()
    }

    #[test]
    fn an_export_is_believed_as_it_was_made_and_in_no_other_way() {
        let keys = LedgerKeys::generate().unwrap();
        let whole = export(&keys);
        assert_eq!(judge(&keys, &whole), Proved { chains: 1, lines: 3, ..Proved::default() });
        let mut changed = whole.clone();
        if let Proof::Line(line) = &mut changed[2] {
            line.record.subject = "x".into();
        }
        assert_eq!(judge(&keys, &changed).faults, [("a".to_owned(), Fault::Changed { number: 2 })]);
        let without = |at: usize| [&whole[..at], &whole[at + 1..]].concat();
        assert_eq!(judge(&keys, &without(1)).faults, [("a".to_owned(), Fault::Missing { from: 1, to: 1 })]);
        assert_eq!(judge(&keys, &without(3)).faults, [("a".to_owned(), Fault::Missing { from: 3, to: 3 })]);
        for broken in [without(0), without(4), [whole.clone(), whole.clone()].concat()] {
            assert!(!judge(&keys, &broken).wrong.is_empty());
        }
        let other = LedgerKeys::generate().unwrap();
        assert!(judge(&other, &whole).wrong[0].contains("not to be believed"));
    }
}
