//! Whoever was promised to be erased is erased, whatever becomes of the tenants that had them.

use tenantry::model::{MemberState, Status};
use tenantry::tenancy::{Deletion, NewMember};

use super::{Ground, House, actor, any, code, contract};

contract!(
    a_promise_to_erase_outlives_the_tenant_that_gave_it,
    a_promise_waits_for_the_last_tenant_that_has_them,
    an_operator_erases_whoever_is_nobodys_member,
);

impl House {
    async fn joins(&self, tenant: &str, email: &str) {
        let role = "member".to_owned();
        let new = NewMember { email: email.into(), name: Some("Gone Away".into()), role, unit: None };
        self.tenancy.add_member(&actor(), tenant, &new).await.unwrap();
    }

    async fn promise(&self, tenant: &str, email: &str) {
        self.tenancy.purge_member(&actor(), tenant, email, &any(), email).await.unwrap();
    }

    async fn deleted(&self, slug: &str) -> u64 {
        let deletion = Deletion { slug: slug.into(), with_children: false };
        self.tenancy.delete(&actor(), slug, &any(), &deletion).await.unwrap().value.removed.0["people"]
    }

    /// Forgets what is due after so many days.
    async fn forget_after(&self, days: u32) {
        self.after(days).await;
        self.tenancy.forget_members("node").await.unwrap();
    }

    async fn knows(&self, email: &str) -> bool {
        self.tenancy.person(email).await.is_ok()
    }
}

async fn a_promise_to_erase_outlives_the_tenant_that_gave_it(ground: Ground) {
    let house = House::on(ground).await;
    for (slug, email) in [("px", "gone@x.example"), ("py", "gone@y.example")] {
        house.create(slug, Status::Active, None).await;
        house.joins(slug, email).await;
        house.joins(slug, "stays@x.example").await;
        house.promise(slug, email).await;
    }
    let id = house.tenancy.person("gone@x.example").await.unwrap().id;
    assert_eq!(house.deleted("px").await, 1);
    assert!(!house.knows("gone@x.example").await);
    let shell = house.store.person(id).await.unwrap().unwrap();
    assert_eq!((shell.name.as_str(), shell.disabled), ("(erased)", true));
    // The same when time purges the tenant.
    house.tenancy.cancel(&actor(), "py", &any()).await.unwrap();
    for days in [90, 83, 7] {
        house.after(days).await;
    }
    assert_eq!(code(house.tenancy.show("py").await), "not-found");
    assert!(!house.knows("gone@y.example").await);
    assert!(house.knows("stays@x.example").await, "nobody has asked for that");
}

async fn a_promise_waits_for_the_last_tenant_that_has_them(ground: Ground) {
    let house = House::on(ground).await;
    for slug in ["one", "two", "three"] {
        house.create(slug, Status::Active, None).await;
    }
    let email = "gone@x.example";
    for slug in ["one", "two", "three"] {
        house.joins(slug, email).await;
    }
    house.promise("one", email).await;
    house.forget_after(30).await;
    let two = house.tenancy.member("two", email).await.unwrap();
    assert_eq!(two.state, MemberState::Active);
    assert!(code(house.tenancy.member("one", email).await) == "not-found" && house.knows(email).await);
    // Merely removed from the second, long after; forgotten, and still there for the third.
    house.tenancy.remove_member(&actor(), "two", email, &any()).await.unwrap();
    house.forget_after(31).await;
    assert!(house.knows(email).await);
    assert_eq!(house.deleted("three").await, 1);
    assert!(!house.knows(email).await);
}

async fn an_operator_erases_whoever_is_nobodys_member(ground: Ground) {
    let house = House::on(ground).await;
    let one = house.create("one", Status::Active, None).await;
    let email = "gone@x.example";
    house.joins("one", email).await;
    let erase = async |typed: &str| house.tenancy.erase_person(&actor(), email, &any(), typed).await;
    assert_eq!(code(erase(email).await), "still-member");
    house.tenancy.remove_member(&actor(), "one", email, &any()).await.unwrap();
    assert_eq!(code(erase("other@x.example").await), "email-mismatch");
    assert!(house.knows(email).await);
    erase("Gone@x.example ").await.unwrap();
    assert!(!house.knows(email).await);
    let all = house.store.audit(None, &tenantry::store::Page { limit: 1, after: None }).await.unwrap();
    assert_eq!(all[0].2.action, "person.erase");
    assert!(house.ledger(&one).await.contains(&"test member.remove".to_owned()), "the lines stay");
}
