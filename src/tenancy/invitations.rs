//! Invitations: somebody is asked by their e-mail address to be a member, and proves by a token that it was they who were
//! asked. A token counts once, for seven days, until it is replaced or revoked; one that does not is the same as none.
//!
//! No mail is sent here: the token is in the answer to whoever invites, and `invitation.created` is for a mailer, which is
//! given a token of its own by a resend. The event has no token in it.

use std::time::Duration;

use serde_json::json;
use zeroize::{Zeroize, Zeroizing};

use super::error::{Faults, Kind, TenancyError};
use super::members::{entry, make_person, unit_named};
use super::people::check_email;
use super::tokens::{hash_token, random};
use super::{Actor, Done, Tenancy, checks, shown};
use crate::model::{InvitationId, MemberState, Person, PersonId, Tenant};
use crate::store::{Event, InvitationRow, MemberRow, Page, PasswordHash, Write};

/// How long an invitation can be accepted.
pub const INVITED_FOR: Duration = Duration::from_secs(7 * 86_400);
/// The longest message with an invitation, in characters.
pub const MESSAGE_MAX: usize = 500;
/// The most invitations that a tenant has open at once.
const MOST_OPEN: usize = Page::MOST as usize;

const SECRET_BYTES: usize = 32;

/// Whom to invite, as what.
#[derive(Clone, Debug, Default)]
pub struct NewInvitation {
    pub email: String,
    /// A built-in role, or one of the tenant's own.
    pub role: String,
    /// A unit's id.
    pub unit: Option<String>,
    /// To the one who is invited: at most 500 characters.
    pub message: Option<String>,
}

/// An invitation whose token was just made: the only moment at which its text exists.
pub struct IssuedInvitation {
    pub row: InvitationRow,
    /// 64 hexadecimal digits.
    pub token: Zeroizing<String>,
}

impl std::fmt::Debug for IssuedInvitation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedInvitation").field("id", &self.row.id).finish_non_exhaustive()
    }
}

/// Who accepts.
#[derive(Clone, Debug)]
pub enum Joiner {
    /// Somebody who is signed in, and whose e-mail address is the one that was invited.
    Known(PersonId),
    /// Somebody whom nobody knows yet by the address that was invited.
    New { name: String, password: PasswordHash },
}

impl Tenancy {
    pub async fn invite(
        &self,
        actor: &Actor,
        tenant: &str,
        new: &NewInvitation,
    ) -> Result<Done<IssuedInvitation>, TenancyError> {
        let mut faults = Faults::default();
        let email = faults.take(check_email("/email", &new.email));
        let message = new.message.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let message = message.and_then(|text| faults.take(checks::line("/message", text, MESSAGE_MAX)));
        let email = faults.or(email)?;
        let (mut write, state) = self.open_tenant(tenant).await?;
        let tenant = state.tenant.id;
        let rights = self.rights_within(actor, &state.tenant).await?;
        let position = self.position(&mut write, &state, "/role", &new.role).await?;
        self.handle(&mut write, &rights, tenant, &position).await?;
        let unit = unit_named(&mut write, tenant, "/unit", new.unit.as_deref()).await?;
        self.room(&mut write, &state).await?;
        if let Some(person) = write.person_by_email(&email).await?
            && let Some(member) = write.member(tenant, person.id).await?
            && member.state != MemberState::Removed
        {
            let detail = format!("{email} is a member already, or is to be erased");
            return Err(TenancyError::conflict("/email", "member-exists", detail));
        }
        self.make_way(&mut write, &state.tenant, &email).await?;
        let (token, hash) = generate()?;
        let now = write.now();
        let row = InvitationRow {
            id: InvitationId::new(),
            tenant,
            email,
            position,
            unit,
            message,
            hash,
            inviter: actor.name.clone(),
            created: now,
            sent: now,
            expires: now + INVITED_FOR,
            revision: write.revision(),
        };
        write.insert_invitation(&row).await?;
        write.event(&event("invitation.created", &row)).await?;
        let entry = actor.entry("invitation.create", Some(tenant), row.id, json!({})).made(shown::invitation(&row));
        self.finish(write, entry, IssuedInvitation { row, token }).await
    }

