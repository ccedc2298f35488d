//! The change feed: nothing is missed, nothing comes twice, and a follower that fell behind is told so.

use std::time::Duration;

use tenantry::model::{Change, Status, Tenant};
use tenantry::store::{MOST_NEWS, News, Store};

use super::{Ground, LONG, all_news, contract, insert, tenant};

contract!(
    changes_come_in_order_and_each_once_per_revision,
    an_answer_is_bounded_and_ends_with_a_whole_revision,
    too_many_changes_at_once_are_a_reset,
    a_follower_that_is_too_old_or_too_new_is_told_to_start_again,
    a_kind_that_this_version_does_not_know_is_a_reset,
    two_handles_see_each_others_writes,
    waiting_returns_at_once_when_there_is_news_already,
    waiting_waits_when_the_store_went_back_in_time,
);

async fn publish(store: &Store, changes: impl IntoIterator<Item = Change>) -> i64 {
    let mut write = store.write().await.unwrap();
    for change in changes {
        write.change(change);
    }
    write.commit().await.unwrap()
}

fn numbered(range: std::ops::Range<usize>) -> Vec<Change> {
    range.map(|number| Change::Challenge(format!("c{number}"))).collect()
}

async fn changes_come_in_order_and_each_once_per_revision(ground: Ground) {
    let store = ground.open().await;
    assert_eq!(store.revision().await.unwrap(), 0);
    assert_eq!(store.news(0).await.unwrap(), News::Changes { changes: vec![], revision: 0 });
    let acme = tenant("acme");
    insert(&store, &[&acme]).await;
    let mut write = store.write().await.unwrap();
    write.update_tenant(&Tenant { status: Status::Suspended, ..acme.clone() }).await.unwrap();
    write.update_tenant(&Tenant { status: Status::Active, ..acme.clone() }).await.unwrap();
    write.change(Change::Keys);
    assert_eq!(write.commit().await.unwrap(), 2);
    assert_eq!(publish(&store, []).await, 3);
    let expected = vec![Change::Tenant(acme.id), Change::Slug(acme.slug), Change::Tenant(acme.id), Change::Keys];
    assert_eq!(store.news(0).await.unwrap(), News::Changes { changes: expected.clone(), revision: 3 });
    assert_eq!(store.news(1).await.unwrap(), News::Changes { changes: expected[2..].to_vec(), revision: 3 });
    assert_eq!(store.news(3).await.unwrap(), News::Changes { changes: vec![], revision: 3 });
    assert_eq!(store.revision().await.unwrap(), 3);
}

async fn an_answer_is_bounded_and_ends_with_a_whole_revision(ground: Ground) {
    let store = ground.open().await;
    for start in (0..2_400).step_by(400) {
        publish(&store, numbered(start..start + 400)).await;
        publish(&store, []).await;
    }
    let News::Changes { changes, revision } = store.news(0).await.unwrap() else { panic!("too old") };
    assert_eq!((changes.len(), revision), (800, 4), "two revisions of 400, and the empty ones beside them");
    assert_eq!(all_news(&store, 0).await, (numbered(0..2_400), 12));
    assert_eq!(publish(&store, numbered(0..MOST_NEWS)).await, 13);
    let News::Changes { changes, revision } = store.news(12).await.unwrap() else { panic!("too old") };
    assert_eq!((changes.len(), revision), (MOST_NEWS, 13));
}

async fn too_many_changes_at_once_are_a_reset(ground: Ground) {
    let store = ground.open().await;
    publish(&store, numbered(0..MOST_NEWS + 1)).await;
    assert_eq!(store.news(0).await.unwrap(), News::Changes { changes: vec![Change::Reset], revision: 1 });
}

