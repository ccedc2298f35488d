//! `tenantry audit …`: the ledger listed, exported, checked, and held against checkpoints that were kept elsewhere.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Value, json};

use super::client::{Client, Connection, Failure, segment};
use super::output;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Audit {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tenantry audit list --tenant acme --action domain.
  tenantry audit export --format csv --from 2026-01-01T00:00:00Z > audit.csv
  tenantry audit verify
  tenantry audit verify --checkpoint /srv/elsewhere/checkpoints.jsonl
  tenantry audit checkpoint --tenant acme >> acme-checkpoints.jsonl";

#[derive(Subcommand)]
enum Command {
    /// List what was done, newest first
    #[command(after_help = "Example:\n  tenantry audit list --tenant acme --actor operator:deploy --limit 20")]
    List {
        #[command(flatten)]
        filter: Filter,
        /// How many at most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=200))]
        limit: u16,
    },
    /// Print all of it, oldest first
    #[command(after_help = "Example:\n  tenantry audit export --tenant acme --format csv > acme.csv")]
    Export {
        #[command(flatten)]
        filter: Filter,
        #[arg(long, value_enum, default_value = "json")]
        format: Format,
    },
    /// Check that nothing was changed, removed, moved or put in
    ///
    /// Fails when something was, and says where.
    #[command(after_help = "Example:\n  tenantry audit verify --tenant acme --checkpoint checkpoints.jsonl")]
    Verify {
        /// Only the chain of this tenant: slug or id
        #[arg(long)]
        tenant: Option<String>,
        /// A file of signed checkpoints, which tell of a tail that is gone
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
    },
    /// Print a signed checkpoint, to be kept where whoever can change the store cannot reach it
    #[command(after_help = "Example:\n  tenantry audit checkpoint >> checkpoints.jsonl")]
    Checkpoint {
        /// Of the chain of this tenant: slug or id [default: the installation's own]
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Print the public keys that checkpoints are signed with, as a JSON Web Key Set
    #[command(after_help = "Example:\n  tenantry audit keys")]
    Keys,
}

#[derive(Args)]
struct Filter {
    /// Only about this tenant: slug or id
    #[arg(long)]
    tenant: Option<String>,
    /// Only what this actor did, as in operator:deploy
    #[arg(long)]
    actor: Option<String>,
    /// Only this action, or those that begin so, as in domain.
    #[arg(long)]
    action: Option<String>,
    /// Only what was done to this
    #[arg(long)]
    subject: Option<String>,
    /// Only from this time on (RFC 3339)
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only from before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Csv,
    Json,
}

/// Checkpoints that are sent at once.
const BATCH: usize = 500;

impl Audit {
    pub fn json(&self) -> bool {
        self.connection.json
    }

    pub async fn run(self) -> Result<(), Failure> {
        let json = self.json();
        let client = self.connection.open()?;
        match self.command {
            Command::List { filter, limit } => list(&client, &filter, limit, json).await,
            Command::Export { filter, format } => {
                let format = match format {
                    Format::Csv => "csv",
                    Format::Json => "json",
                };
                let path = format!("/v1/audit/export?format={format}{}", filter.query());
                client.download(&path, |bytes| std::io::stdout().lock().write_all(bytes)).await.map(drop)
            }
            Command::Verify { tenant, checkpoint } => verify(&client, tenant, checkpoint.as_deref(), json).await,
            Command::Checkpoint { tenant } => {
                let query = tenant.map(|tenant| format!("?tenant={}", segment(&tenant))).unwrap_or_default();
                let signed = client.get(&format!("/v1/audit/checkpoint{query}")).await?.body;
                // One line, so that it can be appended to a file of them.
                output::answer(&format!("{signed}\n"));
                Ok(())
            }
            Command::Keys => {
                output::json(&client.get("/v1/audit/keys").await?.body);
                Ok(())
            }
        }
    }
}

impl Filter {
    fn query(&self) -> String {
        let given = [
            ("tenant", &self.tenant),
            ("actor", &self.actor),
            ("action", &self.action),
            ("subject", &self.subject),
            ("from", &self.from),
            ("until", &self.until),
        ];
        let given = given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        given.map(|(name, value)| format!("&{name}={}", segment(value))).collect()
    }
}

async fn list(client: &Client, filter: &Filter, limit: u16, json: bool) -> Result<(), Failure> {
    let mut page = client.get(&format!("/v1/audit?limit={limit}{}", filter.query())).await?.body;
    let lines = page["items"].take();
    if json {
        output::json(&lines);
        return Ok(());
    }
    let columns = ["/id", "/at", "/actor", "/action", "/subject", "/detail", "/before", "/after"];
    let row = |line: &Value| columns.map(|column| output::cell(line, column)).to_vec();
    let rows: Vec<_> = lines.as_array().into_iter().flatten().map(row).collect();
    let headings = ["ID", "AT", "ACTOR", "ACTION", "SUBJECT", "DETAIL", "BEFORE", "AFTER"];
    output::answer(&output::table(&headings, &rows));
    Ok(())
}

async fn verify(client: &Client, tenant: Option<String>, file: Option<&Path>, json: bool) -> Result<(), Failure> {
    // Before anything is asked: what cannot be read is no reason to say that all is well.
    let checkpoints = file.map(read).transpose()?.unwrap_or_default();
    let query = tenant.as_deref().map(|tenant| format!("?tenant={}", segment(tenant))).unwrap_or_default();
    let (mut faults, mut sum, mut rest) = (Vec::new(), Value::Null, Vec::new());
    let take = |bytes: &[u8]| {
        rest.extend_from_slice(bytes);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Value = serde_json::from_slice(&rest[..end])?;
            rest.drain(..=end);
            match &line {
                line if line["done"] == true => sum = line.clone(),
                line if !line["detail"].is_null() => faults.push(line.clone()),
                _ => {}
            }
        }
        Ok(())
    };
    client.download(&format!("/v1/audit/verify{query}"), take).await?;
    if sum.is_null() {
        return Err(Failure::Local("the check broke off before its end; nothing is known".to_owned()));
    }
    let unlisted = sum["faults"].as_u64().unwrap_or(0).saturating_sub(faults.len() as u64);
    let compared = compare(client, tenant.as_deref(), checkpoints, &mut faults).await?;
    let count = |n: u64, what| output::count(usize::try_from(n).unwrap_or(usize::MAX), what);
    let (lines, chains) = (sum["lines"].as_u64().unwrap_or(0), sum["chains"].as_u64().unwrap_or(0));
    let found = faults.len() as u64 + unlisted;
    if json {
        let all =
            json!({ "lines": lines, "chains": chains, "compared": compared, "faults": faults, "unlisted": unlisted });
        output::json(&all);
    } else {
        for fault in &faults {
            output::answer(&format!("{}: {}\n", output::cell(fault, "/chain"), output::cell(fault, "/detail")));
        }
        let judged = if found == 0 { "in order".to_owned() } else { count(found, "fault") };
        let told = if compared > 0 { format!(", against {}", count(compared, "checkpoint")) } else { String::new() };
        output::answer(&format!("{} in {}{told}: {judged}\n", count(lines, "line"), count(chains, "chain")));
    }
    match found {
        0 => Ok(()),
        found => Err(Failure::Local(format!("the ledger is not as it was written: {}", count(found, "fault")))),
    }
}

/// Sends what was kept elsewhere, and takes what it contradicts; returns how many were compared.
async fn compare(
    client: &Client,
    tenant: Option<&str>,
    mut checkpoints: Vec<Value>,
    faults: &mut Vec<Value>,
) -> Result<u64, Failure> {
    if let Some(tenant) = tenant {
        let own = client.get(&format!("/v1/audit/checkpoint?tenant={}", segment(tenant))).await?.body;
        checkpoints.retain(|told| told["chain"] == own["chain"]);
    }
    let mut compared = 0;
    for batch in checkpoints.chunks(BATCH) {
        let body = json!({ "checkpoints": batch });
        let answer = client.send(Method::POST, "/v1/audit/verify", body).await?.body;
        compared += answer["compared"].as_u64().unwrap_or(0);
        for fault in answer["faults"].as_array().into_iter().flatten() {
            // What the chain itself tells already is not told twice.
            if !faults.iter().any(|known| known["chain"] == fault["chain"] && known["fault"] == fault["fault"]) {
                faults.push(fault.clone());
            }
        }
    }
    Ok(compared)
}

/// The checkpoints of a file, chain by chain, so that a batch holds what belongs together.
fn read(path: &Path) -> Result<Vec<Value>, Failure> {
    let wrong = |why: String| Failure::Local(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let mut chains: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let told: Value = serde_json::from_str(line).map_err(|error| wrong(format!("line {}: {error}", at + 1)))?;
        let chain = told["chain"].as_str().ok_or_else(|| wrong(format!("line {} is no checkpoint", at + 1)))?;
        chains.entry(chain.to_owned()).or_default().push(told);
    }
    Ok(chains.into_values().flatten().collect())
}