    /// A tenant's invitations by address: open ones, and for a while those that have expired.
    pub async fn invitations(&self, tenant: &str, page: &Page) -> Result<Vec<InvitationRow>, TenancyError> {
        let tenant = self.find(tenant).await?.id;
        Ok(self.store.invitations(tenant, page).await?)
    }

    /// Makes a new token for an invitation, good for another seven days. The one before is worth nothing, and whoever sends it
    /// again is the one who invites.
    pub async fn resend_invitation(
        &self,
        actor: &Actor,
        tenant: &str,
        id: &str,
    ) -> Result<Done<IssuedInvitation>, TenancyError> {
        let (mut write, mut row) = self.open_invitation(actor, tenant, id).await?;
        let ((token, hash), before) = (generate()?, shown::invitation(&row));
        (row.hash, row.sent, row.expires) = (hash, write.now(), write.now() + INVITED_FOR);
        (row.inviter, row.revision) = (actor.name.clone(), write.revision());
        write.resend_invitation(&row).await?;
        write.event(&event("invitation.resent", &row)).await?;
        let entry = actor.entry("invitation.resend", Some(row.tenant), row.id, json!({}));
        let entry = entry.changed(before, shown::invitation(&row));
        self.finish(write, entry, IssuedInvitation { row, token }).await
    }

    pub async fn revoke_invitation(&self, actor: &Actor, tenant: &str, id: &str) -> Result<Done<()>, TenancyError> {
        let (mut write, row) = self.open_invitation(actor, tenant, id).await?;
        write.delete_invitation(row.id).await?;
        let entry = actor.entry("invitation.revoke", Some(row.tenant), row.id, json!({}));
        let entry = entry.gone(shown::invitation(&row));
        self.finish(write, entry, ()).await
    }

    /// The invitation that a token is of, if it counts at this moment. Nothing is used up.
    pub async fn invitation(&self, token: &str) -> Result<InvitationRow, TenancyError> {
        if !looks_like_one(token) {
            return Err(no_invitation());
        }
        let row = self.store.invitation_by_hash(&hash_token(token)).await?;
        row.filter(|row| row.expires > self.clock.now()).ok_or_else(no_invitation)
    }

    /// Makes whoever accepts a member. A token counts once: of several who use it, the first is a member; and for no longer
    /// than whoever sent it could send it. Whoever is new is somebody whose address nobody has verified: the token was in
    /// the hands of whoever invited them. That there is an account is told to whoever has a token for its address, as it
    /// cannot be had without, and the ledger says so.
    pub async fn accept_invitation(
        &self,
        actor: &Actor,
        token: &str,
        joiner: Joiner,
    ) -> Result<Done<MemberRow>, TenancyError> {
        let tenant = self.invitation(token).await?.tenant;
        let (mut write, state) = self.open_tenant(&tenant.to_string()).await?;
        // Looked at again while nobody else can write.
        let row = write.invitation_by_hash(&hash_token(token)).await?;
        let row = row.filter(|row| row.expires > write.now()).ok_or_else(no_invitation)?;
        if !self.could_invite(&mut write, &state.tenant, &row).await? {
            return Err(no_invitation());
        }
        let person = match who_joins(&mut write, &row, joiner).await {
            Err(error @ TenancyError::Conflict(_)) => {
                // Whoever holds a token could ask in this way whether somebody has an account: not unseen.
                let detail = json!({ "code": "sign-in-to-accept", "inviter": row.inviter });
                self.note(actor.entry("access.refused", Some(row.tenant), row.id, detail));
                return Err(error);
            }
            other => other?,
        };
        let before = write.member(row.tenant, person.id).await?;
        if let Some(before) = before.filter(|before| before.state == MemberState::Purging) {
            return Err(super::members::not_active(&before));
        }
        let member = self.join(&mut write, &state, &person, row.position.clone(), row.unit).await?;
        write.delete_invitation(row.id).await?;
        write.event(&event("invitation.accepted", &row)).await?;
        let actor = Actor { name: format!("person:{}", person.id), ..actor.clone() };
        let detail = json!({ "invitation": row.id, "inviter": row.inviter });
        let entry = entry(&actor, "invitation.accept", &member, detail).made(shown::member(&member));
        self.finish(write, entry, member).await
    }

