//! The ledger as it can be checked elsewhere: whole chains, with everything that their hashes cover, and signed words of
//! where they stand.

use tokio::sync::mpsc;

use super::{AuditError, Ledger, empty_row};
use crate::ledger::{ERASE, LedgerKeys, Proof, Statement};
use crate::store::{ChainCursor, ChainRow, StoreError};

/// Chains read at once, and lines.
const CHAINS: u32 = 500;
const LINES: u32 = 500;

struct Out<'a> {
    keys: LedgerKeys,
    excused: i64,
    out: &'a mpsc::Sender<Vec<u8>>,
    sum: (u64, u64),
}

impl Ledger {
    /// Sends all chains, or the one named, a [`Proof`] a line. What is written meanwhile is not part of it. Ends early when
    /// nobody takes it any more.
    pub async fn prove(&self, only: Option<&str>, out: mpsc::Sender<Vec<u8>>) -> Result<(), AuditError> {
        let (keys, excused) = (self.keys().await?, self.store.audit_start().await?.erased);
        let mut to = Out { keys, excused, out: &out, sum: (0, 0) };
        match only {
            Some(name) => {
                let row = self.store.chain(name).await?.unwrap_or_else(|| empty_row(name));
                self.prove_chain(row, &mut to).await?;
            }
            None => {
                let mut after = String::new();
                loop {
                    let rows = self.store.chains(&after, CHAINS).await?;
                    let Some(last) = rows.last() else { break };
                    after = last.chain.name.clone();
                    for row in rows {
                        self.prove_chain(row, &mut to).await?;
                    }
                }
            }
        }
        let (chains, lines) = to.sum;
        to.send(&[Proof::End { chains, lines }]).await
    }

    async fn prove_chain(&self, row: ChainRow, to: &mut Out<'_>) -> Result<(), AuditError> {
        let standing = to.keys.sign(Statement::Checkpoint, self.standing(&row.chain))?;
        to.sum.0 += 1;
        to.send(&[Proof::Chain { standing, cut: row.cut.map(Box::new), excused: to.excused }]).await?;
        let name = &row.chain.name;
        let (mut cursor, mut erased) = (ChainCursor::before(name), None);
        loop {
            let lines = self.store.chain_lines(&cursor, Some(name), LINES).await?;
            let Some((_, last)) = lines.last() else { break };
            cursor = ChainCursor { chain: name.clone(), number: last.number, id: last.record.id };
            let (lines, later): (Vec<_>, Vec<_>) =
                lines.into_iter().map(|(_, line)| line).partition(|line| line.number <= row.chain.number);
            erased = erased.or(later.iter().find(|line| line.record.action == ERASE).map(|line| line.number));
            to.sum.1 += lines.len() as u64;
            to.send(&lines.into_iter().map(|line| Proof::Line(Box::new(line))).collect::<Vec<_>>()).await?;
        }
        // What went while it was read is missing, and the word of where it went comes after what is signed.
        let now = self.store.chain(name).await?;
        let told = |now: &ChainRow| erased.is_some_and(|number| number <= now.chain.number);
        if now.is_some_and(|now| told(&now) || now.chain.cut != row.chain.cut) {
            let why = format!("something went out of the chain {name} while it was exported; export it again");
            return Err(StoreError::Unavailable(why).into());
        }
        Ok(())
    }
}

impl Out<'_> {
    async fn send(&self, proofs: &[Proof]) -> Result<(), AuditError> {
        let mut bytes = Vec::new();
        for proof in proofs {
            serde_json::to_writer(&mut bytes, proof).map_err(|error| StoreError::Corrupt(error.to_string()))?;
            bytes.push(b'\n');
        }
        let gone = |_| StoreError::Unavailable("nobody takes the export any more".to_owned());
        Ok(self.out.send(bytes).await.map_err(gone)?)
    }
}
