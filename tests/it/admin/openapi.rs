//! The description and what is served are one.

use std::collections::BTreeSet;

use serde_json::Value;

use super::world::World;

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

/// Every route of this API, a line each. A new one is written there by hand, as a reminder that clients will rely on it.
const ROUTES: &str = include_str!("routes.txt");

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
    let listed: BTreeSet<_> = ROUTES.lines().map(str::to_owned).collect();
    let (new, gone) =
        (described.difference(&listed).collect::<Vec<_>>(), listed.difference(&described).collect::<Vec<_>>());
    assert!(new.is_empty() && gone.is_empty(), "not in routes.txt: {new:#?}; not served: {gone:#?}");
    for path in paths.keys() {
        let concrete = path.replace(['{', '}'], "");
        for method in METHODS {
            let reply = world.raw(&method.to_uppercase(), &concrete, &[("authorization", "-")], "").await;
            let served = reply.status.as_u16() != 405;
            assert_eq!(served, described.contains(&format!("{method} {path}")), "{method} {path}");
            let public = paths[path][method]["x-needs"]["of"] == "public";
            if served && path.starts_with("/v1/") && !public {
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
            assert!(responses.keys().any(|status| status.starts_with(['2', '3'])), "{what}");
            assert_eq!(responses.contains_key("401"), path.starts_with("/v1/"), "{what}");
            for parameter in path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()) {
                let declared = operation["parameters"].as_array().unwrap().iter();
                let mut declared = declared.filter(|p| p["in"] == "path" && p["name"] == parameter);
                assert!(declared.next().is_some_and(|p| p["required"] == true), "{what} {parameter}");
            }
            let takes = |header: &str| {
                operation["parameters"].as_array().is_some_and(|all| all.iter().any(|p| p["name"] == header))
            };
            assert_eq!(takes("If-Match"), responses.contains_key("412"), "{what}: If-Match");
            let keyed = method == "post" && operation["x-needs"]["of"] != "public";
            assert_eq!(takes("Idempotency-Key"), keyed, "{what}: Idempotency-Key");
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
