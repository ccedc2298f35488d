//! The ledger through the API and from a shell: found, exported, checked, held against checkpoints, kept as long as the plan
//! says; and what is refused is noted.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{AnyConnection, AssertSqlSafe, Connection};

use super::cli::{json_of, run};
use super::world::World;

const DAY: Duration = Duration::from_secs(86_400);

async fn with_tenants() -> World {
    let world = World::new().await;
    for (slug, plan) in [("acme", "free"), ("pro", "professional")] {
        world
            .post("/v1/tenants", json!({"slug": slug, "name": slug, "plan": plan, "status": "active"}))
            .await
            .expect(201);
        for name in ["One", "=Two"] {
            world.call("PATCH", &format!("/v1/tenants/{slug}"), json!({"name": name})).await.expect(200);
        }
    }
    world
}

/// Does something to the store behind everybody's back.
async fn raw(world: &World, sql: &str) {
    let url = format!("sqlite:{}", world.dir.path().join("tenantry.db").display());
    let mut connection = AnyConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn the_ledger_is_found_exported_and_checked_by_those_whose_it_is() {
    let world = with_tenants().await;
    let own = world.get("/v1/tenants/acme/audit?action=tenant.&limit=2").await.expect(200).clone();
    assert_eq!(own["items"][0]["action"], "tenant.rename");
    assert_eq!((&own["items"][0]["number"], &own["items"][0]["from"]), (&json!(3), &json!("127.0.0.1")));
    let next = own["next_cursor"].as_str().unwrap();
    let rest =
        world.get(&format!("/v1/tenants/acme/audit?action=tenant.&limit=2&cursor={next}")).await.expect(200).clone();
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next_cursor"]), (1, &Value::Null));
    for (query, status) in [("from=noon", 400), ("until=2026-11-21", 400), ("format=csv", 400), ("tenant=pro", 400)] {
        assert_eq!(world.get(&format!("/v1/tenants/acme/audit?{query}")).await.status, status, "{query}");
    }
    world.get("/v1/audit/export?format=xml").await.refused(400, "invalid-parameter");

    let export = world.get("/v1/audit/export").await;
    assert_eq!(export.header("content-type"), "application/x-ndjson");
    // It says itself that it was made, by and by.
    let all: Vec<_> = lines(&export.text).into_iter().filter(|line| line["action"] != "audit.export").collect();
    assert_eq!(all.len(), 7, "{}", export.text);
    assert!(all.windows(2).all(|pair| pair[0]["id"].as_i64() < pair[1]["id"].as_i64()));
    let export = world.get("/v1/tenants/pro/audit/export?format=csv&action=tenant.rename").await;
    assert_eq!(export.text.lines().count(), 3, "{}", export.text);
    assert!(export.header("content-disposition").contains("audit.csv"));

    let token = world.post("/v1/tenants/acme/tokens", json!({"name": "reader"})).await.expect(201)["token"].clone();
    let bearer = format!("Bearer {}", token.as_str().unwrap());
    let theirs = async |path: &str| world.raw("GET", path, &[("authorization", &bearer)], "").await;
    let chain = own["items"][0]["chain"].clone();
    for line in lines(&theirs("/v1/audit/export").await.text) {
        assert_eq!(line["chain"], chain);
    }
    let mut checked = lines(&theirs("/v1/audit/verify").await.text);
    assert!(checked[0]["lines"].take().as_i64().unwrap() >= 4);
    assert_eq!(checked, [json!({"done": true, "chains": 1, "lines": null, "faults": 0, "unchained": 0})]);
    assert_eq!(theirs("/v1/audit/checkpoint").await.expect(200)["chain"], chain);
    theirs("/v1/tenants/pro/audit/verify").await.refused(404, "tenant-not-found");
    theirs("/v1/audit/verify?tenant=pro").await.refused(404, "tenant-not-found");
    let told = world.get("/v1/tenants/pro/audit/checkpoint").await.expect(200).clone();
    let body = json!({"checkpoints": [told]});
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    world.raw("POST", "/v1/audit/verify", &headers, &body.to_string()).await.refused(422, "invalid");
    assert_eq!(
        world.post("/v1/audit/verify", body).await.expect(200),
        &json!({"compared": 1, "older": 0, "faults": []})
    );
    assert_eq!(world.get("/v1/audit/keys").await.expect(200)["keys"][0]["kid"], told["key"]);
}

#[tokio::test]
async fn a_shell_hears_what_was_done_to_the_ledger() {
    let world = with_tenants().await;
    let (code, out, err) = run(&world, &["audit", "verify"]).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("in 3 chains: in order"), "{out}");
    let (_, listed, _) = run(&world, &["audit", "list", "--tenant", "acme", "--action", "tenant.rename"]).await;
    assert_eq!(listed.lines().count(), 3, "{listed}");
    let line = ["audit", "export", "--format", "csv", "--tenant", "acme", "--action", "tenant."];
    let (_, csv, _) = run(&world, &line).await;
    assert!(csv.starts_with("\"id\",\"at\",\"actor\",") && csv.lines().count() == 4, "{csv}");
    let file = world.dir.path().join("checkpoints.jsonl");
    let mut text = String::new();
    for line in [&["audit", "checkpoint"][..], &["audit", "checkpoint", "--tenant", "acme"]] {
        text.push_str(&run(&world, line).await.1);
    }
    std::fs::write(&file, &text).unwrap();
    let file = file.to_str().unwrap();
    let sound = json_of(&world, &["audit", "verify", "--checkpoint", file, "--json"]).await;
    assert_eq!((&sound["compared"], &sound["faults"]), (&json!(2), &json!([])));

    let acme = world.get("/v1/tenants/acme").await.expect(200)["id"].as_str().unwrap().to_owned();
    let pro = world.get("/v1/tenants/pro").await.expect(200)["id"].as_str().unwrap().to_owned();
    raw(&world, &format!("UPDATE audit SET actor = 'nobody' WHERE chain = '{pro}' AND number = 2")).await;
    let (code, out, err) = run(&world, &["audit", "verify"]).await;
    assert_eq!(code, 3, "{out}");
    assert!(out.contains(&format!("{pro}: line 2 was changed")) && err.contains("1 fault"), "{out}{err}");
    // The tail of the other, with a row that fits: only the checkpoint knows.
    raw(
        &world,
        &format!(
            "DELETE FROM audit WHERE chain = '{acme}' AND number > 1; UPDATE audit_chains SET number = 1, head = \
             (SELECT hash FROM audit WHERE chain = '{acme}') WHERE chain = '{acme}'"
        ),
    )
    .await;
    assert_eq!(run(&world, &["audit", "verify", "--tenant", "acme"]).await.0, 0);
    let (code, out, _) = run(&world, &["audit", "verify", "--tenant", "acme", "--checkpoint", file]).await;
    assert_eq!(code, 3);
    // That the chain was looked at is a line of it: it grows again, another way.
    let told = out.lines().find(|line| line.starts_with(&acme)).unwrap_or_default();
    assert!(told.contains(" missing") || told.contains(" made anew"), "{out}");
    let (code, _, err) = run(&world, &["audit", "verify", "--checkpoint", "/nowhere"]).await;
    assert_eq!(code, 1);
    assert!(err.contains("/nowhere"), "{err}");
}

