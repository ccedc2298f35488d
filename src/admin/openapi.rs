//! The frame of `/openapi.json` (OpenAPI 3.1). Routes and shapes are collected from the handlers themselves, so that the
//! description cannot name a route that is not served, or leave one out.

use serde_json::{Map, Value, json};
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi as Describe};

use super::access::operations;
use super::problem::{FieldError, Problem};
use super::{codes, cookies};

/// What is said once, whatever the routes.
#[derive(Describe)]
#[openapi(
    info(
        title = "Tenantry admin API",
        description = "Tenants, the people in them, their plans, domains and certificates, and the record of it all. Every refusal is `application/problem+json` \
            (RFC 9457) with a stable `code`. Every answer carries `X-Request-Id`. The answer to a write carries \
            `Tenantry-Revision`, and `Tenantry-Applied: false` in the rare case that the node that answers does not \
            serve the change yet. An `ETag` begins with the revision of the thing and ends with a digest of the answer, \
            which differs where what is inherited does; `If-Match` compares revisions, and takes one in quotes as well.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/", description = "The listener that serves this description")),
    security(("token" = [])),
    components(schemas(Problem, FieldError)),
    modifiers(&Frame),
    tags(
        (name = "tenants", description = "Tenants, their status, plan and features"),
        (name = "billing", description = "What a billing system tells of tenants, and the caps that are agreed with them"),
        (name = "plans", description = "The catalogue of plans and features, and what a tenant has of it"),
        (name = "branding", description = "How tenants look, and where they are listed"),
        (name = "domains", description = "Custom domains, and whom a host leads to"),
        (name = "certificates", description = "What is served, and what was brought; never a key"),
        (name = "orders", description = "Certificates that are wanted from authorities: the queue"),
        (name = "events", description = "What happened to domains and certificates"),
        (name = "sessions", description = "People who sign in: who they are, which tenancy they have picked"),
        (name = "people", description = "Those who can sign in, for operators"),
        (name = "members", description = "Who belongs to a tenant: members, roles, business units, invitations"),
        (name = "tokens", description = "API tokens, the operators' and those of tenants"),
        (name = "config", description = "The configuration of this node, and reloading it"),
        (name = "process", description = "The process that answers, and replacing its program"),
        (name = "audit", description = "Who did what, and when"),
        (name = "probes", description = "For machines; no token is asked for"),
        (name = "reference", description = "What there is; no token is asked for")
    )
)]
pub struct Description;

struct Frame;

impl Modify for Frame {
    fn modify(&self, openapi: &mut OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token of an operator or of a tenant: `<brand>_live_<prefix>_<secret>`, with `brand.key_prefix` first. What \
                an operation needs is in its `x-needs`."))
            .build();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
        let about = "The session of somebody who has signed in (`POST /v1/session`, or through a provider). Everything but GET \
            needs the header `X-CSRF-Token`, as `GET /v1/session` shows it, as well.";
        let cookie = ApiKey::Cookie(ApiKeyValue::with_description(cookies::SESSION, about));
        components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
        for (name, description) in COMMON {
            components.responses.insert((*name).to_owned(), problem(description).into());
        }
    }
}

/// The refusals that every guarded route has: the name of the response, and what it says.
const COMMON: &[(&str, &str)] = &[
    ("BadRequest", "The body is no JSON, a parameter of the query is wrong, or If-Match is malformed"),
    ("Unauthorized", "No token, or one that does not work"),
    ("Forbidden", "The caller is known, and does not hold the scope that `x-needs` names"),
    ("Unavailable", "The system of record cannot be reached, or it took too long; see Retry-After"),
];
/// The refusals that follow from what a route takes: something named in its path, `If-Match`, a body, JSON.
const BY_SHAPE: &[(&str, &str)] = &[
    ("NotFound", "There is nothing of this name, or nothing for this caller"),
    ("Stale", "It has changed since: `If-Match` names another revision"),
    ("TooLarge", "The body is larger than this server takes"),
    ("MediaType", "The body is not of the type that the operation takes"),
    ("Invalid", "Fields break a rule; `errors` names each"),
];

/// The description as it is served: with what all guarded routes have in common, and with the codes of all refusals.
pub fn finished(openapi: OpenApi) -> String {
    let Ok(mut description) = serde_json::to_value(common(openapi)) else { return String::new() };
    description["x-problem-codes"] = codes::described();
    name_items(&mut description);
    for content in contents(&mut description) {
        let bytes = |(media, _): &(&String, &mut Value)| !["json", "text/"].iter().any(|word| media.contains(word));
        for (_, content) in content.iter_mut().filter(bytes) {
            content["schema"] = json!({ "type": "string", "format": "binary" });
        }
    }
    description.to_string()
}

