//! `/docs`: the description of the routes as a page for people, made from `/openapi.json` and from nothing else. It needs no
//! script and fetches nothing; everything that is written into it is escaped.

mod prose;
mod sample;
mod shape;

use std::collections::BTreeSet;

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::codes::{CODES, Code};
use super::problem::Problem;
use prose::{Paragraph, prose};
use shape::{Field, Group, Word};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new().routes(routes!(start)).routes(routes!(docs)).routes(routes!(openapi))
}

/// The way to the reference page
#[utoipa::path(get, path = "/", operation_id = "start", tag = "reference", security(()),
    responses((status = 303, description = "To `/docs`",
        headers(("Location" = String, description = "Where it is")))))]
async fn start() -> Redirect {
    Redirect::to("/docs")
}

/// This page
#[utoipa::path(get, path = "/docs", operation_id = "docs", tag = "reference", security(()),
    responses((status = 200, description = "For people", body = String, content_type = "text/html")))]
async fn docs(State(state): State<AdminState>) -> Result<Response, Problem> {
    // Made for the first who asks: most processes are never asked.
    let page = state.page.get_or_init(|| page(state.openapi.get().map_or("{}", String::as_str)));
    let page = page.clone().ok_or_else(|| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the page cannot be made; /openapi.json can be read",
        )
    })?;
    let policy = HeaderValue::try_from(policy()).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, html), (header::CONTENT_SECURITY_POLICY, policy)], page).into_response())
}

/// This description
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", tag = "reference", security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
async fn openapi(State(state): State<AdminState>) -> Response {
    let text = state.openapi.get().cloned().unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

const STYLE: &str = include_str!("reference/style.css");

/// Its own style sheet by its hash, an icon that is none, and nothing else.
fn policy() -> String {
    let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; frame-ancestors 'none'; base-uri 'none'; \
         form-action 'none'"
    )
}

#[derive(Template)]
#[template(path = "admin/reference/page.html")]
struct Page<'a> {
    title: &'a str,
    version: &'a str,
    about: Vec<Paragraph>,
    style: &'static str,
    chapters: Vec<Chapter<'a>>,
    /// What every guarded operation answers, so that it is said once.
    usual: Vec<Answer>,
    codes: Vec<(&'static Code, Vec<Paragraph>)>,
    schemas: Vec<Schema<'a>>,
}

/// The operations of one tag.
struct Chapter<'a> {
    name: &'a str,
    about: Vec<Paragraph>,
    operations: Vec<Operation<'a>>,
}

struct Operation<'a> {
    id: &'a str,
    method: &'a str,
    path: &'a str,
    summary: &'a str,
    about: Vec<Paragraph>,
    scope: Option<&'a str>,
    needs: &'static str,
    parameters: Vec<Field>,
    body: Option<Payload>,
    answers: Vec<Answer>,
    /// The statuses of the usual answers that it has.
    usual: Vec<&'a str>,
    curl: String,
}

/// The body of a request.
struct Payload {
    required: bool,
    about: Vec<Paragraph>,
    contents: Vec<Content>,
    groups: Vec<Group>,
}

struct Content {
    media: String,
    kind: Vec<Word>,
}

struct Answer {
    status: String,
    about: Vec<Paragraph>,
    headers: Vec<String>,
    contents: Vec<Content>,
    /// It is a refusal, whose code says more.
    refusal: bool,
}

struct Schema<'a> {
    name: &'a str,
    kind: Vec<Word>,
    about: Vec<Paragraph>,
    groups: Vec<Group>,
}

/// The page; nothing where the description is none.
fn page(description: &str) -> Option<Bytes> {
    let description: Value = serde_json::from_str(description).ok()?;
    let word = |at: &str| description.pointer(at).and_then(Value::as_str).unwrap_or_default();
    let page = Page {
        title: word("/info/title"),
        version: word("/info/version"),
        about: prose(word("/info/description")),
        style: STYLE,
        chapters: chapters(&description),
        usual: usual(&description),
        codes: CODES.iter().map(|code| (code, prose(code.meaning))).collect(),
        schemas: schemas(&description["components"]["schemas"]),
    };
    page.render().ok().map(Bytes::from)
}

