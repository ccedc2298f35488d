//! Checks chains from their first line that is left to their last, page by page: of any number of lines, a few thousand are
//! held at a time. What is written meanwhile is not part of the check.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::mpsc;

use super::{AuditError, Ledger};
use crate::ledger::{Fault, Findings, INSTALLATION, LedgerKeys, Linked, Statement, Verifier};
use crate::store::{ChainCursor, ChainRow, StoreError};

/// What a check tells while it runs.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(untagged)]
pub enum Report {
    /// So many lines were looked at so far.
    Progress { lines: u64 },
    /// Something is wrong with a chain.
    Fault { chain: String, fault: Fault, detail: String },
    /// The end of the check.
    Done {
        done: bool,
        #[serde(flatten)]
        sum: Summary,
    },
}

/// What a check came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Summary {
    pub chains: u64,
    pub lines: u64,
    /// Those that were too many to be listed included.
    pub faults: u64,
    /// Lines from before there were chains, which nothing vouches for. Told of a check of all.
    pub unchained: u64,
}

/// Chains read at once, and lines.
const CHAINS: u32 = 500;
const LINES: u32 = 1_000;
/// Between two reports of progress, whatever is done meanwhile: who listens is to know that it goes on.
const PROGRESS: Duration = Duration::from_secs(2);

/// A check under way.
pub(super) struct Check<'a> {
    pub(super) ledger: &'a Ledger,
    keys: LedgerKeys,
    /// See [`Verifier::excusing`].
    excused: i64,
    reports: &'a mpsc::Sender<Report>,
    pub(super) sum: Summary,
    /// Chains that something is wrong with.
    pub(super) faulty: HashSet<String>,
    told: Instant,
}

/// A chain whose lines are coming.
struct Open {
    row: ChainRow,
    verifier: Verifier,
    /// The first and the last line after the end that the row tells of.
    beyond: Option<(i64, i64)>,
}

impl Ledger {
    /// Checks all chains, or the one named, and tells about it. Ends early when nobody listens any more.
    pub async fn verify(&self, only: Option<&str>, reports: mpsc::Sender<Report>) -> Result<Summary, AuditError> {
        let keys = self.keys().await?;
        let (sum, faulty) = (Summary::default(), HashSet::new());
        let excused = self.store.audit_start().await?.erased;
        let mut check = Check { ledger: self, keys, excused, reports: &reports, sum, faulty, told: Instant::now() };
        match only {
            Some(name) => {
                let row = self.store.chain(name).await?;
                check.range(&ChainCursor::before(name), row.into_iter().collect(), Some(name)).await?;
            }
            None => check.all().await?,
        }
        if only.is_none_or(|name| name == INSTALLATION) {
            check.anchoring_lines().await?;
        }
        check.anchors(only).await?;
        check.outside(only).await?;
        if let Some(name) = only.filter(|_| check.sum.chains == 0) {
            check.absent(name).await?;
        }
        check.tell(Report::Done { done: true, sum: check.sum }).await?;
        Ok(check.sum)
    }
}

