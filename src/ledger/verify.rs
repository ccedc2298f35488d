//! Checks a chain line by line, in the order of its numbers, and says what is wrong and where. Holds a bounded amount of
//! state, however long the chain is; but for what was erased, a digest each until the line comes that tells of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::personal::{ERASE, erased_by};
use super::{Checkpoint, Hash, Linked, MOST_FAULTS};

/// Where a chain stands by its own row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    pub name: String,
    /// How many lines it has had.
    pub number: i64,
    /// The hash of the last; [`Hash::genesis`] of none.
    pub head: Hash,
    /// The last line that was cut off, and its hash: 0 and [`Hash::genesis`] where none was.
    pub cut: (i64, Hash),
}

/// Something that is wrong with a chain. Lines are named by their numbers in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Fault {
    /// A field, or the hash, is not as it was written.
    Changed { number: i64 },
    /// These lines are gone, both ends included.
    Missing { from: i64, to: i64 },
    /// In that line's place stands another one.
    Reordered { number: i64, really: i64 },
    /// A line that was never written.
    Added { number: i64 },
    /// All is consistent, and yet line `number` is another than a signed checkpoint says: whatever follows line `after`, the
    /// last that agrees with one, was made anew.
    Rewritten { after: i64, number: i64 },
    /// The first line that is left does not follow what was cut off, or no signed cut says that anything was.
    Beginning { number: i64 },
    /// There are lines, but the chain's own row is gone.
    Headless { lines: i64 },
    /// There is nothing of the chain, although there must be.
    Absent,
    /// So many lines were written to all chains, but the chains know of so many: one of them is not whole, or gone.
    Count { written: i64, chained: i64 },
    /// A line that is in no chain, and not one of those from before there were chains. `id`: its number among all lines.
    Unchained { id: i64 },
    /// There are so many lines from before there were chains, but so many were left.
    Outside { lines: i64, left: i64 },
    /// Something that the line said of a person was taken out, and no line tells of that.
    Erased { number: i64 },
    /// What the line says of the heads of other chains is not what is kept with it.
    Anchors { number: i64 },
    /// The line says otherwise of the time before there were chains, and before erasures were told of, than is noted now.
    Start { number: i64 },
}

/// What the check of one chain found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Findings {
    /// Lines that were looked at.
    pub lines: u64,
    /// At most [`MOST_FAULTS`].
    pub faults: Vec<Fault>,
    /// How many more there are.
    pub more: u64,
}

/// The check of one chain: [`Verifier::add`] each line, then [`Verifier::finish`].
pub struct Verifier {
    chain: Chain,
    /// The number that comes next.
    next: i64,
    /// The hash of the line before, and whether that line was in order.
    prev: (Hash, bool),
    /// How far numbers were moved by whoever took lines away and numbered the rest anew.
    shift: i64,
    /// A line out of its place, and by how much: whether those after it are, too, shows with the next.
    strayed: Option<(i64, i64)>,
    /// Changed lines, to see whether two of them changed places.
    suspects: Vec<Linked>,
    /// The digests of values that were erased, and of which lines: a later line has to tell of each.
    untold: BTreeSet<(i64, Vec<u8>)>,
    /// The id of the last line whose values may be erased without a word.
    excused: i64,
    found: Findings,
}

/// How far a line is looked for from its place.
const REACH: i64 = 64;
/// Changed lines that are compared with each other.
const SUSPECTS: usize = 32;

impl Verifier {
    pub fn new(chain: Chain) -> Self {
        let (cut, hash) = chain.cut;
        Self {
            next: cut + 1,
            prev: (hash, true),
            shift: 0,
            strayed: None,
            suspects: Vec::new(),
            untold: BTreeSet::new(),
            excused: 0,
            found: Findings::default(),
            chain,
        }
    }

    /// Values of lines up to that id were erased before erasures were told of.
    pub fn excusing(self, excused: i64) -> Self {
        Self { excused, ..self }
    }

