//! Opening a store: the first time, again, by many at once, and when it cannot be opened.

use std::os::unix::fs::PermissionsExt;

use tenantry::clock::Clock;
use tenantry::store::{Store, StoreError};
use tokio::task::JoinSet;

use super::{Ground, contract, insert, sealer, slug, tenant};

contract!(
    opening_again_finds_everything_and_migrates_nothing,
    many_open_one_new_store_at_once,
    a_store_of_another_version_is_refused,
    a_newer_schema_is_served_unless_something_was_taken_away,
    a_closed_store_says_so,
);

async fn opening_again_finds_everything_and_migrates_nothing(ground: Ground) {
    let first = ground.open().await;
    let acme = tenant("acme");
    let revision = insert(&first, &[&acme]).await;
    for _ in 0..3 {
        let again = ground.open().await;
        assert_eq!(again.revision().await.unwrap(), revision);
        assert_eq!(again.tenant_by_slug(&slug("acme")).await.unwrap().unwrap().id, acme.id);
    }
    first.close().await;
    assert!(ground.open().await.tenant(acme.id).await.unwrap().is_some());
}

async fn many_open_one_new_store_at_once(ground: Ground) {
    let mut opening = JoinSet::new();
    for number in 0..8 {
        let (url, clock) = (ground.url.clone(), ground.clock.clone());
        opening.spawn(async move {
            let store = Store::open(&url, 4, sealer(1), clock).await.unwrap();
            insert(&store, &[&tenant(&format!("t{number}"))]).await
        });
    }
    let mut revisions = opening.join_all().await;
    revisions.sort();
    assert_eq!(revisions, (1..=8).collect::<Vec<_>>());
}

async fn a_store_of_another_version_is_refused(ground: Ground) {
    ground.open().await.close().await;
    ground.raw("UPDATE migrations SET checksum = 'other'").await;
    let error = ground.try_open(1).await.unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt(why) if why.contains("another wording")), "{error}");
}

/// The next program has expanded the schema while this one serves, or is started again: it works on. One that has
/// contracted it says from which version on programs can do without what is gone.
async fn a_newer_schema_is_served_unless_something_was_taken_away(ground: Ground) {
    let before = ground.open().await;
    insert(&before, &[&tenant("before")]).await;
    let next = "INSERT INTO migrations (version, name, checksum, applied, oldest) VALUES (98, 'next', 'x', 0, 4)";
    let expansion = "ALTER TABLE tenants ADD COLUMN later TEXT NOT NULL DEFAULT ''; \
                     ALTER TABLE domains ADD COLUMN later BIGINT; CREATE TABLE later (id BIGINT NOT NULL PRIMARY KEY);";
    ground.raw(&format!("{expansion} {next}")).await;
    let after = ground.open().await;
    for (store, name) in [(&before, "one"), (&after, "two")] {
        insert(store, &[&tenant(name)]).await;
        assert!(store.tenant_by_slug(&slug("before")).await.unwrap().is_some(), "{name}");
        assert!(store.tenant_by_slug(&slug(name)).await.unwrap().is_some());
    }
    ground
        .raw("INSERT INTO migrations (version, name, checksum, applied, oldest) VALUES (99, 'last', 'x', 0, 98)")
        .await;
    let error = ground.try_open(1).await.unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt(why) if why.contains("run the newer program")), "{error}");
}

async fn a_closed_store_says_so(ground: Ground) {
    let store = ground.open().await;
    store.close().await;
    assert!(matches!(store.revision().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.write().await, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn what_is_no_store_is_refused_for_its_own_reason() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| format!("sqlite:{}", directory.path().join(name).display());
    let open = async |url: &str| Store::open(url, 4, sealer(1), Clock::system()).await.unwrap_err();
    for url in ["mysql://root:secret@localhost/x", "tenantry.db", "sqlite::memory:", "sqlite:", "sqlite:a.db?mode=ro"] {
        let error = open(url).await;
        let text = error.to_string();
        assert!(matches!(error, StoreError::Url(_)), "{url}: {text}");
        assert!(!text.contains("secret"), "{text}");
    }
    let error = open(&at("missing/tenantry.db")).await;
    assert!(matches!(&error, StoreError::Unavailable(why) if why.contains("missing/tenantry.db")), "{error}");
    std::fs::write(directory.path().join("letter.txt"), "Dear Sir or Madam,\n".repeat(100)).unwrap();
    let error = open(&at("letter.txt")).await;
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    let error = open(&format!("postgres://u:secret@localhost/x?host={}", directory.path().display())).await;
    assert!(matches!(error, StoreError::Unavailable(_)) && !error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn a_new_sqlite_file_is_for_its_owner_only() {
    let ground = Ground::sqlite();
    let store = ground.open().await;
    insert(&store, &[&tenant("acme")]).await;
    let mut files = 0;
    for entry in std::fs::read_dir(ground.directory.as_ref().unwrap().path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        files += 1;
    }
    assert_eq!(files, 4, "the database, its log, its index, and the lock of who is there");
}
