//! `tenantry import …`: tables of tenants and domains, whole or not at all.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::client::{Connection, Failure};
use super::output;
use super::tenant::warn_unless_applied;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Import {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tenantry import tenants tenants.csv --dry-run
  tenantry import tenants tenants.csv
  tenantry import domains - < domains.csv";

#[derive(Subcommand)]
enum Command {
    /// Import tenants: columns slug, name, and if wanted plan, parent, status, trial_days
    #[command(after_help = "Example:\n  tenantry import tenants tenants.csv --dry-run")]
    Tenants(Table),
    /// Import domains: columns domain, tenant, and if wanted verified
    #[command(after_help = "Example:\n  tenantry import domains domains.csv")]
    Domains(Table),
}

#[derive(Args)]
struct Table {
    /// A table with a heading, comma-separated (RFC 4180), in UTF-8; `-` reads it from stdin
    file: PathBuf,
    /// Say what is wrong with it, and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Import {
    pub fn json(&self) -> bool {
        self.connection.json
    }

    pub async fn run(self) -> Result<(), Failure> {
        let json = self.json();
        let client = self.connection.open()?;
        let (what, table) = match &self.command {
            Command::Tenants(table) => ("tenant", table),
            Command::Domains(table) => ("domain", table),
        };
        let text = read(&table.file)?;
        let answer = client.send_table(&format!("/v1/imports/{what}s?dry_run={}", table.dry_run), text).await?;
        if json {
            output::json(&answer.body);
        } else {
            let rows = answer.body["rows"].as_u64().and_then(|rows| usize::try_from(rows).ok()).unwrap_or_default();
            let said = if table.dry_run { "without fault; nothing was changed" } else { "imported" };
            output::answer(&format!("{} {said}\n", output::count(rows, what)));
        }
        warn_unless_applied(&answer);
        Ok(())
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let read = if file == Path::new("-") {
        let mut text = Vec::new();
        std::io::stdin().lock().read_to_end(&mut text).map(|_| text)
    } else {
        std::fs::read(file)
    };
    read.map_err(|why| Failure::Local(format!("cannot read {}: {why}", file.display())))
}