impl Check<'_> {
    async fn all(&mut self) -> Result<(), AuditError> {
        let mut after = ChainCursor::default();
        loop {
            let rows = self.ledger.store.chains(&after.chain, CHAINS).await?;
            let last = rows.last().map(|row| row.chain.name.clone()).filter(|_| rows.len() == CHAINS as usize);
            self.range(&after, rows, last.as_deref()).await?;
            match last {
                // After all lines of the last chain of these.
                Some(chain) => after = ChainCursor { chain, number: i64::MAX, id: i64::MAX },
                None => break,
            }
        }
        Ok(())
    }

    /// The chains between `after` and `last`, whose rows these are, by name.
    async fn range(&mut self, after: &ChainCursor, rows: Vec<ChainRow>, last: Option<&str>) -> Result<(), AuditError> {
        let mut rows: VecDeque<ChainRow> = rows.into();
        let mut headless: HashMap<String, i64> = HashMap::new();
        let mut open: Option<Open> = None;
        let mut cursor = after.clone();
        loop {
            let lines = self.ledger.store.chain_lines(&cursor, last, LINES).await?;
            let Some((chain, line)) = lines.last() else { break };
            cursor = ChainCursor { chain: chain.clone(), number: line.number, id: line.record.id };
            for (chain, line) in lines {
                while open.as_ref().is_none_or(|open| open.row.chain.name < chain)
                    && rows.front().is_some_and(|row| row.chain.name <= chain)
                {
                    if let Some(done) = open.take() {
                        self.close(done).await?;
                    }
                    open = rows.pop_front().map(|row| Open::of(row, self.excused));
                }
                match &mut open {
                    Some(open) if open.row.chain.name == chain => open.add(line),
                    _ => *headless.entry(chain).or_default() += 1,
                }
                self.sum.lines += 1;
            }
            self.alive().await?;
        }
        if let Some(done) = open {
            self.close(done).await?;
        }
        for row in rows {
            let open = Open::of(row, self.excused);
            self.close(open).await?;
        }
        for (chain, lines) in headless {
            // One that was begun meanwhile has its row by now.
            if self.ledger.store.chain(&chain).await?.is_none() {
                self.sum.chains += 1;
                self.fault(&chain, Fault::Headless { lines }).await?;
            }
        }
        Ok(())
    }

    /// The end of a chain. It is looked at a second time when something is found and it was cut meanwhile.
    async fn close(&mut self, open: Open) -> Result<(), AuditError> {
        self.sum.chains += 1;
        let (mut row, mut found) = self.found(open).await?;
        for _ in 0..AGAIN {
            if found.faults.is_empty() {
                break;
            }
            match self.ledger.store.chain(&row.chain.name).await? {
                Some(now) if now.chain.cut != row.chain.cut => (row, found) = self.once_more(now).await?,
                _ => break,
            }
        }
        let name = &row.chain.name;
        let number = row.chain.cut.0 + 1;
        let signed = row.cut.as_ref().is_some_and(|cut| self.keys.check(Statement::Cut, cut).is_ok());
        if number > 1 && !signed && !found.faults.contains(&Fault::Beginning { number }) {
            self.fault(name, Fault::Beginning { number }).await?;
        }
        for fault in found.faults {
            self.fault(name, fault).await?;
        }
        self.sum.faults += found.more;
        Ok(())
    }

    async fn once_more(&mut self, row: ChainRow) -> Result<(ChainRow, Findings), AuditError> {
        let name = row.chain.name.clone();
        let mut open = Open::of(row, self.excused);
        let mut cursor = ChainCursor::before(&name);
        loop {
            let lines = self.ledger.store.chain_lines(&cursor, Some(&name), LINES).await?;
            let Some((chain, line)) = lines.last() else { break };
            cursor = ChainCursor { chain: chain.clone(), number: line.number, id: line.record.id };
            lines.into_iter().for_each(|(_, line)| open.add(line));
            self.alive().await?;
        }
        self.found(open).await
    }

    /// What was found in a chain. A line after the end is a fault, unless the chain goes so far by now: it may go on for as
    /// long as it is looked at.
    async fn found(&mut self, open: Open) -> Result<(ChainRow, Findings), AuditError> {
        let Open { row, verifier, beyond } = open;
        let mut found = verifier.finish();
        if let Some((first, last)) = beyond {
            let now = self.ledger.store.chain(&row.chain.name).await?;
            if now.is_none_or(|now| now.chain.number < last) {
                found.faults.push(Fault::Added { number: first });
            }
        }
        Ok((row, found))
    }

    /// Says now and then how far it is.
    pub(super) async fn alive(&mut self) -> Result<(), AuditError> {
        if self.told.elapsed() < PROGRESS {
            return Ok(());
        }
        self.told = Instant::now();
        self.tell(Report::Progress { lines: self.sum.lines }).await
    }

    pub(super) async fn fault(&mut self, chain: &str, fault: Fault) -> Result<(), AuditError> {
        self.sum.faults += 1;
        if !self.faulty.contains(chain) {
            self.faulty.insert(chain.to_owned());
        }
        self.tell(Report::Fault { chain: chain.to_owned(), fault, detail: fault.to_string() }).await
    }

    async fn tell(&self, report: Report) -> Result<(), AuditError> {
        let gone = |_| StoreError::Unavailable("nobody listens to the check any more".to_owned());
        Ok(self.reports.send(report).await.map_err(gone)?)
    }
}

impl Open {
    fn of(row: ChainRow, excused: i64) -> Self {
        Self { verifier: Verifier::new(row.chain.clone()).excusing(excused), row, beyond: None }
    }

    fn add(&mut self, line: Linked) {
        let number = line.number;
        if number <= self.row.chain.number {
            self.verifier.add(line);
        } else {
            self.verifier.later(&line);
            self.beyond = Some((self.beyond.map_or(number, |(first, _)| first), number));
        }
    }
}

/// How often a chain that is cut under the check is looked at again.
const AGAIN: usize = 3;
