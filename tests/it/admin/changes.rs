//! What the ledger says of each write: what was there before, and what is there after. A story that does everything that the
//! API can do, once; a route that it leaves out fails it, so that a new one is covered without anyone remembering.

use serde_json::{Value, json};
use tenantry::store::{AuditEntry, AuditFilter, AuditOrder, Page};

use super::access::operations;
use super::members::{Visitor, member};
use super::world::{Reply, World};
use crate::certificates::pki::Pki;
use crate::support::picture::png;

/// Routes that are no writes, though their method could be one's; or that nothing here can carry out, and why.
const ELSEWHERE: [&str; 10] = [
    "POST /v1/audit/verify",
    "POST /v1/tenants/{tenant}/audit/verify",
    "POST /v1/routes/explain",
    "POST /v1/tenants/{tenant}/plan/preview",
    // Signed by a billing system: told by tests of that.
    "POST /v1/webhooks/billing",
    // By the token that it ends: told by tests of who may make whom what.
    "DELETE /v1/impersonation",
    // A look at DNS: what follows from it is told by tests of the room.
    "POST /v1/domains/{domain}/verify",
    // Nobody has issued a certificate.
    "POST /v1/orders/{name}/renew",
    // Of a process that has files, and another program to become.
    "POST /v1/config/reload",
    "POST /v1/process/upgrade",
];

/// What of the line's `before` and `after` is there, by the names of members that both, or the one that there is, must have.
enum Tells {
    Made(&'static [&'static str]),
    Changed(&'static [&'static str]),
    Gone(&'static [&'static str]),
    /// Something that leaves everything as it was, that is too much for a line, or that nobody is to know any more.
    Nothing,
}
use Tells::{Changed, Gone, Made, Nothing};

struct Story {
    world: World,
    did: Vec<(String, String)>,
}

impl Story {
    /// One call that succeeds, and the line that tells of it.
    async fn does(
        &mut self,
        who: Option<&Visitor>,
        call: &str,
        body: impl Into<Option<Value>>,
        action: &str,
        tells: Tells,
    ) -> Value {
        let (method, path) = call.split_once(' ').unwrap();
        let body = body.into().unwrap_or_default();
        let reply = match who {
            Some(visitor) => visitor.call(&self.world, method, path, body).await,
            None => self.world.call(method, path, body).await,
        };
        self.told(call, reply, action, tells).await
    }

    async fn sends(&mut self, call: &str, (kind, body): (&str, &[u8]), action: &str, tells: Tells) {
        let (method, path) = call.split_once(' ').unwrap();
        let reply = self.world.raw_bytes(method, path, &[("content-type", kind)], body).await;
        self.told(call, reply, action, tells).await;
    }

    async fn told(&mut self, call: &str, reply: Reply, action: &str, tells: Tells) -> Value {
        assert!(reply.status.is_success(), "{call}: {} {}", reply.status, reply.text);
        let (method, path) = call.split_once(' ').unwrap();
        self.did.push((method.to_owned(), path.to_owned()));
        let filter = AuditFilter { action: Some(action.to_owned()), ..AuditFilter::default() };
        let page = Page { limit: 20, after: None };
        let lines = self.world.store.audit_lines(&filter, AuditOrder::NewestFirst, &page).await.unwrap();
        let request = Some(reply.header("x-request-id"));
        let line = lines.rows.into_iter().find(|line| line.entry.request_id.as_deref() == request);
        let AuditEntry { before, after, .. } = line.unwrap_or_else(|| panic!("{call}: no line says {action}")).entry;
        let what = format!("{call}: {action}: {before:?} → {after:?}");
        let has = |there: &Option<Value>, names: &[&str]| {
            let there = there.as_ref().unwrap_or_else(|| panic!("{what}"));
            assert!(names.iter().all(|name| there.get(name).is_some()), "{names:?} in {what}");
        };
        match tells {
            Made(names) => {
                has(&after, names);
                assert!(before.is_none(), "{what}");
            }
            Gone(names) => {
                has(&before, names);
                assert!(after.is_none(), "{what}");
            }
            Changed(names) => {
                has(&before, names);
                has(&after, names);
                assert_ne!(before, after, "{what}");
                assert_eq!(before.unwrap().as_object().unwrap().len(), names.len(), "nothing else: {what}");
            }
            Nothing => assert_eq!((before, after), (None, None), "{call}: {action}"),
        }
        reply.json
    }

