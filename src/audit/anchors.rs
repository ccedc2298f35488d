//! The chains held against each other: the installation's chain says where tenants' chains stood, and the store how many
//! lines were written to all of them. What one chain cannot tell of itself (that it is gone, row and all; that a line
//! stands beside all chains) shows here.

use std::collections::BTreeMap;

use serde_json::json;

use super::check::Check;
use super::{AuditError, Ledger};
use crate::ledger::{ANCHOR, Checkpoint, Fault, Hash, INSTALLATION, MOST_FAULTS, compare, digest_of_anchors};
use crate::store::{Anchored, Anchoring, AuditFilter, AuditLine, AuditOrder, Found, Page, Tally};

/// Chains that one line anchors.
const CHAINS: u32 = 500;
/// Anchors read at once, and lines that anchor.
const ANCHORS: u32 = 1_000;
const LINES: u32 = 100;

impl Ledger {
    /// Has the installation's chain say where other chains stand. Returns how many those were.
    pub async fn anchor(&self, which: Anchoring) -> Result<u64, AuditError> {
        let mut all = 0;
        loop {
            let mut aside = self.store.aside().await?;
            let anchored = aside.anchor(which, CHAINS).await?;
            if anchored > 0 {
                aside.commit().await?;
            }
            all += anchored;
            if anchored < u64::from(CHAINS) {
                return Ok(all);
            }
        }
    }
}

impl Check<'_> {
    /// What lines of the installation's chain say of the others, or of the one.
    pub(super) async fn anchors(&mut self, only: Option<&str>) -> Result<(), AuditError> {
        let mut after = (String::new(), 0, 0);
        let mut of_chain: Vec<Anchored> = Vec::new();
        loop {
            let page = self.ledger.store.anchors(&after, only, ANCHORS).await?;
            let Some(last) = page.last() else { break };
            after = (last.anchor.chain.clone(), last.anchor.number, last.line);
            for told in page {
                // A chain with more than one page of them is looked at page by page.
                let full = of_chain.len() >= ANCHORS as usize;
                if full || of_chain.first().is_some_and(|first| first.anchor.chain != told.anchor.chain) {
                    self.anchored(std::mem::take(&mut of_chain)).await?;
                }
                of_chain.push(told);
            }
            self.alive().await?;
        }
        self.anchored(of_chain).await
    }

    async fn anchored(&mut self, told: Vec<Anchored>) -> Result<(), AuditError> {
        let Some(chain) = told.last().map(|last| last.chain.clone()) else { return Ok(()) };
        let hashes: BTreeMap<i64, Option<Hash>> =
            told.iter().filter_map(|told| Some((told.anchor.number, Some(told.stored?)))).collect();
        let word = |told: Anchored| Checkpoint {
            chain: told.anchor.chain,
            number: told.anchor.number,
            hash: told.anchor.hash,
            at: self.ledger.clock.now(),
        };
        let checkpoints: Vec<Checkpoint> = told.into_iter().map(word).collect();
        for fault in compare(&chain, &checkpoints, &hashes) {
            // What the chain itself tells already is not told twice.
            if !self.faulty.contains(&chain.name) {
                self.fault(&chain.name, fault).await?;
            }
        }
        Ok(())
    }

    /// Whether what is kept with each line that anchors is what the line says; and what it says of the time before there were
    /// chains, by which much is excused.
    pub(super) async fn anchoring_lines(&mut self) -> Result<(), AuditError> {
        let start = json!(self.ledger.store.audit_start().await?);
        let mut otherwise = None;
        let filter = AuditFilter { action: Some(ANCHOR.to_owned()), ..AuditFilter::default() };
        let mut page = Page { limit: LINES, after: None };
        loop {
            let Found { rows, next } = self.ledger.store.audit_lines(&filter, AuditOrder::OldestFirst, &page).await?;
            for AuditLine { id, link, entry, .. } in rows {
                let Some((_, number, _)) = link.filter(|(chain, ..)| chain == INSTALLATION) else { continue };
                // Those of earlier programs say nothing of it.
                if entry.detail.get("start").is_some_and(|told| *told != start) {
                    otherwise.get_or_insert(number);
                }
                let kept = digest_of_anchors(&self.ledger.store.anchors_of(id).await?);
                // One that was cut off meanwhile took its anchors along.
                let gone = || async { self.ledger.store.chain(INSTALLATION).await };
                if entry.detail["digest"] != kept.to_string()
                    && gone().await?.is_none_or(|row| row.chain.cut.0 < number)
                {
                    self.fault(INSTALLATION, Fault::Anchors { number }).await?;
                }
            }
            self.alive().await?;
            match next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
        match otherwise {
            Some(number) => self.fault(INSTALLATION, Fault::Start { number }).await,
            None => Ok(()),
        }
    }

    /// How many lines there are, and whether any is in no chain; of that tenant, or all.
    pub(super) async fn outside(&mut self, only: Option<&str>) -> Result<(), AuditError> {
        let most = MOST_FAULTS as u32;
        for id in self.ledger.store.unchained(only, most).await? {
            self.fault(only.unwrap_or(INSTALLATION), Fault::Unchained { id }).await?;
        }
        let Tally { written, chained, last: (last, highest), left, old, outside, .. } =
            self.ledger.store.audit_tally().await?;
        if only.is_some() {
            return Ok(());
        }
        self.sum.unchained = u64::try_from(outside).unwrap_or(0);
        if written != chained || last < highest {
            // A counter that was set back does not know of the lines after it.
            let written = written + (highest - last).max(0);
            self.fault(INSTALLATION, Fault::Count { written, chained }).await?;
        }
        if old != left {
            self.fault(INSTALLATION, Fault::Outside { lines: old, left }).await?;
        }
        Ok(())
    }

    /// A chain of which there is nothing. A tenant from before there were chains has none until something is done to it.
    pub(super) async fn absent(&mut self, name: &str) -> Result<(), AuditError> {
        let explained = self.ledger.store.audit_tally().await?.through > 0;
        if !explained && !self.faulty.contains(name) {
            self.fault(name, Fault::Absent).await?;
        }
        Ok(())
    }
}
