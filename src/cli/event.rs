//! `tenantry event …`

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::{Connection, Failure, segment};
use super::output;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Event {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tenantry event list --tenant acme
  tenantry event list --subject community.acme.example
  tenantry event list --after 1042.0 --json";

#[derive(Subcommand)]
enum Command {
    /// List what happened, oldest first
    #[command(after_help = "Example:\n  tenantry event list --subject community.acme.example")]
    List {
        /// Only of this tenant: slug or id
        #[arg(long)]
        tenant: Option<String>,
        /// Only about this domain, or this first name of a certificate
        #[arg(long)]
        subject: Option<String>,
        /// Only what came after the event of this id
        #[arg(long, value_name = "ID")]
        after: Option<String>,
    },
}

impl Event {
    pub fn json(&self) -> bool {
        self.connection.json
    }

    pub async fn run(self) -> Result<(), Failure> {
        let json = self.json();
        let client = self.connection.open()?;
        let Command::List { tenant, subject, after } = self.command;
        let given = [("tenant", tenant), ("subject", subject), ("after", after)];
        let query = given.iter().filter_map(|(name, value)| Some(format!("{name}={}", segment(value.as_deref()?))));
        let query = query.collect::<Vec<_>>().join("&");
        let events = client.all(&format!("/v1/events?{query}")).await?;
        if json {
            output::json(&events.into());
            return Ok(());
        }
        let columns = ["/id", "/at", "/kind", "/subject", "/detail"];
        let row = |event: &Value| columns.map(|column| output::cell(event, column)).to_vec();
        let rows: Vec<_> = events.iter().map(row).collect();
        output::answer(&output::table(&["ID", "AT", "WHAT", "SUBJECT", "DETAIL"], &rows));
        Ok(())
    }
}
