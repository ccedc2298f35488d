//! What a billing system says: signed as Standard Webhooks has it, believed once, done as a whole or not at all.

mod caps;
mod edge;
mod rules;
mod signed;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::admin::world::{Reply, World};

const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz";
const OTHER: &str = "whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4";
const PATH: &str = "/v1/webhooks/billing";

/// `webhook-signature`, made by nothing of the house's own.
fn sign(secret: &str, id: &str, at: i64, body: &[u8]) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let content = [format!("{id}.{at}.").as_bytes(), body].concat();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &content);
    format!("v1,{}", STANDARD.encode(tag))
}

fn configured(secrets: &[&str]) -> String {
    format!("[billing]\nsecrets = {secrets:?}")
}

/// An API with a billing system, and the active tenant `acme`, which has the plan `growth`.
async fn world() -> World {
    let world = World::new().await;
    world.sections(&configured(&[SECRET]));
    world.tenant_with_domains("acme", &[]).await;
    world
}

/// Delivers a message, signed now.
async fn deliver(world: &World, id: &str, body: &Value) -> Reply {
    deliver_with(world, SECRET, id, world.clock.now().secs(), body.to_string().as_bytes()).await
}

async fn deliver_with(world: &World, secret: &str, id: &str, at: i64, body: &[u8]) -> Reply {
    let (signature, at) = (sign(secret, id, at, body), at.to_string());
    send(world, &[("webhook-id", id), ("webhook-timestamp", &at), ("webhook-signature", &signature)], body).await
}

/// Without a token, as a billing system calls.
async fn send(world: &World, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut all = vec![("authorization", "-")];
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        all.push(("content-type", "application/json"));
    }
    all.extend(headers);
    world.raw_bytes("POST", PATH, &all, body).await
}

/// A message about `acme` that happened now.
fn message(world: &World, about: Value) -> Value {
    let mut message = json!({
        "type": "subscription.updated", "occurred_at": world.clock.now(), "tenant": {"slug": "acme"},
    });
    message.as_object_mut().unwrap().extend(about.as_object().unwrap().clone());
    message
}