    /// The next line, by number.
    pub fn add(&mut self, line: Linked) {
        self.found.lines += 1;
        let number = line.number;
        if number < self.next {
            return self.fault(Fault::Added { number });
        }
        let gap = number > self.next;
        if gap {
            self.settle();
            self.fault(Fault::Missing { from: self.next + self.shift, to: number - 1 + self.shift });
        }
        let whole = self.judge(&line);
        if whole && !gap && self.prev.1 && line.prev != Some(self.prev.0) {
            self.fault(match number - 1 == self.chain.cut.0 {
                true => Fault::Beginning { number },
                false => Fault::Changed { number: number - 1 + self.shift },
            });
        }
        self.prev = (line.hash.unwrap_or(self.prev.0), whole);
        self.next = number + 1;
        self.erasures(&line, whole);
        if !whole && self.strayed.is_none() && self.suspects.len() < SUSPECTS {
            self.suspects.push(line);
        }
    }

    /// A line that comes after the end and is no part of the check: it may tell of what was erased while the lines before it
    /// were read.
    pub fn later(&mut self, line: &Linked) {
        if self.fits(line, line.number) {
            self.told(line);
        }
    }

    /// What was found, once all lines are in.
    pub fn finish(mut self) -> Findings {
        self.settle();
        let last = self.next - 1 + self.shift;
        if last < self.chain.number {
            self.fault(Fault::Missing { from: last + 1, to: self.chain.number });
        } else if self.prev.1 && self.prev.0 != self.chain.head && last == self.chain.number {
            self.fault(match last == self.chain.cut.0 {
                true => Fault::Beginning { number: last },
                false => Fault::Changed { number: last },
            });
        }
        self.pair();
        let mut untold: Vec<i64> = std::mem::take(&mut self.untold).into_iter().map(|(number, _)| number).collect();
        untold.dedup();
        untold.into_iter().for_each(|number| self.fault(Fault::Erased { number }));
        self.found
    }

    /// Notes what was erased of the line, and what the line says was erased of others.
    fn erasures(&mut self, line: &Linked, whole: bool) {
        let number = line.number + self.shift;
        if line.record.id > self.excused {
            for digest in line.record.personal.iter().filter(|one| one.is_erased()).map(|one| &one.digest) {
                self.untold.insert((number, digest.clone()));
            }
        }
        if whole {
            self.told(line);
        }
    }

    fn told(&mut self, line: &Linked) {
        if line.record.action == ERASE {
            for told in erased_by(&line.record.detail) {
                self.untold.remove(&told);
            }
        }
    }

    /// Whether the line is in order at its place; notes what it is otherwise.
    fn judge(&mut self, line: &Linked) -> bool {
        let number = line.number;
        let mut whole = self.fits(line, number + self.shift);
        if let Some((at, by)) = self.strayed
            && !whole
            && self.fits(line, number + self.shift + by)
        {
            // Those after it are out of place by as much: what stood before it is gone, or something was put in.
            let at = at + self.shift;
            self.fault(match by > 0 {
                true => Fault::Missing { from: at, to: at + by - 1 },
                false => Fault::Added { number: at },
            });
            self.shift += by;
            self.strayed = None;
            whole = true;
        }
        self.settle();
        if !whole {
            let places = (1..=REACH).flat_map(|by| [by, -by]);
            self.strayed = places.map(|by| (number, by)).find(|(_, by)| self.fits(line, number + self.shift + by));
            if self.strayed.is_none() {
                self.fault(Fault::Changed { number: number + self.shift });
            }
        }
        whole
    }

    fn fits(&self, line: &Linked, number: i64) -> bool {
        let hash = line.prev.map(|prev| line.record.hash(&self.chain.name, number, &prev));
        hash.is_some() && hash == line.hash && line.record.personal_fits()
    }

    /// The line after one that strayed is where it should be: the one alone is not.
    fn settle(&mut self) {
        if let Some((at, by)) = self.strayed.take() {
            let number = at + self.shift;
            self.fault(Fault::Reordered { number, really: number + by });
        }
    }

