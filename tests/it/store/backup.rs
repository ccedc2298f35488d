//! Backups, restores and copies: of one moment whatever is written meanwhile, whole or not at all, and noticed by whoever
//! serves from the store that is filled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use tenantry::clock::Timestamp;
use tenantry::model::DomainState;
use tenantry::store::{BillingEventRow, News, Restored, Store, StoreError, dump, restore};
use tokio::sync::mpsc;

use super::{Ground, claim, contract, host, insert, sealer, slug, tenant};

contract!(
    a_backup_under_writes_is_of_one_moment,
    what_was_backed_up_comes_back_and_followers_notice,
    what_is_not_whole_changes_nothing,
    a_copy_to_the_other_engine_and_back_is_the_same,
);

async fn lines_of(url: &str) -> Vec<String> {
    let (sender, mut receiver) = mpsc::channel(16);
    let url = url.to_owned();
    let dumping = tokio::spawn(async move { dump(&url, sender).await });
    let mut lines = Vec::new();
    while let Some(line) = receiver.recv().await {
        lines.push(line);
    }
    let rows = dumping.await.unwrap().unwrap();
    let of_rows = lines.iter().filter(|line| line.starts_with('[')).count();
    assert_eq!(rows, of_rows as u64);
    lines
}

async fn put(url: &str, key: u8, lines: &[String], replace: bool) -> Result<Restored, StoreError> {
    let (sender, receiver) = mpsc::channel(16);
    let lines = lines.to_vec();
    tokio::spawn(async move {
        for line in lines {
            if sender.send(line).await.is_err() {
                break;
            }
        }
    });
    restore(url, &sealer(key), Timestamp(5_000), receiver, replace).await
}

/// The rows of a table, as they are written.
fn rows<'l>(lines: &'l [String], table: &str) -> Vec<&'l str> {
    let head = format!("\"table\":\"{table}\"");
    let after = lines.iter().skip_while(|line| !line.contains(&head)).skip(1);
    after.take_while(|line| line.starts_with('[')).map(String::as_str).collect()
}

async fn a_backup_under_writes_is_of_one_moment(ground: Ground) {
    let store = ground.open().await;
    let over = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (store, over) = (store.clone(), Arc::clone(&over));
        async move {
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                number += 1;
                let mut write = store.write().await.unwrap();
                let new = tenant(&format!("t{number}"));
                write.insert_tenant(&new).await.unwrap();
                let name = format!("d{number}.example");
                write.insert_domain(&claim(&name, new.id, DomainState::Verified)).await.unwrap();
                write.put_secret(&name, b"secret").await.unwrap();
                write.commit().await.unwrap();
            }
            number
        }
    });
    let mut seen = Vec::new();
    while seen.len() < 5 || *seen.last().unwrap() < 20 {
        let lines = lines_of(&ground.url).await;
        let header: Value = serde_json::from_str(&lines[0]).unwrap();
        let count = rows(&lines, "tenants").len();
        assert_eq!(header["revision"], count, "each write has made one of each");
        assert_eq!((rows(&lines, "domains").len(), rows(&lines, "secrets").len()), (count, count));
        assert!(!lines.iter().any(|line| line.contains("secret\"")), "sealed");
        seen.push(count);
    }
    over.store(true, Ordering::Relaxed);
    let written = writing.await.unwrap();
    println!("moments {seen:?} of {written} writes");
    assert!(seen.is_sorted());
}

/// A parent whose id comes after its child's, a domain, a secret.
async fn furnish(store: &Store) {
    let (mut child, parent) = (tenant("child"), tenant("parent"));
    insert(store, &[&parent]).await;
    child.parent = Some(parent.id);
    let mut write = store.write().await.unwrap();
    write.insert_tenant(&child).await.unwrap();
    write.insert_domain(&claim("a.example", child.id, DomainState::Verified)).await.unwrap();
    write.put_secret("ring", b"of keys").await.unwrap();
    let taken = BillingEventRow {
        id: "msg_1".into(),
        fingerprint: [7; 32],
        occurred: Timestamp(7),
        tenant: parent.id,
        answer: serde_json::json!({"applied": true}),
    };
    write.insert_billing_event(&taken).await.unwrap();
    write.commit().await.unwrap();
}

