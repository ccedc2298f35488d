//! Over HTTP: what is not signed, or not now, or not for the first time, does nothing.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tenantry::jobs;

use super::{OTHER, PATH, SECRET, configured, deliver, deliver_with, message, send, sign, world};
use crate::admin::world::World;

const MINUTE: Duration = Duration::from_secs(60);

/// How often the webhooks have come to `result`.
async fn counted(world: &World, result: &str) -> u64 {
    let scrape = world.raw("GET", "/metrics", &[], "").await.text;
    let line = format!("tenantry_billing_webhooks_total{{result=\"{result}\"}} ");
    let line = scrape.lines().find_map(|text| text.strip_prefix(&line)).unwrap_or_else(|| panic!("{scrape}"));
    line.parse().unwrap()
}

#[tokio::test]
async fn without_billing_in_the_configuration_there_is_nothing_to_deliver_to() {
    let world = World::new().await;
    world.tenant_with_domains("acme", &[]).await;
    let said = message(&world, json!({"status": "suspended"}));
    deliver(&world, "msg_1", &said).await.refused(404, "billing-not-configured");
    send(&world, &[], b"{").await.refused(404, "billing-not-configured");
}

#[tokio::test]
async fn what_is_not_signed_as_it_should_be_does_nothing() {
    let world = world().await;
    let body = message(&world, json!({"status": "suspended"})).to_string();
    let (now, revision) = (world.clock.now().secs(), world.revision().await);
    let (at, right) = (now.to_string(), sign(SECRET, "msg_1", now, body.as_bytes()));
    let wrong = sign(OTHER, "msg_1", now, body.as_bytes());
    let (id, time) = (("webhook-id", "msg_1"), ("webhook-timestamp", at.as_str()));
    let signature = ("webhook-signature", right.as_str());
    for (headers, status, code) in [
        (vec![], 401, "signature-missing"),
        (vec![time, signature], 401, "signature-missing"),
        (vec![id, signature], 401, "signature-missing"),
        (vec![id, time], 401, "signature-missing"),
        (vec![id, id, time, signature], 400, "bad-signature-header"),
        (vec![id, time, time, signature], 400, "bad-signature-header"),
        (vec![id, time, signature, signature], 400, "bad-signature-header"),
        (vec![("webhook-id", "a b"), time, signature], 400, "bad-signature-header"),
        (vec![("webhook-id", "ü"), time, signature], 400, "bad-signature-header"),
        (vec![id, ("webhook-timestamp", "now"), signature], 400, "bad-signature-header"),
        (vec![id, ("webhook-timestamp", "-1"), signature], 400, "bad-signature-header"),
        (vec![id, time, ("webhook-signature", "v1,no base64")], 400, "bad-signature-header"),
        (vec![id, time, ("webhook-signature", &right[3..])], 400, "bad-signature-header"),
        (vec![("webhook-id", "msg_2"), time, signature], 401, "signature-mismatch"),
        (vec![id, ("webhook-timestamp", "1"), signature], 401, "signature-mismatch"),
        (vec![id, time, ("webhook-signature", &wrong)], 401, "signature-mismatch"),
    ] {
        let reply = send(&world, &headers, body.as_bytes()).await;
        reply.refused(status, code);
        assert_eq!(reply.status == 401, !reply.header("www-authenticate").is_empty(), "{headers:?}");
        assert!(!reply.text.contains("acme"), "{}", reply.text);
    }
    // Not a byte may be another.
    send(&world, &[id, time, signature], body.replace("acme", "acmf").as_bytes())
        .await
        .refused(401, "signature-mismatch");
    // Signed as it should be, but not now.
    for (secs, code) in [(-301, "signature-stale"), (301, "signature-stale"), (-300, "ok"), (300, "ok")] {
        let body = message(&world, json!({})).to_string();
        let reply = deliver_with(&world, SECRET, &format!("msg_{secs}"), now + secs, body.as_bytes()).await;
        let _ = if code == "ok" { reply.expect(200) } else { reply.refused(401, code) };
    }
    assert_eq!((world.revision().await, counted(&world, "unsigned").await), (revision + 2, 6));
    assert_eq!(world.get("/v1/tenants/acme").await.expect(200)["status"], "active");
}