/// utoipa writes the items of a generic listing in full: they become references to what they are.
fn name_items(description: &mut Value) {
    let Some(schemas) = description["components"]["schemas"].as_object_mut() else { return };
    let names: Vec<String> =
        schemas.keys().filter_map(|name| name.strip_prefix("Listing_")).map(str::to_owned).collect();
    for name in names {
        let items = &mut schemas[&format!("Listing_{name}")]["properties"]["items"]["items"];
        let whole = std::mem::replace(items, json!({ "$ref": format!("#/components/schemas/{name}") }));
        schemas.entry(name).or_insert(whole);
    }
}

/// The bodies of all operations, by media type.
fn contents(description: &mut Value) -> impl Iterator<Item = &mut Map<String, Value>> {
    let operations = members(&mut description["paths"]).flat_map(|(_, item)| members(item));
    let bodies = operations.flat_map(|(_, operation)| {
        members(operation).flat_map(|(key, part)| match key.as_str() {
            "requestBody" => vec![part],
            "responses" => members(part).map(|(_, response)| response).collect(),
            _ => Vec::new(),
        })
    });
    bodies.filter_map(|body| body.get_mut("content")?.as_object_mut())
}

fn members(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flatten()
}

/// Adds what guarded routes have in common, where they do not say it in words of their own.
fn common(mut openapi: OpenApi) -> OpenApi {
    for (name, description) in BY_SHAPE {
        let components = openapi.components.get_or_insert_default();
        components.responses.insert((*name).to_owned(), problem(description).into());
    }
    for (path, item) in &mut openapi.paths.paths {
        if !path.starts_with("/v1/") {
            continue;
        }
        if let Some(operation) = item.post.as_mut().filter(|operation| !is_public(operation)) {
            operation.parameters.get_or_insert_default().push(idempotency_key().into());
        }
        for operation in operations(item) {
            refusals(operation);
            refer(operation, "400", "BadRequest");
            refer(operation, "401", "Unauthorized");
            refer(operation, "403", "Forbidden");
            refer(operation, "503", "Unavailable");
            if path.contains('{') || takes(operation, "tenant") {
                refer(operation, "404", "NotFound");
            }
            if takes(operation, "If-Match") {
                refer(operation, "412", "Stale");
            }
            if let Some(RefOr::T(body)) = &operation.request_body {
                let is_json = body.content.contains_key("application/json");
                refer(operation, "413", "TooLarge");
                refer(operation, "415", "MediaType");
                if is_json {
                    refer(operation, "422", "Invalid");
                }
            }
        }
    }
    openapi
}

/// Whether nobody in particular calls it: then nobody's key could be told from another's.
fn is_public(operation: &Operation) -> bool {
    operation.extensions.as_ref().and_then(|all| all.get("x-needs")).is_some_and(|needs| needs["of"] == "public")
}

/// Every POST of somebody who is known takes one.
fn idempotency_key() -> Parameter {
    let description = "1 to 255 visible ASCII characters that the caller chooses. A call that is sent again with the same key \
        within 24 hours is not done again, and is answered as it was, with `Idempotency-Replayed: true` \
        (draft-ietf-httpapi-idempotency-key-header-07). 409 `idempotency-in-progress` while the first is under way, 422 \
        `idempotency-key-reused` when it came with another request.";
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).max_length(Some(255)).build()))
        .build()
}

fn takes(operation: &Operation, parameter: &str) -> bool {
    let parameters = operation.parameters.iter().flatten();
    parameters
        .filter_map(|given| match given {
            RefOr::T(given) => Some(&given.name),
            RefOr::Ref(_) => None,
        })
        .any(|name| name == parameter)
}

fn refer(operation: &mut Operation, status: &str, name: &str) {
    let response = RefOr::Ref(Ref::from_response_name(name));
    operation.responses.responses.entry(status.to_owned()).or_insert(response);
}

/// Whatever is refused, a problem document says so: routes describe when, and no more.
fn refusals(operation: &mut Operation) {
    let responses = operation.responses.responses.iter_mut().filter(|(status, _)| status.as_str() >= "400");
    for (_, response) in responses {
        if let RefOr::T(response) = response
            && response.content.is_empty()
        {
            *response = problem(&response.description);
        }
    }
}

fn problem(description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(description).content("application/problem+json", content).build()
}
