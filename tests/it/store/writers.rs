//! Writing transactions: ordered, all or nothing, and in nobody's way.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use tenantry::clock::Clock;
use tenantry::model::{Change, Status, Tenant};
use tenantry::store::{News, Store, StoreError};
use tokio::task::JoinSet;

use super::{Ground, LONG, contract, insert, sealer, slug, tenant};

contract!(
    revisions_are_ordered_under_200_writers,
    a_dropped_write_leaves_nothing,
    a_write_that_failed_cannot_be_committed,
    readers_do_not_wait_for_a_writer,
    a_write_cut_off_in_its_middle_frees_the_way,
    an_acknowledged_write_survives_kill,
);

async fn revisions_are_ordered_under_200_writers(ground: Ground) {
    let stores = [ground.open().await, ground.open().await];
    let follower = tokio::spawn({
        let store = stores[1].clone();
        async move {
            let (mut cursor, mut seen) = (0, Vec::new());
            while cursor < 200 {
                match store.news(cursor).await.unwrap() {
                    News::Changes { changes, revision } => {
                        assert!(revision >= cursor);
                        assert_eq!(changes.len() as i64, (revision - cursor) * 2, "whole revisions, none twice");
                        seen.extend(changes);
                        cursor = revision;
                    }
                    News::TooOld { .. } => panic!("nothing was pruned"),
                }
                store.wait_for_news(cursor, std::time::Duration::from_millis(20)).await;
            }
            seen
        }
    });
    let mut writers = JoinSet::new();
    for number in 0..200 {
        let store = stores[number % 2].clone();
        writers.spawn(async move {
            let tenant = tenant(&format!("t{number}"));
            // On a machine too busy for 200 turns in ten seconds, one more turn is asked for.
            let mut write = loop {
                match store.write().await {
                    Err(StoreError::Unavailable(_)) => continue,
                    other => break other.unwrap(),
                }
            };
            let revision = write.revision();
            write.insert_tenant(&tenant).await.unwrap();
            assert_eq!(write.commit().await.unwrap(), revision);
            (revision, tenant.id)
        });
    }
    let mut written = writers.join_all().await;
    written.sort();
    assert_eq!(written.iter().map(|(revision, _)| *revision).collect::<Vec<_>>(), (1..=200).collect::<Vec<_>>());
    let seen = tokio::time::timeout(LONG, follower).await.unwrap().unwrap();
    let tenants: Vec<Change> = seen.into_iter().filter(|change| matches!(change, Change::Tenant(_))).collect();
    let expected: Vec<Change> = written.into_iter().map(|(_, id)| Change::Tenant(id)).collect();
    assert_eq!(tenants, expected, "in the order of their revisions");
}

async fn a_dropped_write_leaves_nothing(ground: Ground) {
    let store = ground.open().await;
    insert(&store, &[&tenant("acme")]).await;
    for _ in 0..20 {
        let mut write = store.write().await.unwrap();
        assert_eq!(write.revision(), 2);
        write.insert_tenant(&tenant("beta")).await.unwrap();
        write.put_secret("assertion-key", b"secret").await.unwrap();
        drop(write);
    }
    assert_eq!(store.revision().await.unwrap(), 1);
    assert_eq!(store.tenant_by_slug(&slug("beta")).await.unwrap(), None);
    assert!(store.secret("assertion-key").await.unwrap().is_none());
    assert_eq!(store.news(1).await.unwrap(), News::Changes { changes: vec![], revision: 1 });
    assert_eq!(insert(&store, &[&tenant("beta")]).await, 2);
}

async fn a_write_that_failed_cannot_be_committed(ground: Ground) {
    let store = ground.open().await;
    ground.raw("ALTER TABLE tokens RENAME TO nokens").await;
    let mut write = store.write().await.unwrap();
    write.insert_tenant(&tenant("acme")).await.unwrap();
    let error = write.delete_token(None, "x").await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    assert!(matches!(write.commit().await, Err(StoreError::Unavailable(_))));
    assert_eq!(store.tenant_by_slug(&slug("acme")).await.unwrap(), None);
    ground.raw("ALTER TABLE nokens RENAME TO tokens").await;
    assert!(!store.write().await.unwrap().delete_token(None, "x").await.unwrap());
}

async fn readers_do_not_wait_for_a_writer(ground: Ground) {
    let store = ground.open().await;
    let acme = tenant("acme");
    insert(&store, &[&acme]).await;
    let mut write = store.write().await.unwrap();
    write.update_tenant(&Tenant { status: Status::Suspended, ..acme.clone() }).await.unwrap();
    // More readers than connections, while the write is open.
    let mut readers = JoinSet::new();
    for _ in 0..50 {
        let (store, id) = (store.clone(), acme.id);
        readers.spawn(async move { store.tenant(id).await.unwrap().unwrap().status });
    }
    let seen: BTreeSet<&str> = readers.join_all().await.into_iter().map(Status::as_str).collect();
    assert_eq!(seen, BTreeSet::from(["active"]));
    write.commit().await.unwrap();
    assert_eq!(store.tenant(acme.id).await.unwrap().unwrap().status, Status::Suspended);
}

async fn a_write_cut_off_in_its_middle_frees_the_way(ground: Ground) {
    let store = ground.open().await;
    for polls in 0..12 {
        let mut writing = Box::pin(async {
            let mut write = store.write().await.unwrap();
            write.insert_tenant(&tenant("acme")).await.unwrap();
            std::future::pending::<()>().await;
        });
        // Wherever it stands after so many steps, it is dropped there.
        for _ in 0..polls {
            tokio::select! { biased; () = &mut writing => {} () = tokio::task::yield_now() => {} }
        }
    }
    let revision = tokio::time::timeout(LONG, insert(&store, &[&tenant("acme")])).await.unwrap();
    assert_eq!(revision, 1);
}

const CRASH_URL: &str = "TENANTRY_TEST_CRASH_URL";

/// Run as a program of its own by [`an_acknowledged_write_survives_kill`]: writes for ever, and says what was committed.
#[tokio::test]
async fn child_that_writes_until_it_is_killed() {
    let Ok(url) = std::env::var(CRASH_URL) else { return };
    let store = Store::open(&url, 4, sealer(1), Clock::system()).await.unwrap();
    for number in 0.. {
        let revision = insert(&store, &[&tenant(&format!("t{number}"))]).await;
        println!("\ncommitted {revision} t{number}");
    }
}

async fn an_acknowledged_write_survives_kill(ground: Ground) {
    let name = "store::writers::child_that_writes_until_it_is_killed";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(CRASH_URL, &ground.url)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut committed = lines.filter(|line| line.starts_with("committed "));
    let mut acknowledged: Vec<String> = committed.by_ref().take(30).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    acknowledged.extend(committed);
    assert!(acknowledged.len() >= 30, "{acknowledged:?}");
    let store = ground.open().await;
    for line in &acknowledged {
        let (revision, name) = line.strip_prefix("committed ").unwrap().split_once(' ').unwrap();
        let found = store.tenant_by_slug(&slug(name)).await.unwrap().expect(line);
        assert_eq!(found.revision.to_string(), revision);
    }
    // One more may have been committed and not been acknowledged; the feed agrees with the rows either way.
    let revision = store.revision().await.unwrap();
    assert!((acknowledged.len()..=acknowledged.len() + 1).contains(&(revision as usize)), "{revision}");
    assert_eq!(super::all_news(&store, 0).await.0.len() as i64, revision * 2);
}
