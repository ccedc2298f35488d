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
  tenantry token list
  tenantry token revoke deploy";

#[derive(Subcommand)]
enum Command {
    /// Make a token with all of an operator's rights, and print it: it is not shown again
    #[command(after_help = "Example:\n  tenantry token create deploy --expires 2027-06-30T00:00:00Z > deploy-token")]
    Create {
        /// 1–64 letters, digits, dashes, underscores, dots and @; the ledger shows it
        name: String,
        /// When it stops working, in RFC 3339 [default: never]
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// Write it to the store of this configuration directly: how the first token of an installation is made
        #[arg(short, long, value_name = "DIR", conflicts_with = "expires")]
        config: Option<PathBuf>,
    },
    /// List the tokens, without their text
    #[command(after_help = "Example:\n  tenantry token list")]
    List,
    /// Revoke a token at once
    #[command(after_help = "Example:\n  tenantry token revoke deploy")]
    Revoke {
        /// The token's name
        name: String,
    },
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
                false => {
                    output::answer(&format!("{token}\n"));
                    output::complain("keep it safe: it is not shown again\n");
                }
            }
            return Ok(());
        }
        let client = self.connection.open()?;
        match self.command {
            Command::Create { name, expires, .. } => {
                let answer =
                    client.send(Method::POST, "/v1/tokens", json!({ "name": name, "expires": expires })).await?;
                match json {
                    true => output::json(&answer.body),
                    false => {
                        output::answer(&format!("{}\n", output::cell(&answer.body, "/token")));
                        output::complain("keep it safe: it is not shown again\n");
                    }
                }
            }
            Command::List => {
                let mut page = client.get("/v1/tokens").await?.body;
                let tokens = page["items"].take();
                if json {
                    output::json(&tokens);
                } else {
                    let columns = ["/name", "/created", "/expires"];
                    let row = |token: &Value| columns.map(|column| output::cell(token, column)).to_vec();
                    let rows: Vec<_> = tokens.as_array().into_iter().flatten().map(row).collect();
                    output::answer(&output::table(&["NAME", "CREATED", "EXPIRES"], &rows));
                }
            }
            Command::Revoke { name } => {
                client.delete(&format!("/v1/tokens/{}", segment(&name))).await?;
                match json {
                    true => output::json(&json!({ "revoked": name })),
                    false => output::answer(&format!("revoked {}\n", output::printable(&name))),
                }
            }
        }
        Ok(())
    }
}

/// Whoever can read the store's key may do this: there is nobody yet whom the API would believe.
async fn create_locally(dir: &Path, name: &str) -> Result<String, String> {
    let config = Config::load(dir).map_err(|faults| faults.to_string())?;
    app::create_token(config, Clock::system(), name).await.map_err(|error| error.to_string())
}
