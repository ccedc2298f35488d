//! `tenantry check`: every fault of a configuration, without touching anything that runs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::output;
use crate::config::{Config, Faults};

#[derive(Args)]
#[command(after_help = "Examples:\n  tenantry check\n  tenantry check -c /etc/tenantry --json")]
pub struct Check {
    /// The directory with tenantry.toml, routing.toml and plans.toml
    #[arg(short, long, default_value = "config", value_name = "DIR")]
    config: PathBuf,
    /// Print JSON for programs: what there is, or every fault with its place
    #[arg(long)]
    json: bool,
}

impl Check {
    pub fn run(&self) -> ExitCode {
        let loaded = Config::load(&self.config);
        if self.json {
            output::json(&told(&loaded));
            return if loaded.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        match loaded {
            Ok(config) => {
                let text = format!(
                    "{}: in order: {}, {}, {}, {}\n",
                    self.config.display(),
                    output::count(config.listeners.len(), "listener"),
                    output::count(config.routing.pools.len(), "pool"),
                    output::count(config.routing.routes.len(), "route"),
                    output::count(config.catalogue.plans.len(), "plan"),
                );
                output::answer(&text);
                if !config.store.old_keys.is_empty() {
                    let dir = self.config.display();
                    output::answer(&format!(
                        "store.old_keys: {} still configured; run `tenantry store reseal -c {dir}`, which says when \
                         none is needed\n",
                        output::count(config.store.old_keys.len(), "key"),
                    ));
                }
                ExitCode::SUCCESS
            }
            Err(faults) => {
                output::complain(&format!("{}\n", faults.to_string().trim_end()));
                ExitCode::FAILURE
            }
        }
    }
}

fn told(loaded: &Result<Config, Faults>) -> Value {
    match loaded {
        Ok(config) => json!({
            "in_order": true,
            "listeners": config.listeners.len(),
            "pools": config.routing.pools.len(),
            "routes": config.routing.routes.len(),
            "plans": config.catalogue.plans.len(),
            "old_keys": config.store.old_keys.len(),
            "faults": [],
        }),
        Err(faults) => {
            let faults: Vec<_> = faults
                .iter()
                .map(|fault| {
                    json!({
                        "file": fault.file,
                        "line": fault.line,
                        "column": fault.column,
                        "key": fault.key,
                        "message": fault.message,
                    })
                })
                .collect();
            json!({ "in_order": false, "faults": faults })
        }
    }
}
