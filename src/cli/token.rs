//! `tenantry token …`: a token's text is printed once, to stdout, and nothing else is.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::client::{Connection, Failure, segment};
use super::output;
use crate::app;
use crate::clock::Clock;
use crate::config::Config;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Token {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tenantry token create first -c config/ > operator-token
  tenantry token create deploy > deploy-token
  tenantry token create support --scope tenants:read,domains:read > support-token
  tenantry token create ci --tenant acme --scope domains:manage > acme-token
  tenantry token list
  tenantry token revoke ci --tenant acme
  tenantry token scopes";

#[derive(Subcommand)]
enum Command {
    /// Make a token, and print it: it is not shown again
    #[command(
        after_help = "Without --scope it may do all that you may: an operator's token everything, a tenant's whatever can be \
                      done within a tenant.\n\n\
                      Examples:\n  tenantry token create deploy --expires 2030-06-30T00:00:00Z > deploy-token\n  \
                      tenantry token create support --scope tenants:read,domains:read > support-token\n  \
                      tenantry token create ci --tenant acme --scope domains:manage > acme-token"
    )]
    Create {
        /// 1–64 letters, digits, dashes, underscores, dots and @; the ledger shows it
        name: String,
        /// Slug or id: a token that works within this tenant alone [default: an operator's]
        #[arg(long)]
        tenant: Option<String>,
        /// What it may do, as `tenantry token scopes` lists it; with commas or repeated [default: all that you may]
        #[arg(long = "scope", value_delimiter = ',', value_name = "SCOPE")]
        scopes: Option<Vec<String>>,
        /// When it stops working, in RFC 3339 [default: never]
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// Write it to the store of this configuration directly: how the first token of an installation is made
        #[arg(short, long, value_name = "DIR", conflicts_with_all = ["expires", "tenant", "scopes"])]
        config: Option<PathBuf>,
    },
    /// List the operators' tokens, or a tenant's, without their text; what has expired for 30 days more
    #[command(after_help = "Examples:\n  tenantry token list\n  tenantry token list --tenant acme")]
    List {
        /// Slug or id [default: the operators']
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Revoke a token at once
    #[command(after_help = "Examples:\n  tenantry token revoke deploy\n  tenantry token revoke ci --tenant acme")]
    Revoke {
        /// The token's name
        name: String,
        /// Slug or id, where it is a tenant's
        #[arg(long)]
        tenant: Option<String>,
    },
    /// List what tokens can be allowed to do
    #[command(after_help = "Example:\n  tenantry token scopes")]
    Scopes,
}

impl Token {
    pub fn json(&self) -> bool {
        self.connection.json
    }

    pub async fn run(self) -> Result<(), Failure> {
        let json = self.json();
        if let Command::Create { name, config: Some(dir), .. } = &self.command {
            let token = create_locally(dir, name).await.map_err(Failure::Local)?;
            match json {
                true => output::json(&json!({ "name": name, "token": token })),
                false => print(&token),
            }
            return Ok(());
        }
        let client = self.connection.open()?;
        match self.command {
            Command::Create { name, tenant, scopes, expires, .. } => {
                let body = json!({ "name": name, "expires": expires, "scopes": scopes });
                issued(json, &client.send(Method::POST, &path(tenant.as_deref(), ""), body).await?.body);
            }
            Command::List { tenant } => {
                let tokens = client.all(&path(tenant.as_deref(), "")).await?;
                let columns = [("NAME", "/name"), ("CREATED", "/created"), ("EXPIRES", "/expires")];
                rows(json, tokens.into(), &[&columns[..], &[("BY", "/maker"), ("MAY", "/scopes")]].concat());
            }
            Command::Revoke { name, tenant } => {
                client.delete(&path(tenant.as_deref(), &format!("/{}", segment(&name)))).await?;
                match json {
                    true => output::json(&json!({ "revoked": name })),
                    false => output::answer(&format!("revoked {}\n", output::printable(&name))),
                }
            }
            Command::Scopes => {
                let scopes = client.get("/v1/scopes").await?.body["items"].take();
                let columns =
                    [("SCOPE", "/scope"), ("FOR TENANTS", "/within_a_tenant"), ("WHAT IT ALLOWS", "/meaning")];
                rows(json, scopes, &columns);
            }
        }
        Ok(())
    }
}

fn path(tenant: Option<&str>, rest: &str) -> String {
    match tenant {
        Some(tenant) => format!("/v1/tenants/{}/tokens{rest}", segment(tenant)),
        None => format!("/v1/tokens{rest}"),
    }
}

fn rows(json: bool, items: Value, columns: &[(&str, &str)]) {
    if json {
        return output::json(&items);
    }
    let row = |item: &Value| columns.iter().map(|(_, column)| output::cell(item, column)).collect();
    let rows: Vec<_> = items.as_array().into_iter().flatten().map(row).collect();
    let headings: Vec<_> = columns.iter().map(|(heading, _)| *heading).collect();
    output::answer(&output::table(&headings, &rows));
}

/// Shows a token that was just made: its text alone to stdout, for a file.
pub(super) fn issued(json: bool, made: &Value) {
    match json {
        true => output::json(made),
        false => print(&output::cell(made, "/token")),
    }
}

fn print(token: &str) {
    output::answer(&format!("{token}\n"));
    output::complain("keep it safe: it is not shown again\n");
}

/// Whoever can read the store's key may do this: there is nobody yet whom the API would believe.
async fn create_locally(dir: &Path, name: &str) -> Result<String, String> {
    let config = Config::load(dir).map_err(|faults| faults.to_string())?;
    app::create_token(config, Clock::system(), name).await.map_err(|error| error.to_string())
}
