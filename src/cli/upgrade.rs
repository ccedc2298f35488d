//! `tenantry upgrade`: the running process is replaced by the program that now lies where its own came from.

use std::time::Duration;

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::client::{Client, Connection, Failure};
use super::output;

/// Have the running process replaced by the program that now lies in its place
#[derive(Args)]
#[command(after_help = "Example:\n  tenantry upgrade\n\n\
    Before it: install -m 755 tenantry-new /usr/local/bin/tenantry, or wherever the running one came from.\n\
    The new program starts with the same arguments and the listening sockets. When it serves, the old one takes no more\n\
    connections and ends what is under way (process.drain_deadline). A program that does not come to serve changes\n\
    nothing. The same as SIGUSR2, with an answer.")]
pub struct Upgrade {
    #[command(flatten)]
    connection: Connection,
}

impl Upgrade {
    pub fn json(&self) -> bool {
        self.connection.json
    }

    pub async fn run(self) -> Result<(), Failure> {
        let client = self.connection.open()?;
        let before = client.get("/v1/process").await?.body;
        let after = replaced(&client, &before).await?;
        if self.connection.json {
            output::json(&json!({ "before": before, "after": after }));
            return Ok(());
        }
        let told = |process: &Value| format!("{} (process {})", output::cell(process, "/version"), process["pid"]);
        output::answer(&format!("{} serves now; {} drains\n", told(&after), told(&before)));
        Ok(())
    }
}

/// The process that has taken over, in its own words.
async fn replaced(client: &Client, before: &Value) -> Result<Value, Failure> {
    client.send(Method::POST, "/v1/process/upgrade", json!({})).await?;
    loop {
        // Old and new listen at the same socket for a moment: either may answer, the old one with what came of it.
        let now = client.get("/v1/process").await?.body;
        if now["pid"] != before["pid"] {
            return Ok(now);
        }
        if let Some(why) = now.pointer("/succession/why").and_then(Value::as_str) {
            let why = output::printable(why);
            return Err(Failure::Local(format!(
                "the program did not come to serve: {why}; everything stays as it was"
            )));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

const LOOK_AGAIN: Duration = Duration::from_millis(200);
