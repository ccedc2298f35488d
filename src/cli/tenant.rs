//! `tenantry tenant …`

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Value, json};

use super::client::{Answer, Client, Connection, Failure, segment};
use super::output;
use super::tenant_life::Life;
use super::tenant_look::Look;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Tenant {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tenantry tenant create acme --name 'Acme Ltd' --plan growth --status active
  tenantry tenant list --status trial
  tenantry tenant show acme --json
  tenantry tenant suspend acme --reason 'invoice overdue' --public
  tenantry tenant activate acme";

/// A tenant is named by its slug or its id.
#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Change(Change),
    #[command(flatten)]
    Life(Life),
    #[command(flatten)]
    Look(Look),
    /// List tenants: filtered, searched, in any order
    #[command(after_help = "Examples:\n  tenantry tenant list --status suspended --prefix shop-\n  \
                            tenantry tenant list --search 'acme north'\n  \
                            tenantry tenant list --plan growth --sort=-created")]
    List(Filter),
    /// Count tenants and domains
    #[command(after_help = "Example:\n  tenantry tenant count --json")]
    Count,
    /// Show a tenant
    #[command(after_help = "Example:\n  tenantry tenant show acme")]
    Show {
        /// Slug or id
        tenant: String,
    },
    /// Show or change what the edge does for a tenant: limits, access, CORS, maintenance, redirects, pools
    #[command(after_help = "Examples:\n  tenantry tenant edge acme\n  \
                            tenantry tenant edge acme --set limits.requests_per_second=50 --set www=\\\"add\\\"\n  \
                            tenantry tenant edge acme --set maintenance.enabled=true\n  \
                            tenantry tenant edge acme --unset maintenance --unset limits")]
    Edge {
        /// Slug or id
        tenant: String,
        /// A setting by its path, and its value as JSON (a bare word is a text)
        #[arg(long, value_name = "PATH=VALUE")]
        set: Vec<String>,
        /// Take a setting back: the parent's or the plan's word counts again
        #[arg(long, value_name = "PATH")]
        unset: Vec<String>,
    },
    /// Show a tenant's traffic on the node that answers, and what is left of its limits there
    #[command(after_help = "Example:\n  tenantry tenant traffic acme")]
    Traffic {
        /// Slug or id
        tenant: String,
    },
    /// Switch features on and off, beyond what the plan says
    #[command(after_help = "Examples:\n  tenantry tenant features acme --on sso --off csv_export\n  \
                            tenantry tenant features acme --reset sso")]
    Features {
        /// Slug or id
        tenant: String,
        /// Switch on; with commas or repeated
        #[arg(long, value_delimiter = ',', value_name = "FEATURE")]
        on: Vec<String>,
        /// Switch off
        #[arg(long, value_delimiter = ',', value_name = "FEATURE")]
        off: Vec<String>,
        /// Leave to the plan again
        #[arg(long, value_delimiter = ',', value_name = "FEATURE")]
        reset: Vec<String>,
    },
}

/// Which tenants to list.
#[derive(Args)]
struct Filter {
    /// What a slug, a word of a name or a held domain begins with
    #[arg(long, value_name = "TEXT", conflicts_with = "sort")]
    search: Option<String>,
    /// pending, trial, active, suspended, cancelled or archived
    #[arg(long)]
    status: Option<String>,
    /// Only those with this plan of their own
    #[arg(long)]
    plan: Option<String>,
    /// Only children of this tenant
    #[arg(long, value_name = "TENANT")]
    parent: Option<String>,
    /// Only those that are listed publicly, or (`false`) only those that are not
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    listed: Option<bool>,
    /// Only slugs that begin like this
    #[arg(long)]
    prefix: Option<String>,
    /// Only the one that the billing system calls by this name
    #[arg(long, value_name = "NAME")]
    billing_ref: Option<String>,
    /// slug, name, created, updated or trial_ends; with - before it from the last to the first [default: slug]
    #[arg(long, allow_hyphen_values = true)]
    sort: Option<String>,
}

