//! People: made, looked up, renamed, disabled, given a password. How a password is hashed, and how people sign in, is not
//! decided here; whose member somebody is neither.

use serde_json::json;

use super::error::{Fault, Faults, Kind, TenancyError};
use super::{Actor, Done, Expect, Tenancy, checks, shown};
use crate::model::{Email, Person, PersonId};
use crate::store::{AuditEntry, Identity, Page, PasswordHash, StoreError, Write};

/// What can be changed of a person. What is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct PersonChange {
    pub name: Option<String>,
    pub disabled: Option<bool>,
    /// The address is theirs.
    pub verified: Option<bool>,
}

impl Tenancy {
    /// Makes a person who cannot sign in yet, unless `password` or `identity` says how.
    pub async fn create_person(
        &self,
        actor: &Actor,
        email: &str,
        name: &str,
        password: Option<&PasswordHash>,
        identity: Option<&Identity>,
    ) -> Result<Done<Person>, TenancyError> {
        let mut faults = Faults::default();
        let email = faults.take(check_email("/email", email));
        let name = faults.take(checks::name("/name", name));
        let (email, name) = faults.or(email.zip(name))?;
        let now = self.clock.now();
        let mut write = self.store.write().await?;
        let person = Person {
            id: PersonId::new(),
            email,
            name,
            default_tenant: None,
            disabled: false,
            verified: true,
            created: now,
            updated: now,
            revision: write.revision(),
        };
        write.insert_person(&person).await.map_err(|error| match error {
            StoreError::Conflict(detail) => TenancyError::conflict("/email", "person-exists", detail),
            other => other.into(),
        })?;
        if let Some(hash) = password {
            write.set_password(person.id, Some(hash)).await?;
        }
        if let Some(identity) = identity {
            write.link_identity(identity, person.id).await?;
        }
        let issuer = identity.map(|identity| &identity.issuer);
        let detail = json!({ "password": password.is_some(), "issuer": issuer });
        let entry = actor.entry("person.create", None, person.id, detail).made(shown::person(&person));
        let entry = entry.about_person(person.id, shown::PERSONAL);
        self.finish(write, entry, person).await
    }

    /// By id or e-mail address.
    pub async fn person(&self, key: &str) -> Result<Person, TenancyError> {
        let found = match (PersonId::parse(key), Email::parse(key)) {
            (Some(id), _) => self.store.person(id).await?,
            (None, Ok(email)) => self.store.person_by_email(&email).await?,
            (None, Err(_)) => None,
        };
        found.ok_or_else(|| TenancyError::NotFound(Kind::Person, key.to_owned()))
    }

    /// By e-mail address; `page.after` is the last address of the page before.
    pub async fn people(&self, prefix: Option<&str>, page: &Page) -> Result<Vec<Person>, TenancyError> {
        let prefix = prefix.map(str::to_lowercase);
        Ok(self.store.people(prefix.as_deref(), page).await?)
    }

    /// Whom a provider knows, once they are linked.
    pub async fn person_by_identity(&self, identity: &Identity) -> Result<Option<Person>, TenancyError> {
        Ok(self.store.person_by_identity(identity).await?)
    }

    /// Renames or disables somebody, or says that the address is theirs. Whoever is disabled has no session any more, here
    /// and at the edge, and a tenant's last owner is not. Operators are for those of their own rank to decide about.
    pub async fn change_person(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
        change: &PersonChange,
    ) -> Result<Done<Person>, TenancyError> {
        let mut faults = Faults::default();
        let name = change.name.as_deref().and_then(|name| faults.take(checks::name("/name", name)));
        faults.or(Some(()))?;
        let id = self.person(key).await?.id;
        let mut write = self.store.write().await?;
        let mut person = write.person(id).await?.ok_or_else(|| TenancyError::NotFound(Kind::Person, key.to_owned()))?;
        self.handle_person(&mut write, actor, id).await?;
        expect.check(person.revision)?;
        let (before, was_disabled) = (shown::person(&person), person.disabled);
        person.name = name.unwrap_or(person.name);
        person.disabled = change.disabled.unwrap_or(was_disabled);
        person.verified = change.verified.unwrap_or(person.verified);
        if person.disabled && !was_disabled {
            keep_owned(&mut write, id).await?;
        }
        write.update_person(&person).await?;
        let ended = if person.disabled { write.end_sessions_of(id, None).await? } else { 0 };
        (person.revision, person.updated) = (write.revision(), write.now());
        let entry = actor.entry("person.change", None, id, json!({ "sessions_ended": ended }));
        let entry = entry.changed(before, shown::person(&person)).about_person(id, shown::PERSONAL);
        self.finish(write, entry, person).await
    }

