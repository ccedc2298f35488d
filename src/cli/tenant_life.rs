//! `tenantry tenant …`, where it is about what a tenant inherits, is set to, leaves behind, and its end.

use std::fs::OpenOptions;
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::client::{Client, Failure, segment};
use super::output;
use super::tenant::{path, show, warn_unless_applied};
use super::token::issued;

/// A tenant is named by its slug or its id.
#[derive(Subcommand)]
pub enum Life {
    /// Delete a tenant for ever, with everything that is its alone
    #[command(after_help = "Its slug is never given out again. To end a contract, cancel it instead.\n\n\
                            Example:\n  tenantry tenant delete acme --slug acme")]
    Delete {
        /// Slug or id
        tenant: String,
        /// The slug, typed back
        #[arg(long)]
        slug: String,
        /// Its descendants go with it
        #[arg(long)]
        children: bool,
    },
    /// Put a tenant, with everything beneath it, beneath another
    #[command(after_help = "Examples:\n  tenantry tenant parent shop acme\n  tenantry tenant parent shop --none")]
    Parent {
        /// Slug or id
        tenant: String,
        /// The parent's slug or id
        #[arg(required_unless_present = "none", conflicts_with = "none")]
        parent: Option<String>,
        /// It stands by itself
        #[arg(long)]
        none: bool,
    },
    /// Show every value that holds for a tenant, and whose word it is
    #[command(after_help = "Example:\n  tenantry tenant effective shop")]
    Effective {
        /// Slug or id
        tenant: String,
    },
    /// Show or change a tenant's settings
    #[command(after_help = "Examples:\n  tenantry tenant settings acme\n  \
                            tenantry tenant settings acme --set language=de --set export_rows=500\n  \
                            tenantry tenant settings acme --unset language")]
    Settings {
        /// Slug or id
        tenant: String,
        /// A setting and its value as JSON (a bare word is a text)
        #[arg(long, value_name = "NAME=VALUE")]
        set: Vec<String>,
        /// Take a value back: the parent's or the default counts again
        #[arg(long, value_name = "NAME")]
        unset: Vec<String>,
    },
    /// Show or change a tenant's caps: how much of what it may have, whatever its plan says
    #[command(after_help = "Caps: members, ai_tokens\n\n\
                            Examples:\n  tenantry tenant caps acme\n  \
                            tenantry tenant caps acme --set ai_tokens=100000 --set members=unlimited\n  \
                            tenantry tenant caps acme --unset members")]
    Caps {
        /// Slug or id
        tenant: String,
        /// A cap and its number, or unlimited
        #[arg(long, value_name = "NAME=NUMBER")]
        set: Vec<String>,
        /// Take a cap back: the plan's counts again
        #[arg(long, value_name = "NAME")]
        unset: Vec<String>,
    },
    /// Give a tenant the name that the billing system has for it
    #[command(after_help = "Examples:\n  tenantry tenant billing-ref acme cus_9s6XKzkNRiz8i3\n  \
                            tenantry tenant billing-ref acme --none")]
    BillingRef {
        /// Slug or id
        tenant: String,
        /// 1–255 characters; no two tenants have the same
        #[arg(required_unless_present = "none", conflicts_with = "none")]
        name: Option<String>,
        /// It has none any more
        #[arg(long)]
        none: bool,
    },
    /// Show or change whom to turn to at a tenant
    #[command(after_help = "Kinds: general, billing, technical, security, legal\n\n\
                            Examples:\n  tenantry tenant contacts acme\n  \
                            tenantry tenant contacts acme --add 'billing:Pat Doe <pat@acme.example>'\n  \
                            tenantry tenant contacts acme --remove pat@acme.example")]
    Contacts {
        /// Slug or id
        tenant: String,
        /// One more; `general` where no kind is named
        #[arg(long, value_name = "[KIND:]NAME <EMAIL>")]
        add: Vec<String>,
        /// Everybody with this address
        #[arg(long, value_name = "EMAIL")]
        remove: Vec<String>,
    },
    /// Act within a tenant for a while: print a token that does what its admins can, but for making tokens,
    /// members and roles
    #[command(after_help = "Its ledger names you with everything that is done by it.\n\n\
                            Example:\n  tenantry tenant impersonate acme --reason 'ticket 4711' --minutes 15 > acme-token")]
    Impersonate {
        /// Slug or id
        tenant: String,
        /// Why; the tenant's ledger shows it. 1–500 characters
        #[arg(long)]
        reason: String,
        /// For how long, 1–60
        #[arg(long, default_value_t = 30)]
        minutes: u32,
    },
    /// Stop acting within a tenant: the token that this is asked with works no more
    #[command(after_help = "Example:\n  tenantry tenant end-impersonation --token-file acme-token")]
    EndImpersonation,
    /// Write everything that there is of a tenant to one tar archive
    #[command(after_help = "Example:\n  tenantry tenant export acme --output acme.tar")]
    Export {
        /// Slug or id
        tenant: String,
        /// Where to [default: <tenant>.tar]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

impl Life {
    pub async fn run(self, client: &Client, json: bool) -> Result<(), Failure> {
        match self {
            Self::Delete { tenant, slug, children } => delete(client, json, &tenant, &slug, children).await,
            Self::Parent { tenant, parent, .. } => {
                let body = json!({ "parent": parent });
                show(json, &client.send(Method::PUT, &path(&tenant, "/parent"), body).await?);
                Ok(())
            }
            Self::Effective { tenant } => effective(client, json, &tenant).await,
            Self::Settings { tenant, set, unset } => settings(client, json, &tenant, &set, unset).await,
            Self::Caps { tenant, set, unset } => caps(client, json, &tenant, &set, &unset).await,
            Self::BillingRef { tenant, name, .. } => {
                let body = json!({ "billing_ref": name });
                show(json, &client.send(Method::PATCH, &path(&tenant, ""), body).await?);
                Ok(())
            }
            Self::Contacts { tenant, add, remove } => contacts(client, json, &tenant, &add, &remove).await,
            Self::Impersonate { tenant, reason, minutes } => {
                let body = json!({ "reason": reason, "minutes": minutes });
                issued(json, &client.send(Method::POST, &path(&tenant, "/impersonate"), body).await?.body);
                Ok(())
            }
            Self::EndImpersonation => {
                let answer = client.delete("/v1/impersonation").await?;
                match json {
                    true => output::json(&json!({ "ended": true })),
                    false => output::answer("it is over\n"),
                }
                warn_unless_applied(&answer);
                Ok(())
            }
            Self::Export { tenant, output } => {
                let target = output.unwrap_or_else(|| PathBuf::from(format!("{}.tar", segment(&tenant))));
                save(client, json, &path(&tenant, "/export"), &target).await
            }
        }
    }
}

async fn delete(client: &Client, json: bool, tenant: &str, slug: &str, children: bool) -> Result<(), Failure> {
    let query = format!("?slug={}{}", segment(slug), if children { "&children=true" } else { "" });
    let answer = client.delete(&path(tenant, &query)).await?;
    if json {
        output::json(&answer.body);
    } else {
        let removed = answer.body["removed"].as_object().into_iter().flatten();
        let removed: Vec<_> = removed.filter(|(_, n)| n.as_u64() != Some(0)).map(|(k, n)| format!("{n} {k}")).collect();
        output::answer(&format!("deleted {}: {}\n", output::cell(&answer.body, "/slug"), removed.join(", ")));
    }
    warn_unless_applied(&answer);
    Ok(())
}

async fn effective(client: &Client, json: bool, tenant: &str) -> Result<(), Failure> {
    let answer = client.get(&path(tenant, "/effective")).await?.body;
    if json {
        output::json(&answer);
        return Ok(());
    }
    let row = |name: String, value: &Value| {
        let from = match value["tenant"].as_str() {
            Some(tenant) => format!("parent {}", output::printable(tenant)),
            None => output::cell(value, "/from"),
        };
        vec![name, output::cell(value, "/value"), from]
    };
    let mut rows: Vec<_> = ["status", "plan"].iter().map(|name| row((*name).to_owned(), &answer[*name])).collect();
    for group in ["features", "caps", "branding", "settings", "edge"] {
        let values = answer[group].as_object().into_iter().flatten();
        rows.extend(values.map(|(name, value)| row(format!("{group}.{}", output::printable(name)), value)));
    }
    output::answer(&output::table(&["VALUE OF", "IS", "FROM"], &rows));
    Ok(())
}

async fn settings(
    client: &Client,
    json: bool,
    tenant: &str,
    set: &[String],
    unset: Vec<String>,
) -> Result<(), Failure> {
    let path = path(tenant, "/settings");
    let mut patch = serde_json::Map::new();
    for word in set {
        let (name, value) =
            word.split_once('=').ok_or_else(|| Failure::Local(format!("--set {word}: expected NAME=VALUE")))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        patch.insert(name.to_owned(), value);
    }
    patch.extend(unset.into_iter().map(|name| (name, Value::Null)));
    let answer = match patch.is_empty() {
        true => client.get(&path).await?,
        false => client.send(Method::PATCH, &path, patch.into()).await?,
    };
    if json {
        output::json(&answer.body);
    } else {
        let settings = answer.body["settings"].as_object().into_iter().flatten();
        let row = |(name, setting): (&String, &Value)| {
            let from = ["/from", "/tenant"].map(|pointer| output::cell(setting, pointer)).join(" ");
            vec![output::printable(name), output::cell(setting, "/value"), from, output::cell(setting, "/title")]
        };
        let rows: Vec<_> = settings.map(row).collect();
        output::answer(&output::table(&["SETTING", "VALUE", "FROM", "WHAT IT IS"], &rows));
    }
    warn_unless_applied(&answer);
    Ok(())
}

/// Adds to what is set already, and writes only what was read.
async fn caps(client: &Client, json: bool, tenant: &str, set: &[String], unset: &[String]) -> Result<(), Failure> {
    let before = client.get(&path(tenant, "")).await?;
    if !set.is_empty() || !unset.is_empty() {
        let own = before.body["caps"].as_object().into_iter().flatten();
        let mut caps: serde_json::Map<_, _> = own.map(|(name, own)| (name.clone(), own["cap"].clone())).collect();
        for word in set {
            let (name, value) =
                word.split_once('=').ok_or_else(|| Failure::Local(format!("--set {word}: expected NAME=NUMBER")))?;
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
            caps.insert(name.to_owned(), value);
        }
        caps.extend(unset.iter().map(|name| (name.clone(), Value::Null)));
        let (path, body) = (path(tenant, "/caps"), json!({ "caps": caps }));
        let answer = match before.etag {
            Some(etag) => client.send_if(Method::PUT, &path, body, etag).await?,
            None => client.send(Method::PUT, &path, body).await?,
        };
        warn_unless_applied(&answer);
    }
    let holding = client.get(&path(tenant, "/effective")).await?.body["caps"].clone();
    if json {
        output::json(&holding);
        return Ok(());
    }
    let row = |(name, cap): (&String, &Value)| {
        let from = match cap["tenant"].as_str() {
            Some(tenant) => format!("parent {}", output::printable(tenant)),
            None => output::cell(cap, "/from"),
        };
        vec![output::printable(name), output::cell(cap, "/value"), from, output::cell(cap, "/by")]
    };
    let rows: Vec<_> = holding.as_object().into_iter().flatten().map(row).collect();
    output::answer(&output::table(&["CAP", "IS", "FROM", "SET BY"], &rows));
    Ok(())
}

/// Changes the list that is there, and writes only what was read.
async fn contacts(client: &Client, json: bool, tenant: &str, add: &[String], remove: &[String]) -> Result<(), Failure> {
    let path = path(tenant, "/contacts");
    let mut answer = client.get(&path).await?;
    if !add.is_empty() || !remove.is_empty() {
        let gone = |contact: &Value| {
            let email = contact["email"].as_str().unwrap_or_default();
            remove.iter().any(|removed| removed.eq_ignore_ascii_case(email))
        };
        let kept = answer.body["contacts"].as_array().into_iter().flatten().filter(|contact| !gone(contact)).cloned();
        let mut list: Vec<Value> = kept.collect();
        for text in add {
            list.push(contact(text)?);
        }
        let body = json!({ "contacts": list });
        answer = match answer.etag {
            Some(etag) => client.send_if(Method::PUT, &path, body, etag).await?,
            None => client.send(Method::PUT, &path, body).await?,
        };
    }
    if json {
        output::json(&answer.body);
    } else {
        let contacts = answer.body["contacts"].as_array().into_iter().flatten();
        let rows: Vec<_> =
            contacts.map(|c| ["/kind", "/name", "/email"].map(|column| output::cell(c, column)).to_vec()).collect();
        output::answer(&output::table(&["KIND", "NAME", "E-MAIL"], &rows));
    }
    warn_unless_applied(&answer);
    Ok(())
}

/// `billing:Pat Doe <pat@acme.example>`
fn contact(text: &str) -> Result<Value, Failure> {
    let (kind, rest) = text.split_once(':').unwrap_or(("general", text));
    let parts = rest.trim().strip_suffix('>').and_then(|rest| rest.rsplit_once('<'));
    let (name, email) = parts.ok_or_else(|| Failure::Local(format!("--add {text}: expected [KIND:]NAME <EMAIL>")))?;
    Ok(json!({ "kind": kind.trim(), "name": name.trim(), "email": email.trim() }))
}

/// Downloads for its owner's eyes only, and into a file of another name first: one that is there under its own name is whole.
/// `-` is stdout.
pub(super) async fn save(client: &Client, json: bool, path: &str, target: &Path) -> Result<(), Failure> {
    if target == Path::new("-") {
        let mut out = std::io::stdout().lock();
        return client.download(path, |piece| out.write_all(piece)).await.map(drop);
    }
    let mut part = target.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let failed = |path: &Path, error: &std::io::Error| Failure::Local(format!("{}: {error}", path.display()));
    // What an earlier run left there, or somebody else has put there, is not written to: it may be a link, or readable.
    match std::fs::remove_file(&part) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(&part, &error)),
        _ => {}
    }
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part);
    let mut file = BufWriter::new(opened.map_err(|error| failed(&part, &error))?);
    let downloaded = client.download(path, |piece| file.write_all(piece)).await;
    let finished = downloaded.and_then(|bytes| {
        file.flush().and_then(|()| file.get_ref().sync_all()).map_err(|error| failed(&part, &error))?;
        std::fs::rename(&part, target).map_err(|error| failed(target, &error))?;
        Ok(bytes)
    });
    let bytes = finished.inspect_err(|_| drop(std::fs::remove_file(&part)))?;
    match json {
        true => output::json(&json!({ "file": target.display().to_string(), "bytes": bytes })),
        false => output::answer(&format!("wrote {} ({bytes} bytes)\n", target.display())),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_are_written_as_people_write_them() {
        let expected = json!({ "kind": "billing", "name": "Pat Doe", "email": "pat@acme.example" });
        assert_eq!(contact("billing: Pat Doe <pat@acme.example>").unwrap(), expected);
        assert_eq!(contact("Pat <pat@acme.example>").unwrap()["kind"], "general");
        assert!(contact("pat@acme.example").is_err());
    }
}