async fn what_was_backed_up_comes_back_and_followers_notice(ground: Ground) {
    let store = ground.open().await;
    furnish(&store).await;
    let lines = lines_of(&ground.url).await;
    let revision = insert(&store, &[&tenant("later")]).await;
    let refused = put(&ground.url, 1, &lines, false).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Conflict(why) if why.contains("--replace")), "{refused}");
    assert_eq!(store.revision().await.unwrap(), revision);

    let restored = put(&ground.url, 1, &lines, true).await.unwrap();
    assert!(restored.revision > revision && restored.from < revision);
    assert!(store.tenant_by_slug(&slug("later")).await.unwrap().is_none());
    let child = store.tenant_by_slug(&slug("child")).await.unwrap().unwrap();
    assert_eq!(child.parent, store.tenant_by_slug(&slug("parent")).await.unwrap().map(|parent| parent.id));
    assert_eq!(store.held_domain(&host("a.example").into()).await.unwrap().unwrap().tenant, child.id);
    assert_eq!(store.secret("ring").await.unwrap().unwrap().as_slice(), b"of keys");
    for cursor in [0, revision - 1, revision, restored.revision - 2] {
        let news = store.news(cursor).await.unwrap();
        assert_eq!(news, News::TooOld { revision: restored.revision }, "a follower at {cursor} forgets everything");
    }
    let ledger = store.audit(None, &Default::default()).await.unwrap();
    assert_eq!(ledger[0].2.action, "store.restore");
    // It goes on from there.
    assert_eq!(insert(&store, &[&tenant("after")]).await, restored.revision + 1);
    // Into a store that was just made, too, with the key that belongs to it and no other.
    let fresh = Ground::sqlite();
    let error = put(&fresh.url, 2, &lines, false).await.unwrap_err();
    assert!(matches!(error, StoreError::Seal(_)), "{error}");
    let fresh = Ground::sqlite();
    put(&fresh.url, 1, &lines, false).await.unwrap();
    assert!(fresh.open().await.tenant_by_slug(&slug("child")).await.unwrap().is_some());
}

async fn what_is_not_whole_changes_nothing(ground: Ground) {
    let store = ground.open().await;
    furnish(&store).await;
    let lines = lines_of(&ground.url).await;
    let revision = store.revision().await.unwrap();
    let last = lines.len() - 1;
    let mut changed = lines.clone();
    let at = changed.iter().position(|line| line.starts_with('[') && line.contains("\"parent\"")).unwrap();
    changed[at] = changed[at].replace("\"parent\"", "\"patent\"");
    let mut newer = lines.clone();
    newer[0] = newer[0].replace("\"schema\":", "\"schema\":9");
    for (what, broken) in [
        ("changed after it was made", &changed[..]),
        ("breaks off", &lines[..last]),
        ("breaks off", &lines[..last / 2]),
        ("does not begin like a backup", &lines[1..]),
        ("does not begin like a backup", &[]),
        ("is of schema 9", &newer[..]),
    ] {
        let error = put(&ground.url, 1, broken, true).await.unwrap_err();
        assert!(matches!(&error, StoreError::Backup(why) if why.contains(what)), "{what}: {error}");
        assert!(store.tenant_by_slug(&slug("parent")).await.unwrap().is_some());
        assert_eq!(store.revision().await.unwrap(), revision);
    }
}

async fn a_copy_to_the_other_engine_and_back_is_the_same(ground: Ground) {
    furnish(&ground.open().await).await;
    let other = if ground.is_postgres() { Ground::sqlite() } else { Ground::postgres().await };
    let first = lines_of(&ground.url).await;
    put(&other.url, 1, &first, false).await.unwrap();
    let second = lines_of(&other.url).await;
    put(&ground.url, 1, &second, true).await.unwrap();
    let third = lines_of(&ground.url).await;
    assert_eq!(rows(&first, "billing_events").len(), 1);
    let tables = [
        "tenants",
        "domains",
        "secrets",
        "tokens",
        "certificates",
        "events",
        "retired_slugs",
        "buckets",
        "billing_events",
    ];
    for table in tables {
        let [a, b, c] = [&first, &second, &third].map(|lines| rows(lines, table));
        assert!(a == b && b == c, "{table}:\n{a:?}\n{b:?}\n{c:?}");
    }
    let ledgers = [&first, &second, &third].map(|lines| rows(lines, "audit").len());
    assert_eq!(ledgers, [ledgers[0], ledgers[0] + 1, ledgers[0] + 2], "each has a line of its own");
    assert!(other.open().await.tenant_by_slug(&slug("child")).await.unwrap().is_some());
}
