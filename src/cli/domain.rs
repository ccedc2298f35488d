//! `tenantry domain …`

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::client::{Connection, Failure, segment};
use super::output;
use super::tenant::warn_unless_applied;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Domain {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tenantry domain add acme community.acme.example
  tenantry domain add acme community.acme.example --verified
  tenantry domain list acme
  tenantry domain verify community.acme.example
  tenantry domain diagnose community.acme.example
  tenantry domain remove community.acme.example";

#[derive(Subcommand)]
enum Command {
    /// Claim a domain for a tenant, and print the DNS records to set
    #[command(after_help = "Example:\n  tenantry domain add acme community.acme.example")]
    Add {
        /// Slug or id
        tenant: String,
        /// In any spelling
        domain: String,
        /// You vouch that the tenant owns it: it is served at once, and the ledger names you
        #[arg(long)]
        verified: bool,
    },
    /// List a tenant's domains, or everybody's
    #[command(after_help = "Examples:\n  tenantry domain list acme\n  tenantry domain list --state moved")]
    List {
        /// Slug or id [default: all tenants]
        tenant: Option<String>,
        /// Only those in this state: pending, verifying, verified, live, moved, failed, released
        #[arg(long)]
        state: Option<String>,
        /// Only names that begin like this
        #[arg(long)]
        prefix: Option<String>,
        /// Only names beneath this one
        #[arg(long, value_name = "DOMAIN")]
        beneath: Option<String>,
    },
    /// Show a domain and its DNS records
    #[command(after_help = "Example:\n  tenantry domain show community.acme.example")]
    Show {
        /// In any spelling
        domain: String,
        /// Whose claim, where several tenants have one
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Look at a domain's records now; a claim that is proven becomes its tenant's
    #[command(after_help = "Example:\n  tenantry domain verify community.acme.example")]
    Verify {
        /// In any spelling
        domain: String,
        /// Whose claim, where several tenants have one
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Show what DNS says of a domain, what it should say, and what to do; changes nothing
    #[command(after_help = "Example:\n  tenantry domain diagnose community.acme.example")]
    Diagnose {
        /// In any spelling
        domain: String,
        /// Whose claim, where several tenants have one
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Give a domain up
    #[command(after_help = "Example:\n  tenantry domain remove community.acme.example")]
    Remove {
        /// In any spelling
        domain: String,
        /// Whose claim, where several tenants have one
        #[arg(long)]
        tenant: Option<String>,
    },
}

impl Domain {
    pub fn json(&self) -> bool {
        self.connection.json
    }

    pub async fn run(self) -> Result<(), Failure> {
        let json = self.json();
        let client = self.connection.open()?;
        match self.command {
            Command::Add { tenant, domain, verified } => {
                let path = format!("/v1/tenants/{}/domains", segment(&tenant));
                let body = json!({ "domain": domain, "verified": verified });
                let answer = client.send(Method::POST, &path, body).await?;
                show(json, &answer.body);
                warn_unless_applied(&answer);
            }
            Command::List { tenant, state, prefix, beneath } => {
                let given = [("tenant", tenant), ("state", state), ("prefix", prefix), ("beneath", beneath)];
                let query =
                    given.iter().filter_map(|(key, value)| Some(format!("{key}={}", segment(value.as_deref()?))));
                let query = query.collect::<Vec<_>>().join("&");
                let domains = client.all(&format!("/v1/domains?{query}")).await?;
                if json {
                    output::json(&domains.into());
                } else {
                    let columns = ["/domain", "/state", "/created", "/tenant"];
                    let row = |domain: &Value| columns.map(|column| output::cell(domain, column)).to_vec();
                    let rows: Vec<_> = domains.iter().map(row).collect();
                    output::answer(&output::table(&["DOMAIN", "STATE", "ADDED", "TENANT"], &rows));
                }
            }
            Command::Show { domain, tenant } => show(json, &client.get(&path(&domain, "", tenant)).await?.body),
            Command::Verify { domain, tenant } => {
                let answer = client.send(Method::POST, &path(&domain, "/verify", tenant), Value::Null).await?;
                diagnosed(json, &answer.body);
            }
            Command::Diagnose { domain, tenant } => {
                diagnosed(json, &client.get(&path(&domain, "/diagnosis", tenant)).await?.body);
            }
            Command::Remove { domain, tenant } => {
                let answer = client.delete(&path(&domain, "", tenant)).await?;
                match json {
                    true => output::json(&json!({ "removed": domain })),
                    false => output::answer(&format!("removed {}\n", output::printable(&domain))),
                }
                warn_unless_applied(&answer);
            }
        }
        Ok(())
    }
}

fn path(domain: &str, what: &str, tenant: Option<String>) -> String {
    let query = tenant.map(|tenant| format!("?tenant={}", segment(&tenant))).unwrap_or_default();
    format!("/v1/domains/{}{what}{query}", segment(domain))
}

/// A line for each record, and below it what to do.
fn diagnosed(json: bool, diagnosis: &Value) {
    if json {
        return output::json(diagnosis);
    }
    let cell = |pointer: &str| output::cell(diagnosis, pointer);
    let about = [("domain", cell("/domain")), ("state", cell("/state")), ("next look", cell("/next_check"))];
    let findings = diagnosis["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let list = |finding: &Value, key: &str| {
        let texts = finding[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        output::printable(&texts.collect::<Vec<_>>().join(", "))
    };
    let row = |finding: &Value| {
        let [kind, name, verdict, server] =
            ["/type", "/name", "/verdict", "/server"].map(|pointer| output::cell(finding, pointer));
        vec![verdict, kind, name, list(finding, "expected"), list(finding, "seen"), server]
    };
    let rows: Vec<_> = findings.iter().map(row).collect();
    let table = output::table(&["VERDICT", "TYPE", "NAME", "EXPECTED", "SEEN", "SAID BY"], &rows);
    let advice = findings.iter().map(|finding| output::cell(finding, "/advice")).filter(|advice| advice.len() > 1);
    let advice = advice.map(|advice| format!("- {advice}\n")).collect::<String>();
    output::answer(&format!("{}\n{table}\n{}\n{advice}", output::lines(&about), cell("/summary")));
}

fn show(json: bool, domain: &Value) {
    if json {
        return output::json(domain);
    }
    let cell = |pointer: &str| output::cell(domain, pointer);
    let about = [
        ("domain", cell("/domain")),
        ("tenant", cell("/tenant")),
        ("state", cell("/state")),
        ("certificate", cell("/certificate/id")),
        ("from", cell("/certificate/source")),
        ("ends", cell("/certificate/not_after")),
        ("order", cell("/order/stage")),
        ("place", cell("/order/position")),
        ("next try", cell("/order/next")),
        ("failures", cell("/order/failures")),
        ("last failure", cell("/order/failure")),
    ];
    let records = domain["records"].as_array().map(Vec::as_slice).unwrap_or_default();
    let columns = ["/type", "/name", "/value", "/purpose"];
    let rows: Vec<_> = records.iter().map(|r| columns.map(|column| output::cell(r, column)).to_vec()).collect();
    let records = output::table(&["RECORD", "NAME", "VALUE", "WHAT FOR"], &rows);
    output::answer(&format!("{}\n{records}", output::lines(&about)));
}
