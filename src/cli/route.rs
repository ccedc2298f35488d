//! `tenantry route …`

use std::net::IpAddr;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::client::{Client, Connection, Failure, segment};
use super::output;

/// See which way requests go
#[derive(Args)]
#[command(after_help = "Examples:\n  tenantry route host community.acme.example\n  \
                        tenantry route explain https://acme.connect.localhost/analytics/export -X POST")]
pub struct Route {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show whom a host leads to, and whether the edge would let a visitor through
    #[command(after_help = "Example:\n  tenantry route host community.acme.example")]
    Host {
        /// In any spelling, without a port
        host: String,
    },
    /// Show, step by step, what the edge would do with a request and why
    #[command(
        after_help = "Examples:\n  tenantry route explain https://acme.connect.localhost/analytics/export -X POST\n  \
                      tenantry route explain https://acme.connect.localhost/api -H 'X-Api-Version: 2' --json"
    )]
    Explain(Explain),
}

/// A request that nobody sends.
#[derive(Args)]
struct Explain {
    /// The whole URL, with its scheme
    url: String,
    #[arg(short = 'X', long, default_value = "GET")]
    method: String,
    /// A header, as in 'Name: value'; may be repeated
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// The visitor's address [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,
}

impl Route {
    pub fn json(&self) -> bool {
        self.connection.json
    }

    pub async fn run(self) -> Result<(), Failure> {
        let json = self.json();
        let client = self.connection.open()?;
        match self.command {
            Command::Host { host } => whose(&client, json, &host).await,
            Command::Explain(request) => explain(&client, json, request).await,
        }
    }
}

async fn whose(client: &Client, json: bool, host: &str) -> Result<(), Failure> {
    let answer = client.get(&format!("/v1/hosts/{}", segment(host))).await?.body;
    if json {
        output::json(&answer);
        return Ok(());
    }
    let cell = |pointer: &str| output::cell(&answer, pointer);
    output::answer(&output::lines(&[
        ("host", cell("/host")),
        ("class", cell("/class")),
        ("tenant", cell("/tenant/slug")),
        ("via", cell("/via")),
        ("visitors", cell("/visit/action")),
        ("status", cell("/visit/status")),
        ("code", cell("/visit/code")),
    ]));
    Ok(())
}

async fn explain(client: &Client, json: bool, request: Explain) -> Result<(), Failure> {
    let Explain { url, method, headers, client: visitor } = request;
    let mut fields = Map::new();
    for header in &headers {
        let (name, value) =
            header.split_once(':').ok_or_else(|| Failure::Local(format!("-H {header}: expected 'Name: value'")))?;
        fields.insert(name.trim().to_owned(), Value::String(value.trim().to_owned()));
    }
    let mut body = json!({ "url": url, "method": method, "headers": fields });
    if let Some(visitor) = visitor {
        body["client"] = json!(visitor);
    }
    let answer = client.send(Method::POST, "/v1/routes/explain", body).await?.body;
    if json {
        output::json(&answer);
        return Ok(());
    }
    let steps = answer["steps"].as_array().into_iter().flatten();
    let rows: Vec<_> = steps.map(|step| ["/step", "/text"].map(|column| output::cell(step, column)).to_vec()).collect();
    output::answer(&output::table(&["STEP", "WHAT"], &rows));
    let cell = |name: &str| output::cell(&answer, &format!("/verdict/{name}"));
    output::answer(&output::lines(&[
        ("verdict", cell("action")),
        ("status", cell("status")),
        ("code", cell("code")),
        ("location", cell("location")),
        ("route", cell("route")),
        ("pool", cell("pool")),
        ("target", cell("target")),
    ]));
    Ok(())
}
