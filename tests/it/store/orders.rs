//! Leases of orders: what a process gives up when it ends in good order is anybody's at once, and so is what an operator wants
//! done now.

use std::time::Duration;

use super::{Ground, contract};

contract!(what_is_given_up_can_be_taken_at_once, what_an_operator_wants_now_is_not_undone_by_whoever_has_it_in_hand);

async fn what_is_given_up_can_be_taken_at_once(ground: Ground) {
    let store = ground.open().await;
    let now = ground.clock.now();
    let mut aside = store.aside().await.unwrap();
    for name in ["a.example", "b.example"] {
        assert!(aside.want_order(&[name.to_owned()], None, now).await.unwrap());
    }
    aside.commit().await.unwrap();
    let lease = now + Duration::from_secs(15);
    let take = async |name: &str, owner: &str| {
        let fence = store.order(name).await.unwrap().unwrap().fence;
        let mut aside = store.aside().await.unwrap();
        let taken = aside.take_order(name, fence, owner, lease).await.unwrap();
        aside.commit().await.unwrap();
        taken
    };
    assert!(take("a.example", "old").await.is_some() && take("b.example", "other").await.is_some());
    assert!(take("a.example", "new").await.is_none(), "somebody has it");
    let mut aside = store.aside().await.unwrap();
    assert_eq!(aside.release_orders("old").await.unwrap(), 1);
    aside.commit().await.unwrap();
    assert!(take("a.example", "new").await.is_some());
    assert!(take("b.example", "new").await.is_none(), "that one was somebody else's");
}

async fn what_an_operator_wants_now_is_not_undone_by_whoever_has_it_in_hand(ground: Ground) {
    let store = ground.open().await;
    let now = ground.clock.now();
    let name = "a.example";
    let mut aside = store.aside().await.unwrap();
    assert!(aside.want_order(&[name.to_owned()], None, now).await.unwrap());
    aside.commit().await.unwrap();
    let mut row = store.order(name).await.unwrap().unwrap();
    let mut aside = store.aside().await.unwrap();
    let lease = now + Duration::from_secs(15);
    row.fence = aside.take_order(name, row.fence, "worker", lease).await.unwrap().unwrap();
    aside.commit().await.unwrap();

    let mut write = store.write().await.unwrap();
    assert!(write.requeue_order(name, now).await.unwrap());
    write.commit().await.unwrap();
    let mut aside = store.aside().await.unwrap();
    row.stage = "issued".into();
    row.not_before = now + Duration::from_secs(3_600);
    assert!(!aside.save_order(&row).await.unwrap() && !aside.extend_order(name, row.fence, lease).await.unwrap());
    aside.commit().await.unwrap();
    let found = store.order(name).await.unwrap().unwrap();
    assert_eq!((found.stage.as_str(), found.not_before, found.owner), ("waiting", now, None));
    let mut aside = store.aside().await.unwrap();
    assert!(aside.take_order(name, found.fence, "worker", lease).await.unwrap().is_some(), "at once");
    aside.commit().await.unwrap();
}
