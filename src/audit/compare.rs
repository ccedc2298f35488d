//! Compares the store with checkpoints that were kept outside of it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{AuditError, Ledger, empty_row};
use crate::ledger::{Checkpoint, Fault, Signed, Statement, compare};

/// What comparing came to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, utoipa::ToSchema)]
pub struct Comparison {
    /// Checkpoints whose line is still kept, or should be.
    pub compared: u64,
    /// Checkpoints of lines that were cut off since, because they were old enough.
    pub older: u64,
    pub faults: Vec<Contradiction>,
}

/// Something that a checkpoint contradicts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, utoipa::ToSchema)]
pub struct Contradiction {
    pub chain: String,
    /// `null`: the checkpoint itself is not to be believed.
    pub fault: Option<Fault>,
    /// For people.
    pub detail: String,
}

impl Ledger {
    /// Holds checkpoints, in any order, against the chains that they are of.
    pub async fn compare(&self, checkpoints: &[Signed]) -> Result<Comparison, AuditError> {
        let keys = self.keys().await?;
        let mut comparison = Comparison::default();
        let mut by_chain: BTreeMap<&str, Vec<Checkpoint>> = BTreeMap::new();
        for signed in checkpoints {
            let Checkpoint { chain, number, at, .. } = &signed.checkpoint;
            match keys.check(Statement::Checkpoint, signed) {
                Ok(()) => by_chain.entry(chain).or_default().push(signed.checkpoint.clone()),
                Err(why) => {
                    let detail = format!("the checkpoint of {at} at line {number} is not to be believed: {why}");
                    comparison.faults.push(Contradiction { chain: chain.clone(), fault: None, detail });
                }
            }
        }
        for (name, told) in by_chain {
            let row = self.store.chain(name).await?.unwrap_or_else(|| empty_row(name));
            let numbers: Vec<i64> = told.iter().map(|told| told.number).collect();
            let hashes = self.store.line_hashes(name, &numbers).await?;
            let older = told.iter().filter(|told| told.number < row.chain.cut.0).count() as u64;
            comparison.older += older;
            comparison.compared += told.len() as u64 - older;
            let faults = compare(&row.chain, &told, &hashes).into_iter();
            comparison.faults.extend(faults.map(|fault| Contradiction {
                chain: name.to_owned(),
                fault: Some(fault),
                detail: fault.to_string(),
            }));
        }
        Ok(comparison)
    }
}
