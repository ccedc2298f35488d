//! `tenantry member …`: who belongs to a tenant, as what.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::client::{Client, Connection, Failure, segment};
use super::output;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Member {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tenantry member list acme --role admin
  tenantry member add acme ada@example.com --role owner
  tenantry member set-role acme ada@example.com admin
  tenantry member remove acme ada@example.com
  tenantry member restore acme ada@example.com";

/// A member is named by e-mail address or by the person's id.
#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Change(Change),
    /// List members by e-mail address
    #[command(after_help = "Examples:\n  tenantry member list acme\n  tenantry member list acme --name ada\n  \
                            tenantry member list acme --state removed")]
    List {
        /// Slug or id of the tenant
        tenant: String,
        /// active, removed or purging [default: active]
        #[arg(long)]
        state: Option<String>,
        /// Only this role, built-in or the tenant's own
        #[arg(long)]
        role: Option<String>,
        /// Only this business unit, by its id
        #[arg(long)]
        unit: Option<String>,
        /// Only addresses that begin like this
        #[arg(long, value_name = "PREFIX", conflicts_with = "name")]
        email: Option<String>,
        /// Only names that begin like this, by name
        #[arg(long, value_name = "PREFIX")]
        name: Option<String>,
        /// Those who belong to every tenant, as members of the operator's own
        #[arg(long)]
        shadow: bool,
    },
    /// Show a member
    #[command(after_help = "Example:\n  tenantry member show acme ada@example.com")]
    Show {
        /// Slug or id of the tenant
        tenant: String,
        member: String,
    },
    /// Print, as JSON, all that a tenant keeps of a member
    #[command(after_help = "Example:\n  tenantry member export acme ada@example.com > ada.json")]
    Export {
        /// Slug or id of the tenant
        tenant: String,
        member: String,
    },
}

/// The commands that are one call, and show the member that comes of it.
#[derive(Subcommand)]
enum Change {
    /// Make somebody a member without an invitation
    #[command(after_help = "Example:\n  tenantry member add acme ada@example.com --name 'Ada Lovelace' --role owner")]
    Add {
        /// Slug or id of the tenant
        tenant: String,
        email: String,
        /// The display name of somebody new [default: the address]
        #[arg(long)]
        name: Option<String>,
        /// guest, member, moderator, admin, owner, or a role of the tenant's own
        #[arg(long, default_value = "member")]
        role: String,
        /// A business unit, by its id
        #[arg(long)]
        unit: Option<String>,
    },
    /// Give a member another role
    #[command(after_help = "Example:\n  tenantry member set-role acme ada@example.com admin")]
    SetRole {
        /// Slug or id of the tenant
        tenant: String,
        member: String,
        /// guest, member, moderator, admin, owner, or a role of the tenant's own
        role: String,
    },
    /// Put a member into a business unit, or into none
    #[command(after_help = "Example:\n  tenantry member set-unit acme ada@example.com --none")]
    SetUnit {
        /// Slug or id of the tenant
        tenant: String,
        member: String,
        /// The unit's id
        #[arg(required_unless_present = "none", conflicts_with = "none")]
        unit: Option<String>,
        #[arg(long)]
        none: bool,
    },
    /// Remove a member at once; for 30 days they can be brought back
    #[command(after_help = "Example:\n  tenantry member remove acme ada@example.com")]
    Remove {
        /// Slug or id of the tenant
        tenant: String,
        member: String,
    },
    /// Bring a removed member back
    #[command(after_help = "Example:\n  tenantry member restore acme ada@example.com")]
    Restore {
        /// Slug or id of the tenant
        tenant: String,
        member: String,
    },
    /// Remove a member, and erase them in 30 days
    #[command(after_help = "Examples:\n  tenantry member purge acme ada@example.com --confirm ada@example.com\n  \
                            tenantry member purge acme ada@example.com --cancel")]
    Purge {
        /// Slug or id of the tenant
        tenant: String,
        member: String,
        /// The member's e-mail address, once more
        #[arg(long, value_name = "EMAIL", required_unless_present = "cancel")]
        confirm: Option<String>,
        /// Call it off
        #[arg(long, conflicts_with = "confirm")]
        cancel: bool,
    },
}

