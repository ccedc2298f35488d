//! The description and what is served are one.

use std::collections::BTreeSet;

use serde_json::Value;

use super::world::World;

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

/// Every route of this API. A new one is written here by hand, as a reminder that clients will rely on it.
const ROUTES: &[&str] = &[
    "delete /v1/certificates/{id}",
    "delete /v1/domains/{domain}",
    "delete /v1/tokens/{name}",
    "get /healthz",
    "get /metrics",
    "get /openapi.json",
    "get /readyz",
    "get /v1/audit",
    "get /v1/certificates",
    "get /v1/certificates/{id}",
    "get /v1/config",
    "get /v1/domains",
    "get /v1/domains/{domain}",
    "get /v1/domains/{domain}/diagnosis",
    "get /v1/events",
    "get /v1/hosts/{host}",
    "get /v1/orders",
    "get /v1/pools",
    "get /v1/orders/{name}",
    "get /v1/process",
    "get /v1/tenants",
    "get /v1/tenants/{tenant}",
    "get /v1/tenants/{tenant}/domains",
    "get /v1/tokens",
    "patch /v1/tenants/{tenant}",
    "post /v1/certificates",
    "post /v1/certificates/{id}/revoke",
    "post /v1/config/reload",
    "post /v1/domains/{domain}/verify",
    "post /v1/orders/{name}/issue",
    "post /v1/orders/{name}/renew",
    "post /v1/process/upgrade",
    "post /v1/routes/explain",
    "post /v1/tenants",
    "post /v1/tenants/{tenant}/activate",
    "post /v1/tenants/{tenant}/cancel",
    "post /v1/tenants/{tenant}/domains",
    "post /v1/tenants/{tenant}/extend-trial",
    "post /v1/tenants/{tenant}/restore",
    "post /v1/tenants/{tenant}/suspend",
    "post /v1/tokens",
    "get /v1/scopes",
    "post /v1/tenants/{tenant}/tokens",
    "get /v1/tenants/{tenant}/tokens",
    "delete /v1/tenants/{tenant}/tokens/{name}",
    "post /v1/tenants/{tenant}/impersonate",
    "get /v1/tenants/{tenant}/edge",
    "get /v1/tenants/{tenant}/traffic",
    "put /v1/tenants/{tenant}/edge",
    "patch /v1/tenants/{tenant}/edge",
    "put /v1/tenants/{tenant}/features",
    "put /v1/tenants/{tenant}/plan",
];

async fn description(world: &World) -> Value {
    let reply = world.raw("GET", "/openapi.json", &[("authorization", "-")], "").await;
    assert_eq!(reply.header("content-type"), "application/json");
    reply.expect(200).clone()
}

#[tokio::test]
async fn it_lists_exactly_the_routes_that_are_served() {
    let world = World::new().await;
    let openapi = description(&world).await;
    let paths = openapi["paths"].as_object().unwrap();
    let described: BTreeSet<_> = paths
        .iter()
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| format!("{method} {path}")))
        .collect();
    assert_eq!(described, ROUTES.iter().map(|route| (*route).to_owned()).collect());
    for path in paths.keys() {
        let concrete = path.replace(['{', '}'], "");
        for method in METHODS {
            let reply = world.raw(&method.to_uppercase(), &concrete, &[("authorization", "-")], "").await;
            let served = reply.status.as_u16() != 405;
            assert_eq!(served, described.contains(&format!("{method} {path}")), "{method} {path}");
            if served && path.starts_with("/v1/") {
                assert_eq!(reply.status.as_u16(), 401, "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn it_is_sound_openapi_3_1() {
    let world = World::new().await;
    let openapi = description(&world).await;
    assert!(openapi["openapi"].as_str().unwrap().starts_with("3.1."));
    assert!(openapi["info"]["title"].is_string() && openapi["info"]["version"].is_string());
    let mut references = Vec::new();
    collect(&openapi, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(openapi.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let mut ids = BTreeSet::new();
    for (path, item) in openapi["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let what = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{what}");
            assert!(operation["summary"].is_string(), "{what}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{what}");
            assert_eq!(responses.contains_key("401"), path.starts_with("/v1/"), "{what}");
            for parameter in path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()) {
                let declared = operation["parameters"].as_array().unwrap().iter();
                let mut declared = declared.filter(|p| p["in"] == "path" && p["name"] == parameter);
                assert!(declared.next().is_some_and(|p| p["required"] == true), "{what} {parameter}");
            }
            let open =
                operation["security"].as_array().is_some_and(|list| list.iter().all(|s| s == &serde_json::json!({})));
            let public = !path.starts_with("/v1/") || operation["x-needs"]["of"] == "public";
            assert_eq!(open, public, "{what}");
        }
    }
    assert_eq!(openapi["components"]["securitySchemes"]["token"]["scheme"], "bearer");
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get("$ref") {
                references.push(reference.clone());
            }
            object.values().for_each(|value| collect(value, references));
        }
        Value::Array(list) => list.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}
