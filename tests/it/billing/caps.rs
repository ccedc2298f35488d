//! Caps of a tenant's own, and the name that a billing system has for it, as an operator sets them.

use serde_json::{Value, json};

use super::{deliver, message, world};
use crate::admin::cli::{good, json_of, run};

#[tokio::test]
async fn a_cap_of_its_own_counts_before_the_plans_and_says_whose_word_it_is() {
    let world = world().await;
    let child = json!({"slug": "shop", "name": "Shop", "parent": "acme", "status": "active"});
    world.post("/v1/tenants", child).await.expect(201);
    let holds = async |tenant: &str| {
        let caps = world.get(&format!("/v1/tenants/{tenant}/effective")).await.expect(200)["caps"].clone();
        (caps["members"].clone(), caps["ai_tokens"].clone())
    };
    let plans = json!({"value": 500_000, "from": "plan"});
    assert_eq!(holds("acme").await, (json!({"value": 10_000, "from": "plan"}), plans.clone()));

    let put = async |caps: Value| world.call("PUT", "/v1/tenants/acme/caps", json!({ "caps": caps })).await;
    let set = put(json!({"members": 2})).await.expect(200).clone();
    assert_eq!(set["caps"], json!({"members": {"cap": 2, "by": "operator"}}));
    deliver(&world, "msg_1", &message(&world, json!({"limits": {"ai_tokens": "unlimited"}}))).await.expect(200);
    let own = |value: Value, by: &str| json!({"value": value, "from": "own", "by": by});
    assert_eq!(holds("acme").await, (own(json!(2), "operator"), own(json!("unlimited"), "billing")));
    let from_parent = json!({"value": 2, "from": "parent", "tenant": "acme", "by": "operator"});
    assert_eq!(holds("shop").await.0, from_parent);

    // What an operator leaves as it is stays the billing system's word.
    let same = put(json!({"members": 3, "ai_tokens": "unlimited"})).await.expect(200)["caps"].clone();
    assert_eq!((&same["members"]["by"], &same["ai_tokens"]["by"]), (&json!("operator"), &json!("billing")));
    assert_eq!(put(json!({"members": null})).await.expect(200)["caps"], json!({}));
    assert_eq!(holds("acme").await.1, plans);
    let line = &world.ledger().await[0];
    assert_eq!((&line["action"], &line["after"]), (&json!("tenant.caps"), &json!({"caps": {}})));
    assert_eq!(line["before"]["caps"]["members"], json!({"cap": 3, "by": "operator"}));

    for (body, pointer, code) in [
        (json!({"caps": {"members": -1}}), "/caps/members", "wrong-type"),
        (json!({"caps": {"members": "many"}}), "/caps/members", "wrong-type"),
        (json!({"caps": {"members": 2e15 as u64}}), "/caps/members", "out-of-range"),
        (json!({"caps": {"a/b": 1}}), "/caps/a~1b", "unknown-cap"),
        (json!({"caps": {"storage": null}}), "/caps/storage", "unknown-cap"),
        (json!({}), "/caps", "required"),
        (json!({"members": 1}), "/members", "unknown-field"),
    ] {
        let reply = world.call("PUT", "/v1/tenants/acme/caps", body.clone()).await;
        let error = &reply.refused(422, "invalid")["errors"][0];
        assert_eq!((&error["pointer"], &error["code"]), (&json!(pointer), &json!(code)), "{body}");
    }
    let headers = [("content-type", "application/json"), ("if-match", "\"1\"")];
    let stale = world.raw("PUT", "/v1/tenants/acme/caps", &headers, "{\"caps\":{}}").await;
    stale.refused(412, "precondition-failed");
}

#[tokio::test]
async fn members_are_refused_by_the_cap_that_holds() {
    let world = world().await;
    let add = async |who: &str| {
        let member = json!({"email": format!("{who}@acme.example"), "role": "member"});
        world.post("/v1/tenants/acme/members", member).await
    };
    deliver(&world, "msg_1", &message(&world, json!({"limits": {"members": 2}}))).await.expect(200);
    add("a").await.expect(201);
    add("b").await.expect(201);
    let full = add("c").await;
    assert_eq!((full.status.as_u16(), &full.json["code"], &full.json["cap"]), (402, &json!("over-cap"), &json!(2)));
    // Less than there are: nobody goes, and nobody comes.
    deliver(&world, "msg_2", &message(&world, json!({"limits": {"members": 1}}))).await.expect(200);
    assert_eq!(world.get("/v1/tenants/acme/members").await.expect(200)["items"].as_array().unwrap().len(), 2);
    assert_eq!(add("c").await.json["cap"], 1);
    deliver(&world, "msg_3", &message(&world, json!({"limits": {"members": null}}))).await.expect(200);
    add("c").await.expect(201);
}

