//! `tenantry person …` and `tenantry session …`: those who can sign in, and where they are signed in.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::client::{Connection, Failure, segment};
use super::output;
use super::token::issued;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Person {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tenantry person list --email ada@
  tenantry person create ada@example.com --name 'Ada Lovelace'
  tenantry person disable ada@example.com
  tenantry session list ada@example.com";

#[derive(Subcommand)]
enum Command {
    /// List people by e-mail address
    #[command(after_help = "Example:\n  tenantry person list --email ada@")]
    List {
        /// Only addresses that begin like this
        #[arg(long, value_name = "PREFIX")]
        email: Option<String>,
    },
    /// Show a person
    #[command(after_help = "Example:\n  tenantry person show ada@example.com")]
    Show {
        /// Id or e-mail address
        person: String,
    },
    /// Make a person who signs in through a provider
    #[command(after_help = "Example:\n  tenantry person create ada@example.com --name 'Ada Lovelace'")]
    Create {
        email: String,
        /// The display name
        #[arg(long)]
        name: String,
    },
    /// Keep a person from signing in, and end all their sessions
    #[command(after_help = "Example:\n  tenantry person disable ada@example.com")]
    Disable {
        /// Id or e-mail address
        person: String,
    },
    /// Erase a person for ever, once they are nobody's member
    #[command(after_help = "Example:\n  tenantry person erase ada@example.com --email ada@example.com")]
    Erase {
        /// Id or e-mail address
        person: String,
        /// The e-mail address, typed back
        #[arg(long)]
        email: String,
    },
    /// Say that a person's address is theirs
    #[command(after_help = "Example:\n  tenantry person verify ada@example.com")]
    Verify {
        /// Id or e-mail address
        person: String,
    },
    /// Print a token by which a person sets a password, once, within an hour
    #[command(after_help = "They send it with the password to POST /v1/password-tokens/redeem.\n\n\
                            Example:\n  tenantry person password-token ada@example.com")]
    PasswordToken {
        /// Id or e-mail address
        person: String,
    },
    /// Let a person sign in again
    #[command(after_help = "Example:\n  tenantry person enable ada@example.com")]
    Enable {
        /// Id or e-mail address
        person: String,
    },
}

#[derive(Args)]
#[command(after_help = "Examples:\n  tenantry session list ada@example.com\n  tenantry session end ada@example.com")]
pub struct Session {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: SessionCommand,
}

#[derive(Subcommand)]
enum SessionCommand {
    /// List where a person is signed in
    #[command(after_help = "Example:\n  tenantry session list ada@example.com")]
    List {
        /// Id or e-mail address
        person: String,
    },
    /// Sign a person out everywhere
    #[command(after_help = "Example:\n  tenantry session end ada@example.com")]
    End {
        /// Id or e-mail address
        person: String,
    },
}

impl Person {
    pub fn json(&self) -> bool {
        self.connection.json
    }

    pub async fn run(self) -> Result<(), Failure> {
        let json = self.json();
        let client = self.connection.open()?;
        let shown = match self.command {
            Command::List { email } => {
                let query = email.map(|email| format!("?email={}", segment(&email))).unwrap_or_default();
                let people = client.all(&format!("/v1/people{query}")).await?;
                list(json, people, &["EMAIL", "NAME", "DISABLED", "CREATED"], &PERSON_COLUMNS);
                return Ok(());
            }
            Command::Erase { person, email } => {
                let erased = client.delete(&format!("{}?email={}", path(&person), segment(&email))).await?.body;
                match json {
                    true => output::json(&erased),
                    false => {
                        let values = output::cell(&erased, "/values");
                        output::answer(&format!("erased, with {values} values in the audit ledger\n"));
                    }
                }
                return Ok(());
            }
            Command::Show { person } => client.get(&path(&person)).await?.body,
            Command::Create { email, name } => {
                client.send(Method::POST, "/v1/people", json!({ "email": email, "name": name })).await?.body
            }
            Command::Verify { person } => {
                client.send(Method::PATCH, &path(&person), json!({ "verified": true })).await?.body
            }
            Command::PasswordToken { person } => {
                let at = format!("{}/password-token", path(&person));
                issued(json, &client.send(Method::POST, &at, Value::Null).await?.body);
                return Ok(());
            }
            Command::Disable { person } => {
                client.send(Method::PATCH, &path(&person), json!({ "disabled": true })).await?.body
            }
            Command::Enable { person } => {
                client.send(Method::PATCH, &path(&person), json!({ "disabled": false })).await?.body
            }
        };
        if json {
            output::json(&shown);
        } else {
            let pairs = [
                ("id", "/id"),
                ("email", "/email"),
                ("name", "/name"),
                ("disabled", "/disabled"),
                ("verified", "/verified"),
            ];
            output::answer(&output::lines(&pairs.map(|(name, pointer)| (name, output::cell(&shown, pointer)))));
        }
        Ok(())
    }
}

impl Session {
    pub fn json(&self) -> bool {
        self.connection.json
    }

    pub async fn run(self) -> Result<(), Failure> {
        let json = self.json();
        let client = self.connection.open()?;
        match self.command {
            SessionCommand::List { person } => {
                let sessions = client.all(&format!("{}/sessions", path(&person))).await?;
                let headings = ["ID", "METHOD", "ADDRESS", "CREATED", "SEEN", "EXPIRES"];
                list(json, sessions, &headings, &["/id", "/method", "/address", "/created", "/seen", "/expires"]);
            }
            SessionCommand::End { person } => {
                let ended = client.delete(&format!("{}/sessions", path(&person))).await?.body;
                match json {
                    true => output::json(&ended),
                    false => {
                        let number = ended["sessions"].as_u64().and_then(|n| usize::try_from(n).ok());
                        output::answer(&format!("ended {}\n", output::count(number.unwrap_or_default(), "session")));
                    }
                }
            }
        }
        Ok(())
    }
}

const PERSON_COLUMNS: [&str; 4] = ["/email", "/name", "/disabled", "/created"];

fn path(person: &str) -> String {
    format!("/v1/people/{}", segment(person))
}

fn list(json: bool, items: Vec<Value>, headings: &[&str], columns: &[&str]) {
    if json {
        output::json(&Value::Array(items));
        return;
    }
    let row = |item: &Value| columns.iter().map(|column| output::cell(item, column)).collect::<Vec<_>>();
    output::answer(&output::table(headings, &items.iter().map(row).collect::<Vec<_>>()));
}
