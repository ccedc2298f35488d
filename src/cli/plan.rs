//! `tenantry plan …` and `tenantry feature …`: the catalogue, a tenant's plan, and what a change of it would do.

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Value, json};

use super::client::{Client, Connection, Failure};
use super::output;
use super::plan_look;
use super::tenant::{path, show};

#[derive(Args)]
#[command(after_help = "Examples:\n  tenantry plan list\n  tenantry plan show acme\n  \
                        tenantry plan preview acme free\n  tenantry plan set acme professional\n  \
                        tenantry plan set acme free --when period-end\n  tenantry plan cancel acme")]
pub struct Plan {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: PlanCommand,
}

/// A tenant is named by its slug or its id.
#[derive(Subcommand)]
enum PlanCommand {
    /// List the plans of the catalogue, the cheapest first
    #[command(after_help = "Example:\n  tenantry plan list")]
    List,
    /// Show the plan that holds for a tenant, what waits, and how much of it is used
    #[command(after_help = "Example:\n  tenantry plan show acme")]
    Show {
        /// Slug or id
        tenant: String,
    },
    /// Set a tenant's plan: an upgrade at once, a downgrade at the end of the billing period
    #[command(after_help = "Examples:\n  tenantry plan set acme growth\n  tenantry plan set acme free --when now\n  \
                            tenantry plan set acme-shop --inherit")]
    Set {
        /// Slug or id
        tenant: String,
        #[command(flatten)]
        wanted: Wanted,
    },
    /// Say what a change of plan or features would do to a tenant, and change nothing
    #[command(after_help = "Examples:\n  tenantry plan preview acme free\n  \
                            tenantry plan preview acme free --when now --json\n  \
                            tenantry plan preview acme --features-off csv_export")]
    Preview {
        /// Slug or id
        tenant: String,
        /// A plan of the catalogue [default: the one that it has]
        #[arg(conflicts_with = "inherit")]
        plan: Option<String>,
        /// The parent's plan
        #[arg(long)]
        inherit: bool,
        /// When it would be [default: an upgrade now, a downgrade at the end of the period]
        #[arg(long, value_enum)]
        when: Option<When>,
        /// All that would be switched on; with commas or repeated
        #[arg(long, value_delimiter = ',', value_name = "FEATURE")]
        features_on: Option<Vec<String>>,
        /// All that would be switched off
        #[arg(long, value_delimiter = ',', value_name = "FEATURE")]
        features_off: Option<Vec<String>>,
    },
    /// Drop the change of plan that waits: the tenant keeps the plan that it has
    #[command(after_help = "Example:\n  tenantry plan cancel acme")]
    Cancel {
        /// Slug or id
        tenant: String,
    },
}

#[derive(Args)]
struct Wanted {
    /// A plan of the catalogue
    #[arg(required_unless_present = "inherit", conflicts_with = "inherit")]
    plan: Option<String>,
    /// Take the parent's plan
    #[arg(long)]
    inherit: bool,
    /// When it is to be [default: an upgrade now, a downgrade at the end of the period]
    #[arg(long, value_enum)]
    when: Option<When>,
}

#[derive(Clone, Copy, ValueEnum)]
enum When {
    Now,
    PeriodEnd,
}

#[derive(Args)]
#[command(after_help = "Example:\n  tenantry feature list\n\n\
                        To switch features of one tenant on and off: tenantry tenant features")]
pub struct Feature {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: FeatureCommand,
}

#[derive(Subcommand)]
enum FeatureCommand {
    /// List the features of the catalogue: who has them, whether they are licensed, which routes ask for them
    #[command(after_help = "Example:\n  tenantry feature list --json")]
    List,
}

impl When {
    fn word(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::PeriodEnd => "period-end",
        }
    }
}

impl Plan {
    pub fn json(&self) -> bool {
        self.connection.json
    }