#[tokio::test]
async fn a_billing_name_is_one_tenants_alone() {
    let world = world().await;
    world.tenant_with_domains("beta", &[]).await;
    let patch = async |tenant: &str, body: Value| world.call("PATCH", &format!("/v1/tenants/{tenant}"), body).await;
    let named = patch("acme", json!({"billing_ref": " cus_1 ", "name": "Acme Ltd"})).await.expect(200).clone();
    assert_eq!((&named["billing_ref"], &named["name"]), (&json!("cus_1"), &json!("Acme Ltd")));
    let line = &world.ledger().await[0];
    assert_eq!((&line["action"], &line["after"]["billing_ref"]), (&json!("tenant.change"), &json!("cus_1")));
    patch("acme", json!({"billing_ref": "cus_1"})).await.expect(200);
    let taken = patch("beta", json!({"billing_ref": "cus_1"})).await;
    assert_eq!(taken.refused(409, "billing-ref-taken")["errors"][0]["pointer"], "/billing_ref");
    let by_webhook =
        message(&world, json!({"tenant": {"slug": "beta"}, "status": "suspended", "billing_ref": "cus_1"}));
    deliver(&world, "msg_1", &by_webhook).await.refused(409, "billing-ref-taken");
    assert_eq!(world.get("/v1/tenants/beta").await.expect(200)["status"], "active", "nothing of it was done");

    let slugs = async |query: &str| {
        let found = world.get(&format!("/v1/tenants?{query}")).await.expect(200).clone();
        assert_eq!(found["next_cursor"], Value::Null);
        let items = found["items"].as_array().unwrap().clone();
        items.iter().map(|tenant| tenant["slug"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(slugs("billing_ref=cus_1").await, ["acme"]);
    assert_eq!(slugs("billing_ref=cus_1&status=active&search=acme").await, ["acme"]);
    assert!(slugs("billing_ref=cus_1&status=trial").await.is_empty());
    assert!(slugs("billing_ref=cus_2").await.is_empty());

    patch("acme", json!({"billing_ref": null})).await.expect(200);
    patch("beta", json!({"billing_ref": "cus_1"})).await.expect(200);
    assert_eq!(slugs("billing_ref=cus_1").await, ["beta"]);
    patch("beta", json!({})).await.refused(422, "invalid");
    patch("beta", json!({"billing_ref": ""})).await.refused(422, "invalid");
}

#[tokio::test]
async fn a_tenant_says_neither_what_it_may_have_nor_how_it_is_billed() {
    let world = world().await;
    let token = world.post("/v1/tenants/acme/tokens", json!({"name": "own"})).await.expect(201)["token"].clone();
    let bearer = format!("Bearer {}", token.as_str().unwrap());
    let act = async |method: &str, path: &str, body: Value| {
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        world.raw(method, path, &headers, &body.to_string()).await
    };
    let path = "/v1/tenants/acme";
    act("PUT", "/v1/tenants/acme/caps", json!({"caps": {"members": "unlimited"}}))
        .await
        .refused(403, "insufficient-scope");
    act("PATCH", path, json!({"name": "Mine", "billing_ref": "cus_9"})).await.refused(403, "insufficient-scope");
    act("PATCH", path, json!({"billing_ref": null})).await.refused(403, "insufficient-scope");
    assert_eq!(act("PATCH", path, json!({"name": "Mine"})).await.expect(200)["name"], "Mine");
    assert_eq!(
        act("GET", "/v1/tenants/acme/effective", Value::Null).await.expect(200)["caps"]["members"]["value"],
        10_000
    );
}

#[tokio::test]
async fn caps_and_billing_names_from_a_shell() {
    let world = world().await;
    let shown = good(&world, &["tenant", "caps", "acme"]).await;
    let columns = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(columns(&shown, "ai_tokens")[..3], ["ai_tokens", "500000", "plan"], "{shown}");
    deliver(&world, "msg_1", &message(&world, json!({"limits": {"ai_tokens": 7}}))).await.expect(200);
    let set = good(&world, &["tenant", "caps", "acme", "--set", "members=unlimited"]).await;
    assert_eq!(columns(&set, "members"), ["members", "unlimited", "own", "operator"], "{set}");
    assert_eq!(columns(&set, "ai_tokens"), ["ai_tokens", "7", "own", "billing"], "{set}");
    let json = json_of(&world, &["tenant", "caps", "acme", "--unset", "members", "--json"]).await;
    assert_eq!(json["members"], json!({"value": 10_000, "from": "plan"}));
    assert_eq!(json["ai_tokens"]["by"], "billing");
    let (code, _, err) = run(&world, &["tenant", "caps", "acme", "--set", "storage=1"]).await;
    assert!(code != 0 && err.contains("storage") && err.contains("ai_tokens"), "{err}");
    assert!(good(&world, &["tenant", "effective", "acme"]).await.contains("caps.ai_tokens"));

    good(&world, &["tenant", "billing-ref", "acme", "cus_1"]).await;
    let listed = json_of(&world, &["tenant", "list", "--billing-ref", "cus_1", "--json"]).await;
    assert_eq!(listed[0]["slug"], "acme");
    assert!(good(&world, &["tenant", "show", "acme"]).await.contains("cus_1"));
    good(&world, &["tenant", "billing-ref", "acme", "--none"]).await;
    assert_eq!(json_of(&world, &["tenant", "list", "--billing-ref", "cus_1", "--json"]).await, json!([]));
}
