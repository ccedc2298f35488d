//! Members: what goes in comes out, listings are complete and in order, counts are kept, names and roles follow.

use std::time::Duration;

use tenantry::clock::Timestamp;
use tenantry::model::{
    Email, InvitationId, MemberState, Person, PersonId, Position, Role, RoleName, Scope, Tenant, TenantId, UnitId,
    UnitNode,
};
use tenantry::store::{
    InvitationRow, MemberFilter, MemberRow, MemberSearch, Page, RoleRow, RoleUse, Store, StoreError, UnitRow,
};

use super::{Ground, contract, insert, page, tenant};

contract!(
    a_member_comes_back_as_it_went_in_and_is_counted_while_active,
    listings_are_complete_in_order_and_filtered,
    a_name_is_found_by_what_it_begins_with_and_follows_the_person,
    roles_are_replaced_where_they_are_used,
    units_hand_on_what_they_have,
    an_invitation_is_found_by_its_last_hash_alone,
    a_tenant_that_goes_takes_them_all_along,
    a_person_is_erased_and_their_id_stays,
);

async fn person(store: &Store, email: &str, name: &str) -> Person {
    let person = Person {
        id: PersonId::new(),
        email: Email::parse(email).unwrap(),
        name: name.to_owned(),
        default_tenant: None,
        disabled: false,
        verified: true,
        created: Timestamp(1),
        updated: Timestamp(1),
        revision: 0,
    };
    let mut write = store.write().await.unwrap();
    write.insert_person(&person).await.unwrap();
    write.commit().await.unwrap();
    store.person(person.id).await.unwrap().unwrap()
}

fn member(tenant: &Tenant, person: &Person, position: impl Into<Position>) -> MemberRow {
    MemberRow {
        tenant: tenant.id,
        person: person.id,
        email: person.email.clone(),
        name: person.name.clone(),
        state: MemberState::Active,
        position: position.into(),
        unit: None,
        ended: None,
        due: None,
        created: Timestamp(5),
        updated: Timestamp(5),
        revision: 0,
    }
}

async fn join(store: &Store, tenant: &Tenant, email: &str, name: &str, position: impl Into<Position>) -> MemberRow {
    let row = member(tenant, &person(store, email, name).await, position);
    let mut write = store.write().await.unwrap();
    write.insert_member(&row).await.unwrap();
    write.commit().await.unwrap();
    store.member(row.tenant, row.person).await.unwrap().unwrap()
}

fn custom(name: &str, rank: Role) -> Position {
    Position { rank, custom: Some(RoleName::parse(name).unwrap()) }
}

fn all() -> MemberFilter {
    MemberFilter { state: MemberState::Active, role: None, unit: None, search: MemberSearch::Email(String::new()) }
}

/// The addresses (without their domain) of a listing read in pages of two.
async fn emails(store: &Store, tenant: TenantId, filter: &MemberFilter) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let rows = store.members(tenant, filter, &Page { limit: 2, after: after.take() }).await.unwrap();
        let Some(last) = rows.last() else { return found };
        after = Some(match filter.search {
            MemberSearch::Email(_) => last.email.to_string(),
            MemberSearch::Name(_) => last.name_cursor(),
        });
        found.extend(rows.iter().map(|row| row.email.as_str().split('@').next().unwrap().to_owned()));
    }
}

