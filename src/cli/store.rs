//! `tenantry store …`: what is done to the store itself, beside the processes that serve from it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::Failure;
use super::output;
use crate::app;
use crate::clock::Clock;
use crate::config::Config;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Store {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
To change the key-encryption key:
  1. with several nodes, add the new key to store.old_keys on all of them and restart them
  2. make the new key store.key, put the former one into store.old_keys, and restart
  3. tenantry store reseal -c config/
  4. take the former key out of store.old_keys";

#[derive(Subcommand)]
enum Command {
    /// Fill another store with all that is in this one
    ///
    /// It is copied as it is at one moment; nothing has to be stopped for that.
    #[command(after_help = "Example:\n  tenantry store copy -c config/ --to postgres://tenantry@db.example/tenantry")]
    Copy(super::backup::Copy),
    /// Put every secret in the store under store.key
    ///
    /// Nothing has to be stopped meanwhile. Interrupted, it goes on where it was when it is run again.
    #[command(after_help = "Example:\n  tenantry store reseal -c config/")]
    Reseal {
        /// The directory with tenantry.toml, routing.toml and plans.toml
        #[arg(short, long, default_value = "config", value_name = "DIR")]
        config: PathBuf,
        /// How many secrets in one transaction
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        batch: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Store {
    pub fn json(&self) -> bool {
        match &self.command {
            Command::Copy(copy) => copy.json,
            Command::Reseal { json, .. } => *json,
        }
    }

    pub async fn run(self) -> Result<(), Failure> {
        let (config, batch, json) = match self.command {
            Command::Copy(copy) => return copy.run().await,
            Command::Reseal { config, batch, json } => (config, batch, json),
        };
        let config = Config::load(&config).map_err(|faults| Failure::Local(faults.to_string()))?;
        let old_keys = config.store.old_keys.len();
        let (done, key) = app::reseal(config, Clock::system(), batch)
            .await
            .map_err(|error| Failure::Local(format!("{error}; what was done stays done: run it again")))?;
        let key = key.to_string();
        if json {
            let (secrets, certificates, orders) = (done.secrets, done.certificates, done.orders);
            output::json(&json!({ "key": key, "secrets": secrets, "certificates": certificates, "orders": orders }));
            return Ok(());
        }
        let count = |n: u64, what| output::count(usize::try_from(n).unwrap_or(usize::MAX), what);
        output::answer(&format!(
            "everything is sealed under key {key}; resealed {}, {}, {}\n",
            count(done.secrets, "secret"),
            count(done.certificates, "certificate"),
            count(done.orders, "order"),
        ));
        if old_keys > 0 {
            output::answer("store.old_keys is needed no more: take it out of the configuration of every node\n");
        }
        Ok(())
    }
}
