//! People, the hashes of their passwords, and who a provider says they are. A password itself never comes here.

use std::fmt;

use sqlx::any::AnyRow;
use sqlx::query;
use zeroize::Zeroizing;

use super::connect::Statement;
use super::row::{Row, storable};
use super::{Page, Store, StoreError, Write};
use crate::model::{Email, Person, PersonId, TenantId};

/// A password's hash in PHC form (`$argon2id$…`). Not shown by `Debug`: it can be guessed at.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Zeroizing<String>);

impl PasswordHash {
    pub fn new(phc: impl Into<String>) -> Self {
        Self(Zeroizing::new(phc.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// Whom a provider knows: issuer and subject together (OpenID Connect Core 1.0 §5.7).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Identity {
    /// The issuer's URL, as its tokens spell it.
    pub issuer: String,
    pub subject: String,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, email, name, default_tenant, disabled, verified, created, updated, revision FROM people ",
            $rest
        )
    };
}

impl Store {
    pub async fn person(&self, id: PersonId) -> Result<Option<Person>, StoreError> {
        self.one(by_id(id)).await?.as_ref().map(person_of).transpose()
    }

    pub async fn person_by_email(&self, email: &Email) -> Result<Option<Person>, StoreError> {
        self.one(by_email(email)).await?.as_ref().map(person_of).transpose()
    }

    /// The person to whom this identity was linked.
    pub async fn person_by_identity(&self, identity: &Identity) -> Result<Option<Person>, StoreError> {
        let statement = query(select!("WHERE id = (SELECT person FROM identities WHERE issuer = $1 AND subject = $2)"))
            .bind(storable(&identity.issuer).into_owned())
            .bind(storable(&identity.subject).into_owned());
        self.one(statement).await?.as_ref().map(person_of).transpose()
    }

    /// All people by address, or those whose address begins with `prefix` (in lower case). `page.after` is an address.
    pub async fn people(&self, prefix: Option<&str>, page: &Page) -> Result<Vec<Person>, StoreError> {
        let prefix = storable(prefix.unwrap_or_default()).into_owned();
        let after = storable(page.after.as_deref().unwrap_or_default()).into_owned();
        // No character of an address comes behind this one.
        let until = format!("{prefix}\u{10ffff}");
        let statement = query(select!("WHERE email > $1 AND email >= $2 AND email < $3 ORDER BY email LIMIT $4"));
        let statement = statement.bind(after).bind(prefix).bind(until).bind(page.limit());
        self.all(statement).await?.iter().map(person_of).collect()
    }

    /// `None`: there is no such person, or one who signs in through providers only.
    pub async fn password_of(&self, person: PersonId) -> Result<Option<PasswordHash>, StoreError> {
        let row = self.one(query("SELECT id, password FROM people WHERE id = $1").bind(person.to_string())).await?;
        row.as_ref()
            .map_or(Ok(None), |row| Ok(Row::new(row, "people", "id").optional_text("password")?.map(PasswordHash::new)))
    }

    /// The identities that are linked to a person, by issuer and subject.
    pub async fn identities_of(&self, person: PersonId) -> Result<Vec<Identity>, StoreError> {
        let sql = "SELECT issuer, subject FROM identities WHERE person = $1 ORDER BY issuer, subject";
        let rows = self.all(query(sql).bind(person.to_string())).await?;
        rows.iter()
            .map(|row| {
                let row = Row::new(row, "identities", "subject");
                Ok(Identity { issuer: row.text("issuer")?.to_owned(), subject: row.text("subject")?.to_owned() })
            })
            .collect()
    }
}

impl Write {
    pub async fn person(&mut self, id: PersonId) -> Result<Option<Person>, StoreError> {
        self.one(by_id(id)).await?.as_ref().map(person_of).transpose()
    }

    pub async fn person_by_email(&mut self, email: &Email) -> Result<Option<Person>, StoreError> {
        self.one(by_email(email)).await?.as_ref().map(person_of).transpose()
    }