async fn a_member_comes_back_as_it_went_in_and_is_counted_while_active(ground: Ground) {
    let store = ground.open().await;
    let acme = tenant("acme");
    insert(&store, &[&acme]).await;
    let ada = join(&store, &acme, "ada@example.com", "Ada", custom("auditors", Role::Moderator)).await;
    assert_eq!((ada.position.name(), ada.position.rank, ada.name.as_str()), ("auditors", Role::Moderator, "Ada"));
    let bob = join(&store, &acme, "bob@example.com", "Bob", Role::Owner).await;
    assert_eq!(store.member_count(acme.id).await.unwrap(), 2);
    let mut write = store.write().await.unwrap();
    assert!(matches!(write.insert_member(&ada).await, Err(StoreError::Conflict(_))));
    assert!(!write.has_other_owner(acme.id, bob.person).await.unwrap());
    assert!(write.has_other_owner(acme.id, ada.person).await.unwrap());
    let stranger = MemberRow { person: PersonId::new(), ..ada.clone() };
    assert!(matches!(write.insert_member(&stranger).await, Err(StoreError::Missing(_))));
    assert!(matches!(write.update_member(&stranger).await, Err(StoreError::Missing(_))));
    let due = write.now() + Duration::from_secs(60);
    let removed = MemberRow { state: MemberState::Removed, ended: Some(write.now()), due: Some(due), ..bob.clone() };
    write.update_member(&removed).await.unwrap();
    assert_eq!(write.member_count(acme.id).await.unwrap(), 1);
    let revision = write.commit().await.unwrap();
    let now = store.member(acme.id, bob.person).await.unwrap().unwrap();
    assert_eq!((now.state, now.due, now.revision), (MemberState::Removed, Some(due), revision));
    assert_eq!(store.memberships_of(bob.person, &page(0, None)).await.unwrap(), []);
    assert_eq!(store.memberships_of(ada.person, &page(0, None)).await.unwrap(), [ada]);
    assert_eq!(store.due_members(due, 10).await.unwrap(), [(acme.id, bob.person)]);
    assert!(store.due_members(due - Duration::from_millis(1), 10).await.unwrap().is_empty());
    let mut write = store.write().await.unwrap();
    assert!(write.delete_member(acme.id, bob.person).await.unwrap());
    assert!(!write.delete_member(acme.id, bob.person).await.unwrap());
    assert!(!write.is_member_anywhere(bob.person).await.unwrap());
    write.commit().await.unwrap();
    assert_eq!(store.member_count(acme.id).await.unwrap(), 1);
}

async fn listings_are_complete_in_order_and_filtered(ground: Ground) {
    let store = ground.open().await;
    let (acme, other) = (tenant("acme"), tenant("other"));
    insert(&store, &[&acme, &other]).await;
    for (email, role) in [("cy", Role::Guest), ("ab", Role::Member), ("aa", Role::Admin), ("b", Role::Member)] {
        join(&store, &acme, &format!("{email}@example.com"), email, role).await;
    }
    join(&store, &acme, "own@example.com", "own", custom("auditors", Role::Member)).await;
    join(&store, &other, "else@example.com", "else", Role::Member).await;
    assert_eq!(emails(&store, acme.id, &all()).await, ["aa", "ab", "b", "cy", "own"]);
    let role = |role: &str| MemberFilter { role: Some(role.to_owned()), ..all() };
    assert_eq!(emails(&store, acme.id, &role("member")).await, ["ab", "b"]);
    assert_eq!(emails(&store, acme.id, &role("auditors")).await, ["own"]);
    let prefix = MemberFilter { search: MemberSearch::Email("a".into()), ..role("member") };
    assert_eq!(emails(&store, acme.id, &prefix).await, ["ab"]);
    let nobody = MemberFilter { state: MemberState::Removed, ..all() };
    assert!(emails(&store, acme.id, &nobody).await.is_empty());
    assert!(emails(&store, acme.id, &role("x' OR '1'='1\0")).await.is_empty());
}

async fn a_name_is_found_by_what_it_begins_with_and_follows_the_person(ground: Ground) {
    let store = ground.open().await;
    let acme = tenant("acme");
    insert(&store, &[&acme]).await;
    for (email, name) in [("1", "Zoë"), ("2", "ÄNNE"), ("3", "Änne"), ("4", "anna"), ("5", "änne")] {
        join(&store, &acme, &format!("{email}@example.com"), name, Role::Member).await;
    }
    let named = |name: &str| MemberFilter { search: MemberSearch::Name(name.to_owned()), ..all() };
    assert_eq!(emails(&store, acme.id, &named("")).await, ["4", "1", "2", "3", "5"]);
    assert_eq!(emails(&store, acme.id, &named("Än")).await, ["2", "3", "5"]);
    let zoe = store.person_by_email(&Email::parse("1@example.com").unwrap()).await.unwrap().unwrap();
    let mut write = store.write().await.unwrap();
    write.update_person(&Person { name: "Ännchen".into(), ..zoe }).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(emails(&store, acme.id, &named("än")).await, ["1", "2", "3", "5"]);
    assert!(emails(&store, acme.id, &named("zo")).await.is_empty());
}

