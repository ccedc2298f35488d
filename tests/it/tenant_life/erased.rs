//! Whoever was promised to be erased is erased, whatever becomes of the tenants that had them.

use serde_json::{Value, json};
use tenantry::ledger::Fault;
use tenantry::model::{Contact, ContactKind, Email, MemberState, Status, Tenant};
use tenantry::store::{AuditEntry, Page};
use tenantry::tenancy::{Actor, Deletion, NewInvitation, NewMember};

use super::{Ground, House, actor, any, code, contract};
use crate::store::ledger::verify;

contract!(
    a_promise_to_erase_outlives_the_tenant_that_gave_it,
    a_promise_waits_for_the_last_tenant_that_has_them,
    an_operator_erases_whoever_is_nobodys_member,
    a_purge_takes_out_what_that_tenant_knows_and_the_person_stays,
    a_tenant_that_goes_keeps_nothing_of_whom_it_promised_to_erase,
    what_is_too_much_for_one_transaction_goes_by_and_by,
    whoever_cannot_be_forgotten_keeps_nobody_else,
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

    /// All lines about a tenant, as text.
    async fn told_of(&self, tenant: &Tenant) -> String {
        let lines = self.store.audit(Some(tenant.id), &Page { limit: 1_000, after: None }).await.unwrap();
        format!("{lines:?}")
    }

    /// Somebody is invited, in vain, joins, and does something from an address of their own.
    async fn takes_part(&self, tenant: &str, email: &str) {
        let new = NewInvitation { email: email.into(), role: "member".into(), ..NewInvitation::default() };
        let invited = self.tenancy.invite(&actor(), tenant, &new).await.unwrap().value.row;
        self.tenancy.revoke_invitation(&actor(), tenant, &invited.id.to_string()).await.unwrap();
        self.joins(tenant, email).await;
        let person = self.tenancy.person(email).await.unwrap().id;
        let theirs = Actor { name: format!("person:{person}"), from: Some([192, 0, 2, 77].into()), ..actor() };
        let kind = ContactKind::General;
        let contact = |email: &str| Contact { name: "Whom to ask".into(), email: Email::parse(email).unwrap(), kind };
        let contacts = vec![contact(email), contact("other@x.example")];
        self.tenancy.set_contacts(&theirs, tenant, &any(), contacts).await.unwrap();
    }

    async fn faults(&self) -> Vec<(String, Fault)> {
        verify(&self.tenancy.ledger(), None).await.0
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

async fn a_purge_takes_out_what_that_tenant_knows_and_the_person_stays(ground: Ground) {
    let house = House::on(ground).await;
    let (one, two) = (house.create("one", Status::Active, None).await, house.create("two", Status::Active, None).await);
    let email = "gone@x.example";
    for slug in ["one", "two"] {
        house.takes_part(slug, email).await;
    }
    // What a tenant keeps of somebody is theirs to have: what only names their address included.
    let export = house.tenancy.export_member(&actor(), "one", email).await.unwrap().value.to_json();
    let lines: Vec<_> = export["audit"].as_array().unwrap().iter().map(|line| line["action"].clone()).collect();
    let expected = ["invitation.create", "invitation.revoke", "member.add", "tenant.contacts", "member.export"];
    assert_eq!(lines, expected.map(Value::from), "{export:#}");
    assert_eq!(export["audit"][0]["after"]["email"], email);

    house.promise("one", email).await;
    let invited = NewInvitation { email: email.into(), role: "member".into(), ..NewInvitation::default() };
    assert_eq!(code(house.tenancy.invite(&actor(), "one", &invited).await), "member-exists");
    house.forget_after(30).await;
    let names = |text: &str| text.contains(email) || text.contains("192.0.2.77");
    assert!(!names(&house.told_of(&one).await), "{}", house.told_of(&one).await);
    assert!(names(&house.told_of(&two).await) && house.knows(email).await, "the other tenant has them still");
    let told = house.ledger(&one).await;
    assert_eq!(told[told.len() - 2..], ["system audit.erase", "system member.erase"]);
    let contacts = async |slug: &str| house.tenancy.contacts(slug).await.unwrap().contacts.len();
    assert_eq!((contacts("one").await, contacts("two").await), (1, 2));
    assert_eq!(house.tenancy.member("two", email).await.unwrap().state, MemberState::Active);
    assert_eq!(house.faults().await, []);

    house.promise("two", email).await;
    house.forget_after(30).await;
    assert!(!names(&house.told_of(&two).await) && !house.knows(email).await);
    assert_eq!(house.faults().await, []);
}

async fn a_tenant_that_goes_keeps_nothing_of_whom_it_promised_to_erase(ground: Ground) {
    let house = House::on(ground).await;
    let (one, _) = (house.create("one", Status::Active, None).await, house.create("two", Status::Active, None).await);
    let email = "gone@x.example";
    for slug in ["one", "two"] {
        house.takes_part(slug, email).await;
    }
    house.promise("one", email).await;
    assert_eq!(house.deleted("one").await, 0, "the other tenant has them still");
    let told = house.told_of(&one).await;
    assert!(told.contains("invitation.create") && !told.contains(email), "{told}");
    assert!(house.knows(email).await);
    assert_eq!(house.faults().await, []);
}

async fn what_is_too_much_for_one_transaction_goes_by_and_by(ground: Ground) {
    let house = House::on(ground).await;
    let (one, two) = (house.create("one", Status::Active, None).await, house.create("two", Status::Active, None).await);
    let email = "gone@x.example";
    let line = |tenant: &Tenant, at: usize| AuditEntry {
        actor: "operator:ci".into(),
        action: "member.mention".into(),
        tenant: Some(tenant.id),
        subject: format!("s{at}"),
        detail: json!({ "of": email, "to": format!("n{at}@x.example") }),
        ..AuditEntry::default()
    };
    for tenant in [&one, &two] {
        house.joins(tenant.slug.as_str(), email).await;
        let lines: Vec<_> = (0..4_500).map(|at| line(tenant, at)).collect();
        let mut write = house.store.write().await.unwrap();
        write.audit_all(&lines).await.unwrap();
        write.commit().await.unwrap();
    }
    let left = async |tenant: &Tenant| {
        let sql =
            format!("SELECT 'left', COUNT(*) FROM audit_personal WHERE chain = '{}' AND person = '{email}'", tenant.id);
        house.ground.ask(&sql).await[0].1
    };
    house.promise("one", email).await;
    house.forget_after(30).await;
    assert_eq!((left(&one).await, left(&two).await), (0, 4_500));
    // Others write between: no transaction takes more than it may.
    let sql = format!(
        "SELECT 'revisions', COUNT(DISTINCT revision) FROM audit WHERE chain = '{}' AND action = 'audit.erase'",
        one.id
    );
    assert_eq!(house.ground.ask(&sql).await[0].1, 3);
    house.promise("two", email).await;
    house.forget_after(30).await;
    assert_eq!((left(&two).await, house.knows(email).await), (0, false));
    assert_eq!(house.ground.ask("SELECT 'rest', COUNT(*) FROM erasures").await[0].1, 0);
    let last = house.store.audit(None, &Page { limit: 1, after: None }).await.unwrap().remove(0).2;
    assert_eq!((last.actor.as_str(), last.action.as_str()), ("system", "person.erase"));
    assert_eq!(house.faults().await, []);
}

async fn whoever_cannot_be_forgotten_keeps_nobody_else(ground: Ground) {
    let house = House::on(ground).await;
    house.create("one", Status::Active, None).await;
    for email in ["odd@x.example", "gone@x.example"] {
        house.joins("one", email).await;
        house.promise("one", email).await;
    }
    house.ground.raw("UPDATE members SET rank = 'nonsense', due = due - 1 WHERE email = 'odd@x.example'").await;
    house.after(30).await;
    assert!(house.tenancy.forget_members("node").await.is_err());
    assert!(house.knows("odd@x.example").await && !house.knows("gone@x.example").await);
}
