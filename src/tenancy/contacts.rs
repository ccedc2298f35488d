//! Whom to turn to at a tenant: a short list, replaced as a whole.

use serde_json::json;

use super::error::{Faults, TenancyError};
use super::{Actor, Done, Expect, Tenancy, checks};
use crate::model::Contact;

/// The most contacts of one tenant.
const MOST: usize = 20;

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
        let (before, after) = (profile.contacts.len(), contacts.len());
        profile.contacts = contacts;
        write.put_profile(tenant.id, &profile).await?;
        let tenant = self.put(&mut write, &tenant.clone(), tenant).await?;
        let entry = actor.entry("tenant.contacts", Some(tenant.id), &tenant.slug, json!({}));
        let entry = entry.changed(json!({ "contacts": before }), json!({ "contacts": after }));
        let contacts = Contacts { contacts: profile.contacts, revision: tenant.revision };
        self.finish(write, entry, contacts).await
    }
}

fn check(contacts: Vec<Contact>) -> Result<Vec<Contact>, TenancyError> {
    let mut faults = Faults::default();
    if contacts.len() > MOST {
        faults.add("/contacts", "too-long", format!("at most {MOST} contacts, and these are {}", contacts.len()));
    }
    let checked = contacts.into_iter().enumerate().filter_map(|(at, contact)| {
        let name = faults.take(checks::name(&format!("/contacts/{at}/name"), &contact.name))?;
        Some(Contact { name, ..contact })
    });
    let checked = checked.collect();
    faults.or(Some(checked))
}