async fn roles_are_replaced_where_they_are_used(ground: Ground) {
    let store = ground.open().await;
    let acme = tenant("acme");
    insert(&store, &[&acme]).await;
    let name = RoleName::parse("auditors").unwrap();
    let role = RoleRow {
        tenant: acme.id,
        name: name.clone(),
        title: "Auditors".into(),
        base: Role::Moderator,
        scopes: [Scope::AuditRead, Scope::TenantRead].into(),
        created: Timestamp(1),
        updated: Timestamp(1),
        revision: 0,
    };
    let mut write = store.write().await.unwrap();
    write.insert_role(&role).await.unwrap();
    assert!(matches!(write.insert_role(&role).await, Err(StoreError::Conflict(_))));
    write.update_role(&RoleRow { title: "Those who look".into(), ..role.clone() }).await.unwrap();
    let revision = write.commit().await.unwrap();
    let kept = store.role(acme.id, &name).await.unwrap().unwrap();
    assert_eq!((kept.title.as_str(), &kept.scopes, kept.revision), ("Those who look", &role.scopes, revision));
    assert_eq!(store.roles(acme.id, &page(10, None)).await.unwrap(), [kept]);
    let ada = join(&store, &acme, "ada@example.com", "Ada", custom("auditors", Role::Moderator)).await;
    let mut write = store.write().await.unwrap();
    assert_eq!(write.role_use(acme.id, &name).await.unwrap(), RoleUse { members: 1, invitations: 0 });
    let used = write.replace_role(acme.id, &name, &Role::Guest.into()).await.unwrap();
    assert_eq!(used.members, 1);
    assert!(write.delete_role(acme.id, &name).await.unwrap() && !write.delete_role(acme.id, &name).await.unwrap());
    write.commit().await.unwrap();
    assert_eq!(store.member(acme.id, ada.person).await.unwrap().unwrap().position, Role::Guest.into());
}

async fn unit(store: &Store, acme: &Tenant, parent: Option<UnitId>, name: &str) -> UnitId {
    let node = UnitNode { id: UnitId::new(), parent, name: name.to_owned() };
    let row = UnitRow { tenant: acme.id, node, created: Timestamp(1), updated: Timestamp(1), revision: 0 };
    let mut write = store.write().await.unwrap();
    write.insert_unit(&row).await.unwrap();
    write.commit().await.unwrap();
    row.node.id
}

async fn units_hand_on_what_they_have(ground: Ground) {
    let store = ground.open().await;
    let acme = tenant("acme");
    insert(&store, &[&acme]).await;
    let top = unit(&store, &acme, None, "top").await;
    let middle = unit(&store, &acme, Some(top), "middle").await;
    let low = unit(&store, &acme, Some(middle), "low").await;
    let ada = join(&store, &acme, "ada@example.com", "Ada", Role::Member).await;
    let mut write = store.write().await.unwrap();
    write.update_member(&MemberRow { unit: Some(middle), ..ada.clone() }).await.unwrap();
    assert_eq!(write.unit_use(acme.id, middle).await.unwrap(), 1);
    assert_eq!(write.reassign_unit(acme.id, middle, Some(top)).await.unwrap(), 1);
    assert!(write.delete_unit(middle).await.unwrap());
    write.commit().await.unwrap();
    let of_top = MemberFilter { unit: Some(top), ..all() };
    assert_eq!(emails(&store, acme.id, &of_top).await, ["ada"]);
    let units = store.units(acme.id).await.unwrap();
    assert_eq!(
        units.iter().map(|row| (row.node.id, row.node.parent)).collect::<Vec<_>>(),
        [(top, None), (low, Some(top))]
    );
}

