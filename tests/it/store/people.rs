//! People, their identities and sessions; what was picked is ended at the edge, and remembered as ended until its time.

use std::time::Duration;

use tenantry::clock::Timestamp;
use tenantry::model::{Change, Email, Person, PersonId, SessionId, TenantId};
use tenantry::store::{Identity, Page, PasswordHash, SessionRow, SiteSession, Store, StoreError};

use super::{Ground, all_news, contract, page, tenant};

contract!(
    one_address_is_one_person,
    an_identity_is_one_persons,
    sessions_are_found_by_their_hash_and_end_everywhere,
    what_ends_at_the_edge_is_told_and_remembered_until_its_time,
    a_tenant_that_goes_takes_what_was_picked_of_it,
);

fn somebody(email: &str) -> Person {
    Person {
        id: PersonId::new(),
        email: Email::parse(email).unwrap(),
        name: "Ada\0Lovelace".into(),
        default_tenant: None,
        disabled: false,
        verified: true,
        created: Timestamp(1),
        updated: Timestamp(1),
        revision: 0,
    }
}

async fn add(store: &Store, email: &str) -> Person {
    let person = somebody(email);
    let mut write = store.write().await.unwrap();
    write.insert_person(&person).await.unwrap();
    write.commit().await.unwrap();
    store.person(person.id).await.unwrap().unwrap()
}

fn session(person: PersonId, mark: u8, now: Timestamp) -> SessionRow {
    SessionRow {
        id: SessionId::new(),
        hash: [mark; 32],
        person,
        method: "password".into(),
        tenant: None,
        created: now,
        seen: now,
        expires: now + Duration::from_secs(3600),
        address: Some("192.0.2.1".into()),
        agent: None,
    }
}

fn site(session: &SessionRow, tenant: TenantId) -> SiteSession {
    let (id, expires) = (SessionId::new(), session.expires);
    SiteSession { id, session: session.id, person: session.person, tenant, expires }
}

