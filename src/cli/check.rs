//! `tenantry check`: every fault of a configuration, without touching anything that runs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::output;
use crate::config::Config;

#[derive(Args)]
#[command(after_help = "Examples:\n  tenantry check\n  tenantry check -c /etc/tenantry")]
pub struct Check {
    /// The directory with tenantry.toml, routing.toml and plans.toml
    #[arg(short, long, default_value = "config", value_name = "DIR")]
    config: PathBuf,
}

impl Check {
    pub fn run(&self) -> ExitCode {
        match Config::load(&self.config) {
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
