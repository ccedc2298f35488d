//! `tenantry cert …`. A key is read from its file and sent; it is never an argument and never printed.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Value, json};

use super::client::{Connection, Failure, segment};
use super::output;
use super::tenant::warn_unless_applied;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Certificate {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tenantry cert list --name community.acme.example
  tenantry cert queue
  tenantry cert upload --chain fullchain.pem --key privkey.pem
  tenantry cert issue community.acme.example
  tenantry cert revoke 0198c0de-7a1b-7000-8000-000000000000 --reason key-compromise";

#[derive(Subcommand)]
enum Command {
    /// List certificates, the oldest first
    #[command(after_help = "Example:\n  tenantry cert list --name '*.connect.example.com'")]
    List {
        /// Only those for this name
        #[arg(long)]
        name: Option<String>,
    },
    /// Show a certificate and its chain
    #[command(after_help = "Example:\n  tenantry cert show 0198c0de-7a1b-7000-8000-000000000000")]
    Show {
        /// As `tenantry cert list` shows it
        id: String,
    },
    /// List the certificates that are wanted from authorities, and how far each has come
    #[command(after_help = "Example:\n  tenantry cert queue")]
    Queue,
    /// Show how far a certificate that is wanted has come
    #[command(after_help = "Example:\n  tenantry cert order community.acme.example")]
    Order {
        /// The first of its names
        domain: String,
    },
    /// Have a certificate issued as soon as its turn comes
    #[command(after_help = "Example:\n  tenantry cert issue community.acme.example")]
    Issue {
        /// A verified domain
        domain: String,
    },
    /// Have a certificate renewed before its time
    #[command(after_help = "Example:\n  tenantry cert renew community.acme.example")]
    Renew {
        /// The first of its names
        domain: String,
    },
    /// Bring a certificate: it is served at once, before any from an authority
    #[command(after_help = "Example:\n  tenantry cert upload --chain fullchain.pem --key privkey.pem")]
    Upload {
        /// PEM, the server's certificate first, each signed by the next
        #[arg(long, value_name = "FILE")]
        chain: PathBuf,
        /// PEM, without a passphrase
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Slug or id: whose it is, where a wildcard covers domains of several tenants
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Have a certificate revoked by its authority, serve it no more, and order another
    #[command(after_help = "Example:\n  tenantry cert revoke 0198c0de-7a1b-7000-8000-000000000000 --reason superseded")]
    Revoke {
        /// As `tenantry cert list` shows it
        id: String,
        #[arg(long, value_enum, default_value_t = Reason::Unspecified)]
        reason: Reason,
        /// Do not tell the authority: it has been told otherwise, or is gone
        #[arg(long)]
        only_here: bool,
    },
    /// Delete a certificate that was brought, and its key
    #[command(after_help = "Example:\n  tenantry cert delete 0198c0de-7a1b-7000-8000-000000000000")]
    Delete {
        /// As `tenantry cert list` shows it
        id: String,
    },
}

/// RFC 5280's, as far as they are a subscriber's to give.
#[derive(Clone, Copy, ValueEnum)]
enum Reason {
    Unspecified,
    KeyCompromise,
    AffiliationChanged,
    Superseded,
    CessationOfOperation,
}

impl Certificate {
    pub fn json(&self) -> bool {
        self.connection.json
    }

    pub async fn run(self) -> Result<(), Failure> {
        let json = self.json();
        let client = self.connection.open()?;
        let answer = match self.command {
            Command::List { name } => {
                let query = name.map(|name| format!("?name={}", segment(&name))).unwrap_or_default();
                list(json, client.all(&format!("/v1/certificates{query}")).await?);
                return Ok(());
            }
            Command::Queue => {
                queue(json, client.all("/v1/orders").await?);
                return Ok(());
            }
            Command::Show { id } => {
                let answer = client.get(&path(&id)).await?;
                show(json, &answer.body);
                answer
            }
            Command::Order { domain } => {
                let answer = client.get(&order(&domain, "")).await?;
                show_order(json, &answer.body);
                answer
            }
            Command::Issue { domain } => {
                let answer = client.send(Method::POST, &order(&domain, "/issue"), Value::Null).await?;
                show_order(json, &answer.body);
                answer
            }
            Command::Renew { domain } => {
                let answer = client.send(Method::POST, &order(&domain, "/renew"), Value::Null).await?;
                show_order(json, &answer.body);
                answer
            }
            Command::Upload { chain, key, tenant } => {
                let body = json!({ "chain": read(&chain)?, "key": read(&key)?, "tenant": tenant });
                let answer = client.send(Method::POST, "/v1/certificates", body).await?;
                show(json, &answer.body);
                for warning in answer.body["warnings"].as_array().into_iter().flatten() {
                    output::complain(&format!("tenantry: mind: {}\n", output::cell(warning, "/detail")));
                }
                answer
            }
            Command::Revoke { id, reason, only_here } => {
                let reason = reason.to_possible_value().map(|value| value.get_name().to_owned());
                let body = json!({ "reason": reason, "only_here": only_here });
                let answer = client.send(Method::POST, &format!("{}/revoke", path(&id)), body).await?;
                show(json, &answer.body);
                answer
            }
            Command::Delete { id } => {
                let answer = client.delete(&path(&id)).await?;
                match json {
                    true => output::json(&json!({ "deleted": id })),
                    false => output::answer(&format!("deleted {}\n", output::printable(&id))),
                }
                answer
            }
        };
        warn_unless_applied(&answer);
        Ok(())
    }
}

fn path(id: &str) -> String {
    format!("/v1/certificates/{}", segment(id))
}

fn order(domain: &str, what: &str) -> String {
    format!("/v1/orders/{}{what}", segment(domain))
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|why| Failure::Local(format!("cannot read {}: {why}", path.display())))
}

fn list(json: bool, certificates: Vec<Value>) {
    if json {
        return output::json(&certificates.into());
    }
    let row = |certificate: &Value| {
        let state = match (certificate["revoked"].is_null(), certificate["in_use"] == json!([])) {
            (false, _) => "revoked",
            (true, false) => "in use",
            (true, true) => "",
        };
        let cells = ["/id", "/names", "/source", "/authority", "/not_after"];
        let mut row = cells.map(|pointer| output::cell(certificate, pointer)).to_vec();
        row.push(state.to_owned());
        row
    };
    let rows: Vec<_> = certificates.iter().map(row).collect();
    output::answer(&output::table(&["ID", "NAMES", "SOURCE", "AUTHORITY", "ENDS", "STATE"], &rows));
}

fn queue(json: bool, orders: Vec<Value>) {
    if json {
        return output::json(&orders.into());
    }
    let columns = ["/name", "/stage", "/position", "/next", "/failures", "/failure"];
    let row = |order: &Value| columns.map(|column| output::cell(order, column)).to_vec();
    let rows: Vec<_> = orders.iter().map(row).collect();
    output::answer(&output::table(&["NAME", "STAGE", "PLACE", "NEXT", "FAILURES", "LAST FAILURE"], &rows));
}

fn show(json: bool, certificate: &Value) {
    if json {
        return output::json(certificate);
    }
    let cell = |pointer: &str| output::cell(certificate, pointer);
    let about = [
        ("id", cell("/id")),
        ("names", cell("/names")),
        ("source", cell("/source")),
        ("authority", cell("/authority")),
        ("begins", cell("/not_before")),
        ("ends", cell("/not_after")),
        ("revoked", cell("/revoked")),
        ("in use for", cell("/in_use")),
    ];
    // PEM has line breaks of its own, and nothing else that a terminal could obey.
    let chain = certificate["chain"].as_str().unwrap_or_default();
    let chain: String = chain.lines().map(|line| format!("{}\n", output::printable(line))).collect();
    output::answer(&format!("{}\n{chain}", output::lines(&about)));
}

fn show_order(json: bool, order: &Value) {
    if json {
        return output::json(order);
    }
    let cell = |pointer: &str| output::cell(order, pointer);
    output::answer(&output::lines(&[
        ("name", cell("/name")),
        ("stage", cell("/stage")),
        ("place", cell("/position")),
        ("next", cell("/next")),
        ("failures", cell("/failures")),
        ("last failure", cell("/failure")),
    ]));
}
