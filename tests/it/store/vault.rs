//! What is secret, and what else is kept: certificates, challenges, tokens, secrets, the audit ledger.

use std::time::Duration;

use serde_json::json;
use tenantry::clock::Timestamp;
use tenantry::model::{Certificate, CertificateSource, Change, Grant, TenantId};
use tenantry::seal::SealError;
use tenantry::store::{AuditEntry, AuditFilter, AuditOrder, StoreError, TokenRow};
use zeroize::Zeroizing;

use super::{Ground, all_news, contract, page};

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIDontlookatthiskeyitissecretDontlookatthi=\n-----END PRIVATE KEY-----\n";

contract!(
    the_newest_certificate_that_has_not_expired_is_served,
    no_secret_is_readable_in_the_database,
    an_envelope_moved_to_another_row_does_not_open,
    a_wrong_key_is_refused_when_the_store_is_opened,
    a_challenge_is_answered_until_it_expires,
    tokens_are_found_by_their_hash,
    signing_keys_are_made_once_and_edges_hear_of_them,
    the_ledger_is_numbered_without_gaps,
);

pub fn certificate(id: &str, names: &[&str]) -> Certificate {
    Certificate {
        id: id.into(),
        names: names.iter().map(|name| name.to_string()).collect(),
        chain: format!("chain of {id}"),
        key: Zeroizing::new(KEY.into()),
        not_before: Timestamp(0),
        not_after: Timestamp::parse("2026-12-01T00:00:00Z").unwrap(),
        source: CertificateSource::Local,
        authority: "local".into(),
    }
}

async fn the_newest_certificate_that_has_not_expired_is_served(ground: Ground) {
    let store = ground.open().await;
    let start = ground.clock.now();
    let old = Certificate {
        not_after: start + Duration::from_secs(3_600),
        ..certificate("old", &["a.example", "*.b.example"])
    };
    let new = Certificate { not_after: start + Duration::from_secs(60), ..certificate("new", &["a.example"]) };
    let mut revisions = Vec::new();
    for certificate in [&old, &new] {
        let mut write = store.write().await.unwrap();
        write.insert_certificate(certificate).await.unwrap();
        assert!(matches!(write.insert_certificate(certificate).await, Err(StoreError::Conflict(_))));
        revisions.push(write.commit().await.unwrap());
    }
    let served = store.certificate("a.example").await.unwrap().unwrap();
    assert_eq!((served.id.as_str(), served.key.as_str(), served.not_after), ("new", KEY, new.not_after));
    assert_eq!(store.certificate("*.b.example").await.unwrap().unwrap().names, old.names);
    assert!(store.certificate("x.b.example").await.unwrap().is_none(), "a wildcard is a name of its own");
    ground.clock.advance(Duration::from_secs(60));
    assert_eq!(store.certificate("a.example").await.unwrap().unwrap().id, "old");
    ground.clock.advance(Duration::from_secs(3_600));
    assert!(store.certificate("a.example").await.unwrap().is_none());
    let names = ["a.example", "*.b.example"].map(|name| Change::Certificate(name.into()));
    assert_eq!(all_news(&store, revisions[0] - 1).await.0, [&names[0], &names[1], &names[0]].map(Clone::clone));
}

async fn no_secret_is_readable_in_the_database(ground: Ground) {
    let store = ground.open().await;
    let mut write = store.write().await.unwrap();
    write.insert_certificate(&certificate("one", &["a.example"])).await.unwrap();
    write.put_secret("assertion-key", KEY.as_bytes()).await.unwrap();
    write.commit().await.unwrap();
    let mut dump = Vec::new();
    match &ground.directory {
        Some(directory) => {
            for entry in std::fs::read_dir(directory.path()).unwrap() {
                dump.extend(std::fs::read(entry.unwrap().path()).unwrap());
            }
        }
        None => {
            use sqlx::{Connection, Row};
            let mut connection = sqlx::PgConnection::connect(&ground.url).await.unwrap();
            let sql = "SELECT CAST(certificates AS TEXT) || encode(sealed_key, 'escape') AS line FROM certificates \
                       UNION ALL SELECT CAST(secrets AS TEXT) || encode(sealed, 'escape') FROM secrets";
            for row in sqlx::query(sql).fetch_all(&mut connection).await.unwrap() {
                dump.extend(row.get::<String, _>("line").into_bytes());
            }
        }
    }
    let contains = |text: &str| dump.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(contains("chain of one"), "the dump has what is not secret");
    for secret in ["PRIVATE KEY", "Dontlookatthis", &hex::encode("Dontlookatthis")] {
        assert!(!contains(secret), "{secret}");
    }
    assert_eq!(store.certificate("a.example").await.unwrap().unwrap().key.as_str(), KEY);
    assert_eq!(store.secret("assertion-key").await.unwrap().unwrap().as_slice(), KEY.as_bytes());
}

async fn an_envelope_moved_to_another_row_does_not_open(ground: Ground) {
    let store = ground.open().await;
    let mut write = store.write().await.unwrap();
    write.put_secret("a", b"one").await.unwrap();
    write.put_secret("b", b"two").await.unwrap();
    write.commit().await.unwrap();
    ground.raw("UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE name = 'a') WHERE name = 'b'").await;
    assert_eq!(store.secret("a").await.unwrap().unwrap().as_slice(), b"one");
    let error = store.secret("b").await.unwrap_err();
    assert!(matches!(error, StoreError::Seal(SealError::Altered { ref purpose }) if purpose == "secrets/b"), "{error}");
}

