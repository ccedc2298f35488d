//! `tenantry role …` and `tenantry unit …`: roles of a tenant's own, and its business units.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::client::{Connection, Failure, segment};
use super::output;

#[derive(Args)]
#[command(after_help = "Examples:\n  tenantry role list acme\n  \
                        tenantry role create acme auditors --base moderator --scope audit:read --scope tenant:read\n  \
                        tenantry role delete acme auditors --replacement member")]
pub struct Role {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: RoleCommand,
}

#[derive(Subcommand)]
enum RoleCommand {
    /// List the built-in roles and the tenant's own
    #[command(after_help = "Example:\n  tenantry role list acme")]
    List {
        /// Slug or id of the tenant
        tenant: String,
    },
    /// Show a role
    #[command(after_help = "Example:\n  tenantry role show acme auditors")]
    Show {
        /// Slug or id of the tenant
        tenant: String,
        role: String,
    },
    /// Make a role of the tenant's own
    #[command(after_help = "Example:\n  tenantry role create acme auditors --scope audit:read --scope tenant:read")]
    Create {
        /// Slug or id of the tenant
        tenant: String,
        /// 1–32 lowercase letters, digits and dashes; it never changes
        role: String,
        /// What people call it [default: the name]
        #[arg(long)]
        title: Option<String>,
        /// The built-in role whose rank it has, up to admin
        #[arg(long, default_value = "member")]
        base: String,
        /// What it lets its members do; with commas or repeated
        #[arg(long = "scope", value_delimiter = ',', value_name = "SCOPE")]
        scopes: Vec<String>,
    },
    /// Change what a role is called, or what it lets its members do
    #[command(after_help = "Example:\n  tenantry role change acme auditors --scope audit:read")]
    Change {
        /// Slug or id of the tenant
        tenant: String,
        role: String,
        #[arg(long)]
        title: Option<String>,
        /// All that it is to allow; with commas or repeated
        #[arg(long = "scope", value_delimiter = ',', value_name = "SCOPE")]
        scopes: Option<Vec<String>>,
    },
    /// Delete a role
    #[command(after_help = "Example:\n  tenantry role delete acme auditors --replacement member")]
    Delete {
        /// Slug or id of the tenant
        tenant: String,
        role: String,
        /// The role that its members get
        #[arg(long, value_name = "ROLE")]
        replacement: Option<String>,
    },
}

#[derive(Args)]
#[command(after_help = "Examples:\n  tenantry unit create acme 'Sales'\n  tenantry unit list acme")]
pub struct Unit {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: UnitCommand,
}

#[derive(Subcommand)]
enum UnitCommand {
    /// List the business units of a tenant
    #[command(after_help = "Example:\n  tenantry unit list acme")]
    List {
        /// Slug or id of the tenant
        tenant: String,
    },
    /// Make a business unit
    #[command(after_help = "Example:\n  tenantry unit create acme 'Sales'")]
    Create {
        /// Slug or id of the tenant
        tenant: String,
        name: String,
        /// The id of the unit that it stands beneath [default: at the top]
        #[arg(long, value_name = "UNIT")]
        parent: Option<String>,
    },
    /// Rename a business unit
    #[command(after_help = "Example:\n  tenantry unit rename acme 0190… 'Sales, north'")]
    Rename {
        /// Slug or id of the tenant
        tenant: String,
        /// The unit's id
        unit: String,
        name: String,
    },
    /// Move a business unit, with all beneath it
    #[command(after_help = "Example:\n  tenantry unit move acme 0190… --top")]
    Move {
        /// Slug or id of the tenant
        tenant: String,
        /// The unit's id
        unit: String,
        /// The id of the unit that it is to stand beneath
        #[arg(required_unless_present = "top", conflicts_with = "top")]
        parent: Option<String>,
        #[arg(long)]
        top: bool,
    },
    /// Delete a business unit
    #[command(after_help = "Examples:\n  tenantry unit delete acme 0190…\n  \
                            tenantry unit delete acme 0190… --to none")]
    Delete {
        /// Slug or id of the tenant
        tenant: String,
        /// The unit's id
        unit: String,
        /// Where its members belong from now on: the id of another unit, or none
        #[arg(long, value_name = "UNIT")]
        to: Option<String>,
    },
}

impl Role {
    pub fn json(&self) -> bool {
        self.connection.json
    }

