//! The call of each operation that the reference page shows: what a reader can paste into a shell and then change.

use serde_json::{Map, Value, json};

use super::shape::reference;

/// How deep a body is filled in.
const DEEPEST: usize = 6;

/// A curl command for the operation.
pub fn curl(method: &str, path: &str, operation: &Value, schemas: &Value) -> String {
    let list = |key: &str| operation[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let parameters = list("parameters");
    let mut target = path.to_owned();
    for parameter in parameters.iter().filter(|parameter| parameter["in"] == "path") {
        let name = parameter["name"].as_str().unwrap_or_default();
        target = target.replace(&format!("{{{name}}}"), &word(name));
    }
    let query = parameters.iter().filter(|parameter| parameter["in"] == "query" && parameter["required"] == true);
    let query: Vec<_> = query
        .map(|parameter| {
            let name = parameter["name"].as_str().unwrap_or_default();
            let value = match value(name, &parameter["schema"], schemas, 0) {
                Value::String(text) => text,
                other => other.to_string(),
            };
            format!("{name}={value}")
        })
        .collect();
    let question = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    let mut lines = vec![match method {
        "get" => "curl".to_owned(),
        _ => format!("curl -X {}", method.to_uppercase()),
    }];
    if operation["x-needs"]["of"].as_str().is_some_and(|of| of != "public") {
        lines.push("-H \"Authorization: Bearer $TENANTRY_TOKEN\"".to_owned());
    }
    let headers = parameters.iter().filter(|parameter| parameter["in"] == "header" && parameter["required"] == true);
    lines.extend(headers.filter_map(|header| header["name"].as_str()).map(|name| format!("-H '{name}: {name}'")));
    lines.extend(body(operation, schemas));
    lines.push(format!("\"$TENANTRY_ADMIN{target}{question}\""));
    lines.join(" \\\n  ")
}

/// The body of the operation, where it takes JSON: what is required, or else the first thing that can be said.
pub fn json_body(operation: &Value, schemas: &Value) -> Option<Value> {
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let name = ["/$ref", "/oneOf/0/$ref"].iter().find_map(|at| schema.pointer(at))?;
    let schema = reference(&json!({ "$ref": name })).map(|name| &schemas[name])?;
    let body = object(schema, schemas, 0);
    if body.as_object().is_some_and(|fields| !fields.is_empty()) {
        return Some(body);
    }
    let (first, property) = schema["properties"].as_object()?.iter().next()?;
    Some(json!({ first: value(first, property, schemas, 1) }))
}

fn body(operation: &Value, schemas: &Value) -> Vec<String> {
    let Some(content) = operation["requestBody"]["content"].as_object() else { return Vec::new() };
    match (json_body(operation, schemas), content.keys().next().map(String::as_str)) {
        (Some(body), _) => {
            let quoted = body.to_string().replace('\'', "'\\''");
            vec!["-H 'Content-Type: application/json'".to_owned(), format!("-d '{quoted}'")]
        }
        (None, Some("image/*")) => vec!["-H 'Content-Type: image/png' --data-binary @picture.png".to_owned()],
        (None, Some("application/json")) => vec!["-H 'Content-Type: application/json' -d '{}'".to_owned()],
        (None, Some(media)) => vec![format!("-H 'Content-Type: {media}' --data-binary @file")],
        (None, None) => Vec::new(),
    }
}

/// Every required field of an object.
fn object(schema: &Value, schemas: &Value, depth: usize) -> Value {
    let mut fields = Map::new();
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    for name in required {
        fields.insert(name.to_owned(), value(name, &schema["properties"][name], schemas, depth + 1));
    }
    Value::Object(fields)
}

/// Something that the schema allows, and that makes sense under the name.
fn value(name: &str, schema: &Value, schemas: &Value, depth: usize) -> Value {
    if depth > DEEPEST {
        return Value::Null;
    }
    if let Some(other) = reference(schema) {
        return value(name, &schemas[other], schemas, depth + 1);
    }
    if let Some(first) = schema.pointer("/oneOf/0") {
        return value(name, first, schemas, depth + 1);
    }
    if let Some(given) = ["/example", "/enum/0"].iter().find_map(|at| schema.pointer(at)) {
        return given.clone();
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind {
        Some("string") if schema["format"] == "date-time" => json!("2030-01-31T12:00:00Z"),
        Some("string") => json!(word(name)),
        Some("integer") => schema.get("minimum").filter(|least| least.as_u64() != Some(0)).cloned().unwrap_or(json!(1)),
        Some("number") => json!(1),
        Some("boolean") => json!(true),
        Some("array") => json!([value(name.trim_end_matches('s'), &schema["items"], schemas, depth + 1)]),
        Some("object") => object(schema, schemas, depth),
        _ => Value::Null,
    }
}

/// What might stand under this name.
fn word(name: &str) -> String {
    let known = [
        ("tenant", "acme"),
        ("slug", "acme"),
        ("parent", "acme-holding"),
        ("plan", "growth"),
        ("domain", "community.acme.example"),
        ("host", "community.acme.example"),
        ("url", "https://acme.connect.example.com/orders"),
        ("email", "ada@example.com"),
        ("provider", "google"),
        ("picture", "logo-light"),
        ("role", "admin"),
        ("scope", "domains:manage"),
        ("on", "sso"),
        ("off", "csv_export"),
        ("reason", "ticket-4711"),
        ("hash", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("password", "correct horse battery staple"),
        ("expires", "2030-01-31T12:00:00Z"),
    ];
    let known = known.iter().find(|(known, _)| *known == name).map(|(_, word)| *word);
    let ids = ["id", "member", "person", "session", "invitation", "unit"];
    match known {
        Some(word) => word.to_owned(),
        None if ids.contains(&name) => "0190f0c4-0000-7000-8000-000000000000".to_owned(),
        // Fit for a path as it is.
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_what_it_needs_and_quotes_what_the_shell_would_take() {
        let schemas = json!({"New": {"type": "object", "required": ["slug", "why"], "properties": {
            "slug": {"type": "string"}, "why": {"type": "string", "enum": ["it's"]}, "more": {"type": "string"}}}});
        let operation = json!({
            "x-needs": {"of": "tenant"},
            "parameters": [{"in": "path", "name": "tenant", "required": true, "schema": {"type": "string"}},
                {"in": "query", "name": "slug", "required": true, "schema": {"type": "string"}},
                {"in": "query", "name": "limit", "required": false, "schema": {"type": "integer"}}],
            "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/New"}}}},
        });
        let expected = "curl -X POST \\\n  -H \"Authorization: Bearer $TENANTRY_TOKEN\" \\\n  \
                        -H 'Content-Type: application/json' \\\n  -d '{\"slug\":\"acme\",\"why\":\"it'\\''s\"}' \\\n  \
                        \"$TENANTRY_ADMIN/v1/tenants/acme/x?slug=acme\"";
        assert_eq!(curl("post", "/v1/tenants/{tenant}/x", &operation, &schemas), expected);
        assert_eq!(curl("get", "/healthz", &json!({}), &schemas), "curl \\\n  \"$TENANTRY_ADMIN/healthz\"");
    }
}
