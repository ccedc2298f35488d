//! `tenantry backup`, `tenantry restore` and `tenantry store copy`: the whole store, out of it and into it.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::client::Failure;
use super::output;
use crate::app;
use crate::clock::Clock;
use crate::config::Config;

/// Write the whole store into a file, while it is served from
#[derive(Args)]
#[command(after_help = "Example:\n  tenantry backup -c config/ /var/backups/tenantry.jsonl\n\n\
    The file holds one moment of the store. Secrets in it are sealed: without the key (store.key), which is not in it,\n\
    nobody can use them, nor restore it. Keep a copy of the key elsewhere.")]
pub struct Backup {
    /// Where to write it; a file of that name is replaced when the new one is whole
    file: PathBuf,
    /// The directory with tenantry.toml, routing.toml and plans.toml
    #[arg(short, long, default_value = "config", value_name = "DIR")]
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Put a backup into the store
#[derive(Args)]
#[command(after_help = "Example:\n  tenantry restore -c config/ /var/backups/tenantry.jsonl\n\n\
    All of it counts, or nothing. Nodes that serve from the store notice within a second; they need not be stopped.")]
pub struct Restore {
    /// What `tenantry backup` has written
    file: PathBuf,
    /// The directory with tenantry.toml, routing.toml and plans.toml
    #[arg(short, long, default_value = "config", value_name = "DIR")]
    config: PathBuf,
    /// Lose what is in the store; without it, a store with tenants, domains, certificates or tokens is refused
    #[arg(long)]
    replace: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `tenantry store copy` is told.
#[derive(Args)]
pub struct Copy {
    /// The store to fill: sqlite:<path> or postgres://…; a password comes from PGPASSWORD, or from a password file (PGPASSFILE)
    #[arg(long, value_name = "URL")]
    to: String,
    /// The directory with tenantry.toml, routing.toml and plans.toml
    #[arg(short, long, default_value = "config", value_name = "DIR")]
    config: PathBuf,
    /// Lose what is in the other store
    #[arg(long)]
    replace: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl Backup {
    pub async fn run(self) -> Result<(), Failure> {
        let rows = app::backup(&load(&self.config)?, &Clock::system(), &self.file).await.map_err(local)?;
        match self.json {
            true => output::json(&json!({ "file": self.file.display().to_string(), "rows": rows })),
            false => output::answer(&format!("{} rows in {}\n", rows, self.file.display())),
        }
        Ok(())
    }
}

impl Restore {
    pub async fn run(self) -> Result<(), Failure> {
        let config = load(&self.config)?;
        let restored = app::restore(&config, &Clock::system(), &self.file, self.replace).await.map_err(local)?;
        told(restored.rows, restored.from, restored.revision, self.json);
        Ok(())
    }
}

impl Copy {
    pub async fn run(self) -> Result<(), Failure> {
        if has_password(&self.to) {
            let why = "--to has a password in it, which every user of this machine can read from the list of processes; \
                       leave it out there and set PGPASSWORD, or write it into ~/.pgpass";
            return Err(Failure::Local(why.to_owned()));
        }
        let config = load(&self.config)?;
        let copied = app::copy(&config, &Clock::system(), &self.to, self.replace).await.map_err(local)?;
        told(copied.rows, copied.from, copied.revision, self.json);
        if !self.json {
            output::answer("what is written to the old store from now on is not in the new one: change store.url\n");
        }
        Ok(())
    }
}

fn told(rows: u64, from: i64, revision: i64, json: bool) {
    match json {
        true => output::json(&json!({ "rows": rows, "from_revision": from, "revision": revision })),
        false => output::answer(&format!("{rows} rows of revision {from} are in the store, at revision {revision}\n")),
    }
}

fn load(dir: &Path) -> Result<Config, Failure> {
    Config::load(dir).map_err(|faults| Failure::Local(faults.to_string()))
}

fn local(error: app::AppError) -> Failure {
    Failure::Local(error.to_string())
}

/// Whether the address of a store tells a password, before its host or as a parameter.
fn has_password(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return false };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = place.split('/').next().unwrap_or_default();
    let user = authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
    user || query.split('&').any(|pair| pair.split('=').next() == Some("password"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_address_is_seen() {
        for with in ["postgres://u:p@h/db", "postgresql://u:@h", "postgres://h/db?sslmode=require&password=p"] {
            assert!(has_password(with), "{with}");
        }
        for without in
            ["sqlite:/a:b@c/d.db", "postgres://u@h:5432/db", "postgres:///db?host=/run", "postgres://h/a:b@c"]
        {
            assert!(!has_password(without), "{without}");
        }
    }
}
