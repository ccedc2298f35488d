//! `tenantry audit verify`: asks the server to check the ledger, and holds it against checkpoints that were kept elsewhere.
//! A check that could not be made is never taken for one that found nothing.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use http::Method;
use serde_json::{Value, json};

use super::client::{Client, Failure, segment};
use super::output;

/// Checkpoints that are sent at once.
const BATCH: usize = 500;

/// A file of checkpoints, a batch at a time: it may be larger than memory.
pub(super) struct Checkpoints {
    lines: std::io::Split<BufReader<File>>,
    path: PathBuf,
    at: usize,
    /// The numbers of lines that are none: a write that broke off leaves one.
    pub torn: Vec<usize>,
}

/// What was found, each once.
#[derive(Default)]
struct Found {
    faults: Vec<Value>,
    /// By chain, kind and first line.
    known: HashMap<(String, String), usize>,
}

/// What checkpoints came to.
#[derive(Default)]
struct Compared {
    compared: u64,
    /// Of lines that were cut off since.
    older: u64,
    torn: Vec<usize>,
}

pub(super) async fn verify(
    client: &Client,
    tenant: Option<String>,
    file: Option<&Path>,
    json: bool,
) -> Result<(), Failure> {
    // Before anything is asked: what cannot be read is no reason to say that all is well.
    let checkpoints = file.map(Checkpoints::open).transpose()?;
    let mut found = Found::default();
    let sum = check(client, tenant.as_deref(), &mut found).await?;
    let listed = found.faults.len() as u64;
    let unlisted = sum["faults"].as_u64().unwrap_or(0).saturating_sub(listed);
    let told = match checkpoints {
        Some(checkpoints) => Some(compare(client, tenant.as_deref(), checkpoints, &mut found).await?),
        None => None,
    };
    tell(&sum, &found, unlisted, told.as_ref(), json);
    judge(found.faults.len() as u64 + unlisted, told.as_ref(), file)
}

/// Has the server check; returns the sum.
async fn check(client: &Client, tenant: Option<&str>, found: &mut Found) -> Result<Value, Failure> {
    let query = tenant.map(|tenant| format!("?tenant={}", segment(tenant))).unwrap_or_default();
    let (mut sum, mut rest) = (Value::Null, Vec::new());
    let take = |bytes: &[u8]| {
        rest.extend_from_slice(bytes);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Value = serde_json::from_slice(&rest[..end])?;
            rest.drain(..=end);
            match &line {
                line if line["done"] == true => sum = line.clone(),
                line if !line["detail"].is_null() => found.add(line.clone()),
                _ => {}
            }
        }
        Ok(())
    };
    client.download(&format!("/v1/audit/verify{query}"), take).await?;
    match sum.is_null() {
        true => Err(Failure::Local("the check broke off before its end; nothing is known".to_owned())),
        false => Ok(sum),
    }
}

/// Sends what was kept elsewhere, and takes what it contradicts.
async fn compare(
    client: &Client,
    tenant: Option<&str>,
    mut checkpoints: Checkpoints,
    found: &mut Found,
) -> Result<Compared, Failure> {
    let own = match tenant {
        Some(tenant) => Some(client.get(&format!("/v1/audit/checkpoint?tenant={}", segment(tenant))).await?.body),
        None => None,
    };
    let chain = own.as_ref().map(|own| &own["chain"]);
    let mut told = Compared::default();
    loop {
        let batch = checkpoints.batch(chain)?;
        if batch.is_empty() {
            told.torn = checkpoints.torn;
            return Ok(told);
        }
        let answer = client.send(Method::POST, "/v1/audit/verify", json!({ "checkpoints": batch })).await?.body;
        told.compared += answer["compared"].as_u64().unwrap_or(0);
        told.older += answer["older"].as_u64().unwrap_or(0);
        for fault in answer["faults"].as_array().into_iter().flatten() {
            found.add(fault.clone());
        }
    }
}