#[tokio::test]
async fn lines_are_kept_as_long_as_the_plan_says_and_checkpoints_are_written() {
    let world = with_tenants().await;
    let file = world.dir.path().join("told.jsonl");
    let mut config = tenantry::config::Config::clone(&world.config.load());
    config.audit.checkpoints = Some(file.clone());
    world.config.store(Arc::new(config));
    let tenancy = world.tenancy();
    let left = async |slug: &str| -> Vec<String> {
        let page = world.get(&format!("/v1/tenants/{slug}/audit")).await.expect(200).clone();
        page["items"].as_array().unwrap().iter().map(|line| line["action"].as_str().unwrap().to_owned()).collect()
    };
    tenancy.pass_ledger("a", true).await.unwrap();
    assert_eq!(lines(&std::fs::read_to_string(&file).unwrap()).len(), 3);
    // Another node has nothing to do with it meanwhile.
    world.call("PATCH", "/v1/tenants/acme", json!({"name": "Three"})).await.expect(200);
    tenancy.pass_ledger("b", true).await.unwrap();
    assert_eq!(lines(&std::fs::read_to_string(&file).unwrap()).len(), 3);
    tenancy.pass_ledger("a", true).await.unwrap();
    assert_eq!(lines(&std::fs::read_to_string(&file).unwrap()).len(), 4);

    for (days, acme, pro) in [(89, 4, 3), (3, 1, 3), (273, 1, 1)] {
        world.clock.advance(DAY * days);
        for _ in 0..3 {
            world.clock.advance(Duration::from_secs(3_600));
            tenancy.pass_ledger("a", false).await.unwrap();
        }
        assert_eq!((left("acme").await.len(), left("pro").await.len()), (acme, pro), "after {days} days more");
    }
    assert_eq!((left("acme").await, left("pro").await), (vec!["audit.cut".to_owned()], vec!["audit.cut".to_owned()]));
    let checked = lines(&world.get("/v1/audit/verify").await.text);
    assert_eq!(checked.last().unwrap()["faults"], 0, "{checked:?}");
}

