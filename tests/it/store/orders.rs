//! Leases of orders: what a process gives up when it ends in good order is anybody's at once.

use std::time::Duration;

use super::{Ground, contract};

contract!(what_is_given_up_can_be_taken_at_once);

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
