//! `tenantry tenant branding …` and `tenantry tenant listing`.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::client::{Answer, Client, Failure, segment};
use super::output;
use super::tenant::{path, put, warn_unless_applied};
use super::tenant_life::save;

/// A tenant is named by its slug or its id.
#[derive(Subcommand)]
pub enum Look {
    /// Show or change how a tenant looks to its visitors
    #[command(subcommand)]
    Branding(Branding),
    /// Show or change whether and where a tenant stands in the public directory
    #[command(after_help = "Examples:\n  tenantry tenant listing acme\n  \
                            tenantry tenant listing acme --listed true --priority 10")]
    Listing {
        /// Slug or id
        tenant: String,
        /// Whether it is shown while it is active
        #[arg(long, value_name = "true|false")]
        listed: Option<bool>,
        /// Higher comes first, -1000 to 1000
        #[arg(long, allow_negative_numbers = true)]
        priority: Option<i32>,
    },
}

#[derive(Subcommand)]
pub enum Branding {
    /// Show a tenant's branding: what holds together with its parents', and what is hard to read
    #[command(after_help = "Example:\n  tenantry tenant branding get acme")]
    Get {
        /// Slug or id
        tenant: String,
    },
    /// Change texts, colours and the style sheet
    #[command(after_help = "Examples:\n  \
                            tenantry tenant branding set acme --set primary_colour=#3b5bdb --set 'tagline=Shops for all'\n  \
                            tenantry tenant branding set acme --css acme.css --unset button_colour")]
    Set {
        /// Slug or id
        tenant: String,
        /// display_name, tagline, primary_colour, secondary_colour, header_colour, text_colour, link_colour,
        /// button_colour or blurb, and its value
        #[arg(long, value_name = "NAME=VALUE")]
        set: Vec<String>,
        /// Take a value back: the parent's counts again
        #[arg(long, value_name = "NAME")]
        unset: Vec<String>,
        /// A style sheet; it is cleaned, and what was left out is told
        #[arg(long, value_name = "FILE")]
        css: Option<PathBuf>,
    },
    /// Upload a logo or the picture that is shown where somebody shares a link
    #[command(after_help = "Example:\n  tenantry tenant branding upload acme logo-light acme.svg")]
    Upload {
        /// Slug or id
        tenant: String,
        /// logo-light, logo-dark or social
        picture: String,
        /// .png, .jpg, .jpeg, .gif, .webp or (for logos) .svg
        file: PathBuf,
    },
    /// Write a picture, as it is shown, to a file
    #[command(after_help = "Example:\n  tenantry tenant branding download acme logo-light logo.svg")]
    Download {
        /// Slug or id
        tenant: String,
        /// logo-light, logo-dark or social
        picture: String,
        /// Where to
        file: PathBuf,
    },
    /// Take a picture away: the parent's counts again
    #[command(after_help = "Example:\n  tenantry tenant branding remove acme social")]
    Remove {
        /// Slug or id
        tenant: String,
        /// logo-light, logo-dark or social
        picture: String,
    },
}

impl Look {
    pub async fn run(self, client: &Client, json: bool) -> Result<(), Failure> {
        match self {
            Self::Branding(branding) => branding.run(client, json).await,
            Self::Listing { tenant, listed, priority } => listing(client, json, &tenant, listed, priority).await,
        }
    }
}

impl Branding {
    async fn run(self, client: &Client, json: bool) -> Result<(), Failure> {
        let answer = match self {
            Self::Download { tenant, picture, file } => {
                return save(client, json, &place(&tenant, &picture), &file).await;
            }
            Self::Get { tenant } => client.get(&path(&tenant, "/branding")).await?,
            Self::Set { tenant, set, unset, css } => {
                let mut patch = json!({});
                for word in &set {
                    let expected = || Failure::Local(format!("--set {word}: expected NAME=VALUE"));
                    let (name, value) = word.split_once('=').ok_or_else(expected)?;
                    put(&mut patch, name, Value::String(value.to_owned()));
                }
                for name in &unset {
                    put(&mut patch, name, Value::Null);
                }
                if let Some(file) = css {
                    let css = std::fs::read_to_string(&file).map_err(|why| unreadable(&file, &why))?;
                    put(&mut patch, "custom_css", Value::String(css));
                }
                client.send(Method::PATCH, &path(&tenant, "/branding"), patch).await?
            }
            Self::Upload { tenant, picture, file } => {
                let media = media_type(&file)?;
                let bytes = std::fs::read(&file).map_err(|why| unreadable(&file, &why))?;
                client.upload(&place(&tenant, &picture), media, bytes).await?
            }
            Self::Remove { tenant, picture } => client.delete(&place(&tenant, &picture)).await?,
        };
        show(json, &answer);
        Ok(())
    }
}