    /// Every write that the description has was done.
    async fn left_nothing_out(&self) {
        let matches = |route: &str, path: &str| {
            let (route, path): (Vec<_>, Vec<_>) = (route.split('/').collect(), path.split('/').collect());
            let alike = |(one, other): (&&str, &&str)| one.starts_with('{') || one == other;
            route.len() == path.len() && route.iter().zip(&path).all(alike)
        };
        for operation in operations(&self.world).await.iter().filter(|operation| operation.method != "GET") {
            let what = operation.what();
            let path = |path: &str| path.split('?').next().unwrap().to_owned();
            let mut did = self.did.iter().filter(|(method, _)| *method == operation.method);
            let done = did.any(|(_, called)| matches(&operation.path, &path(called)));
            let elsewhere = ELSEWHERE.contains(&what.as_str());
            assert!(done != elsewhere, "{what}: let the story do it, and say what the ledger tells of it");
        }
    }
}

#[tokio::test]
async fn every_write_says_what_was_before_and_what_is_after() {
    let world = World::new().await;
    tenantry::jobs::keep_signing_keys(&world.store, &world.clock).await.unwrap();
    let mut story = Story { world, did: Vec::new() };
    tenants(&mut story).await;
    looks(&mut story).await;
    domains(&mut story).await;
    members(&mut story).await;
    people(&mut story).await;
    ends(&mut story).await;
    story.left_nothing_out().await;
}