async fn a_follower_that_is_too_old_or_too_new_is_told_to_start_again(ground: Ground) {
    let store = ground.open().await;
    for number in 0..10 {
        publish(&store, numbered(number..number + 2)).await;
    }
    assert_eq!(store.prune_changes(100).await.unwrap(), 0);
    assert_eq!(
        store.news(0).await.unwrap(),
        News::Changes { changes: (0..10).flat_map(|number| numbered(number..number + 2)).collect(), revision: 10 }
    );
    assert_eq!(store.prune_changes(3).await.unwrap(), 14);
    assert_eq!(store.prune_changes(5).await.unwrap(), 0, "what is gone stays gone");
    for cursor in [0, 6] {
        assert_eq!(store.news(cursor).await.unwrap(), News::TooOld { revision: 10 });
    }
    assert_eq!(all_news(&store, 7).await.0.len(), 6);
    assert_eq!(store.news(11).await.unwrap(), News::TooOld { revision: 10 });
    assert_eq!(store.prune_changes(0).await.unwrap(), 6);
    assert_eq!(store.news(10).await.unwrap(), News::Changes { changes: vec![], revision: 10 });
    assert_eq!(publish(&store, []).await, 11, "pruning takes no revision");
}

async fn a_kind_that_this_version_does_not_know_is_a_reset(ground: Ground) {
    let store = ground.open().await;
    publish(&store, [Change::Keys]).await;
    ground.raw("UPDATE changes SET kind = 'weather'").await;
    assert_eq!(store.news(0).await.unwrap(), News::Changes { changes: vec![Change::Reset], revision: 1 });
}

async fn two_handles_see_each_others_writes(ground: Ground) {
    let (here, there) = (ground.open().await, ground.open().await);
    let acme = tenant("acme");
    let (mut cursor, mut expected) = (0, vec![Change::Tenant(acme.id), Change::Slug(acme.slug.clone())]);
    insert(&here, &[&acme]).await;
    for round in 0..5 {
        if ground.is_postgres() {
            // Nothing but the server's notification can end this wait.
            tokio::time::timeout(LONG, there.wait_for_news(cursor, LONG * 60)).await.unwrap();
        }
        let (changes, reached) = all_news(&there, cursor).await;
        assert_eq!((changes, reached), (expected, round + 1));
        assert_eq!(there.tenant(acme.id).await.unwrap().unwrap().revision, reached);
        cursor = reached;
        let mut write = here.write().await.unwrap();
        write.update_tenant(&acme).await.unwrap();
        write.commit().await.unwrap();
        expected = vec![Change::Tenant(acme.id)];
    }
    // And the other way, in turns: one writer at a time.
    for store in [&there, &here, &there] {
        publish(store, []).await;
    }
    assert_eq!(here.revision().await.unwrap(), there.revision().await.unwrap());
}

async fn waiting_returns_at_once_when_there_is_news_already(ground: Ground) {
    let store = ground.open().await;
    let cursor = publish(&store, []).await;
    publish(&store, [Change::Keys]).await;
    tokio::time::timeout(LONG, store.wait_for_news(cursor, LONG * 60)).await.unwrap();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.wait_for_news(cursor + 1, LONG * 60).await }
    });
    publish(&store, [Change::Keys]).await;
    tokio::time::timeout(LONG, waiting).await.unwrap().unwrap();
}

async fn waiting_waits_when_the_store_went_back_in_time(ground: Ground) {
    let store = ground.open().await;
    for _ in 0..5 {
        publish(&store, [Change::Keys]).await;
    }
    ground.raw("UPDATE feed SET revision = 2; DELETE FROM changes WHERE revision > 2").await;
    assert_eq!(store.news(5).await.unwrap(), News::TooOld { revision: 2 });
    assert_eq!(store.news(2).await.unwrap(), News::Changes { changes: vec![], revision: 2 });
    let started = tokio::time::Instant::now();
    store.wait_for_news(2, Duration::from_millis(50)).await;
    assert!(started.elapsed() >= Duration::from_millis(50), "nothing is new after 2");
}
