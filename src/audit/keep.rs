//! What is done to the ledger by the clock: checkpoints are written to a file outside of the store, and lines that are old
//! enough are cut off. What is cut was checked first; a signed word of where is left, so that the rest still verifies.

use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tracing::error;

use super::{AuditError, Ledger};
use crate::clock::Timestamp;
use crate::ledger::{ANCHOR, Chain, Checkpoint, Fault, Hash, Linked, Statement, Verifier};
use crate::model::TenantId;
use crate::store::{AuditEntry, ChainCursor, Page, Write};

/// How many checkpoints were written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Exported(pub u64);

/// What became of a chain whose age was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cut {
    /// Nothing is old enough; so old is the oldest line that is left, if there is one.
    Nothing { oldest: Option<Timestamp> },
    /// So many lines went.
    Lines {
        gone: u64,
        /// There may be more.
        more: bool,
    },
    /// What would have gone is not in order: it stays, for whoever looks into it.
    Kept(Fault),
}

/// Chains that one transaction notes as told.
const CHAINS: u32 = 500;
/// Lines that one transaction removes, and anchors that go with them: each of those is another chain's row to write.
const LINES: u32 = Page::MOST;
const ANCHORS: u64 = 2_000;
/// The action of the line that tells of a cut.
const CUT: &str = "audit.cut";

impl Ledger {
    /// Appends a signed checkpoint of each chain that has grown since the last to the file, a JSON object a line.
    pub async fn export_checkpoints(&self, path: &Path) -> Result<Exported, AuditError> {
        let keys = self.keys().await?;
        let mut exported = Exported::default();
        loop {
            let rows = self.store.untold_chains(CHAINS).await?;
            if rows.is_empty() {
                return Ok(exported);
            }
            let mut text = String::new();
            for row in &rows {
                let signed = keys.sign(Statement::Checkpoint, self.standing(&row.chain))?;
                text.push_str(&json!(signed).to_string());
                text.push('\n');
            }
            append(path.to_owned(), text).await?;
            // After the file: what is told twice does no harm, what is not told does.
            let mut aside = self.store.aside().await?;
            for row in &rows {
                aside.told(&row.chain.name, row.chain.number).await?;
            }
            aside.commit().await?;
            exported.0 += rows.len() as u64;
            if rows.len() < CHAINS as usize {
                return Ok(exported);
            }
        }
    }

    /// Removes lines of a chain from before that time, as many as one transaction may, and says so in the chain.
    pub async fn cut(&self, chain: &str, before: Timestamp) -> Result<Cut, AuditError> {
        let Some(row) = self.store.chain(chain).await? else { return Ok(Cut::Nothing { oldest: None }) };
        let lines = self.store.chain_lines(&ChainCursor::before(chain), Some(chain), LINES).await?;
        let lines: Vec<Linked> = lines.into_iter().map(|(_, line)| line).collect();
        let old = lines.iter().take_while(|line| line.record.at < before && line.number <= row.chain.number).count();
        let most = within(&lines, ANCHORS);
        let (old, more) = (old.min(most), old > most || old == LINES as usize);
        let oldest = lines.first().map(|line| line.record.at);
        // The word of the last cut alone is no reason for another.
        let Some(last) = lines[..old].last().filter(|_| lines[..old].iter().any(|line| line.record.action != CUT))
        else {
            return Ok(Cut::Nothing { oldest });
        };
        let (number, hash) = (last.number, last.hash.unwrap_or(row.chain.head));
        if let Some(fault) = first_fault(&row.chain, &lines[..old], (number, hash)) {
            error!(audit.chain = chain, %fault, "audit.not_cut: what is old enough is not in order; it stays");
            return Ok(Cut::Kept(fault));
        }
        let keys = self.keys().await?;
        let checkpoint = Checkpoint { chain: chain.to_owned(), number, hash, at: self.clock.now() };
        let signed = keys.sign(Statement::Cut, checkpoint)?;
        let mut write = self.store.write().await?;
        // Another node may have been here.
        if write.chain(chain).await?.is_none_or(|now| now.chain.cut != row.chain.cut) {
            return Ok(Cut::Nothing { oldest: None });
        }
        let gone = write.cut_chain(&signed).await?;
        let detail = json!({ "through": number, "hash": hash, "lines": gone, "before": before });
        tell(&mut write, TenantId::parse(chain), detail).await?;
        write.commit().await?;
        Ok(Cut::Lines { gone, more })
    }

    /// Removes lines from before there were chains, and from before that time, at most [`Page::MOST`]; the installation's
    /// chain says how many.
    pub async fn cut_unchained(&self, before: Timestamp) -> Result<u64, AuditError> {
        let mut write = self.store.write().await?;
        let gone = write.cut_unchained(before, LINES).await?;
        if gone > 0 {
            tell(&mut write, None, json!({ "unchained": true, "lines": gone, "before": before })).await?;
            write.commit().await?;
        }
        Ok(gone)
    }
}

async fn tell(write: &mut Write, tenant: Option<TenantId>, detail: Value) -> Result<(), AuditError> {
    let entry = AuditEntry {
        actor: "system".to_owned(),
        action: CUT.to_owned(),
        tenant,
        subject: "audit".to_owned(),
        detail,
        ..AuditEntry::default()
    };
    Ok(write.audit(&entry).await?)
}

/// How many of these lines anchor no more than so many chains together; one at least.
fn within(lines: &[Linked], most: u64) -> usize {
    let mut anchors = 0;
    let few = lines.iter().take_while(|line| {
        let detail = (line.record.action == ANCHOR).then(|| serde_json::from_str::<Value>(&line.record.detail).ok());
        anchors += detail.flatten().and_then(|detail| detail["chains"].as_u64()).unwrap_or(0);
        anchors <= most
    });
    few.count().max(1)
}

/// Whether these lines, the first of the chain, are in order.
fn first_fault(chain: &Chain, lines: &[Linked], (number, head): (i64, Hash)) -> Option<Fault> {
    let mut verifier = Verifier::new(Chain { number, head, ..chain.clone() });
    lines.iter().for_each(|line| verifier.add(line.clone()));
    // Of what was erased a line may tell that is not old enough.
    verifier.finish().faults.into_iter().find(|fault| !matches!(fault, Fault::Erased { .. }))
}

/// Written to the end before it counts. What was broken off before has its line ended, so that it takes nothing along.
async fn append(path: PathBuf, text: String) -> Result<(), AuditError> {
    let shown = path.display().to_string();
    let written = tokio::task::spawn_blocking(move || {
        let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o640).open(path)?;
        let mut last = [b'\n'];
        if file.metadata()?.len() > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        if last != [b'\n'] {
            file.write_all(b"\n")?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_data()
    });
    let written = written.await.map_err(std::io::Error::other).flatten();
    written.map_err(|source| AuditError::File { path: shown, source })
}
