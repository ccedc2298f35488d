//! The reference page is the description, every bit of it, and a browser shows it.

use std::collections::BTreeSet;
use std::process::Stdio;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonschema::Draft;
use regex::Regex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use super::world::World;
use crate::browser;

async fn page(world: &World) -> (String, String) {
    let reply = world.raw("GET", "/docs", &[("authorization", "-")], "").await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "text/html; charset=utf-8"));
    (reply.header("content-security-policy").to_owned(), reply.text)
}

async fn description(world: &World) -> Value {
    world.raw("GET", "/openapi.json", &[("authorization", "-")], "").await.expect(200).clone()
}

/// Every operation: method, path and what is said of it.
fn operations(description: &Value) -> Vec<(String, String, Value)> {
    let items = description["paths"].as_object().unwrap().iter();
    let operations = items.flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, about)| (method.clone(), path.clone(), about.clone()))
    });
    operations.collect()
}

fn found(text: &str, pattern: &str) -> Vec<String> {
    Regex::new(pattern).unwrap().captures_iter(text).map(|found| found[1].to_owned()).collect()
}

#[tokio::test]
async fn the_page_has_everything_that_is_described_and_every_link_leads_somewhere() {
    let world = World::new().await;
    let (description, (policy, page)) = (description(&world).await, page(&world).await);
    let operations = operations(&description);
    let tags: BTreeSet<_> =
        description["tags"].as_array().unwrap().iter().filter_map(|tag| tag["name"].as_str()).collect();
    for (method, path, operation) in &operations {
        let what = format!("{method} {path}");
        assert!(
            operation["tags"]
                .as_array()
                .is_some_and(|own| own.len() == 1 && own[0].as_str().is_some_and(|tag| tags.contains(tag))),
            "{what}: tags"
        );
        assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{what}: no summary");
        let id = operation["operationId"].as_str().unwrap();
        let (start, call) = (format!("<article id=\"{id}\">"), format!("</b> <code>{path}</code>"));
        let (_, article) = page.split_once(&start).unwrap_or_else(|| panic!("{what} is not on the page"));
        let (article, _) = article.split_once("</article>").unwrap();
        assert!(article.contains(&call) && article.contains("$TENANTRY_ADMIN"), "{what}: {article}");
        if let Some(scope) = operation["x-needs"]["scope"].as_str() {
            assert!(article.contains(&format!("<strong>Needs</strong> <code>{scope}</code>")), "{what}: {article}");
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            assert!(article.contains(&format!("<th scope=\"row\"><code>{name}</code>")), "{what}: {name}");
        }
    }
    let ids = found(&page, "id=\"([^\"]+)\"");
    let unique: BTreeSet<_> = ids.iter().collect();
    assert_eq!(ids.len(), unique.len(), "an id is there twice");
    let schemas = description["components"]["schemas"].as_object().unwrap();
    assert_eq!(page.matches("<article id=").count(), operations.len() + schemas.len());
    assert!(schemas.keys().all(|name| unique.contains(&format!("schema-{name}"))));
    for link in found(&page, "href=\"([^\"]+)\"") {
        let known = link.strip_prefix('#').is_none_or(|id| unique.contains(&id.to_owned()));
        assert!(known && (link.starts_with('#') || link == "/openapi.json" || link == "data:,"), "{link}");
    }
    for code in description["x-problem-codes"].as_object().unwrap().keys() {
        assert!(page.contains(&format!("<code>{code}</code></th>")), "{code}");
    }
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("style=\""));
    let (_, style) = page.split_once("<style>").unwrap();
    let hash = STANDARD.encode(digest(&SHA256, style.split_once("</style>").unwrap().0.as_bytes()));
    assert!(policy.starts_with(&format!("default-src 'none'; style-src 'sha256-{hash}';")), "{policy}");
    let root = world.raw("GET", "/", &[("authorization", "-")], "").await;
    assert_eq!((root.status.as_u16(), root.header("location")), (303, "/docs"));
}