    async fn open_invitation(
        &self,
        actor: &Actor,
        tenant: &str,
        id: &str,
    ) -> Result<(Write, InvitationRow), TenancyError> {
        let (mut write, state) = self.open_tenant(tenant).await?;
        let row = match InvitationId::parse(id) {
            Some(id) => write.invitation(state.tenant.id, id).await?,
            None => None,
        };
        let row = row.ok_or_else(|| TenancyError::NotFound(Kind::Invitation, id.to_owned()))?;
        let rights = self.rights_within(actor, &state.tenant).await?;
        self.handle(&mut write, &rights, row.tenant, &row.position).await?;
        Ok((write, row))
    }

    /// An invitation that has expired makes way for a new one; an open one does not.
    async fn make_way(
        &self,
        write: &mut Write,
        tenant: &Tenant,
        email: &crate::model::Email,
    ) -> Result<(), TenancyError> {
        if let Some(before) = write.invitation_to(tenant.id, email).await? {
            if before.expires > write.now() {
                let detail =
                    format!("{email} is invited already, by the invitation {}; resend or revoke it", before.id);
                return Err(TenancyError::conflict("/email", "invitation-exists", detail));
            }
            write.delete_invitation(before.id).await?;
        }
        if write.invitation_count(tenant.id).await? >= MOST_OPEN as u64 {
            let detail = format!("at most {MOST_OPEN} invitations are open at once; revoke some first");
            return Err(TenancyError::conflict("", "too-many-invitations", detail));
        }
        Ok(())
    }
}

/// The person who becomes a member: the one who was invited, and nobody else.
async fn who_joins(write: &mut Write, row: &InvitationRow, joiner: Joiner) -> Result<Person, TenancyError> {
    let known = write.person_by_email(&row.email).await?;
    match (joiner, known) {
        // Whoever holds somebody else's token is told what anybody is told who guesses.
        (Joiner::Known(id), Some(person)) if person.id == id && !person.disabled => Ok(person),
        (Joiner::Known(_), _) => Err(no_invitation()),
        (Joiner::New { .. }, Some(_)) => {
            Err(TenancyError::conflict("", "sign-in-to-accept", "this invitation is accepted by signing in first"))
        }
        (Joiner::New { name, password }, None) => {
            let mut faults = Faults::default();
            let name = faults.take(checks::name("/name", &name));
            let name = faults.or(name)?;
            let person = make_person(write, row.email.clone(), name, false).await?;
            write.set_password(person.id, Some(&password)).await?;
            Ok(person)
        }
    }
}

fn no_invitation() -> TenancyError {
    TenancyError::NotFound(Kind::Invitation, "of this token".to_owned())
}

fn event(kind: &str, row: &InvitationRow) -> Event {
    let detail = json!({ "role": row.position.name(), "expires": row.expires });
    Event { kind: kind.to_owned(), tenant: Some(row.tenant), subject: row.id.to_string(), detail }
}

fn generate() -> Result<(Zeroizing<String>, [u8; 32]), TenancyError> {
    let mut bytes = random::<SECRET_BYTES>()?;
    let token = Zeroizing::new(hex::encode(bytes));
    bytes.zeroize();
    let hash = hash_token(&token);
    Ok((token, hash))
}

fn looks_like_one(token: &str) -> bool {
    token.len() == 2 * SECRET_BYTES && token.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
