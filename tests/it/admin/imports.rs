//! Imports, lists, searches and counts over HTTP; and the command line's import.

use serde_json::{Value, json};

use super::world::World;

const CSV: [(&str, &str); 1] = [("content-type", "text/csv")];

fn slugs(body: &Value) -> Vec<&str> {
    body["items"].as_array().unwrap().iter().map(|item| item["slug"].as_str().unwrap()).collect()
}

fn faults(body: &Value) -> Vec<(&str, &str)> {
    body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| (fault["pointer"].as_str().unwrap_or_default(), fault["code"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn a_table_of_tenants_is_imported_whole_with_one_line_in_the_ledger() {
    let world = World::new().await;
    world.tenant_with_domains("acme", &[]).await;
    let table = "\u{feff}slug,name,plan,parent,status,trial_days\r\n\
                 north,\"North, Sea & Co\",growth,,active,\r\nshop,Shop,,north,,30\r\nkiosk,Kiosk,,shop,pending,\r\n\
                 branch,Branch,,acme,active,\r\n";
    let before = world.revision().await;
    let dry = world.raw("POST", "/v1/imports/tenants?dry_run=true", &CSV, table).await;
    let dry = dry.expect(200).clone();
    assert_eq!((dry["rows"].clone(), dry["imported"].clone()), (json!(4), json!(0)));
    assert_eq!(world.revision().await, before, "a dry run changes nothing");
    let done = world.raw("POST", "/v1/imports/tenants", &CSV, table).await;
    assert_eq!(done.expect(200)["imported"], 4);
    assert_eq!(done.json["sha256"], dry["sha256"]);
    assert_eq!(world.revision().await, before + 1);
    let ledger = world.ledger().await;
    assert_eq!(ledger[0]["action"], "tenant.import");
    assert_eq!(ledger[0]["detail"]["tenants"], 4);
    assert_eq!(ledger[0]["subject"], dry["sha256"]);
    let shop = world.get("/v1/tenants/shop").await.expect(200).clone();
    assert_eq!(shop["effective"]["plan"], "growth", "by its parent");
    assert_eq!((shop["status"].as_str(), shop["trial_ends"].as_str()), (Some("trial"), Some("2026-12-21T12:00:00Z")));
    let news = world.store.news(before).await.unwrap();
    assert!(format!("{news:?}").contains("[Reset]"), "{news:?}");

    let domains = "tenant,domain,verified\nnorth,North.Example,true\nshop,shop.example,\nnorth,shop.example,false\n";
    assert_eq!(world.raw("POST", "/v1/imports/domains?dry_run=true", &CSV, domains).await.expect(200)["rows"], 3);
    world.raw("POST", "/v1/imports/domains", &CSV, domains).await.expect(200);
    assert_eq!(world.get("/v1/domains/north.example").await.expect(200)["state"], "verified");
    let stats = world.get("/v1/stats").await.expect(200).clone();
    assert_eq!((&stats["tenants"]["total"], &stats["tenants"]["trial"]), (&json!(5), &json!(1)));
    assert_eq!((&stats["domains"]["total"], &stats["domains"]["pending"]), (&json!(3), &json!(2)));
    world.stop().await;
}

#[tokio::test]
async fn a_faulty_table_is_told_line_by_line_and_changes_nothing() {
    let world = World::new().await;
    world.tenant_with_domains("acme", &["acme.example"]).await;
    world.post("/v1/tenants", json!({"slug": "plain", "name": "Plain", "plan": "free"})).await.expect(201);
    let before = world.revision().await;
    let table = "slug,name,plan,parent,status,trial_days\nok,Ok,,,,\nacme,Acme,,,,\nBad,,,,,\nbad slug,X,gold,,,\n\
                 ok,Twice,,,,\nself,S,,self,,\nlate,L,,later,,\nlater,L,,,,\nx,X,,,active,5\ny,Y,,,frozen,many\nz,Z\n";
    for path in ["/v1/imports/tenants", "/v1/imports/tenants?dry_run=true"] {
        let refused = world.raw("POST", path, &CSV, table).await;
        let found = faults(refused.refused(422, "invalid")).into_iter().collect::<std::collections::BTreeSet<_>>();
        let expected = [
            ("/3/slug", "slug-taken"),
            ("/4/name", "required"),
            ("/5/slug", "invalid-slug"),
            ("/5/plan", "unknown-plan"),
            ("/6/slug", "duplicate"),
            ("/7/parent", "unknown-tenant"),
            ("/8/parent", "unknown-tenant"),
            ("/10/trial_days", "contradiction"),
            ("/11/status", "invalid-status"),
            ("/11/trial_days", "wrong-type"),
            ("/12", "wrong-width"),
        ];
        assert_eq!(found, expected.into_iter().collect());
    }
    let table = "domain,tenant,verified\nacme.example,acme,\nacme.example,plain,true\nnew.example,nobody,\n\
                 connect.localhost,acme,\nx.example,acme,true\nx.example,acme,true\nwhat.example,acme,perhaps\n";
    let refused = world.raw("POST", "/v1/imports/domains", &CSV, table).await;
    let found = faults(refused.refused(422, "invalid")).into_iter().collect::<std::collections::BTreeSet<_>>();
    let expected = [
        ("/2/domain", "domain-exists"),
        ("/3/tenant", "plan-required"),
        ("/4/tenant", "unknown-tenant"),
        ("/5/domain", "reserved"),
        ("/7/domain", "duplicate"),
        ("/8/verified", "wrong-type"),
    ];
    assert_eq!(found, expected.into_iter().collect());
    assert_eq!(world.revision().await, before, "nothing was written");
    let json = [("content-type", "application/json")];
    world.raw("POST", "/v1/imports/tenants", &json, "{}").await.refused(415, "unsupported-media-type");
    world.raw("POST", "/v1/imports/tenants?dry_run=maybe", &CSV, "slug,name\n").await.refused(400, "invalid-parameter");
    let long = format!("slug,name\n{}", "a".repeat(70_000));
    world.raw("POST", "/v1/imports/tenants", &CSV, &long).await.refused(413, "body-too-large");
    world.stop().await;
}

#[tokio::test]
async fn tenants_are_searched_filtered_ordered_and_counted() {
    let world = World::new().await;
    let table = "slug,name,plan,status\nzeta,Äcme Nord,growth,active\nbeta,Beta Works,free,active\n\
                 alpha,acme Süd,growth,trial\ngamma,Gamma,free,trial\n";
    world.raw("POST", "/v1/imports/tenants", &CSV, table).await.expect(200);
    world.post("/v1/tenants/beta/suspend", json!({})).await.expect(200);
    world
        .raw("POST", "/v1/imports/domains", &CSV, "domain,tenant,verified\nworks.example,alpha,true\n")
        .await
        .expect(200);
    let list = async |query: &str| world.get(&format!("/v1/tenants?{query}")).await.expect(200).clone();
    for (query, expected) in [
        ("", vec!["alpha", "beta", "gamma", "zeta"]),
        ("sort=-slug", vec!["zeta", "gamma", "beta", "alpha"]),
        ("sort=name", vec!["zeta", "alpha", "beta", "gamma"]),
        ("sort=-name&plan=growth", vec!["alpha", "zeta"]),
        ("status=trial&sort=name", vec!["alpha", "gamma"]),
        ("status=suspended&plan=growth", vec![]),
        ("search=acme", vec!["zeta", "alpha"]),
        ("search=Works", vec!["beta", "alpha"]),
        // No domain has an Ö in its A-labels.
        ("search=W%C3%96rks", vec!["beta"]),
        ("search=s%C3%BCd&status=trial", vec!["alpha"]),
        ("trial_ends_before=2026-12-06T00:00:00Z", vec!["alpha", "gamma"]),
        ("trial_ends_before=2026-12-01T00:00:00Z", vec![]),
        ("created_from=2026-11-21T12:00:00Z&sort=created", vec!["alpha", "beta", "gamma", "zeta"]),
        ("created_before=2026-11-21T12:00:00Z", vec![]),
        ("parent=nobody", vec![]),
    ] {
        assert_eq!(slugs(&list(query).await), expected, "{query}");
    }
    // Pages lead on, and their cursors belong to one order.
    let first = list("sort=name&limit=3").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(slugs(&list(&format!("sort=name&limit=3&cursor={cursor}")).await), ["gamma"]);
    let elsewhere = world.get(&format!("/v1/tenants?sort=slug&cursor={cursor}")).await;
    elsewhere.refused(400, "invalid-parameter");
    for bad in ["sort=size", "search=", "search=a&sort=name", "created_from=today", "status=frozen", "size=3"] {
        world.get(&format!("/v1/tenants?{bad}")).await.refused(400, "invalid-parameter");
    }
    let stats = world.get("/v1/stats?expiring_days=15").await.expect(200).clone();
    let counts = &stats["tenants"];
    assert_eq!((&counts["total"], &counts["active"], &counts["suspended"]), (&json!(4), &json!(1), &json!(1)));
    assert_eq!((&counts["expiring"], &counts["expiring_before"]), (&json!(2), &json!("2026-12-06T12:00:00Z")));
    assert_eq!(counts["by_plan"], json!([{"plan": "free", "tenants": 2}, {"plan": "growth", "tenants": 2}]));
    assert_eq!(world.get("/v1/stats").await.expect(200)["tenants"]["expiring"], 0);
    let beneath = world.get("/v1/domains?beneath=example").await.expect(200).clone();
    assert_eq!(beneath["items"][0]["domain"], "works.example");
    world.get("/v1/domains?beneath=-").await.refused(400, "invalid-parameter");
    world.get("/v1/domains?sort=size").await.refused(400, "invalid-parameter");
    world.stop().await;
}