#[tokio::test]
async fn what_cannot_be_done_to_one_chain_keeps_no_other_from_being_cut() {
    let world = with_tenants().await;
    let tenancy = world.tenancy();
    let mut config = tenantry::config::Config::clone(&world.config.load());
    config.audit.checkpoints = Some("/nowhere/at/all/told.jsonl".into());
    world.config.store(Arc::new(config));
    let id = async |slug: &str| world.get(&format!("/v1/tenants/{slug}")).await.expect(200)["id"].clone();
    let (acme, pro) = (id("acme").await, id("pro").await);
    // Its row is no row of a chain any more, and it is the first whose turn it is.
    let (acme, pro) = (acme.as_str().unwrap(), pro.as_str().unwrap());
    raw(&world, &format!("UPDATE audit_chains SET head = x'00', due = 0 WHERE chain = '{acme}'")).await;
    world.clock.advance(DAY * 400);
    let error = tenancy.pass_ledger("a", true).await.unwrap_err().to_string();
    assert!(error.contains("/nowhere/at/all"), "{error}");
    let left = async |chain: &str| {
        let path = format!("/v1/audit?tenant={chain}");
        let page = world.get(&path).await.expect(200).clone();
        page["items"].as_array().unwrap().iter().map(|line| line["action"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(left(pro).await, ["audit.cut"]);
    assert_eq!(left(acme).await.len(), 3, "what is not in order stays");
}

#[tokio::test]
async fn what_is_refused_is_noted() {
    let world = with_tenants().await;
    let revision = world.revision().await;
    let wrong = format!("Bearer arc_live_0123abcd_{}", "0".repeat(64));
    world.raw("GET", "/v1/tenants/acme", &[("authorization", &wrong)], "").await.refused(401, "unauthorized");
    let noted = async || -> Vec<Value> {
        world.get("/v1/audit?action=access.refused").await.expect(200)["items"].as_array().unwrap().clone()
    };
    let found = tokio::time::timeout(Duration::from_secs(30), async {
        while noted().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    found.await.unwrap();
    let line = noted().await.remove(0);
    assert_eq!((&line["actor"], &line["subject"]), (&json!("nobody"), &json!("/v1/tenants/{tenant}")));
    assert_eq!((&line["from"], &line["detail"]), (&json!("127.0.0.1"), &json!({"code": "unauthorized"})));
    assert_eq!(world.revision().await, revision, "nobody is woken for it");
}
