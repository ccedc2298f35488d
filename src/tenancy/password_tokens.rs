//! One-time password tokens: an operator hands one to somebody who has no way to sign in (any more), and they set a password
//! with it. It counts once, for an hour, until another is made. Nobody is given one for whom they could not themselves be:
//! it lets its holder do all that the person may.

use std::time::Duration;

use serde_json::json;
use zeroize::{Zeroize, Zeroizing};

use super::error::{Kind, TenancyError};
use super::tokens::{hash_token, random};
use super::{Actor, Done, Tenancy};
use crate::clock::Timestamp;
use crate::model::{Person, PersonId, within_a_tenant};
use crate::store::PasswordHash;

/// How long a password token counts.
pub const PASSWORD_TOKEN_FOR: Duration = Duration::from_secs(3_600);

const SECRET_BYTES: usize = 32;

/// A token that was just made: the only moment at which its text exists.
pub struct IssuedPasswordToken {
    pub person: PersonId,
    /// 64 hexadecimal digits.
    pub token: Zeroizing<String>,
    pub expires: Timestamp,
}

impl std::fmt::Debug for IssuedPasswordToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedPasswordToken").field("person", &self.person).finish_non_exhaustive()
    }
}

impl Tenancy {
    /// Makes a token for somebody, by id or e-mail address. The one before is worth nothing.
    pub async fn issue_password_token(
        &self,
        actor: &Actor,
        key: &str,
    ) -> Result<Done<IssuedPasswordToken>, TenancyError> {
        let lacking = actor.rights.lacking(&within_a_tenant());
        if !lacking.is_empty() {
            return Err(TenancyError::Forbidden(lacking));
        }
        let person = self.person(key).await?.id;
        let mut bytes = random::<SECRET_BYTES>()?;
        let token = Zeroizing::new(hex::encode(bytes));
        bytes.zeroize();
        let mut write = self.store.write().await?;
        let found = write.person(person).await?;
        let found = found.ok_or_else(|| TenancyError::NotFound(Kind::Person, key.to_owned()))?;
        if found.disabled {
            let detail = "they cannot sign in at all; enable them first";
            return Err(TenancyError::conflict("", "person-disabled", detail));
        }
        self.handle_person(&mut write, actor, person).await?;
        let expires = write.now() + PASSWORD_TOKEN_FOR;
        write.put_password_token(person, &hash_token(&token), expires).await?;
        let entry = actor.entry("person.password-token", None, person, json!({}));
        let entry = entry.made(json!({ "expires": expires }));
        self.finish(write, entry, IssuedPasswordToken { person, token, expires }).await
    }

    /// Whose token this is, if it counts at this moment. Nothing is used up.
    pub async fn password_token(&self, token: &str) -> Result<Person, TenancyError> {
        let person = self.store.password_token(&hash_token(token), self.clock.now()).await?;
        let person = match person {
            Some(person) => self.store.person(person).await?,
            None => None,
        };
        person.filter(|person| !person.disabled).ok_or_else(no_token)
    }

    /// Sets the password of whoever the token is for, and uses it up. Their sessions end; and as an operator has handed it to
    /// them, the address is theirs from now on: what somebody else made by an account that nobody had verified falls.
    pub async fn redeem_password_token(
        &self,
        actor: &Actor,
        token: &str,
        password: &PasswordHash,
    ) -> Result<Done<u64>, TenancyError> {
        let mut write = self.store.write().await?;
        let person = write.password_token(&hash_token(token)).await?.ok_or_else(no_token)?;
        let found = write.person(person).await?.filter(|person| !person.disabled).ok_or_else(no_token)?;
        // As it was when this began: nobody else can write.
        let before = json!({ "password": self.store.password_of(person).await?.is_some(), "verified": found.verified });
        write.delete_password_token(person).await?;
        write.set_password(person, Some(password)).await?;
        let ended = write.end_sessions_of(person, None).await?;
        let was_verified = found.verified;
        if !was_verified {
            write.delete_tokens_by(person, None).await?;
            write.update_person(&Person { verified: true, ..found }).await?;
        }
        let actor = Actor { name: format!("person:{person}"), ..actor.clone() };
        let detail = json!({ "by": "password-token", "sessions_ended": ended });
        let entry = actor.entry("person.password", None, person, detail);
        let entry = entry.changed(before, json!({ "password": true, "verified": true }));
        self.finish(write, entry, ended).await
    }
}

fn no_token() -> TenancyError {
    TenancyError::NotFound(Kind::PasswordToken, "like this that counts".to_owned())
}