    pub async fn run(self) -> Result<(), Failure> {
        let json = self.json();
        let client = self.connection.open()?;
        let shown = match self.command {
            RoleCommand::List { tenant } => {
                let roles = client.get(&roles(&tenant, None)).await?.body["items"].take();
                let headings = ["NAME", "TITLE", "BASE", "SCOPES"];
                list(json, &roles, &headings, &["/name", "/title", "/base", "/scopes"]);
                return Ok(());
            }
            RoleCommand::Show { tenant, role } => client.get(&roles(&tenant, Some(&role))).await?.body,
            RoleCommand::Create { tenant, role, title, base, scopes } => {
                let body = json!({ "name": role, "title": title, "base": base, "scopes": scopes });
                client.send(Method::POST, &roles(&tenant, None), body).await?.body
            }
            RoleCommand::Change { tenant, role, title, scopes } => {
                let body = json!({ "title": title, "scopes": scopes });
                client.send(Method::PATCH, &roles(&tenant, Some(&role)), body).await?.body
            }
            RoleCommand::Delete { tenant, role, replacement } => {
                let query = replacement.map(|name| format!("?replacement={}", segment(&name))).unwrap_or_default();
                let gone = client.delete(&format!("{}{query}", roles(&tenant, Some(&role)))).await?.body;
                moved(json, &gone);
                return Ok(());
            }
        };
        let pairs = [("name", "/name"), ("title", "/title"), ("base", "/base"), ("scopes", "/scopes")];
        show(json, &shown, &pairs);
        Ok(())
    }
}

impl Unit {
    pub fn json(&self) -> bool {
        self.connection.json
    }

    pub async fn run(self) -> Result<(), Failure> {
        let json = self.json();
        let client = self.connection.open()?;
        let shown = match self.command {
            UnitCommand::List { tenant } => {
                let units = client.get(&units(&tenant, None)).await?.body["items"].take();
                list(json, &units, &["ID", "NAME", "PARENT"], &["/id", "/name", "/parent"]);
                return Ok(());
            }
            UnitCommand::Create { tenant, name, parent } => {
                let body = json!({ "name": name, "parent": parent });
                client.send(Method::POST, &units(&tenant, None), body).await?.body
            }
            UnitCommand::Rename { tenant, unit, name } => {
                client.send(Method::PATCH, &units(&tenant, Some(&unit)), json!({ "name": name })).await?.body
            }
            UnitCommand::Move { tenant, unit, parent, .. } => {
                client.send(Method::PATCH, &units(&tenant, Some(&unit)), json!({ "parent": parent })).await?.body
            }
            UnitCommand::Delete { tenant, unit, to } => {
                let query = to.map(|to| format!("?to={}", segment(&to))).unwrap_or_default();
                let gone = client.delete(&format!("{}{query}", units(&tenant, Some(&unit)))).await?.body;
                moved(json, &gone);
                return Ok(());
            }
        };
        show(json, &shown, &[("id", "/id"), ("name", "/name"), ("parent", "/parent")]);
        Ok(())
    }
}

fn roles(tenant: &str, role: Option<&str>) -> String {
    let role = role.map(|role| format!("/{}", segment(role))).unwrap_or_default();
    format!("/v1/tenants/{}/roles{role}", segment(tenant))
}

fn units(tenant: &str, unit: Option<&str>) -> String {
    let unit = unit.map(|unit| format!("/{}", segment(unit))).unwrap_or_default();
    format!("/v1/tenants/{}/units{unit}", segment(tenant))
}

fn moved(json: bool, gone: &Value) {
    if json {
        output::json(gone);
        return;
    }
    let members = gone["members"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or_default();
    output::answer(&format!("deleted; {} moved\n", output::count(members, "member")));
}

fn list(json: bool, items: &Value, headings: &[&str], columns: &[&str]) {
    if json {
        output::json(items);
        return;
    }
    let row = |item: &Value| columns.iter().map(|column| output::cell(item, column)).collect::<Vec<_>>();
    let rows: Vec<_> = items.as_array().into_iter().flatten().map(row).collect();
    output::answer(&output::table(headings, &rows));
}

fn show(json: bool, item: &Value, pairs: &[(&str, &str)]) {
    if json {
        output::json(item);
        return;
    }
    let pairs: Vec<_> = pairs.iter().map(|(label, pointer)| (*label, output::cell(item, pointer))).collect();
    output::answer(&output::lines(&pairs));
}
