//! `tenantry operator …`: done on the machine, in the store itself: how the first operator of an installation is made, and
//! how one who has lost their password gets a new one.

use std::io::BufRead;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use zeroize::Zeroizing;

use super::client::Failure;
use super::output;
use crate::app;
use crate::clock::Clock;
use crate::config::Config;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Operator {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tenantry operator create ada@example.com -c config/
  tenantry operator create ada@example.com --name 'Ada Lovelace' --password-stdin -c config/ < password";

#[derive(Subcommand)]
enum Command {
    /// Make an operator who signs in with a password: an owner of the operator's own tenant, which is made if need be
    ///
    /// Of somebody who is there already it sets a new password, ends their sessions, and makes them an operator.
    #[command(after_help = EXAMPLES)]
    Create {
        /// The e-mail address to sign in with
        email: String,
        /// The display name [default: the address]
        #[arg(long)]
        name: Option<String>,
        /// Take the password from the first line of standard input [default: make one, and print it]
        #[arg(long)]
        password_stdin: bool,
        /// The directory with the configuration
        #[arg(short, long, value_name = "DIR")]
        config: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Operator {
    pub fn json(&self) -> bool {
        let Command::Create { json, .. } = &self.command;
        *json
    }

    pub async fn run(self) -> Result<(), Failure> {
        let Command::Create { email, name, password_stdin, config, json } = self.command;
        let config = Config::load(&config).map_err(|faults| Failure::Local(faults.to_string()))?;
        let given = if password_stdin { Some(read_password()?) } else { None };
        let name = name.unwrap_or_else(|| email.clone());
        let made = app::create_operator(config, Clock::system(), &email, &name, given).await;
        let (person, generated) = made.map_err(|error| Failure::Local(error.to_string()))?;
        if json {
            let password = generated.as_ref().map(|password| password.as_str());
            let email = person.email.as_str();
            output::json(&json!({ "id": person.id.to_string(), "email": email, "password": password }));
            return Ok(());
        }
        match generated {
            Some(password) => {
                output::answer(&format!("{}\n", *password));
                output::complain(&format!(
                    "this is the password of {}; keep it safe: it is not shown again\n",
                    person.email
                ));
            }
            None => output::answer(&format!("{} is an operator\n", output::printable(person.email.as_str()))),
        }
        Ok(())
    }
}

/// The first line, without its end.
fn read_password() -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(String::new());
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::Local(format!("no password can be read from standard input: {error}")))?;
    Ok(Zeroizing::new(line.trim_end_matches(['\n', '\r']).to_owned()))
}
