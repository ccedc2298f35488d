//! `tenantry audit verify --offline`: an export of the ledger is checked with nothing but the public keys. Nobody is asked.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::{Value, json};

use super::audit_verify::{Checkpoints, count, nothing};
use super::client::Failure;
use super::output;
use crate::ledger::{LedgerKeys, Proof, Prover, Signed, Statement};

pub(super) fn verify(export: &Path, keys: &Path, checkpoints: Option<&Path>, json: bool) -> Result<(), Failure> {
    let wrong = |path: &Path, why: String| Failure::Local(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(keys).map_err(|error| wrong(keys, error.to_string()))?;
    let set: Value = serde_json::from_str(&text).map_err(|error| wrong(keys, error.to_string()))?;
    let public = LedgerKeys::from_jwks(&set).map_err(|_| {
        wrong(keys, "it is no JSON Web Key Set of Ed25519 keys, as `tenantry audit keys` prints".into())
    })?;
    let checkpoints = checkpoints.map(|path| Ok((path, Checkpoints::open(path)?))).transpose()?;
    let mut prover = Prover::new(public.clone());
    let file = File::open(export).map_err(|error| wrong(export, error.to_string()))?;
    for (at, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|error| wrong(export, error.to_string()))?;
        let proof: Proof = serde_json::from_str(&line)
            .map_err(|error| wrong(export, format!("line {} is not of such an export: {error}", at + 1)))?;
        prover.add(proof);
    }
    let mut behind = Vec::new();
    let mut compared = 0;
    if let Some((path, checkpoints)) = checkpoints {
        compared = compare(checkpoints, &public, &prover, &mut behind)?;
        if compared == 0 && behind.is_empty() {
            return Err(nothing(path, 0));
        }
    }
    let proved = prover.finish();
    let faults = proved
        .faults
        .iter()
        .map(|(chain, fault)| json!({ "chain": chain, "fault": fault, "detail": fault.to_string() }));
    let faults: Vec<Value> = faults.chain(behind).collect();
    let found = (faults.len() + proved.wrong.len()) as u64;
    if json {
        let all = json!({ "lines": proved.lines, "chains": proved.chains, "compared": compared, "faults": faults,
            "wrong": proved.wrong });
        output::json(&all);
    } else {
        for fault in &faults {
            output::answer(&format!("{}: {}\n", output::cell(fault, "/chain"), output::cell(fault, "/detail")));
        }
        proved.wrong.iter().for_each(|wrong| output::answer(&format!("{}\n", output::printable(wrong))));
        let judged = if found == 0 { "in order".to_owned() } else { count(found, "fault") };
        output::answer(&format!("{} in {}: {judged}\n", count(proved.lines, "line"), count(proved.chains, "chain")));
    }
    match found {
        0 => Ok(()),
        found => Err(Failure::NotInOrder(format!("the export is not as it was written: {}", count(found, "fault")))),
    }
}

/// Checkpoints that tell of more lines than the export has, or that are not to be believed. Returns how many were compared.
fn compare(
    mut checkpoints: Checkpoints,
    keys: &LedgerKeys,
    prover: &Prover,
    behind: &mut Vec<Value>,
) -> Result<u64, Failure> {
    let mut compared = 0;
    loop {
        let batch = checkpoints.batch(None)?;
        if batch.is_empty() {
            return Ok(compared);
        }
        for told in batch {
            let chain = told["chain"].clone();
            let mut fault = |detail: String| behind.push(json!({ "chain": chain, "fault": null, "detail": detail }));
            let Ok(signed) = serde_json::from_value::<Signed>(told.clone()) else {
                fault("a checkpoint makes no sense".to_owned());
                continue;
            };
            if let Err(why) = keys.check(Statement::Checkpoint, &signed) {
                fault(format!("the checkpoint at line {} is not to be believed: {why}", signed.checkpoint.number));
                continue;
            }
            let Some((number, hash)) = prover.standing(&signed.checkpoint.chain) else { continue };
            compared += 1;
            let told = &signed.checkpoint;
            if told.number > number || (told.number == number && told.hash != hash) {
                fault(format!("the export goes to line {number}; a checkpoint tells of another line {}", told.number));
            }
        }
    }
}
