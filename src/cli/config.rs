//! `tenantry config …` and `tenantry reload`: the configuration of a running process, and what one can be.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::client::{Connection, Failure};
use super::output;
use crate::config::File;

/// The configuration of a running process, and the schemas of its files
#[derive(Args)]
#[command(
    after_help = "Examples:\n  tenantry config diff\n  tenantry config show --json\n  tenantry config schema routing"
)]
pub struct Config {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show what a reload would change
    #[command(after_help = "Example:\n  tenantry config diff")]
    Diff,
    /// Show which configuration is in force, and what came of the last reload
    #[command(after_help = "Example:\n  tenantry config show --json")]
    Show,
    Schema(Schema),
}

/// Print the JSON Schema of a configuration file, for editors
#[derive(Args)]
#[command(
    after_help = "Examples:\n  tenantry config schema routing\n  tenantry config schema --all config/schema/\n\n\
    With taplo (and the editors that use it), make the first line of the file: #:schema schema/routing.schema.json"
)]
struct Schema {
    /// Which file
    #[arg(value_name = "FILE", value_parser = ["tenantry", "routing", "plans"], default_value = "tenantry")]
    file: String,
    /// Write the schemas of all three, as <FILE>.schema.json, into this directory, which is made if need be
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    all: Option<PathBuf>,
}

/// Ask the running process to read its configuration again
#[derive(Args)]
#[command(
    after_help = "Example:\n  tenantry reload\n\nIt is all put into force, or, when something is wrong, nothing. \
    The same as SIGHUP, with an answer."
)]
pub struct Reload {
    #[command(flatten)]
    connection: Connection,
}

impl Config {
    pub fn json(&self) -> bool {
        self.connection.json
    }

    pub async fn run(self) -> Result<(), Failure> {
        let json = self.json();
        let state = match self.command {
            Command::Schema(schema) => return schema.run(json),
            Command::Diff => return ask(self.connection, "/v1/config/reload?dry_run=true").await,
            Command::Show => self.connection.open()?.get("/v1/config").await?.body,
        };
        if json {
            output::json(&state);
            return Ok(());
        }
        let cell = |pointer: &str| output::cell(&state, pointer);
        output::answer(&output::lines(&[
            ("directory", cell("/directory")),
            ("source", cell("/source")),
            ("revision", cell("/revision")),
            ("loaded", cell("/loaded")),
            ("needs a restart", cell("/needs_restart")),
            ("last reload", format!("{} {}", cell("/last_reload/result"), cell("/last_reload/at"))),
        ]));
        output::answer(&faults(&state["last_reload"]["faults"]));
        Ok(())
    }
}

impl Schema {
    fn run(self, json: bool) -> Result<(), Failure> {
        let Some(dir) = self.all else {
            let chosen = File::ALL.into_iter().filter(|file| file.stem() == self.file);
            chosen.for_each(|file| output::json(&file.schema()));
            return Ok(());
        };
        let failed = |path: &Path, error| Failure::Local(format!("{} cannot be written: {error}", path.display()));
        std::fs::create_dir_all(&dir).map_err(|error| failed(&dir, error))?;
        let mut written = Vec::new();
        for file in File::ALL {
            let path = dir.join(format!("{}.schema.json", file.stem()));
            std::fs::write(&path, format!("{:#}\n", file.schema())).map_err(|error| failed(&path, error))?;
            written.push(path.display().to_string());
        }
        match json {
            true => output::json(&json!({ "files": written })),
            false => written.iter().for_each(|path| output::answer(&format!("{path}\n"))),
        }
        Ok(())
    }
}

impl Reload {
    pub fn json(&self) -> bool {
        self.connection.json
    }

    pub async fn run(self) -> Result<(), Failure> {
        ask(self.connection, "/v1/config/reload").await
    }
}

async fn ask(connection: Connection, path: &str) -> Result<(), Failure> {
    let as_json = connection.json;
    let client = connection.open()?;
    let answer = match client.send(Method::POST, path, json!({})).await {
        Err(Failure::Refused(problem)) if !as_json && problem["faults"].is_array() => {
            // Every fault on a line of its own, as `tenantry check` shows them.
            let text = faults(&problem["faults"]);
            return Err(Failure::Local(format!("refused, everything stays as it was:\n{}", text.trim_end())));
        }
        other => other?,
    };
    if as_json {
        output::json(&answer.body);
    } else {
        output::answer(&told(&answer.body));
    }
    Ok(())
}

/// What changed, a line for each kind of thing.
fn told(answer: &Value) -> String {
    let changes = &answer["changes"];
    let names = |pointer: &str| {
        let list = changes.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
    };
    let mut lines = Vec::new();
    let mut line = |what: &str, names: String| {
        if !names.is_empty() {
            lines.push(format!("{what}: {names}"));
        }
    };
    line("sections", names("/sections"));
    for (kind, word) in [("pools", "pool"), ("routes", "route"), ("plans", "plan")] {
        for change in ["added", "removed", "changed"] {
            line(&format!("{word}s {change}"), names(&format!("/{kind}/{change}")));
        }
    }
    if changes["order"] == true {
        lines.push("routes are tried in another order".to_owned());
    }
    if changes["catalogue"] == true {
        lines.push("the catalogue of features has changed".to_owned());
    }
    let waiting = names("/needs_restart");
    if !waiting.is_empty() {
        lines.push(format!("stays as it was until a restart: {waiting}"));
    }
    let applied = answer["applied"] == true;
    let head = match (lines.is_empty(), applied) {
        (true, _) => "nothing has changed".to_owned(),
        (false, true) => format!("reloaded in {:.1} ms", answer["took_ms"].as_f64().unwrap_or_default()),
        (false, false) => "a reload would change:".to_owned(),
    };
    lines.insert(0, head);
    lines.join("\n") + "\n"
}

fn faults(list: &Value) -> String {
    let each = |fault: &Value| {
        let text = |key: &str| fault[key].as_str().unwrap_or_default().to_owned();
        let place = match fault["line"].as_u64() {
            Some(line) if line > 0 => format!("{}:{line}:{}", text("file"), fault["column"]),
            _ => text("file"),
        };
        let parts = [place, text("key"), text("message")];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ") + "\n"
    };
    list.as_array().into_iter().flatten().map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_is_told_by_name() {
        let answer = json!({"applied": true, "took_ms": 1.25, "changes": {
            "sections": ["limits"], "pools": {"added": ["a", "b"]}, "routes": {"removed": ["c"]}, "order": true,
            "needs_restart": ["brand"],
        }});
        assert_eq!(
            told(&answer),
            "reloaded in 1.2 ms\nsections: limits\npools added: a, b\nroutes removed: c\n\
             routes are tried in another order\nstays as it was until a restart: brand\n"
        );
        assert_eq!(told(&json!({"applied": false, "changes": {}})), "nothing has changed\n");
    }
}