fn chapters(description: &Value) -> Vec<Chapter<'_>> {
    let tags = description["tags"].as_array().into_iter().flatten();
    let chapter = |tag| {
        let name = text(tag, "name");
        let operations = members(&description["paths"])
            .flat_map(|(path, item)| members(item).map(move |(method, operation)| (path, method, operation)))
            .filter(|(_, _, operation)| operation["tags"][0] == name)
            .map(|(path, method, operation)| self::operation(path, method, operation, description));
        Chapter { name, about: prose(text(tag, "description")), operations: operations.collect() }
    };
    tags.map(chapter).collect()
}

fn operation<'a>(path: &'a str, method: &'a str, operation: &'a Value, description: &'a Value) -> Operation<'a> {
    let schemas = &description["components"]["schemas"];
    let parameters = operation["parameters"].as_array().into_iter().flatten().map(parameter).collect();
    let (usual, own): (Vec<_>, Vec<_>) =
        members(&operation["responses"]).partition(|(_, response)| response["$ref"].is_string());
    Operation {
        id: text(operation, "operationId"),
        method,
        path,
        summary: text(operation, "summary"),
        about: prose(text(operation, "description")),
        scope: operation["x-needs"]["scope"].as_str(),
        needs: needs(operation),
        parameters,
        body: Some(&operation["requestBody"]).filter(|body| body.is_object()).map(|body| payload(body, schemas)),
        answers: own.into_iter().map(|(status, response)| answer(status, response)).collect(),
        usual: usual.into_iter().map(|(status, _)| status).collect(),
        curl: sample::curl(method, path, operation, schemas),
    }
}

/// Of whom the operation asks its scope.
fn needs(operation: &Value) -> &'static str {
    match operation["x-needs"]["of"].as_str() {
        Some("tenant") => "in the tenant, or as an operator",
        Some("caller") => "where the caller is at home: of a tenant's caller, that tenant's things alone are meant",
        Some("installation") => "as an operator",
        Some("anyone") => "Any token or session that works.",
        _ => "Nothing: no token is asked for.",
    }
}

/// The answers that operations refer to, each under the status that it comes with.
fn usual(description: &Value) -> Vec<Answer> {
    let operations = members(&description["paths"]).flat_map(|(_, item)| members(item));
    let responses = operations.flat_map(|(_, operation)| members(&operation["responses"]));
    let referred = responses.filter_map(|(status, response)| {
        Some((status, response["$ref"].as_str()?.strip_prefix("#/components/responses/")?))
    });
    let referred: BTreeSet<_> = referred.collect();
    let responses = &description["components"]["responses"];
    referred.into_iter().map(|(status, name)| answer(status, &responses[name])).collect()
}

fn parameter(parameter: &Value) -> Field {
    let schema = &parameter["schema"];
    Field {
        name: text(parameter, "name").to_owned(),
        place: Some(text(parameter, "in").to_owned()),
        required: parameter["required"] == true,
        kind: shape::kind(schema),
        notes: shape::notes(schema),
        about: prose(text(parameter, "description")),
    }
}

fn payload(body: &Value, schemas: &Value) -> Payload {
    let contents = contents(body);
    let only = contents.iter().flat_map(|content| &content.kind).find_map(|word| match word {
        Word::Schema(name) => Some(name),
        _ => None,
    });
    let schema = only.map_or(&Value::Null, |name| &schemas[name]);
    Payload {
        required: body["required"] == true,
        about: prose(body["description"].as_str().unwrap_or_else(|| text(schema, "description"))),
        groups: shape::groups(schema),
        contents,
    }
}

fn answer(status: &str, response: &Value) -> Answer {
    Answer {
        status: status.to_owned(),
        about: prose(text(response, "description")),
        headers: members(&response["headers"]).map(|(name, _)| name.to_owned()).collect(),
        refusal: !response["content"]["application/problem+json"].is_null(),
        contents: contents(response),
    }
}

fn contents(of: &Value) -> Vec<Content> {
    let content =
        |(media, content): (&str, &Value)| Content { media: media.to_owned(), kind: shape::kind(&content["schema"]) };
    members(&of["content"]).map(content).collect()
}

fn schemas(schemas: &Value) -> Vec<Schema<'_>> {
    let schema = |(name, schema)| Schema {
        name,
        kind: shape::kind(schema),
        about: prose(text(schema, "description")),
        groups: shape::groups(schema),
    };
    members(schemas).map(schema).collect()
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
