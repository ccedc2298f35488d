//! Checks chains from their first line that is left to their last, page by page: of any number of lines, a few thousand are
//! held at a time. What is written meanwhile is not part of the check.

use std::collections::{HashMap, VecDeque};

use serde::Serialize;
use tokio::sync::mpsc;

use super::{AuditError, Ledger, empty_row};
use crate::ledger::{Checkpoint, Fault, Findings, LedgerKeys, Linked, Signed, Statement, Verifier};
use crate::store::{ChainCursor, ChainRow, StoreError};

/// What a check tells while it runs.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(untagged)]
pub enum Report {
    /// So many lines were looked at so far.
    Progress { lines: u64 },
    /// Something is wrong with a chain.
    Fault { chain: String, fault: Fault, detail: String },
    /// A checkpoint that was handed in is not to be believed.
    Checkpoint { chain: String, number: i64, detail: String },
    /// The end of the check.
    Done(Summary),
}

/// What a check came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Summary {
    pub chains: u64,
    pub lines: u64,
    /// Faults, those that were too many to be listed included, and checkpoints that are not to be believed.
    pub faults: u64,
    /// Checkpoints that were compared.
    pub checkpoints: u64,
}

/// Chains read at once, and lines.
const CHAINS: u32 = 500;
const LINES: u32 = 1_000;
/// Between two reports of progress.
const PROGRESS: u64 = 20_000;

/// A check under way.
struct Check<'a> {
    ledger: &'a Ledger,
    keys: LedgerKeys,
    /// Checkpoints whose signature is right, by chain.
    believed: HashMap<String, Vec<Checkpoint>>,
    reports: &'a mpsc::Sender<Report>,
    sum: Summary,
    told: u64,
}

/// A chain whose lines are coming.
struct Open {
    row: ChainRow,
    verifier: Verifier,
    /// The first line after the end that the row tells of.
    beyond: Option<i64>,
}

impl Ledger {
    /// Checks all chains, or the one named, against themselves and `checkpoints`, and tells about it. Ends early when nobody
    /// listens any more.
    pub async fn verify(
        &self,
        only: Option<&str>,
        checkpoints: &[Signed],
        reports: mpsc::Sender<Report>,
    ) -> Result<Summary, AuditError> {
        let keys = self.keys().await?;
        let (believed, sum) = (HashMap::new(), Summary::default());
        let mut check = Check { ledger: self, keys, believed, reports: &reports, sum, told: 0 };
        check.believe(checkpoints, only).await?;
        match only {
            Some(name) => {
                let row = self.store.chain(name).await?.unwrap_or_else(|| empty_row(name));
                check.range(&ChainCursor::before(name), vec![row], Some(name)).await?;
            }
            None => check.all().await?,
        }
        check.tell(Report::Done(check.sum)).await?;
        Ok(check.sum)
    }
}

impl Check<'_> {
    async fn believe(&mut self, checkpoints: &[Signed], only: Option<&str>) -> Result<(), AuditError> {
        let wanted = checkpoints.iter().filter(|signed| only.is_none_or(|name| signed.checkpoint.chain == name));
        for signed in wanted {
            let told = signed.checkpoint.clone();
            match self.keys.check(Statement::Checkpoint, signed) {
                Ok(()) => {
                    self.sum.checkpoints += 1;
                    self.believed.entry(told.chain.clone()).or_default().push(told);
                }
                Err(why) => {
                    self.sum.faults += 1;
                    let Checkpoint { chain, number, .. } = told;
                    self.tell(Report::Checkpoint { chain, number, detail: why.to_string() }).await?;
                }
            }
        }
        Ok(())
    }

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
        // Chains that are told of outside, and that nothing is left of.
        let names: Vec<_> = self.believed.keys().cloned().collect();
        for name in names {
            if self.ledger.store.chain(&name).await?.is_none() {
                let open = self.open(empty_row(&name));
                self.close(open).await?;
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
                    open = rows.pop_front().map(|row| self.open(row));
                }
                match &mut open {
                    Some(open) if open.row.chain.name == chain => open.add(line),
                    _ => *headless.entry(chain).or_default() += 1,
                }
                self.sum.lines += 1;
            }
            if self.sum.lines >= self.told + PROGRESS {
                self.told = self.sum.lines;
                self.tell(Report::Progress { lines: self.told }).await?;
            }
        }
        if let Some(done) = open {
            self.close(done).await?;
        }
        for row in rows {
            let open = self.open(row);
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

    fn open(&self, row: ChainRow) -> Open {
        let checkpoints = self.believed.get(&row.chain.name).map(Vec::as_slice).unwrap_or_default();
        Open { verifier: Verifier::new(row.chain.clone(), checkpoints), row, beyond: None }
    }

    /// The end of a chain. It is looked at a second time when something is found and it was cut or went on meanwhile.
    async fn close(&mut self, open: Open) -> Result<(), AuditError> {
        self.sum.chains += 1;
        let (mut row, mut found) = open.finish();
        for _ in 0..AGAIN {
            if found.faults.is_empty() {
                break;
            }
            match self.ledger.store.chain(&row.chain.name).await? {
                Some(now) if now != row => (row, found) = self.once_more(now).await?,
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

    async fn once_more(&self, row: ChainRow) -> Result<(ChainRow, Findings), StoreError> {
        let name = row.chain.name.clone();
        let mut open = self.open(row);
        let mut cursor = ChainCursor::before(&name);
        loop {
            let lines = self.ledger.store.chain_lines(&cursor, Some(&name), LINES).await?;
            let Some((chain, line)) = lines.last() else { break };
            cursor = ChainCursor { chain: chain.clone(), number: line.number, id: line.record.id };
            lines.into_iter().for_each(|(_, line)| open.add(line));
        }
        Ok(open.finish())
    }

    async fn fault(&mut self, chain: &str, fault: Fault) -> Result<(), AuditError> {
        self.sum.faults += 1;
        self.tell(Report::Fault { chain: chain.to_owned(), fault, detail: fault.to_string() }).await
    }

    async fn tell(&self, report: Report) -> Result<(), AuditError> {
        let gone = |_| StoreError::Unavailable("nobody listens to the check any more".to_owned());
        Ok(self.reports.send(report).await.map_err(gone)?)
    }
}

impl Open {
    fn add(&mut self, line: Linked) {
        if line.number <= self.row.chain.number {
            self.verifier.add(line);
        } else {
            self.beyond.get_or_insert(line.number);
        }
    }

    /// A line after the end is a fault, unless the chain goes on by now.
    fn finish(self) -> (ChainRow, Findings) {
        let mut found = self.verifier.finish();
        found.faults.extend(self.beyond.map(|number| Fault::Added { number }));
        (self.row, found)
    }
}

/// How often a chain that moved under the check is looked at again.
const AGAIN: usize = 3;