/// The commands that are one call, and show the tenant that comes of it.
#[derive(Subcommand)]
enum Change {
    /// Create a tenant
    #[command(after_help = "Example:\n  tenantry tenant create acme --name 'Acme Ltd' --plan growth --status active")]
    Create {
        /// 1–63 lowercase letters, digits and dashes; it never changes
        slug: String,
        /// The display name [default: the slug]
        #[arg(long)]
        name: Option<String>,
        /// A plan of the catalogue [default: the parent's, or the catalogue's default]
        #[arg(long)]
        plan: Option<String>,
        /// The parent's slug or id
        #[arg(long, value_name = "TENANT")]
        parent: Option<String>,
        /// How it starts
        #[arg(long, value_enum, default_value_t = Start::Trial)]
        status: Start,
        /// How long the trial lasts [default: as configured]
        #[arg(long, value_name = "DAYS")]
        trial_days: Option<u32>,
    },
    /// Change the display name
    #[command(after_help = "Example:\n  tenantry tenant rename acme 'Acme Holding'")]
    Rename {
        /// Slug or id
        tenant: String,
        /// 1–120 characters
        name: String,
    },
    /// Stop serving a tenant and its children, at once
    #[command(after_help = "Example:\n  tenantry tenant suspend acme --reason 'invoice overdue' --public")]
    Suspend {
        /// Slug or id
        tenant: String,
        /// For the operators, at most 500 characters
        #[arg(long)]
        reason: Option<String>,
        /// Show the reason to visitors
        #[arg(long, requires = "reason")]
        public: bool,
    },
    /// Make a tenant active, or lift its suspension
    #[command(after_help = "Example:\n  tenantry tenant activate acme")]
    Activate {
        /// Slug or id
        tenant: String,
    },
    /// Add days to a trial
    #[command(after_help = "Example:\n  tenantry tenant extend-trial beta 14")]
    ExtendTrial {
        /// Slug or id
        tenant: String,
        /// 1–365
        days: u32,
    },
    /// End a tenant's contract; it is kept, archived and purged as configured, and can be restored until then
    #[command(after_help = "Example:\n  tenantry tenant cancel acme")]
    Cancel {
        /// Slug or id
        tenant: String,
    },
    /// Bring a cancelled or archived tenant back, as what it was
    #[command(after_help = "Example:\n  tenantry tenant restore acme")]
    Restore {
        /// Slug or id
        tenant: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Start {
    Trial,
    Active,
    Pending,
}

impl Tenant {
    pub fn json(&self) -> bool {
        self.connection.json
    }

    pub async fn run(self) -> Result<(), Failure> {
        let json = self.json();
        let client = self.connection.open()?;
        let answer = match self.command {
            Command::List(filter) => return list(&client, json, filter).await,
            Command::Count => return count(&client, json).await,
            Command::Show { tenant } => client.get(&path(&tenant, "")).await?,
            Command::Features { tenant, on, off, reset } => features(&client, &tenant, on, off, reset).await?,
            Command::Traffic { tenant } => return traffic(&client, json, &tenant).await,
            Command::Edge { tenant, set, unset } => return edge(&client, json, &tenant, &set, &unset).await,
            Command::Life(life) => return life.run(&client, json).await,
            Command::Look(look) => return look.run(&client, json).await,
            Command::Change(change) => {
                let (method, path, body) = change.request();
                client.send(method, &path, body).await?
            }
        };
        show(json, &answer);
        Ok(())
    }
}

impl Change {
    fn request(self) -> (Method, String, Value) {
        let post = |tenant: &str, action: &str, body: Value| (Method::POST, path(tenant, action), body);
        match self {
            Self::Create { slug, name, plan, parent, status, trial_days } => {
                let name = name.unwrap_or_else(|| slug.clone());
                let status = status.word();
                let body = json!({
                    "slug": slug, "name": name, "plan": plan, "parent": parent, "status": status,
                    "trial_days": trial_days,
                });
                (Method::POST, "/v1/tenants".to_owned(), body)
            }
            Self::Rename { tenant, name } => (Method::PATCH, path(&tenant, ""), json!({ "name": name })),
            Self::Suspend { tenant, reason, public } => {
                post(&tenant, "/suspend", json!({ "reason": reason, "public": public }))
            }
            Self::Activate { tenant } => post(&tenant, "/activate", json!({})),
            Self::ExtendTrial { tenant, days } => post(&tenant, "/extend-trial", json!({ "days": days })),
            Self::Cancel { tenant } => post(&tenant, "/cancel", json!({})),
            Self::Restore { tenant } => post(&tenant, "/restore", json!({})),
        }
    }
}

impl Start {
    fn word(self) -> &'static str {
        match self {
            Self::Trial => "trial",
            Self::Active => "active",
            Self::Pending => "pending",
        }
    }
}

async fn list(client: &Client, json: bool, filter: Filter) -> Result<(), Failure> {
    let Filter { search, status, plan, parent, listed, prefix, billing_ref, sort } = filter;
    let query = [
        ("search", search),
        ("status", status),
        ("plan", plan),
        ("parent", parent),
        ("listed", listed.map(|listed| listed.to_string())),
        ("prefix", prefix),
        ("billing_ref", billing_ref),
        ("sort", sort),
    ];
    let query: Vec<_> =
        query.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", segment(&value?)))).collect();
    let path = if query.is_empty() { "/v1/tenants".to_owned() } else { format!("/v1/tenants?{}", query.join("&")) };
    let tenants = client.all(&path).await?;
    if json {
        output::json(&tenants.into());
        return Ok(());
    }
    let columns = ["/slug", "/name", "/effective/status", "/effective/plan", "/host"];
    let rows: Vec<_> = tenants.iter().map(|t| columns.map(|column| output::cell(t, column)).to_vec()).collect();
    output::answer(&output::table(&["SLUG", "NAME", "STATUS", "PLAN", "HOST"], &rows));
    Ok(())
}

async fn count(client: &Client, json: bool) -> Result<(), Failure> {
    let stats = client.get("/v1/stats").await?.body;
    if json {
        output::json(&stats);
        return Ok(());
    }
    let labels = ["total", "active", "trial", "expiring", "suspended", "pending", "cancelled", "archived"];
    let mut lines: Vec<_> = labels.map(|label| (label, output::cell(&stats, &format!("/tenants/{label}")))).into();
    lines.push(("domains", output::cell(&stats, "/domains/total")));
    lines.push(("live", output::cell(&stats, "/domains/live")));
    output::answer(&output::lines(&lines));
    Ok(())
}

/// Adds to what is switched already, and writes only what was read.
async fn features(
    client: &Client,
    tenant: &str,
    on: Vec<String>,
    off: Vec<String>,
    reset: Vec<String>,
) -> Result<Answer, Failure> {
    let before = client.get(&path(tenant, "")).await?;
    if on.is_empty() && off.is_empty() && reset.is_empty() {
        return Ok(before);
    }
    let kept = |side: &str, add: &[String]| -> Vec<String> {
        let before = before.body["features"][side].as_array().into_iter().flatten().filter_map(Value::as_str);
        let moved = |word: &&str| ![&on, &off, &reset].into_iter().flatten().any(|named| named == word);
        before.filter(moved).map(str::to_owned).chain(add.iter().cloned()).collect()
    };
    let body = json!({ "on": kept("on", &on), "off": kept("off", &off) });
    let path = path(tenant, "/features");
    match before.etag.clone() {
        Some(etag) => client.send_if(Method::PUT, &path, body, etag).await,
        None => client.send(Method::PUT, &path, body).await,
    }
}

/// What the edge does for a tenant, changed first where something is named.
async fn edge(client: &Client, json: bool, tenant: &str, set: &[String], unset: &[String]) -> Result<(), Failure> {
    let path = path(tenant, "/edge");
    let mut patch = json!({});
    for word in set {
        let (at, value) =
            word.split_once('=').ok_or_else(|| Failure::Local(format!("--set {word}: expected PATH=VALUE")))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        put(&mut patch, at, value);
    }
    for at in unset {
        put(&mut patch, at, Value::Null);
    }
    let answer = match set.is_empty() && unset.is_empty() {
        true => client.get(&path).await?,
        false => client.send(Method::PATCH, &path, patch).await?,
    };
    // The settings are a document: there is no shorter way to show one.
    output::json(if json { &answer.body } else { &answer.body["effective"] });
    warn_unless_applied(&answer);
    Ok(())
}

async fn traffic(client: &Client, json: bool, tenant: &str) -> Result<(), Failure> {
    let answer = client.get(&path(tenant, "/traffic")).await?;
    let traffic = &answer.body;
    if json {
        output::json(traffic);
        return Ok(());
    }
    let cell = |pointer: &str| output::cell(traffic, pointer);
    let counts = |pointer: &str| {
        let counts = traffic.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
        let counts: Vec<_> =
            counts.filter(|(_, n)| n.as_u64() != Some(0)).map(|(name, n)| format!("{n} {name}")).collect();
        counts.join(", ")
    };
    let of = |level: String, pointer: &str| match traffic.pointer(pointer).and_then(Value::as_u64) {
        Some(most) => format!("{level} of {most}"),
        None => level,
    };
    let rate = match traffic["limits"]["rate"].is_null() {
        true => "unlimited".to_owned(),
        false => format!(
            "{} a second, {} of {} left",
            cell("/limits/rate/requests_per_second"),
            cell("/limits/rate/remaining"),
            cell("/limits/rate/burst")
        ),
    };
    output::answer(&output::lines(&[
        ("node", cell("/node")),
        ("since", cell("/since")),
        ("requests", cell("/requests_total")),
        ("by status", counts("/requests")),
        ("refused", cell("/refused")),
        ("for limits", counts("/limited")),
        ("bytes in", cell("/request_bytes")),
        ("bytes out", cell("/response_bytes")),
        ("in flight", of(cell("/requests_in_flight"), "/limits/concurrent_requests")),
        ("websockets", of(cell("/websockets"), "/limits/websockets")),
        ("rate", rate),
    ]));
    Ok(())
}

/// Puts a value under a dotted path.
pub(super) fn put(target: &mut Value, path: &str, value: Value) {
    let (key, rest) = path.split_once('.').map_or((path, None), |(key, rest)| (key, Some(rest)));
    if !target.is_object() {
        *target = json!({});
    }
    let slot = &mut target[key];
    match rest {
        Some(rest) => put(slot, rest, value),
        None => *slot = value,
    }
}

pub(super) fn show(json: bool, answer: &Answer) {
    let tenant = &answer.body;
    if json {
        output::json(tenant);
    } else {
        let cell = |pointer: &str| output::cell(tenant, pointer);
        let own = cell("/status");
        let status = match cell("/effective/status") {
            effective if effective == own => own,
            effective => format!("{effective} (its own: {own})"),
        };
        output::answer(&output::lines(&[
            ("slug", cell("/slug")),
            ("name", cell("/name")),
            ("id", cell("/id")),
            ("host", cell("/host")),
            ("status", status),
            ("reason", cell("/suspend_reason")),
            ("trial ends", cell("/trial_ends")),
            ("archived at", cell("/archive_at")),
            ("purged at", cell("/purge_at")),
            ("domains until", cell("/domains_until")),
            ("billing name", cell("/billing_ref")),
            ("plan", cell("/effective/plan")),
            ("plan change", super::plan_look::change(&tenant["plan_change"])),
            ("features", cell("/effective/features")),
            ("switched on", cell("/features/on")),
            ("switched off", cell("/features/off")),
            ("parent", cell("/parent")),
            ("revision", cell("/revision")),
        ]));
    }
    warn_unless_applied(answer);
}

pub fn warn_unless_applied(answer: &Answer) {
    if !answer.applied {
        output::complain("tenantry: written, but the node that answered does not serve the change yet\n");
    }
}

pub(super) fn path(tenant: &str, rest: &str) -> String {
    format!("/v1/tenants/{}{rest}", segment(tenant))
}