fn tell(sum: &Value, found: &Found, unlisted: u64, told: Option<&Compared>, json: bool) {
    let number = |key: &str| sum[key].as_u64().unwrap_or(0);
    let (lines, chains, outside) = (number("lines"), number("chains"), number("unchained"));
    let (compared, older) = told.map_or((0, 0), |told| (told.compared, told.older));
    let torn: &[usize] = told.map_or(&[], |told| &told.torn);
    if json {
        let all = json!({
            "lines": lines, "chains": chains, "unchained": outside, "compared": compared, "older": older, "torn": torn,
            "faults": found.faults, "unlisted": unlisted,
        });
        return output::json(&all);
    }
    for fault in &found.faults {
        output::answer(&format!("{}: {}\n", output::cell(fault, "/chain"), output::cell(fault, "/detail")));
    }
    let found = found.faults.len() as u64 + unlisted;
    let judged = if found == 0 { "in order".to_owned() } else { count(found, "fault") };
    let against = if compared > 0 { format!(", against {}", count(compared, "checkpoint")) } else { String::new() };
    output::answer(&format!("{} in {}{against}: {judged}\n", count(lines, "line"), count(chains, "chain")));
    if outside > 0 {
        let what = count(outside, "line");
        output::answer(&format!("besides, {what} from before there were chains, which nothing vouches for\n"));
    }
    if chains == 0 && found == 0 {
        output::answer("there is no chain of that tenant yet: there was nothing to check\n");
    }
    if !torn.is_empty() {
        let at = torn.iter().take(10).map(usize::to_string).collect::<Vec<_>>().join(", ");
        output::complain(&format!(
            "{} of the file broken off, and passed over: {at}\n",
            count(torn.len() as u64, "line")
        ));
    }
}

fn judge(found: u64, told: Option<&Compared>, file: Option<&Path>) -> Result<(), Failure> {
    if found > 0 {
        return Err(Failure::NotInOrder(format!("the ledger is not as it was written: {}", count(found, "fault"))));
    }
    match told.zip(file) {
        Some((told, path)) if told.compared == 0 => Err(nothing(path, told.older)),
        _ => Ok(()),
    }
}

/// A file that says nothing of what is checked has been no check.
pub(super) fn nothing(path: &Path, older: u64) -> Failure {
    let why = match older {
        0 => "has no checkpoint of what was checked".to_owned(),
        older => format!("has {}, all of lines that were cut off since", count(older, "checkpoint")),
    };
    Failure::Local(format!("{} {why}: the ledger was held against nothing", path.display()))
}

pub(super) fn count(n: u64, what: &str) -> String {
    output::count(usize::try_from(n).unwrap_or(usize::MAX), what)
}

impl Found {
    /// What is known is not told twice; a longer gap takes the place of a shorter one.
    fn add(&mut self, told: Value) {
        let fault = &told["fault"];
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let which = match fault["kind"].as_str() {
            // From the first line on that is another, all are.
            Some("rewritten") => "rewritten".to_owned(),
            Some("missing") => format!("missing {}", fault["from"]),
            Some(_) => fault.to_string(),
            None => text(&told["detail"]),
        };
        let key = (text(&told["chain"]), which);
        match self.known.get(&key) {
            Some(at) if fault["to"].as_i64() > self.faults[*at]["fault"]["to"].as_i64() => self.faults[*at] = told,
            Some(_) => {}
            None => {
                self.known.insert(key, self.faults.len());
                self.faults.push(told);
            }
        }
    }
}

impl Checkpoints {
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let wrong = |error: std::io::Error| Failure::Local(format!("{}: {error}", path.display()));
        let file = File::open(path).map_err(wrong)?;
        Ok(Self { lines: BufReader::new(file).split(b'\n'), path: path.to_owned(), at: 0, torn: Vec::new() })
    }

    /// The next of that chain, or of all; none at the end of the file.
    pub fn batch(&mut self, chain: Option<&Value>) -> Result<Vec<Value>, Failure> {
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            let Some(line) = self.lines.next() else { break };
            let line = line.map_err(|error| Failure::Local(format!("{}: {error}", self.path.display())))?;
            self.at += 1;
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match serde_json::from_slice::<Value>(&line) {
                Ok(told) if told["chain"].is_string() && told["number"].is_i64() => {
                    if chain.is_none_or(|chain| told["chain"] == *chain) {
                        batch.push(told);
                    }
                }
                _ => self.torn.push(self.at),
            }
        }
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_once_and_a_gap_at_its_longest() {
        let told = |kind: &str, from: i64, to: i64| {
            let detail = format!("{kind} {from} {to}");
            json!({ "chain": "a", "fault": { "kind": kind, "from": from, "to": to }, "detail": detail })
        };
        let mut found = Found::default();
        for fault in [told("missing", 9, 10), told("missing", 9, 12), told("missing", 9, 11), told("missing", 3, 3)] {
            found.add(fault);
        }
        found.add(json!({ "chain": "a", "fault": { "kind": "rewritten", "after": 0, "number": 5 }, "detail": "x" }));
        found.add(json!({ "chain": "a", "fault": { "kind": "rewritten", "after": 5, "number": 7 }, "detail": "y" }));
        found.add(json!({ "chain": "b", "fault": null, "detail": "not to be believed" }));
        let details: Vec<_> = found.faults.iter().map(|fault| fault["detail"].as_str().unwrap()).collect();
        assert_eq!(details, ["missing 9 12", "missing 3 3", "x", "not to be believed"]);
    }
}