/// Changes what is named, and writes only what was read.
async fn listing(
    client: &Client,
    json: bool,
    tenant: &str,
    listed: Option<bool>,
    priority: Option<i32>,
) -> Result<(), Failure> {
    let path = path(tenant, "/listing");
    let mut answer = client.get(&path).await?;
    if listed.is_some() || priority.is_some() {
        let mut body = answer.body.clone();
        if let Some(listed) = listed {
            body["listed"] = json!(listed);
        }
        if let Some(priority) = priority {
            body["priority"] = json!(priority);
        }
        answer = match answer.etag {
            Some(etag) => client.send_if(Method::PUT, &path, body, etag).await?,
            None => client.send(Method::PUT, &path, body).await?,
        };
    }
    if json {
        output::json(&answer.body);
    } else {
        let rows = ["listed", "priority"].map(|name| (name, output::cell(&answer.body, &format!("/{name}"))));
        output::answer(&output::lines(&rows));
    }
    warn_unless_applied(&answer);
    Ok(())
}

fn show(json: bool, answer: &Answer) {
    if json {
        output::json(&answer.body);
    } else {
        let effective = answer.body["effective"].as_object().into_iter().flatten();
        let texts = effective.clone().filter(|(name, _)| *name != "images" && *name != "custom_css");
        let mut rows: Vec<_> = texts
            .map(|(name, _)| (name.as_str(), output::cell(&answer.body["effective"], &format!("/{name}"))))
            .collect();
        let css =
            answer.body["effective"]["custom_css"].as_str().map(|css| format!("{} characters", css.chars().count()));
        rows.push(("custom_css", css.unwrap_or_default()));
        let images = answer.body["effective"]["images"].as_object().into_iter().flatten();
        rows.extend(images.map(|(name, image)| {
            let cell = |field: &str| output::cell(image, &format!("/{field}"));
            (name.as_str(), format!("{} {}×{}, {} bytes", cell("media"), cell("width"), cell("height"), cell("size")))
        }));
        output::answer(&output::lines(&rows));
    }
    for advice in answer.body["advice"].as_array().into_iter().flatten() {
        output::complain(&format!(
            "tenantry: {}: {}\n",
            output::cell(advice, "/pointer"),
            output::cell(advice, "/detail")
        ));
    }
    for dropped in answer.body["dropped"].as_array().into_iter().flatten() {
        let (text, why) = (output::cell(dropped, "/text"), output::cell(dropped, "/why"));
        let line = dropped["line"].as_u64().map(|line| format!("line {line}: ")).unwrap_or_default();
        output::complain(&format!("tenantry: left out: {line}{text}: {why}\n"));
    }
    warn_unless_applied(answer);
}

fn place(tenant: &str, picture: &str) -> String {
    path(tenant, &format!("/branding/{}", segment(picture)))
}

fn media_type(file: &Path) -> Result<&'static str, Failure> {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_ascii_lowercase();
    match extension.as_str() {
        "png" => Ok("image/png"),
        "jpg" | "jpeg" => Ok("image/jpeg"),
        "gif" => Ok("image/gif"),
        "webp" => Ok("image/webp"),
        "svg" => Ok("image/svg+xml"),
        _ => {
            let what = format!("{}: a picture's name ends with .png, .jpg, .jpeg, .gif, .webp or .svg", file.display());
            Err(Failure::Local(what))
        }
    }
}

fn unreadable(file: &Path, why: &std::io::Error) -> Failure {
    Failure::Local(format!("cannot read {}: {why}", file.display()))
}