#[tokio::test]
async fn every_schema_is_a_json_schema() {
    let world = World::new().await;
    let description = description(&world).await;
    let check = |what: &str, schema: &Value| {
        if let Err(error) = jsonschema::draft202012::meta::validate(schema) {
            panic!("{what}: {error}");
        }
        // References lead from the root of the document.
        let mut whole = schema.clone();
        if let Some(whole) = whole.as_object_mut() {
            whole.insert("components".to_owned(), json!({ "schemas": description["components"]["schemas"] }));
        }
        jsonschema::options()
            .with_draft(Draft::Draft202012)
            .build(&whole)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
    };
    for (name, schema) in description["components"]["schemas"].as_object().unwrap() {
        check(name, schema);
    }
    for (method, path, operation) in operations(&description) {
        let what = format!("{method} {path}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            check(&what, &parameter["schema"]);
        }
        let responses = operation["responses"].as_object().unwrap().values();
        let contents = responses.chain([&operation["requestBody"]]).filter_map(|part| part["content"].as_object());
        contents.flat_map(|content| content.values()).for_each(|content| check(&what, &content["schema"]));
    }
}

/// Each call as it stands on the page, by a real shell and curl. Names that nobody has are refused, and a rule may be broken;
/// but nothing is missing, of the wrong type, or unknown.
#[tokio::test]
async fn the_calls_on_the_page_are_well_formed() {
    let world = World::new().await;
    world.tenant_with_domains("acme", &["community.acme.example"]).await;
    let (description, (_, page)) = (description(&world).await, page(&world).await);
    let directory = TempDir::new().unwrap();
    for file in ["picture.png", "file"] {
        std::fs::write(directory.path().join(file), "x\n").unwrap();
    }
    // What ends the tenant comes last.
    let mut operations = operations(&description);
    operations.sort_by_key(|(method, _, _)| method == "delete");
    for (method, path, operation) in operations {
        let start = format!("<article id=\"{}\">", operation["operationId"].as_str().unwrap());
        let (_, article) = page.split_once(&start).unwrap();
        let (_, call) = article.split_once("<pre><code>").unwrap();
        let call = call.split_once("</code></pre>").unwrap().0;
        let call = [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")]
            .iter()
            .fold(call.to_owned(), |text, (from, to)| text.replace(from, to));
        let silent = call.replacen("curl", "curl -sS --globoff -o answer -w '%{http_code}'", 1);
        let mut shell = Command::new("sh");
        shell.args(["-c", &silent]).current_dir(directory.path()).stdin(Stdio::null());
        shell.env("TENANTRY_ADMIN", &world.base).env("TENANTRY_TOKEN", &world.token);
        let output = shell.output().await.unwrap();
        let status = String::from_utf8_lossy(&output.stdout).into_owned();
        let answer = std::fs::read_to_string(directory.path().join("answer")).unwrap_or_default();
        let what = format!("{method} {path}: {call}\n{status} {answer}");
        let problem: Value = serde_json::from_str(&answer).unwrap_or_default();
        let fine = ["200", "201", "204", "303", "402", "403", "404", "409", "422"].contains(&status.as_str());
        // Nobody has the password on the page.
        assert!(fine || problem["code"] == "sign-in-refused", "{what}");
        for error in problem["errors"].as_array().into_iter().flatten() {
            assert!(!["required", "unknown-field", "wrong-type"].contains(&error["code"].as_str().unwrap()), "{what}");
        }
    }
}

/// Chromium says on its console what a policy forbids, and what it could not load.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_the_page_and_has_nothing_to_complain_about() {
    let world = World::new().await;
    let listen = ["--enable-logging=stderr", "--v=0", "--dump-dom"];
    let said = async |url: &str| {
        let output = browser::chromium(&[&listen[..], &[url]].concat(), "").await;
        let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
        let complaints: Vec<_> =
            complaints.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
        (complaints, String::from_utf8_lossy(&output.stdout).into_owned())
    };
    // What is not found out if it is not said.
    let forbidden =
        "data:text/html,<meta http-equiv=Content-Security-Policy content=\"default-src 'none'\"><style>p{}</style>";
    assert!(!said(forbidden).await.0.is_empty(), "a page that breaks its policy is not noticed");
    let (complaints, document) = said(&format!("{}/", world.base)).await;
    assert_eq!(complaints, Vec::<String>::new());
    assert!(document.contains("Tenantry admin API") && document.contains("id=\"createTenant\""), "{document:.300}");
    let colours = browser::colours(&format!("{}/docs", world.base), "").await;
    let of_the_sheet = [0xf5, 0xf6, 0xf8];
    assert!(colours.get(&of_the_sheet).is_some_and(|pixels| *pixels > 5_000), "its style sheet is not in force");
}
