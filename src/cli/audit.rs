//! `tenantry audit …`: the ledger listed and exported. How it is checked: `audit_verify.rs` and `audit_offline.rs`.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::client::{Client, Connection, Failure, segment};
use super::{audit_offline, audit_verify, output};

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
  tenantry audit checkpoint --tenant acme >> acme-checkpoints.jsonl
  tenantry audit export --format proof > proof.jsonl && tenantry audit keys > keys.json
  tenantry audit verify --offline proof.jsonl --keys keys.json";

#[derive(Subcommand)]
enum Command {
    /// List what was done, newest first
    #[command(after_help = "Example:\n  tenantry audit list --tenant acme --actor operator:deploy --limit 20")]
    List {
        #[command(flatten)]
        filter: Filter,
        /// How many at most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// Go on where a list ended that had more
        #[arg(long)]
        cursor: Option<String>,
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
    /// Says what was, and where.
    #[command(after_help = "Examples:\n  tenantry audit verify --tenant acme --checkpoint checkpoints.jsonl\n  \
        tenantry audit verify --offline proof.jsonl --keys keys.json\n\n\
        Ends with 0 when all is in order, with 3 when something is not, and with 1 when it could not be checked.")]
    Verify {
        /// Only the chain of this tenant: slug or id
        #[arg(long)]
        tenant: Option<String>,
        /// A file of signed checkpoints, which tell of a tail that is gone
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
        /// Check this export (`audit export --format proof`) instead of asking anybody
        #[arg(long, value_name = "FILE", requires = "keys", conflicts_with = "tenant")]
        offline: Option<PathBuf>,
        /// The public keys for it (`audit keys`), kept since before anything could have been changed
        #[arg(long, value_name = "FILE", requires = "offline")]
        keys: Option<PathBuf>,
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
    /// Whole chains with all that their hashes cover, for `audit verify --offline`; of one tenant or all
    Proof,
}

/// Lines that one page has.
const PAGE: u32 = 200;

impl Audit {
    pub fn json(&self) -> bool {
        self.connection.json
    }

    pub async fn run(self) -> Result<(), Failure> {
        let json = self.json();
        if let Command::Verify { offline: Some(export), keys: Some(keys), checkpoint, .. } = &self.command {
            return audit_offline::verify(export, keys, checkpoint.as_deref(), json);
        }
        let client = self.connection.open()?;
        match self.command {
            Command::List { filter, limit, cursor } => list(&client, &filter, limit, cursor, json).await,
            Command::Export { filter, format } => {
                let format = match format {
                    Format::Csv => "csv",
                    Format::Json => "json",
                    Format::Proof => "proof",
                };
                let path = format!("/v1/audit/export?format={format}{}", filter.query());
                client.download(&path, |bytes| std::io::stdout().lock().write_all(bytes)).await.map(drop)
            }
            Command::Verify { tenant, checkpoint, .. } => {
                audit_verify::verify(&client, tenant, checkpoint.as_deref(), json).await
            }
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

async fn list(
    client: &Client,
    filter: &Filter,
    limit: u32,
    mut cursor: Option<String>,
    json: bool,
) -> Result<(), Failure> {
    let mut lines: Vec<Value> = Vec::new();
    let limit = limit as usize;
    loop {
        let page = (limit - lines.len()).min(PAGE as usize);
        let after = cursor.map(|cursor| format!("&cursor={}", segment(&cursor))).unwrap_or_default();
        let mut page = client.get(&format!("/v1/audit?limit={page}{}{after}", filter.query())).await?.body;
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if let Value::Array(more) = page["items"].take() {
            lines.extend(more);
        }
        if cursor.is_none() || lines.len() >= limit {
            break;
        }
    }
    if json {
        output::json(&lines.into());
    } else {
        let columns = ["/id", "/at", "/actor", "/action", "/subject", "/detail", "/before", "/after"];
        let rows: Vec<_> = lines.iter().map(|line| columns.map(|column| output::cell(line, column)).to_vec()).collect();
        let headings = ["ID", "AT", "ACTOR", "ACTION", "SUBJECT", "DETAIL", "BEFORE", "AFTER"];
        output::answer(&output::table(&headings, &rows));
    }
    if let Some(cursor) = cursor {
        output::complain(&format!("there is more: --cursor {cursor}\n"));
    }
    Ok(())
}