async fn a_wrong_key_is_refused_when_the_store_is_opened(ground: Ground) {
    ground.try_open(1).await.unwrap().close().await;
    let error = ground.try_open(2).await.unwrap_err();
    assert!(matches!(error, StoreError::Seal(SealError::OtherKey { .. })), "{error}");
    let text = error.to_string();
    assert!(text.contains(&super::sealer(1).key_id().to_string()) && text.contains("configured"), "{text}");
    ground.try_open(1).await.unwrap();
}

async fn a_challenge_is_answered_until_it_expires(ground: Ground) {
    let store = ground.open().await;
    let end = ground.clock.now() + Duration::from_secs(60);
    let mut write = store.write().await.unwrap();
    let revision = write.revision();
    write.put_challenge("token", "first", end).await.unwrap();
    write.put_challenge("token", "second", end).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(store.challenge("token").await.unwrap().as_deref(), Some("second"));
    assert_eq!(store.challenge("nobodys").await.unwrap(), None);
    assert_eq!(all_news(&store, revision - 1).await, (vec![Change::Challenge("token".into())], revision));
    ground.clock.advance(Duration::from_secs(60));
    assert_eq!(store.challenge("token").await.unwrap(), None);
}

async fn tokens_are_found_by_their_hash(ground: Ground) {
    let store = ground.open().await;
    let forever = TokenRow {
        name: "ci".into(),
        hash: [7; 32],
        created: Timestamp(1),
        expires: None,
        tenant: None,
        scopes: Grant::All,
        maker: None,
        role: None,
        operator: None,
        made_by: None,
        session: None,
        parent: None,
    };
    let brief = TokenRow {
        name: "brief".into(),
        hash: [8; 32],
        created: Timestamp(2),
        expires: Some(Timestamp(3)),
        ..forever.clone()
    };
    let mut write = store.write().await.unwrap();
    write.insert_token(&forever).await.unwrap();
    write.insert_token(&brief).await.unwrap();
    let twin = TokenRow { hash: [9; 32], ..forever.clone() };
    assert!(matches!(write.insert_token(&twin).await, Err(StoreError::Conflict(why)) if why.contains("ci")));
    write.commit().await.unwrap();
    assert_eq!(store.token_by_hash(&[7; 32]).await.unwrap(), Some(forever.clone()));
    assert_eq!(store.token_by_hash(&[9; 32]).await.unwrap(), None);
    assert_eq!(store.tokens(None, &page(1, None)).await.unwrap(), [brief]);
    assert_eq!(store.tokens(None, &page(2, Some("brief"))).await.unwrap(), [forever]);
    let mut write = store.write().await.unwrap();
    assert!(write.delete_token(None, "ci").await.unwrap());
    assert!(!write.delete_token(None, "ci").await.unwrap());
    write.commit().await.unwrap();
    assert_eq!(store.token_by_hash(&[7; 32]).await.unwrap(), None);
}

async fn signing_keys_are_made_once_and_edges_hear_of_them(ground: Ground) {
    let store = ground.open().await;
    assert!(store.secret("assertion-key").await.unwrap().is_none());
    let mut write = store.write().await.unwrap();
    assert!(write.secret("assertion-key").await.unwrap().is_none());
    write.put_secret("assertion-key", b"one").await.unwrap();
    write.put_secret("session-key", b"two").await.unwrap();
    assert_eq!(write.secret("assertion-key").await.unwrap().unwrap().as_slice(), b"one");
    let revision = write.commit().await.unwrap();
    assert_eq!(all_news(&store, 0).await, (vec![Change::Keys], revision));
    let mut write = store.write().await.unwrap();
    write.put_secret("other", b"three").await.unwrap();
    let next = write.commit().await.unwrap();
    assert_eq!(all_news(&store, revision).await, (vec![], next));
}

async fn the_ledger_is_numbered_without_gaps(ground: Ground) {
    let store = ground.open().await;
    let tenant = TenantId::new();
    let entry = |number: usize| AuditEntry {
        actor: "operator:ci".into(),
        action: "tenant.suspend".into(),
        tenant: number.is_multiple_of(2).then_some(tenant),
        subject: format!("acme-{number}"),
        detail: json!({"reason": "späť \"quoted\"", "number": number}),
        request_id: number.is_multiple_of(3).then(|| format!("req-{number}")),
        ..AuditEntry::default()
    };
    for number in 0..10 {
        let mut write = store.write().await.unwrap();
        write.audit(&entry(number)).await.unwrap();
        // Every other write is abandoned; its line is, too.
        if number % 2 == 1 {
            continue;
        }
        write.audit(&entry(number + 1)).await.unwrap();
        write.commit().await.unwrap();
        ground.clock.advance(Duration::from_secs(1));
    }
    let lines = store.audit(None, &page(0, None)).await.unwrap();
    let numbers: Vec<i64> = lines.iter().map(|(id, ..)| *id).collect();
    assert_eq!(numbers, (1..=10).rev().collect::<Vec<_>>());
    assert_eq!(lines[9].2, entry(0));
    assert_eq!(lines[0].1, ground.clock.now() - Duration::from_secs(1));
    let first = store.audit_lines(&AuditFilter::default(), AuditOrder::NewestFirst, &page(3, None)).await.unwrap();
    let second = store.audit(None, &page(3, first.next.as_deref())).await.unwrap();
    assert_eq!(second.iter().map(|(id, ..)| *id).collect::<Vec<_>>(), [7, 6, 5]);
    let own = store.audit(Some(tenant), &page(0, None)).await.unwrap();
    assert_eq!(own.len(), 5);
    assert!(own.iter().all(|(_, _, line)| line.tenant == Some(tenant)));
}