fn invitation(acme: &Tenant, email: &str, mark: u8) -> InvitationRow {
    InvitationRow {
        id: InvitationId::new(),
        tenant: acme.id,
        email: Email::parse(email).unwrap(),
        position: custom("auditors", Role::Member),
        unit: None,
        message: Some("wel\0come".into()),
        hash: [mark; 32],
        inviter: "person:x".into(),
        created: Timestamp(1),
        sent: Timestamp(1),
        expires: Timestamp(1_000),
        revision: 0,
    }
}

async fn an_invitation_is_found_by_its_last_hash_alone(ground: Ground) {
    let store = ground.open().await;
    let acme = tenant("acme");
    insert(&store, &[&acme]).await;
    let row = invitation(&acme, "ada@example.com", 1);
    let mut write = store.write().await.unwrap();
    write.insert_invitation(&row).await.unwrap();
    let again = write.insert_invitation(&invitation(&acme, "ada@example.com", 2)).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    write.commit().await.unwrap();
    let found = store.invitation_by_hash(&[1; 32]).await.unwrap().unwrap();
    assert_eq!((found.id, &found.position, found.message.as_deref()), (row.id, &row.position, Some("wel\u{fffd}come")));
    let mut write = store.write().await.unwrap();
    let again = InvitationRow { hash: [3; 32], expires: Timestamp(2_000), ..row.clone() };
    write.resend_invitation(&again).await.unwrap();
    write.commit().await.unwrap();
    assert!(store.invitation_by_hash(&[1; 32]).await.unwrap().is_none());
    assert_eq!(store.invitation_by_hash(&[3; 32]).await.unwrap().unwrap().expires, Timestamp(2_000));
    let mut aside = store.aside().await.unwrap();
    assert_eq!(aside.forget_invitations(Timestamp(2_000)).await.unwrap(), 0);
    assert_eq!(aside.forget_invitations(Timestamp(2_001)).await.unwrap(), 1);
    aside.commit().await.unwrap();
    assert!(store.invitations(acme.id, &page(10, None)).await.unwrap().is_empty());
}

async fn a_tenant_that_goes_takes_them_all_along(ground: Ground) {
    let store = ground.open().await;
    let acme = tenant("acme");
    insert(&store, &[&acme]).await;
    let sales = unit(&store, &acme, None, "sales").await;
    let ada = join(&store, &acme, "ada@example.com", "Ada", Role::Owner).await;
    let mut write = store.write().await.unwrap();
    write.update_member(&MemberRow { unit: Some(sales), ..ada.clone() }).await.unwrap();
    write
        .insert_invitation(&InvitationRow { unit: Some(sales), ..invitation(&acme, "b@example.com", 1) })
        .await
        .unwrap();
    write.commit().await.unwrap();
    let mut write = store.write().await.unwrap();
    let removed = write.delete_tenant(acme.id).await.unwrap().0;
    write.commit().await.unwrap();
    assert_eq!((removed["members"], removed["units"], removed["invitations"]), (1, 1, 1), "{removed:?}");
    assert!(store.memberships_of(ada.person, &page(0, None)).await.unwrap().is_empty());
    assert_eq!(store.member_count(acme.id).await.unwrap(), 0);
    assert!(store.person(ada.person).await.unwrap().is_some(), "people are not a tenant's");
}

async fn a_person_is_erased_and_their_id_stays(ground: Ground) {
    let store = ground.open().await;
    let ada = person(&store, "ada@example.com", "Ada").await;
    let mut write = store.write().await.unwrap();
    write.erase_person(ada.id).await.unwrap();
    assert!(matches!(write.erase_person(PersonId::new()).await, Err(StoreError::Missing(_))));
    write.commit().await.unwrap();
    assert!(store.person_by_email(&ada.email).await.unwrap().is_none());
    let left = store.person(ada.id).await.unwrap().unwrap();
    assert!(left.disabled && left.email.domain() == "erased.invalid" && !left.name.contains("Ada"), "{left:?}");
    person(&store, "ada@example.com", "Another").await;
}