    /// Gives somebody a new password and ends all their sessions but `keep`.
    pub async fn set_password(
        &self,
        actor: &Actor,
        person: PersonId,
        password: &PasswordHash,
        keep: Option<crate::model::SessionId>,
    ) -> Result<Done<u64>, TenancyError> {
        let mut write = self.store.write().await?;
        // As it was when this began: nobody else can write.
        let before = json!({ "password": self.store.password_of(person).await?.is_some() });
        write.set_password(person, Some(password)).await?;
        write.delete_password_token(person).await?;
        let ended = write.end_sessions_of(person, keep).await?;
        let entry = actor.entry("person.password", None, person, json!({ "sessions_ended": ended }));
        let entry = AuditEntry { before: Some(before), after: Some(json!({ "password": true })), ..entry };
        self.finish(write, entry, ended).await
    }

    /// From now on this identity, whose address the provider has verified, signs in as that person. Where nobody had verified
    /// it before, whoever made the account may be somebody else: their password, sessions and tokens are worth nothing any
    /// more.
    pub async fn link_identity(
        &self,
        actor: &Actor,
        person: PersonId,
        identity: &Identity,
    ) -> Result<Done<()>, TenancyError> {
        let mut write = self.store.write().await?;
        write.link_identity(identity, person).await?;
        let found = write.person(person).await?;
        let taken_over = found.as_ref().is_some_and(|person| !person.verified);
        if let Some(found) = found.filter(|_| taken_over) {
            write.set_password(person, None).await?;
            write.delete_password_token(person).await?;
            write.end_sessions_of(person, None).await?;
            write.delete_tokens_by(person, None).await?;
            write.update_person(&Person { verified: true, ..found }).await?;
        }
        let detail = json!({ "taken_over": taken_over });
        let entry = actor.entry("person.link", None, person, detail).made(json!({ "issuer": identity.issuer }));
        self.finish(write, entry, ()).await
    }

    /// `None`: there is no such person, or one without a password.
    pub async fn password_of(&self, person: PersonId) -> Result<Option<PasswordHash>, TenancyError> {
        Ok(self.store.password_of(person).await?)
    }

    /// Writes down that somebody was refused.
    pub async fn note_refused_sign_in(&self, actor: &Actor, person: PersonId, why: &str) -> Result<(), TenancyError> {
        let write = self.store.write().await?;
        let entry = actor.entry("session.refuse", None, person, json!({ "why": why }));
        self.finish(write, entry, ()).await.map(drop)
    }
}

/// Refuses to keep the last owner of a tenant from signing in. Asked while nobody else can write.
async fn keep_owned(write: &mut Write, person: PersonId) -> Result<(), TenancyError> {
    let Some(tenant) = write.depends_on(person).await? else { return Ok(()) };
    let named = write.tenant(tenant).await?.map_or_else(|| tenant.to_string(), |tenant| tenant.slug.to_string());
    let detail = format!("they are the last owner of {named}; make somebody else an owner first");
    Err(TenancyError::conflict("/disabled", "last-owner", detail))
}

/// An e-mail address in its one spelling.
pub(super) fn check_email(pointer: &str, text: &str) -> Result<Email, Fault> {
    Email::parse(text).map_err(|error| Fault::new(pointer, "invalid-email", error.to_string()))
}