impl Member {
    pub fn json(&self) -> bool {
        self.connection.json
    }

    pub async fn run(self) -> Result<(), Failure> {
        let json = self.json();
        let client = self.connection.open()?;
        let shown = match self.command {
            Command::List { tenant, state, role, unit, email, name, shadow } => {
                let shadow = shadow.then(|| "true".to_owned());
                let query = [("state", state), ("role", role), ("unit", unit), ("email", email), ("name", name)];
                return list(&client, json, &tenant, query.into_iter().chain([("shadow", shadow)])).await;
            }
            Command::Show { tenant, member } => client.get(&path(&tenant, &member, "")).await?.body,
            Command::Export { tenant, member } => {
                let export = client.send(Method::POST, &path(&tenant, &member, "/export"), json!({})).await?;
                output::json(&export.body);
                return Ok(());
            }
            Command::Change(change) => {
                let (method, path, body) = change.request();
                match body {
                    Some(body) => client.send(method, &path, body).await?.body,
                    None => client.delete(&path).await?.body,
                }
            }
        };
        show(json, &shown);
        Ok(())
    }
}

impl Change {
    /// A body for what has one; a deletion has none.
    fn request(self) -> (Method, String, Option<Value>) {
        match self {
            Self::Add { tenant, email, name, role, unit } => {
                let body = json!({ "email": email, "name": name, "role": role, "unit": unit });
                (Method::POST, format!("/v1/tenants/{}/members", segment(&tenant)), Some(body))
            }
            Self::SetRole { tenant, member, role } => {
                (Method::PATCH, path(&tenant, &member, ""), Some(json!({ "role": role })))
            }
            Self::SetUnit { tenant, member, unit, .. } => {
                (Method::PATCH, path(&tenant, &member, ""), Some(json!({ "unit": unit })))
            }
            Self::Remove { tenant, member } => (Method::DELETE, path(&tenant, &member, ""), None),
            Self::Restore { tenant, member } => {
                (Method::POST, path(&tenant, &member, "/restore"), Some(Value::Object(Map::new())))
            }
            Self::Purge { tenant, member, cancel: true, .. } => {
                (Method::DELETE, path(&tenant, &member, "/purge"), None)
            }
            Self::Purge { tenant, member, confirm, .. } => {
                (Method::POST, path(&tenant, &member, "/purge"), Some(json!({ "email": confirm })))
            }
        }
    }
}

async fn list(
    client: &Client,
    json: bool,
    tenant: &str,
    query: impl Iterator<Item = (&'static str, Option<String>)>,
) -> Result<(), Failure> {
    let query: Vec<_> = query.filter_map(|(key, value)| Some(format!("{key}={}", segment(&value?)))).collect();
    let path = format!("/v1/tenants/{}/members?{}", segment(tenant), query.join("&"));
    let members = client.all(path.trim_end_matches('?')).await?;
    if json {
        output::json(&members.into());
        return Ok(());
    }
    let columns = ["/email", "/name", "/role", "/state", "/person"];
    let rows: Vec<_> = members.iter().map(|m| columns.map(|column| output::cell(m, column)).to_vec()).collect();
    output::answer(&output::table(&["EMAIL", "NAME", "ROLE", "STATE", "PERSON"], &rows));
    Ok(())
}

fn show(json: bool, member: &Value) {
    if json {
        output::json(member);
        return;
    }
    let pairs = [
        ("email", "/email"),
        ("name", "/name"),
        ("role", "/role"),
        ("rank", "/rank"),
        ("state", "/state"),
        ("unit", "/unit"),
        ("until", "/due"),
        ("person", "/person"),
    ];
    output::answer(&output::lines(&pairs.map(|(label, pointer)| (label, output::cell(member, pointer)))));
}

fn path(tenant: &str, member: &str, action: &str) -> String {
    format!("/v1/tenants/{}/members/{}{action}", segment(tenant), segment(member))
}