async fn tenants(story: &mut Story) {
    for slug in ["top", "acme"] {
        let new = json!({"slug": slug, "name": slug, "plan": "growth", "status": "active"});
        story.does(None, "POST /v1/tenants", new, "tenant.create", Made(&["name", "status", "plan"])).await;
    }
    let new = json!({"slug": "trial", "name": "Trial"});
    story.does(None, "POST /v1/tenants", new, "tenant.create", Made(&["trial_ends"])).await;
    for (call, body, action, changed) in [
        ("PATCH /v1/tenants/acme", json!({"name": "Acme"}), "tenant.rename", &["name"] as &'static [_]),
        ("PUT /v1/tenants/acme/plan", json!({"plan": "professional"}), "tenant.plan", &["plan"]),
        ("PUT /v1/tenants/acme/plan", json!({"plan": "growth"}), "tenant.plan-schedule", &["plan_change"]),
        ("DELETE /v1/tenants/acme/plan/scheduled", Value::Null, "tenant.plan-unschedule", &["plan_change"]),
        ("PUT /v1/tenants/acme/caps", json!({"caps": {"members": 700}}), "tenant.caps", &["caps"]),
        ("PUT /v1/tenants/acme/features", json!({"on": ["sso"], "off": []}), "tenant.features", &["features"]),
        ("PUT /v1/tenants/acme/parent", json!({"parent": "top"}), "tenant.parent", &["parent"]),
        ("POST /v1/tenants/acme/suspend", json!({"reason": "unpaid"}), "tenant.suspend", &["status", "suspend_reason"]),
        ("POST /v1/tenants/acme/activate", json!({}), "tenant.activate", &["status", "suspend_reason"]),
        ("POST /v1/tenants/acme/cancel", json!({}), "tenant.cancel", &["status", "cancelled", "phase_ends"]),
        ("POST /v1/tenants/acme/restore", json!({}), "tenant.restore", &["status", "cancelled", "phase_ends"]),
        ("POST /v1/tenants/trial/extend-trial", json!({"days": 3}), "tenant.extend-trial", &["trial_ends"]),
    ] {
        story.does(None, call, body, action, Changed(changed)).await;
    }
    let reason = json!({"reason": "ticket 7", "minutes": 5});
    let made = Made(&["scopes", "role", "expires", "operator"]);
    story.does(None, "POST /v1/tenants/acme/impersonate", reason, "tenant.impersonate", made).await;
    let csv = |text: &'static str| ("text/csv", text.as_bytes());
    story.sends("POST /v1/imports/tenants", csv("slug,name\nnorth,North\n"), "tenant.import", Nothing).await;
}

async fn looks(story: &mut Story) {
    let contact = json!({"contacts": [{"kind": "billing", "name": "Ada", "email": "ada@example.com"}]});
    for (call, body, action, changed) in [
        ("PUT /v1/tenants/acme/edge", json!({"www": "add"}), "tenant.edge", &["edge"] as &'static [_]),
        ("PATCH /v1/tenants/acme/edge", json!({"www": "remove"}), "tenant.edge", &["edge"]),
        ("PUT /v1/tenants/acme/branding", json!({"tagline": "One"}), "tenant.branding", &["branding"]),
        ("PATCH /v1/tenants/acme/branding", json!({"tagline": "Two"}), "tenant.branding", &["branding"]),
        (
            "PUT /v1/tenants/acme/listing",
            json!({"listed": true, "priority": 7}),
            "tenant.listing",
            &["listed", "priority"],
        ),
        ("PUT /v1/tenants/acme/contacts", contact, "tenant.contacts", &["contacts"]),
        ("PATCH /v1/tenants/acme/settings", json!({"language": "de"}), "tenant.settings", &[]),
        ("PUT /v1/tenants/acme/settings", json!({"language": "fr"}), "tenant.settings", &["language"]),
    ] {
        story.does(None, call, body, action, Changed(changed)).await;
    }
    let (at, picture) = ("/v1/tenants/acme/branding/logo-light", png(60, 20));
    let put = format!("PUT {at}");
    story.sends(&put, ("image/png", &picture), "tenant.picture", Changed(&["branding"])).await;
    story.does(None, &format!("DELETE {at}"), None, "tenant.picture", Changed(&["branding"])).await;
}

async fn domains(story: &mut Story) {
    let add = "POST /v1/tenants/acme/domains";
    story.does(None, add, json!({"domain": "shop.example"}), "domain.add", Made(&["state"])).await;
    let vouched = json!({"domain": "shop.example", "verified": true});
    story.does(None, add, vouched, "domain.add-verified", Changed(&["state"])).await;
    let issue = "POST /v1/orders/shop.example/issue";
    story.world.clock.advance(std::time::Duration::from_secs(1));
    story.does(None, issue, None, "certificate.issue", Changed(&["not_before"])).await;
    let pki = Pki::new(story.world.clock.now());
    for (call, body, action, tells) in [
        ("POST /v1/certificates/{}/revoke", json!({"only_here": true}), "certificate.revoke", Changed(&["revoked"])),
        ("DELETE /v1/certificates/{}", Value::Null, "certificate.delete", Gone(&["names"])),
    ] {
        let (chain, key) = pki.chain(&["shop.example"], 60);
        let new = json!({"chain": chain, "key": key});
        let made = Made(&["id", "names", "not_after"]);
        let made = story.does(None, "POST /v1/certificates", new, "certificate.upload", made).await;
        let id = made["certificate"]["id"].as_str().or(made["id"].as_str()).unwrap();
        story.does(None, &call.replace("{}", id), body, action, tells).await;
    }
    let csv = ("text/csv", "tenant,domain\nacme,other.example\n".as_bytes());
    story.sends("POST /v1/imports/domains", csv, "domain.import", Nothing).await;
    story.does(None, "DELETE /v1/domains/shop.example", None, "domain.remove", Gone(&["state"])).await;
}

async fn members(story: &mut Story) {
    let new = json!({"name": "auditors", "base": "moderator", "scopes": ["audit:read"]});
    story.does(None, "POST /v1/tenants/acme/roles", new, "role.create", Made(&["title", "base", "scopes"])).await;
    let role = "/v1/tenants/acme/roles/auditors";
    let title = json!({"title": "Auditors"});
    story.does(None, &format!("PATCH {role}"), title, "role.change", Changed(&["title"])).await;
    story.does(None, &format!("DELETE {role}"), json!({}), "role.delete", Gone(&["title", "scopes"])).await;

    let new = json!({"name": "Sales"});
    let unit = story.does(None, "POST /v1/tenants/acme/units", new, "unit.create", Made(&["name"])).await;
    let unit = format!("/v1/tenants/acme/units/{}", unit["id"].as_str().unwrap());
    let name = json!({"name": "Sales and more"});
    story.does(None, &format!("PATCH {unit}"), name, "unit.change", Changed(&["name"])).await;
    story.does(None, &format!("DELETE {unit}"), json!({}), "unit.delete", Gone(&["name"])).await;

    let new = json!({"email": "bob@example.com", "role": "member"});
    story.does(None, "POST /v1/tenants/acme/members", new, "member.add", Made(&["state", "role"])).await;
    let bob = "/v1/tenants/acme/members/bob@example.com";
    let moderator = json!({"role": "moderator"});
    story.does(None, &format!("PATCH {bob}"), moderator, "member.change", Changed(&["role"])).await;
    story.does(None, &format!("POST {bob}/export"), None, "member.export", Nothing).await;
    story.does(None, &format!("DELETE {bob}"), None, "member.remove", Changed(&["state"])).await;
    story.does(None, &format!("POST {bob}/restore"), None, "member.restore", Changed(&["state"])).await;
    let email = json!({"email": "bob@example.com"});
    story.does(None, &format!("POST {bob}/purge"), email, "member.purge", Changed(&["state"])).await;
    story.does(None, &format!("DELETE {bob}/purge"), None, "member.purge-cancel", Changed(&["state"])).await;

    let new = json!({"email": "new@example.com", "role": "member"});
    let invite = "POST /v1/tenants/acme/invitations";
    let made = &["email", "role", "expires"];
    let invited = story.does(None, invite, new.clone(), "invitation.create", Made(made)).await;
    let at = format!("/v1/tenants/acme/invitations/{}", invited["id"].as_str().unwrap());
    story.world.clock.advance(std::time::Duration::from_secs(60));
    story.does(None, &format!("POST {at}/resend"), None, "invitation.resend", Changed(&["expires"])).await;
    story.does(None, &format!("DELETE {at}"), None, "invitation.revoke", Gone(made)).await;
    let invited = story.does(None, invite, new, "invitation.create", Made(made)).await;
    let join = json!({"token": invited["token"], "name": "New", "password": "tram velvet osprey"});
    story.does(None, "POST /v1/invitations/join", join, "invitation.accept", Made(&["state", "role"])).await;
    let ada = member(&story.world, "acme", "ada@example.com", "owner").await;
    let new = json!({"email": "ada@example.com", "role": "member"});
    let invited = story.world.post("/v1/tenants/top/invitations", new).await.expect(201).clone();
    let token = json!({"token": invited["token"]});
    let accept = "POST /v1/invitations/accept";
    story.does(Some(&ada), accept, token, "invitation.accept", Made(&["state", "role"])).await;
    let leave = "DELETE /v1/session/tenancies/top";
    story.does(Some(&ada), leave, None, "member.leave", Changed(&["state"])).await;

    let made = &["scopes", "role", "expires"];
    for path in ["/v1/tenants/acme/tokens", "/v1/tokens"] {
        let new = json!({"name": "ci"});
        story.does(None, &format!("POST {path}"), new, "token.create", Made(made)).await;
        story.does(None, &format!("DELETE {path}/ci"), None, "token.revoke", Gone(made)).await;
    }
}

async fn people(story: &mut Story) {
    let new = json!({"email": "eve@example.com", "name": "Eve"});
    let made = Made(&["email", "name", "disabled"]);
    story.does(None, "POST /v1/people", new, "person.create", made).await;
    let name = json!({"name": "Eva"});
    story.does(None, "PATCH /v1/people/eve@example.com", name, "person.change", Changed(&["name"])).await;
    let issue = "POST /v1/people/eve@example.com/password-token";
    let issued = story.does(None, issue, None, "person.password-token", Made(&["expires"])).await;
    let redeem = json!({"token": issued["token"], "password": "tram velvet osprey"});
    let at = "POST /v1/password-tokens/redeem";
    story.does(None, at, redeem, "person.password", Changed(&["password"])).await;
    let sessions = "DELETE /v1/people/new@example.com/sessions";
    let credentials = json!({"email": "new@example.com", "password": "tram velvet osprey"});
    let begun = Made(&["person", "method", "expires"]);
    let said = story.does(None, "POST /v1/session", credentials, "session.begin", begun).await;
    let person = said["person"]["id"].as_str().unwrap().to_owned();
    story.does(None, sessions, None, "session.end-all", Changed(&["sessions"])).await;
    let (new, other) =
        (super::members::sign_in(&story.world, &person).await, super::members::sign_in(&story.world, &person).await);
    let pick = "POST /v1/session/tenancy";
    story.does(Some(&new), pick, json!({"tenant": "acme"}), "session.pick", Changed(&["tenant"])).await;
    let default = "PUT /v1/session/default-tenancy";
    let tenant = json!({"tenant": "acme"});
    story.does(Some(&new), default, tenant, "person.default-tenancy", Changed(&["default_tenant"])).await;
    let listed = other.call(&story.world, "GET", "/v1/sessions", Value::Null).await.json;
    let theirs = listed["items"].as_array().unwrap().iter().find(|session| session["current"] == true).unwrap();
    let end = format!("DELETE /v1/sessions/{}", theirs["id"].as_str().unwrap());
    story.does(Some(&new), &end, None, "session.end", Gone(&["person", "method"])).await;
    story.does(Some(&new), "DELETE /v1/session", None, "session.end", Gone(&["person"])).await;
    let again = super::members::sign_in(&story.world, &person).await;
    story.does(Some(&again), "DELETE /v1/sessions", None, "session.end-all", Changed(&["sessions"])).await;
}

/// What leaves little behind.
async fn ends(story: &mut Story) {
    let listed = story.world.get("/v1/people?email=new@").await.expect(200).clone();
    let person = listed["items"][0]["id"].as_str().unwrap();
    let new = super::members::sign_in(&story.world, person).await;
    let passwords = json!({"current": "tram velvet osprey", "new": "a quite new password"});
    // A password is shown as being there, and was.
    let reply = new.call(&story.world, "PUT", "/v1/session/password", passwords).await;
    reply.expect(200);
    story.did.push(("PUT".into(), "/v1/session/password".into()));
    let lines = story.world.get("/v1/audit?action=person.password").await.expect(200)["items"].clone();
    assert_eq!((&lines[0]["before"], &lines[0]["after"]), (&json!({"password": true}), &json!({"password": true})));
    let text = story.world.get("/v1/audit/export").await.text;
    assert!(!text.contains("a quite new password") && !text.contains("$argon2"), "no secret is told");
    let eve = "DELETE /v1/people/eve@example.com?email=eve@example.com";
    story.does(None, eve, None, "person.erase", Gone(&["disabled"])).await;
    let delete = "DELETE /v1/tenants/north?slug=north";
    story.does(None, delete, None, "tenant.delete", Gone(&["name", "status"])).await;
}
