//! `tenantry invitation …`: asking somebody to be a member, and accepting. A token and a password are read from standard
//! input, never from the command line, where every user of the machine could see them.

use std::io::BufRead;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::client::{Connection, Failure, segment};
use super::output;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Invitation {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tenantry invitation create acme ada@example.com --role admin
  tenantry invitation list acme
  tenantry invitation resend acme 0190f0c4-0000-7000-8000-000000000000
  tenantry invitation accept --name 'Ada Lovelace' < token-and-password";

#[derive(Subcommand)]
enum Command {
    /// Invite somebody for 7 days; the token is shown once
    #[command(after_help = "Example:\n  tenantry invitation create acme ada@example.com --role admin")]
    Create {
        /// Slug or id of the tenant
        tenant: String,
        email: String,
        /// guest, member, moderator, admin, owner, or a role of the tenant's own
        #[arg(long, default_value = "member")]
        role: String,
        /// A business unit, by its id
        #[arg(long)]
        unit: Option<String>,
        /// To the one who is invited, at most 500 characters
        #[arg(long)]
        message: Option<String>,
    },
    /// List invitations by e-mail address
    #[command(after_help = "Example:\n  tenantry invitation list acme")]
    List {
        /// Slug or id of the tenant
        tenant: String,
    },
    /// Make a new token for an invitation; the one before is worth nothing
    #[command(after_help = "Example:\n  tenantry invitation resend acme 0190f0c4-0000-7000-8000-000000000000")]
    Resend {
        /// Slug or id of the tenant
        tenant: String,
        /// The invitation's id
        invitation: String,
    },
    /// Revoke an invitation at once
    #[command(after_help = "Example:\n  tenantry invitation revoke acme 0190f0c4-0000-7000-8000-000000000000")]
    Revoke {
        /// Slug or id of the tenant
        tenant: String,
        /// The invitation's id
        invitation: String,
    },
    /// Make an account for the address that was invited, and accept: token and password are two lines of standard input
    #[command(after_help = "Example:\n  tenantry invitation accept --name 'Ada Lovelace' < token-and-password")]
    Accept {
        /// The display name
        #[arg(long)]
        name: String,
    },
}

impl Invitation {
    pub fn json(&self) -> bool {
        self.connection.json
    }

    pub async fn run(self) -> Result<(), Failure> {
        let json = self.json();
        let client = self.connection.open()?;
        match self.command {
            Command::Create { tenant, email, role, unit, message } => {
                let body = json!({ "email": email, "role": role, "unit": unit, "message": message });
                issued(json, &client.send(Method::POST, &path(&tenant, ""), body).await?.body);
            }
            Command::List { tenant } => {
                let items = client.all(&path(&tenant, "")).await?;
                list(json, items);
            }
            Command::Resend { tenant, invitation } => {
                let path = path(&tenant, &format!("/{}/resend", segment(&invitation)));
                issued(json, &client.send(Method::POST, &path, json!({})).await?.body);
            }
            Command::Revoke { tenant, invitation } => {
                client.delete(&path(&tenant, &format!("/{}", segment(&invitation)))).await?;
                if json { output::json(&json!({})) } else { output::answer("revoked\n") }
            }
            Command::Accept { name } => {
                let (token, password) = (line("the token")?, line("the password")?);
                let body = json!({ "token": &*token, "name": name, "password": &*password });
                let joined = client.send(Method::POST, "/v1/invitations/join", body).await?.body;
                if json {
                    output::json(&joined);
                } else {
                    let pairs = [("tenant", "/tenant"), ("email", "/member/email"), ("role", "/member/role")];
                    let pairs = pairs.map(|(label, pointer)| (label, output::cell(&joined, pointer)));
                    output::answer(&output::lines(&pairs));
                }
            }
        }
        Ok(())
    }
}

/// The next line of standard input.
fn line(what: &str) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let read = std::io::stdin().lock().read_line(&mut text);
    match read {
        Ok(length) if length > 0 => Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())),
        Ok(_) => {
            Err(Failure::Local(format!("{what} is missing: standard input has two lines, the token and the password")))
        }
        Err(error) => Err(Failure::Local(format!("cannot read {what} from standard input: {error}"))),
    }
}

fn issued(json: bool, invitation: &Value) {
    if json {
        output::json(invitation);
        return;
    }
    let pairs = [("id", "/id"), ("email", "/email"), ("role", "/role"), ("expires", "/expires"), ("token", "/token")];
    output::answer(&output::lines(&pairs.map(|(label, pointer)| (label, output::cell(invitation, pointer)))));
}

fn list(json: bool, items: Vec<Value>) {
    if json {
        output::json(&items.into());
        return;
    }
    let columns = ["/email", "/role", "/expires", "/expired", "/id"];
    let rows: Vec<_> = items.iter().map(|item| columns.map(|column| output::cell(item, column)).to_vec()).collect();
    output::answer(&output::table(&["EMAIL", "ROLE", "EXPIRES", "EXPIRED", "ID"], &rows));
}

fn path(tenant: &str, rest: &str) -> String {
    format!("/v1/tenants/{}/invitations{rest}", segment(tenant))
}