#[tokio::test]
async fn a_refusal_is_in_the_ledger_and_a_flood_of_them_is_a_few_lines() {
    let world = world().await;
    let body = message(&world, json!({"status": "suspended"})).to_string();
    for n in 0..500 {
        let id = format!("msg_{n}");
        let reply = deliver_with(&world, OTHER, &id, world.clock.now().secs(), body.as_bytes()).await;
        reply.refused(401, "signature-mismatch");
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    let lines = loop {
        let page = world.get("/v1/audit?action=billing.refused&limit=200").await.expect(200)["items"].clone();
        let lines: Vec<Value> = page.as_array().unwrap().clone();
        let times: u64 = lines.iter().map(|line| line["detail"]["times"].as_u64().unwrap_or(1)).sum();
        // What cannot be written at once waits for its minute.
        if times >= 100 {
            break lines;
        }
        assert!(Instant::now() < deadline, "{times} in {lines:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(lines.len() <= 110, "{}", lines.len());
    assert!(lines.iter().all(|line| line["actor"] == "nobody" && line["subject"] == PATH), "{lines:#?}");
    assert_eq!(lines[0]["detail"]["code"], "signature-mismatch");
}

#[tokio::test]
async fn what_is_signed_and_yet_no_such_message_is_refused_with_its_place() {
    let world = world().await;
    let revision = world.revision().await;
    let now = world.clock.now().secs();
    let whole = message(&world, json!({"status": "suspended"})).to_string();
    let mut no_text = whole.clone().into_bytes();
    *no_text.iter_mut().find(|byte| **byte == b'u').unwrap() = 0xff;
    let large = message(&world, json!({"reason": "x".repeat(64 << 10)})).to_string();
    for (body, status, code) in [
        (b"".as_slice(), 400, "malformed-json"),
        (b"{", 400, "malformed-json"),
        (b"[]", 422, "invalid"),
        (b"\"text\"", 422, "invalid"),
        (no_text.as_slice(), 400, "malformed-json"),
        (large.as_bytes(), 413, "body-too-large"),
    ] {
        deliver_with(&world, SECRET, "msg_1", now, body).await.refused(status, code);
    }
    let signature = sign(SECRET, "msg_1", now, whole.as_bytes());
    let headers = [("webhook-id", "msg_1"), ("webhook-timestamp", &now.to_string()), ("webhook-signature", &signature)];
    let typed = [headers.as_slice(), &[("content-type", "text/plain")]].concat();
    send(&world, &typed, whole.as_bytes()).await.refused(415, "unsupported-media-type");

    let later = world.clock.now() + 6 * MINUTE;
    let day = ["2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"];
    for (about, pointer, code) in [
        (json!({"type": "invoice.paid"}), "/type", "wrong-type"),
        (json!({"amount": 7}), "/amount", "unknown-field"),
        (json!({"occurred_at": "yesterday"}), "/occurred_at", "wrong-type"),
        (json!({"occurred_at": later}), "/occurred_at", "out-of-range"),
        (json!({"tenant": {}}), "/tenant", "required"),
        (json!({"tenant": {"slug": "acme", "ref": "cus_1"}}), "/tenant", "contradiction"),
        (json!({"tenant": {"name": "acme"}}), "/tenant/name", "unknown-field"),
        (json!({"plan": "gold"}), "/plan", "unknown-plan"),
        (json!({"plan": "free", "when": "later"}), "/when", "wrong-type"),
        (json!({"when": "now"}), "/when", "contradiction"),
        (json!({"status": "archived"}), "/status", "wrong-type"),
        (json!({"status": "suspended", "reason": "a\nb"}), "/reason", "control-character"),
        (json!({"reason": "unpaid"}), "/reason", "contradiction"),
        (json!({"period": {"start": day[0]}}), "/period/end", "required"),
        (json!({"period": {"start": day[1], "end": day[0]}}), "/period/end", "out-of-range"),
        (json!({"limits": {"ai_tokens": -1}}), "/limits/ai_tokens", "wrong-type"),
        (json!({"limits": {"ai_tokens": 2e15 as u64}}), "/limits/ai_tokens", "out-of-range"),
        (json!({"limits": {"storage": 1}}), "/limits/storage", "wrong-type"),
        (json!({"billing_ref": " "}), "/billing_ref", "required"),
        (json!({"billing_ref": "x".repeat(256)}), "/billing_ref", "too-long"),
    ] {
        let reply = deliver(&world, "msg_1", &message(&world, about.clone())).await;
        let errors = &reply.refused(422, "invalid")["errors"];
        assert_eq!(
            (&errors[0]["pointer"], &errors[0]["code"]),
            (&json!(pointer), &json!(code)),
            "{about}: {}",
            reply.text
        );
    }
    // All that is wrong is told at once.
    let wrong = json!({"plan": "gold", "when": "now", "reason": "x", "billing_ref": "", "tenant": {}});
    let reply = deliver(&world, "msg_1", &message(&world, wrong)).await;
    assert_eq!(reply.refused(422, "invalid")["errors"].as_array().unwrap().len(), 4, "{}", reply.text);
    let nobody = message(&world, json!({"tenant": {"slug": "nobody"}}));
    deliver(&world, "msg_1", &nobody).await.refused(404, "tenant-not-found");
    deliver_with(&world, OTHER, "msg_1", now, nobody.to_string().as_bytes()).await.refused(401, "signature-mismatch");
    assert_eq!(world.revision().await, revision, "nothing was kept");
    // The id of what was refused is free: the next attempt may be right.
    deliver(&world, "msg_1", &message(&world, json!({}))).await.expect(200);
}

#[tokio::test]
async fn what_comes_again_does_nothing_and_is_answered_as_it_was() {
    let world = world().await;
    let said = message(&world, json!({"status": "suspended", "reason": "unpaid"}));
    let body = said.to_string();
    let first_at = world.clock.now().secs();
    let first = deliver(&world, "msg_1", &said).await.expect(200).clone();
    assert_eq!((&first["result"], &first["outcome"]), (&json!("applied"), &json!("applied")));
    assert_eq!(first["changed"], json!(["status", "suspend_reason"]));
    let (revision, lines) = (world.revision().await, world.ledger().await.len());

    let again = |outcome: &Value| {
        assert_eq!((&outcome["result"], &outcome["outcome"]), (&json!("duplicate"), &json!("applied")));
        assert_eq!((&outcome["changed"], &outcome["revision"]), (&first["changed"], &first["revision"]));
    };
    // The very same request, and one that is signed afresh.
    again(deliver_with(&world, SECRET, "msg_1", first_at, body.as_bytes()).await.expect(200));
    world.clock.advance(4 * MINUTE);
    again(deliver(&world, "msg_1", &said).await.expect(200));
    // Recorded, and sent again later by somebody who has no secret.
    world.clock.advance(2 * MINUTE);
    deliver_with(&world, SECRET, "msg_1", first_at, body.as_bytes()).await.refused(401, "signature-stale");
    let other = message(&world, json!({"status": "active"}));
    deliver(&world, "msg_1", &other).await.refused(409, "webhook-id-reused");
    // A space more is another body.
    let spaced = format!("{body} ");
    let now = world.clock.now().secs();
    deliver_with(&world, SECRET, "msg_1", now, spaced.as_bytes()).await.refused(409, "webhook-id-reused");
    assert_eq!((world.revision().await, world.ledger().await.len()), (revision, lines));

    world.clock.advance(7 * 24 * 60 * MINUTE - 7 * MINUTE);
    jobs::tidy(&world.store, &world.clock).await.unwrap();
    again(deliver(&world, "msg_1", &said).await.expect(200));
    // After a week nobody knows it any more; to do it once more comes to the same.
    world.clock.advance(2 * MINUTE);
    jobs::tidy(&world.store, &world.clock).await.unwrap();
    let anew = deliver(&world, "msg_1", &said).await.expect(200).clone();
    assert_eq!((&anew["result"], &anew["changed"]), (&json!("applied"), &json!([])));
    for (result, times) in [("applied", 2), ("duplicate", 3), ("refused", 2), ("unsigned", 1)] {
        assert_eq!(counted(&world, result).await, times, "{result}");
    }
}

#[tokio::test]
async fn eight_at_once_are_done_once() {
    let world = world().await;
    let (revision, lines) = (world.revision().await, world.ledger().await.len());
    let said = message(&world, json!({"plan": "professional", "limits": {"ai_tokens": 7}}));
    let all = join_all((0..8).map(|_| deliver(&world, "msg_1", &said))).await;
    let results: Vec<_> = all.iter().map(|reply| reply.expect(200)["result"].as_str().unwrap()).collect();
    assert_eq!(results.iter().filter(|result| **result == "applied").count(), 1, "{results:?}");
    assert_eq!(results.iter().filter(|result| **result == "duplicate").count(), 7, "{results:?}");
    assert_eq!((world.revision().await, world.ledger().await.len()), (revision + 1, lines + 1));
}

#[tokio::test]
async fn a_secret_is_rotated_without_losing_a_message() {
    let world = world().await;
    let mut n = 0;
    let mut try_with = async |secret: &str| {
        n += 1;
        let body = message(&world, json!({})).to_string();
        deliver_with(&world, secret, &format!("msg_{n}"), world.clock.now().secs(), body.as_bytes())
            .await
            .status
            .as_u16()
    };
    assert_eq!((try_with(SECRET).await, try_with(OTHER).await), (200, 401));
    world.sections(&configured(&[OTHER, SECRET]));
    assert_eq!((try_with(SECRET).await, try_with(OTHER).await), (200, 200));
    world.sections(&configured(&[OTHER]));
    assert_eq!((try_with(SECRET).await, try_with(OTHER).await), (401, 200));
    // A sender that signs with both, for receivers that know one of them.
    let body = message(&world, json!({})).to_string();
    let now = world.clock.now().secs();
    let both = [SECRET, OTHER].map(|secret| sign(secret, "msg_both", now, body.as_bytes())).join(" ");
    let headers = [("webhook-id", "msg_both"), ("webhook-timestamp", &now.to_string()), ("webhook-signature", &both)];
    send(&world, &headers, body.as_bytes()).await.expect(200);
}

#[tokio::test]
async fn everything_is_one_change_and_one_line_of_the_ledger() {
    let world = world().await;
    let revision = world.revision().await;
    let said = message(
        &world,
        json!({
            "plan": "creators", "when": "now", "status": "suspended", "reason": "unpaid", "billing_ref": "cus_1",
            "period": {"start": "2026-11-20T00:00:00Z", "end": "2026-12-20T00:00:00Z"},
            "limits": {"ai_tokens": 100_000, "members": "unlimited"},
        }),
    );
    let reply = deliver(&world, "msg_1", &said).await;
    let answer = reply.expect(200);
    let expected = json!(["billing_ref", "limits", "period", "plan", "status", "suspend_reason"]);
    assert_eq!((&answer["changed"], &answer["held"]), (&expected, &json!([])));
    assert_eq!((answer["revision"].as_i64(), world.revision().await), (Some(revision + 1), revision + 1));
    assert_eq!(
        (reply.header("tenantry-revision"), reply.header("tenantry-applied")),
        (&*(revision + 1).to_string(), "true")
    );
    let tenant = world.get("/v1/tenants/acme").await.expect(200).clone();
    assert_eq!((&answer["tenant"], &tenant["revision"]), (&tenant["id"], &answer["revision"]));
    assert_eq!((&tenant["plan"], &tenant["status"]), (&json!("creators"), &json!("suspended")));
    assert_eq!((&tenant["status_by"], &tenant["suspend_reason"]), (&json!("billing"), &json!("unpaid")));
    assert_eq!(tenant["caps"]["members"], json!({"cap": "unlimited", "by": "billing"}));
    let line = &world.ledger().await[0];
    assert_eq!((&line["actor"], &line["action"]), (&json!("billing"), &json!("billing.update")));
    assert_eq!((&line["detail"]["webhook"], &line["detail"]["reason"]), (&json!("msg_1"), &json!("unpaid")));
    assert_eq!((&line["before"]["plan"], &line["after"]["plan"]), (&json!("growth"), &json!("creators")));
    assert_eq!(line["after"]["limits"]["ai_tokens"], json!({"cap": 100_000, "by": "billing"}));
    // By the name that it has from now on.
    let active = message(&world, json!({"tenant": {"ref": "cus_1"}, "status": "active"}));
    assert_eq!(deliver(&world, "msg_2", &active).await.expect(200)["changed"], json!(["status", "suspend_reason"]));
    let by_id = message(&world, json!({"tenant": {"id": tenant["id"]}, "limits": {"members": null}}));
    assert_eq!(deliver(&world, "msg_3", &by_id).await.expect(200)["changed"], json!(["limits"]));
    assert_eq!(world.get("/v1/tenants/acme").await.expect(200)["status"], "active");
}