    pub async fn run(self) -> Result<(), Failure> {
        let json = self.json();
        let client = self.connection.open()?;
        match self.command {
            PlanCommand::List => list(&client, json).await,
            PlanCommand::Show { tenant } => {
                let found = client.get(&path(&tenant, "/plan")).await?.body;
                if json {
                    output::json(&found)
                } else {
                    plan_look::state(&found)
                }
                Ok(())
            }
            PlanCommand::Set { tenant, wanted: Wanted { plan, when, .. } } => {
                let mut body = json!({ "plan": plan });
                put_when(&mut body, when);
                show(json, &client.send(Method::PUT, &path(&tenant, "/plan"), body).await?);
                Ok(())
            }
            PlanCommand::Preview { tenant, plan, inherit, when, features_on, features_off } => {
                let mut body = json!({});
                if plan.is_some() || inherit {
                    body["plan"] = json!(plan);
                }
                put_when(&mut body, when);
                let switches = [("features_on", features_on), ("features_off", features_off)];
                for (side, features) in switches.into_iter().filter_map(|(side, list)| Some((side, list?))) {
                    body[side] = json!(features);
                }
                let found = client.send(Method::POST, &path(&tenant, "/plan/preview"), body).await?.body;
                if json {
                    output::json(&found)
                } else {
                    plan_look::preview(&found)
                }
                Ok(())
            }
            PlanCommand::Cancel { tenant } => {
                show(json, &client.delete(&path(&tenant, "/plan/scheduled")).await?);
                Ok(())
            }
        }
    }
}

impl Feature {
    pub fn json(&self) -> bool {
        self.connection.json
    }

    pub async fn run(self) -> Result<(), Failure> {
        let json = self.json();
        let client = self.connection.open()?;
        let FeatureCommand::List = self.command;
        let features = client.get("/v1/features").await?.body;
        if json {
            output::json(&features);
            return Ok(());
        }
        let row = |feature: &Value| {
            let licensed = if feature["licensed"] == true { "yes" } else { "no" };
            let routes = feature["routes"].as_array().into_iter().flatten();
            let routes: Vec<_> = routes.map(|route| output::cell(route, "/route")).collect();
            let cell = |pointer| output::cell(feature, pointer);
            vec![cell("/name"), cell("/title"), licensed.to_owned(), cell("/plans"), routes.join(", ")]
        };
        let rows: Vec<_> = features.as_array().into_iter().flatten().map(row).collect();
        output::answer(&output::table(&["FEATURE", "TITLE", "LICENSED", "PLANS", "ROUTES"], &rows));
        Ok(())
    }
}

async fn list(client: &Client, json: bool) -> Result<(), Failure> {
    let catalogue = client.get("/v1/plans").await?.body;
    if json {
        output::json(&catalogue);
        return Ok(());
    }
    let row = |plan: &Value| {
        let cap = |name: &str| match plan[name].as_u64() {
            Some(number) => number.to_string(),
            None => "unlimited".to_owned(),
        };
        let name = output::cell(plan, "/name");
        let name = if plan["default"] == true { format!("{name} (default)") } else { name };
        let cell = |pointer| output::cell(plan, pointer);
        vec![
            name,
            cell("/title"),
            cap("members"),
            cap("ai_tokens"),
            cell("/audit_days"),
            cell("/tenants"),
            cell("/features"),
        ]
    };
    let rows: Vec<_> = catalogue["plans"].as_array().into_iter().flatten().map(row).collect();
    let headings = ["PLAN", "TITLE", "MEMBERS", "AI TOKENS", "AUDIT DAYS", "TENANTS", "FEATURES"];
    output::answer(&output::table(&headings, &rows));
    for missing in catalogue["missing"].as_array().into_iter().flatten() {
        let (name, tenants) = (output::cell(missing, "/name"), output::cell(missing, "/tenants"));
        output::complain(&format!("tenantry: {tenants} have the plan {name}, which the catalogue has no more\n"));
    }
    Ok(())
}

fn put_when(body: &mut Value, when: Option<When>) {
    if let Some(when) = when {
        body["when"] = json!(when.word());
    }
}