async fn one_address_is_one_person(ground: Ground) {
    let store = ground.open().await;
    let ada = add(&store, "Ada@example.com").await;
    assert_eq!(ada.name, "Ada\u{fffd}Lovelace");
    assert_eq!(store.person_by_email(&Email::parse("ada@EXAMPLE.com").unwrap()).await.unwrap(), Some(ada.clone()));
    let mut write = store.write().await.unwrap();
    let again = write.insert_person(&somebody("ada@example.com")).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    let nobody = write.set_password(PersonId::new(), None).await;
    assert!(matches!(nobody, Err(StoreError::Missing(_))), "{nobody:?}");
    write.set_password(ada.id, Some(&PasswordHash::new("$argon2id$x"))).await.unwrap();
    write.update_person(&Person { name: "Ada".into(), disabled: true, ..ada.clone() }).await.unwrap();
    let revision = write.commit().await.unwrap();
    let now = store.person(ada.id).await.unwrap().unwrap();
    assert_eq!((now.name.as_str(), now.disabled, now.revision), ("Ada", true, revision));
    assert_eq!(store.password_of(ada.id).await.unwrap().unwrap().as_str(), "$argon2id$x");
    for email in ["adb@example.com", "ac@example.com", "ad@example.com"] {
        add(&store, email).await;
    }
    let emails = async |prefix, page: &Page| {
        let people = store.people(prefix, page).await.unwrap();
        people.into_iter().map(|person| person.email.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(emails(Some("ad"), &page(2, None)).await, ["ad@example.com", "ada@example.com"]);
    assert_eq!(emails(Some("ad"), &page(2, Some("ada@example.com"))).await, ["adb@example.com"]);
    assert_eq!(emails(None, &page(0, None)).await.len(), 4);
}

async fn an_identity_is_one_persons(ground: Ground) {
    let store = ground.open().await;
    let (ada, eve) = (add(&store, "ada@example.com").await, add(&store, "eve@example.com").await);
    let identity = Identity { issuer: "https://login.example".into(), subject: "a\0b".into() };
    let other = Identity { issuer: "https://other.example".into(), subject: "a\0b".into() };
    let mut write = store.write().await.unwrap();
    write.link_identity(&identity, ada.id).await.unwrap();
    let again = write.link_identity(&identity, eve.id).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    let nobody = write.link_identity(&other, PersonId::new()).await;
    assert!(matches!(nobody, Err(StoreError::Missing(_))), "{nobody:?}");
    write.link_identity(&other, eve.id).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(store.person_by_identity(&identity).await.unwrap(), Some(ada.clone()));
    assert_eq!(store.person_by_identity(&other).await.unwrap().map(|person| person.id), Some(eve.id));
    assert_eq!(store.identities_of(ada.id).await.unwrap().len(), 1);
}

async fn sessions_are_found_by_their_hash_and_end_everywhere(ground: Ground) {
    let store = ground.open().await;
    let (ada, eve) = (add(&store, "ada@example.com").await, add(&store, "eve@example.com").await);
    let now = ground.clock.now();
    let rows = [session(ada.id, 1, now), session(ada.id, 2, now), session(eve.id, 3, now)];
    let mut write = store.write().await.unwrap();
    for row in &rows {
        write.insert_session(row).await.unwrap();
    }
    write.commit().await.unwrap();
    assert_eq!(store.session_by_hash(&[2; 32]).await.unwrap(), Some(rows[1].clone()));
    assert_eq!(store.session_by_hash(&[9; 32]).await.unwrap(), None);
    let when = (now, Timestamp(0));
    assert_eq!(store.sessions_of(ada.id, when, &page(1, None)).await.unwrap(), [rows[0].clone()]);
    let next = page(5, Some(&rows[0].id.to_string()));
    assert_eq!(store.sessions_of(ada.id, when, &next).await.unwrap(), [rows[1].clone()]);
    ground.clock.advance(Duration::from_secs(60));
    let mut aside = store.aside().await.unwrap();
    aside.touch_session(rows[0].id).await.unwrap();
    aside.commit().await.unwrap();
    // The others have rested since.
    let mut aside = store.aside().await.unwrap();
    assert_eq!(aside.prune_sessions(now).await.unwrap(), 2);
    aside.commit().await.unwrap();
    let mut write = store.write().await.unwrap();
    assert_eq!(write.end_sessions_of(ada.id, Some(rows[0].id)).await.unwrap(), 0);
    assert_eq!(write.end_sessions_of(ada.id, None).await.unwrap(), 1);
    assert!(!write.end_session(rows[0].id).await.unwrap());
    write.commit().await.unwrap();
}

async fn what_ends_at_the_edge_is_told_and_remembered_until_its_time(ground: Ground) {
    let store = ground.open().await;
    let ada = add(&store, "ada@example.com").await;
    let now = ground.clock.now();
    let (one, two) = (session(ada.id, 1, now), session(ada.id, 2, now));
    let (acme, beta) = (TenantId::new(), TenantId::new());
    let mut write = store.write().await.unwrap();
    write.insert_session(&one).await.unwrap();
    write.insert_session(&two).await.unwrap();
    let first = write.pick_tenant(&site(&one, acme)).await.unwrap();
    assert_eq!(write.pick_tenant(&site(&one, acme)).await.unwrap(), first, "picked again, it is the same");
    let second = write.pick_tenant(&site(&one, beta)).await.unwrap();
    let third = write.pick_tenant(&site(&two, acme)).await.unwrap();
    let nowhere = write.pick_tenant(&SiteSession { session: SessionId::new(), ..site(&one, acme) }).await;
    assert!(matches!(nowhere, Err(StoreError::Missing(_))), "{nowhere:?}");
    let cursor = write.commit().await.unwrap();
    assert_eq!(store.session(one.id).await.unwrap().unwrap().tenant, Some(beta));
    assert!(store.ended_sessions(now, 10).await.unwrap().is_empty());

    let mut write = store.write().await.unwrap();
    assert_eq!(write.end_site_sessions_of(ada.id, acme).await.unwrap(), 2);
    write.commit().await.unwrap();
    let (mut told, cursor) = all_news(&store, cursor).await;
    told.sort_by_key(|change| format!("{change:?}"));
    let mut wanted = vec![Change::Session(first), Change::Session(third)];
    wanted.sort_by_key(|change| format!("{change:?}"));
    assert_eq!(told, wanted);
    assert_eq!(store.session(two.id).await.unwrap().unwrap().tenant, None);
    assert_eq!(store.session(one.id).await.unwrap().unwrap().tenant, Some(beta));

    // A member again: what is picked now is something new.
    let mut write = store.write().await.unwrap();
    let fourth = write.pick_tenant(&site(&two, acme)).await.unwrap();
    assert_ne!(fourth, third);
    assert!(write.end_session(one.id).await.unwrap());
    write.commit().await.unwrap();
    assert_eq!(all_news(&store, cursor).await.0, [Change::Session(second)]);
    let mut ended: Vec<_> = store.ended_sessions(now, 10).await.unwrap().into_iter().map(|(id, _)| id).collect();
    ended.sort();
    let mut wanted = vec![first, second, third];
    wanted.sort();
    assert_eq!(ended, wanted);
    assert_eq!(store.ended_sessions(now, 2).await.unwrap().len(), 2);
    assert!(store.ended_sessions(one.expires, 10).await.unwrap().is_empty(), "they are over by themselves");
}

async fn a_tenant_that_goes_takes_what_was_picked_of_it(ground: Ground) {
    let store = ground.open().await;
    let acme = tenant("acme");
    let person = Person { default_tenant: Some(acme.id), ..somebody("ada@example.com") };
    let row = session(person.id, 1, ground.clock.now());
    let mut write = store.write().await.unwrap();
    write.insert_tenant(&acme).await.unwrap();
    write.insert_person(&person).await.unwrap();
    write.insert_session(&row).await.unwrap();
    write.pick_tenant(&site(&row, acme.id)).await.unwrap();
    write.commit().await.unwrap();
    let mut write = store.write().await.unwrap();
    write.delete_tenant(acme.id).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(store.session(row.id).await.unwrap().unwrap().tenant, None);
    assert_eq!(store.person(person.id).await.unwrap().unwrap().default_tenant, None);
}
