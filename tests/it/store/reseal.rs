//! A change of the key-encryption key: all secrets move to the new one, and an interruption costs nothing.

use tenantry::seal::SealError;
use tenantry::store::{Resealed, Store, StoreError};

use super::vault::certificate;
use super::{Ground, contract, sealer};

contract!(
    everything_moves_to_the_new_key_though_it_is_interrupted,
    a_key_that_is_missing_is_named,
    what_somebody_writes_meanwhile_stays,
);

const SECRETS: u64 = 5;
const CERTIFICATES: u64 = 25;

async fn open(ground: &Ground, new: u8, old: &[u8]) -> Result<Store, StoreError> {
    let sealer = old.iter().fold(sealer(new), |all, key| all.and_old(&super::sealer(*key)));
    Store::open(&ground.url, 8, sealer, ground.clock.clone()).await
}

async fn fill(store: &Store) {
    let mut write = store.write().await.unwrap();
    for number in 0..SECRETS {
        write.put_secret(&format!("secret-{number}"), format!("text {number}").as_bytes()).await.unwrap();
    }
    for number in 0..CERTIFICATES {
        let name = format!("n{number}.example");
        write.insert_certificate(&certificate(&format!("c{number:02}"), &[&name])).await.unwrap();
    }
    let now = write.now();
    write.want_order(&["a.example".into()], None, now).await.unwrap();
    write.set_order_key("a.example", 0, Some(b"order key")).await.unwrap();
    write.commit().await.unwrap();
}

/// Everything opens, whatever keys this store has.
async fn check(store: &Store) {
    for number in 0..SECRETS {
        let text = store.secret(&format!("secret-{number}")).await.unwrap().unwrap();
        assert_eq!(text.as_slice(), format!("text {number}").as_bytes());
    }
    for number in 0..CERTIFICATES {
        assert!(store.certificate(&format!("n{number}.example")).await.unwrap().is_some());
    }
    assert_eq!(store.order_key("a.example").await.unwrap().unwrap().as_slice(), b"order key");
}

async fn everything_moves_to_the_new_key_though_it_is_interrupted(ground: Ground) {
    let store = open(&ground, 1, &[]).await.unwrap();
    fill(&store).await;
    let revision = store.revision().await.unwrap();
    store.close().await;
    let all = SECRETS + CERTIFICATES + 1;
    let mut left = all;
    // Each time it is stopped after a few batches more.
    for batches in 1.. {
        let store = open(&ground, 2, &[1]).await.unwrap();
        assert_eq!(store.sealed_under_old_keys().await.unwrap(), left);
        let mut reseal = store.reseal(2);
        let mut ready = false;
        for _ in 0..batches {
            ready = reseal.step().await.unwrap();
            if ready {
                break;
            }
        }
        left -= reseal.done().all();
        check(&store).await;
        store.close().await;
        if ready {
            break;
        }
        // Half-way, neither key opens the store alone.
        let error = open(&ground, 2, &[]).await.unwrap_err();
        assert!(matches!(error, StoreError::Seal(SealError::OtherKey { .. })), "{error}");
    }
    assert_eq!(left, 0);
    let store = open(&ground, 2, &[]).await.unwrap();
    check(&store).await;
    assert_eq!(store.revision().await.unwrap(), revision, "no edge has to forget anything");
    // Nothing is left to do, and doing it is harmless.
    let mut reseal = store.reseal(100);
    while !reseal.step().await.unwrap() {}
    assert_eq!(reseal.done(), Resealed::default());
    let error = open(&ground, 1, &[]).await.unwrap_err();
    assert!(error.to_string().contains(&sealer(2).key_id().to_string()), "{error}");
}

async fn a_key_that_is_missing_is_named(ground: Ground) {
    let store = open(&ground, 1, &[]).await.unwrap();
    fill(&store).await;
    let mut first = open(&ground, 2, &[1]).await.unwrap().reseal(1);
    first.step().await.unwrap();
    // One secret is under key 2; whoever has 1 and 3 alone cannot go on, and is told what is missing.
    let mut reseal = open(&ground, 3, &[1]).await.unwrap().reseal(100);
    let error = loop {
        match reseal.step().await {
            Ok(done) => assert!(!done),
            Err(error) => break error.to_string(),
        }
    };
    let missing = sealer(2).key_id().to_string();
    assert!(error.contains(&missing) && error.contains("store.old_keys"), "{error}");
    let store = open(&ground, 3, &[1, 2]).await.unwrap();
    let mut reseal = store.reseal(100);
    while !reseal.step().await.unwrap() {}
    check(&open(&ground, 3, &[]).await.unwrap()).await;
}

async fn what_somebody_writes_meanwhile_stays(ground: Ground) {
    let old = open(&ground, 1, &[2]).await.unwrap();
    fill(&old).await;
    let new = open(&ground, 2, &[1]).await.unwrap();
    let mut reseal = new.reseal(2);
    reseal.step().await.unwrap();
    // A node with the former order of keys writes behind the place where the work is.
    let mut write = old.write().await.unwrap();
    write.put_secret("secret-0", b"text 0").await.unwrap();
    write.put_secret("late", b"late").await.unwrap();
    write.commit().await.unwrap();
    while !reseal.step().await.unwrap() {}
    let only = open(&ground, 2, &[]).await.unwrap();
    check(&only).await;
    assert_eq!(only.secret("late").await.unwrap().unwrap().as_slice(), b"late");
    assert_eq!(only.sealed_under_old_keys().await.unwrap(), 0);
}