    /// `Conflict` when there is somebody of that address (or id). The row's revision is this transaction's, whatever
    /// `person` says; the other fields are taken as they are. A new person has no password and no identity.
    pub async fn insert_person(&mut self, person: &Person) -> Result<(), StoreError> {
        let sql = "INSERT INTO people (id, email, name, default_tenant, disabled, created, updated, revision, \
                   verified) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
        let statement = query(sql)
            .bind(person.id.to_string())
            .bind(storable(person.email.as_str()).into_owned())
            .bind(storable(&person.name).into_owned())
            .bind(person.default_tenant.map(|tenant| tenant.to_string()))
            .bind(i64::from(person.disabled))
            .bind(person.created.millis())
            .bind(person.updated.millis())
            .bind(self.revision())
            .bind(i64::from(person.verified));
        match self.execute(statement).await? {
            0 => Err(StoreError::Conflict(format!("there is a person with the address {} already", person.email))),
            _ => Ok(()),
        }
    }

    /// Writes name, default tenancy, and whether they are disabled and verified; sets `updated` and `revision`. `Missing` when there
    /// is none of that id.
    pub async fn update_person(&mut self, person: &Person) -> Result<(), StoreError> {
        let sql = "UPDATE people SET name = $2, default_tenant = $3, disabled = $4, updated = $5, revision = $6, \
                   verified = $7 WHERE id = $1";
        let statement = query(sql)
            .bind(person.id.to_string())
            .bind(storable(&person.name).into_owned())
            .bind(person.default_tenant.map(|tenant| tenant.to_string()))
            .bind(i64::from(person.disabled))
            .bind(self.now().millis())
            .bind(self.revision())
            .bind(i64::from(person.verified));
        match self.execute(statement).await? {
            0 => Err(missing(person.id)),
            _ => self.rename_in_members(person.id, &person.name).await,
        }
    }

    /// `Missing` when there is none of that id.
    pub async fn set_password(&mut self, person: PersonId, hash: Option<&PasswordHash>) -> Result<(), StoreError> {
        let sql = "UPDATE people SET password = $2, updated = $3, revision = $4 WHERE id = $1";
        let statement = query(sql)
            .bind(person.to_string())
            .bind(hash.map(|hash| hash.as_str().to_owned()))
            .bind(self.now().millis())
            .bind(self.revision());
        match self.execute(statement).await? {
            0 => Err(missing(person)),
            _ => Ok(()),
        }
    }

    /// `Conflict` when the identity is linked to somebody already; `Missing` when there is no such person.
    pub async fn link_identity(&mut self, identity: &Identity, person: PersonId) -> Result<(), StoreError> {
        if self.person(person).await?.is_none() {
            return Err(missing(person));
        }
        let sql = "INSERT INTO identities (issuer, subject, person, created) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT DO NOTHING";
        let statement = query(sql)
            .bind(storable(&identity.issuer).into_owned())
            .bind(storable(&identity.subject).into_owned())
            .bind(person.to_string())
            .bind(self.now().millis());
        match self.execute(statement).await? {
            0 => Err(StoreError::Conflict("this identity is linked to somebody already".to_owned())),
            _ => Ok(()),
        }
    }

    /// Nobody begins in this tenancy any more; for when it goes.
    pub(super) async fn forget_default_tenant(&mut self, tenant: TenantId) -> Result<(), StoreError> {
        let sql = "UPDATE people SET default_tenant = NULL WHERE default_tenant = $1";
        self.execute(query(sql).bind(tenant.to_string())).await.map(drop)
    }
}

fn missing(id: PersonId) -> StoreError {
    StoreError::Missing(format!("the person {id}"))
}

fn by_id(id: PersonId) -> Statement<'static> {
    query(select!("WHERE id = $1")).bind(id.to_string())
}

fn by_email(email: &Email) -> Statement<'_> {
    query(select!("WHERE email = $1")).bind(email.as_str())
}

fn person_of(row: &AnyRow) -> Result<Person, StoreError> {
    let row = Row::new(row, "people", "id");
    Ok(Person {
        id: row.person("id")?,
        email: row.parsed("email", "e-mail address", |text| Email::parse(text).ok())?,
        name: row.text("name")?.to_owned(),
        default_tenant: row.optional("default_tenant", "tenant id", TenantId::parse)?,
        disabled: row.flag("disabled")?,
        verified: row.flag("verified")?,
        created: row.time("created")?,
        updated: row.time("updated")?,
        revision: row.int("revision")?,
    })
}