    /// Finds those among the changed lines that stand in each other's place.
    fn pair(&mut self) {
        let suspects = std::mem::take(&mut self.suspects);
        for (at, one) in suspects.iter().enumerate() {
            for other in suspects.iter().skip(at + 1) {
                let theirs = |from: &Linked, to: &Linked| {
                    let mut moved = Linked { record: from.record.clone(), ..to.clone() };
                    moved.record.id = to.record.id;
                    self.fits(&moved, to.number) || self.fits(from, to.number)
                };
                if theirs(one, other) && theirs(other, one) {
                    for (this, that) in [(one.number, other.number), (other.number, one.number)] {
                        for fault in self.found.faults.iter_mut().filter(|f| **f == Fault::Changed { number: this }) {
                            *fault = Fault::Reordered { number: this, really: that };
                        }
                    }
                }
            }
        }
    }

    fn fault(&mut self, fault: Fault) {
        if self.found.faults.len() < MOST_FAULTS {
            self.found.faults.push(fault);
        } else {
            self.found.more += 1;
        }
    }
}

/// What signed checkpoints of a chain, in any order, say of it that its own row and lines do not. `hashes`: those that are
/// stored with the lines that the checkpoints name. Of lines that were cut off since, nothing can be said.
pub fn compare(chain: &Chain, checkpoints: &[Checkpoint], hashes: &BTreeMap<i64, Option<Hash>>) -> Vec<Fault> {
    let mut checkpoints: Vec<_> = checkpoints.iter().filter(|told| told.number >= chain.cut.0.max(1)).collect();
    checkpoints.sort_by_key(|told| told.number);
    let mut faults = Vec::new();
    let mut after = chain.cut.0;
    for told in &checkpoints {
        let number = told.number;
        let stored = if number == chain.cut.0 { Some(Some(chain.cut.1)) } else { hashes.get(&number).copied() };
        match stored {
            _ if number > chain.number => {
                let to = checkpoints.last().map_or(number, |last| last.number);
                faults.push(Fault::Missing { from: chain.number + 1, to });
                break;
            }
            None => faults.push(Fault::Missing { from: number, to: number }),
            Some(hash) if hash == Some(told.hash) => after = number,
            Some(_) => {
                if !faults.iter().any(|fault| matches!(fault, Fault::Rewritten { .. })) {
                    faults.push(Fault::Rewritten { after, number });
                }
            }
        }
    }
    faults
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { number } => write!(f, "line {number} was changed"),
            Self::Missing { from, to } if from == to => write!(f, "line {from} is missing"),
            Self::Missing { from, to } => write!(f, "lines {from} to {to} are missing"),
            Self::Reordered { number, really } => write!(f, "in the place of line {number} stands line {really}"),
            Self::Added { number } => write!(f, "at {number} stands a line that was never written"),
            Self::Rewritten { after, number } => write!(
                f,
                "line {number} is another than a signed checkpoint says: what follows line {after} was made anew"
            ),
            Self::Beginning { number } => {
                write!(f, "line {number} does not follow what was cut off before it, or no signed cut tells of that")
            }
            Self::Headless { lines } => write!(f, "there are {lines} lines, but the row of their chain is gone"),
            Self::Absent => f.write_str("the chain is gone: not a line is left of it, nor its row"),
            Self::Count { written, chained } => write!(
                f,
                "{written} lines were written to all chains together, but the chains have had {chained}: one of them is not \
                 whole, or gone"
            ),
            Self::Unchained { id } => write!(f, "the line with the id {id} was put in beside all chains"),
            Self::Outside { lines, left } => {
                write!(f, "of the lines from before there were chains there are {lines}, where {left} were left")
            }
            Self::Erased { number } => {
                write!(f, "what line {number} said of a person was taken out, and no line tells of an erasure")
            }
            Self::Start { number } => {
                write!(f, "line {number} says otherwise of what there was before the chains than is noted now")
            }
            Self::Anchors { number } => {
                write!(f, "what line {number} says of the heads of other chains is not what is kept with it")
            }
        }
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
