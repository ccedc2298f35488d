//! Whom to turn to at a tenant: a short list, replaced as a whole.

use serde_json::json;

use super::error::{Fault, Faults, TenancyError};
use super::{Actor, Done, Expect, Tenancy, checks};
use crate::model::{Contact, Hostname};

/// The most contacts of one tenant.
const MOST: usize = 20;
/// RFC 5321 §4.5.3.1: a path without its brackets.
const EMAIL_MAX: usize = 254;
const LOCAL_MAX: usize = 64;

/// A tenant's contacts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contacts {
    pub contacts: Vec<Contact>,
    /// The tenant's.
    pub revision: i64,
}

impl Tenancy {
    pub async fn contacts(&self, key: &str) -> Result<Contacts, TenancyError> {
        let tenant = self.find(key).await?;
        let contacts = self.store.profile(tenant.id).await?.contacts;
        Ok(Contacts { contacts, revision: tenant.revision })
    }

    /// Replaces the list. The ledger says how many there are, not who: they are people.
    pub async fn set_contacts(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
        contacts: Vec<Contact>,
    ) -> Result<Done<Contacts>, TenancyError> {
        let contacts = check(contacts)?;
        let (mut write, tenant) = self.open(key, expect).await?;
        let mut profile = write.profile(tenant.id).await?;
        let detail = json!({ "from": profile.contacts.len(), "to": contacts.len() });
        profile.contacts = contacts;
        write.put_profile(tenant.id, &profile).await?;
        let tenant = self.put(&mut write, &tenant.clone(), tenant).await?;
        let entry = actor.entry("tenant.contacts", Some(tenant.id), &tenant.slug, detail);
        let contacts = Contacts { contacts: profile.contacts, revision: tenant.revision };
        self.finish(write, entry, contacts).await
    }
}

fn check(contacts: Vec<Contact>) -> Result<Vec<Contact>, TenancyError> {
    let mut faults = Faults::default();
    if contacts.len() > MOST {
        faults.add("", "too-long", format!("at most {MOST} contacts, and these are {}", contacts.len()));
    }
    let checked = contacts.into_iter().enumerate().filter_map(|(at, contact)| {
        let name = faults.take(checks::name(&format!("/contacts/{at}/name"), &contact.name));
        let email = faults.take(email(&format!("/contacts/{at}/email"), &contact.email));
        Some(Contact { name: name?, email: email?, kind: contact.kind })
    });
    let checked = checked.collect();
    faults.or(Some(checked))
}

/// `local@domain`, as mail is sent in practice: no quotes, no comments, no address literals.
fn email(pointer: &str, text: &str) -> Result<String, Fault> {
    let text = text.trim();
    let refused = |why: &str| Err(Fault::new(pointer, "invalid-email", format!("{text:?}: {why}")));
    let Some((local, domain)) = text.rsplit_once('@') else {
        return refused("an address is local@domain, such as pat@acme.example");
    };
    let dots = local.starts_with('.') || local.ends_with('.') || local.contains("..");
    let atom = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    if local.is_empty() || local.len() > LOCAL_MAX || dots || !local.chars().all(atom) {
        return refused("what stands before the @ is 1 to 64 letters, digits and .!#$%&'*+-/=?^_`{|}~");
    }
    if text.len() > EMAIL_MAX {
        return refused("it is longer than mail can carry");
    }
    match Hostname::parse(domain) {
        Ok(_) => Ok(text.to_owned()),
        Err(why) => refused(&format!("what stands behind the @ is no domain: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_that_mail_can_be_sent_to() {
        for good in ["pat@acme.example", " pat+bills@acme.example ", "o'hara@acme.co.uk", "jürgen@bücher.example"] {
            assert_eq!(email("/", good).unwrap(), good.trim());
        }
        let long = format!("{}@acme.example", "a".repeat(65));
        for bad in ["", "pat", "@acme.example", "pat@", "a b@acme.example", ".a@acme.example", "a@b@c d", &long] {
            assert_eq!(email("/", bad).unwrap_err().code, "invalid-email", "{bad}");
        }
    }
}
