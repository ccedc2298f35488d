//! `tenantry pool …`

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::{Connection, Failure};
use super::output;

/// See how pools and their backends are doing
#[derive(Args)]
#[command(after_help = "Example:\n  tenantry pool list")]
pub struct Pool {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List every backend of every pool of the node that answers
    #[command(after_help = "Example:\n  tenantry pool list")]
    List,
}

impl Pool {
    pub fn json(&self) -> bool {
        self.connection.json
    }

    pub async fn run(self) -> Result<(), Failure> {
        let json = self.json();
        let Command::List = self.command;
        let pools = self.connection.open()?.get("/v1/pools").await?.body;
        if json {
            output::json(&pools);
            return Ok(());
        }
        let rows: Vec<_> = pools.as_array().into_iter().flatten().flat_map(rows).collect();
        output::answer(&output::table(&["POOL", "BACKEND", "ADDRESS", "HEALTHY", "IN FLIGHT", "WHY NOT"], &rows));
        Ok(())
    }
}

fn rows(pool: &Value) -> Vec<Vec<String>> {
    let row = |backend: &Value| {
        let cell = |pointer: &str| output::cell(backend, pointer);
        let name = output::cell(pool, "/name");
        vec![name, cell("/backend"), cell("/address"), cell("/healthy"), cell("/in_flight"), cell("/why")]
    };
    pool["backends"].as_array().into_iter().flatten().map(row).collect()
}
