//! Invitations, by the SHA-256 of their token. The token itself never comes here. One address is invited by a tenant once.

use sqlx::any::AnyRow;
use sqlx::query;

use super::connect::Statement;
use super::members::position_of;
use super::roles::number;
use super::row::{Row, storable};
use super::{Page, Store, StoreError, Write};
use crate::clock::Timestamp;
use crate::model::{Email, InvitationId, Position, TenantId, UnitId};

/// An invitation that was neither accepted nor revoked: SHA-256 of its token, never the token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InvitationRow {
    pub id: InvitationId,
    pub tenant: TenantId,
    pub email: Email,
    pub position: Position,
    pub unit: Option<UnitId>,
    /// To the one who is invited.
    pub message: Option<String>,
    pub hash: [u8; 32],
    /// Who invites, as the ledger knows them.
    pub inviter: String,
    pub created: Timestamp,
    /// When the token was made that counts.
    pub sent: Timestamp,
    pub expires: Timestamp,
    pub revision: i64,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, tenant, email, rank, role, unit, message, hash, inviter, created, sent, expires, revision \
             FROM invitations ",
            $rest
        )
    };
}

impl Store {
    /// The invitation with this hash, expired or not.
    pub async fn invitation_by_hash(&self, hash: &[u8; 32]) -> Result<Option<InvitationRow>, StoreError> {
        self.one(by_hash(hash)).await?.as_ref().map(invitation_of).transpose()
    }

    /// A tenant's invitations by address, expired ones too. `page.after` is an address.
    pub async fn invitations(&self, tenant: TenantId, page: &Page) -> Result<Vec<InvitationRow>, StoreError> {
        let after = storable(page.after.as_deref().unwrap_or_default()).into_owned();
        let statement = query(select!("WHERE tenant = $1 AND email > $2 ORDER BY email LIMIT $3"));
        let statement = statement.bind(tenant.to_string()).bind(after).bind(page.limit());
        self.all(statement).await?.iter().map(invitation_of).collect()
    }
}

impl Write {
    pub async fn invitation(
        &mut self,
        tenant: TenantId,
        id: InvitationId,
    ) -> Result<Option<InvitationRow>, StoreError> {
        let statement = query(select!("WHERE tenant = $1 AND id = $2")).bind(tenant.to_string()).bind(id.to_string());
        self.one(statement).await?.as_ref().map(invitation_of).transpose()
    }

    pub async fn invitation_by_hash(&mut self, hash: &[u8; 32]) -> Result<Option<InvitationRow>, StoreError> {
        self.one(by_hash(hash)).await?.as_ref().map(invitation_of).transpose()
    }

    pub async fn invitation_to(
        &mut self,
        tenant: TenantId,
        email: &Email,
    ) -> Result<Option<InvitationRow>, StoreError> {
        let statement =
            query(select!("WHERE tenant = $1 AND email = $2")).bind(tenant.to_string()).bind(email.as_str());
        self.one(statement).await?.as_ref().map(invitation_of).transpose()
    }

    /// How many a tenant has, expired ones too.
    pub async fn invitation_count(&mut self, tenant: TenantId) -> Result<u64, StoreError> {
        let statement = query("SELECT COUNT(*) AS rows FROM invitations WHERE tenant = $1").bind(tenant.to_string());
        number(self.one(statement).await?.as_ref())
    }

    /// `Conflict` when the tenant has invited that address; `Missing` without such a tenant.
    pub async fn insert_invitation(&mut self, row: &InvitationRow) -> Result<(), StoreError> {
        self.require_tenant(row.tenant).await?;
        let sql = "INSERT INTO invitations (id, tenant, email, rank, role, unit, message, hash, inviter, created, sent, \
                   expires, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
                   ON CONFLICT DO NOTHING";
        let statement = query(sql)
            .bind(row.id.to_string())
            .bind(row.tenant.to_string())
            .bind(storable(row.email.as_str()).into_owned())
            .bind(row.position.rank.as_str())
            .bind(row.position.name())
            .bind(row.unit.map(|unit| unit.to_string()))
            .bind(row.message.as_deref().map(|message| storable(message).into_owned()))
            .bind(row.hash.as_slice())
            .bind(storable(&row.inviter).into_owned())
            .bind(row.created.millis())
            .bind(row.sent.millis())
            .bind(row.expires.millis())
            .bind(self.revision());
        match self.execute(statement).await? {
            0 => Err(StoreError::Conflict(format!("{} is invited already", row.email))),
            _ => Ok(()),
        }
    }

    /// A new token, whose hash the row has, counts instead of the one before; writes who invites and its end.
    pub async fn resend_invitation(&mut self, row: &InvitationRow) -> Result<(), StoreError> {
        let sql =
            "UPDATE invitations SET hash = $2, sent = $3, expires = $4, revision = $5, inviter = $6 WHERE id = $1";
        let statement = query(sql)
            .bind(row.id.to_string())
            .bind(row.hash.as_slice())
            .bind(self.now().millis())
            .bind(row.expires.millis())
            .bind(self.revision())
            .bind(storable(&row.inviter).into_owned());
        match self.execute(statement).await? {
            0 => Err(StoreError::Missing(format!("the invitation {}", row.id))),
            _ => Ok(()),
        }
    }

    /// It was accepted, revoked, or is forgotten. False when there is none of that id.
    pub async fn delete_invitation(&mut self, id: InvitationId) -> Result<bool, StoreError> {
        Ok(self.execute(query("DELETE FROM invitations WHERE id = $1").bind(id.to_string())).await? > 0)
    }

    /// All invitations of a tenant that goes.
    pub(super) async fn delete_invitations_of(&mut self, tenant: TenantId) -> Result<u64, StoreError> {
        self.execute(query("DELETE FROM invitations WHERE tenant = $1").bind(tenant.to_string())).await
    }
}

impl super::Aside {
    /// Forgets the invitations that expired before `before`; returns how many.
    pub async fn forget_invitations(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.execute(query("DELETE FROM invitations WHERE expires < $1").bind(before.millis())).await
    }
}

fn by_hash(hash: &[u8; 32]) -> Statement<'_> {
    query(select!("WHERE hash = $1")).bind(hash.as_slice())
}

fn invitation_of(row: &AnyRow) -> Result<InvitationRow, StoreError> {
    let row = Row::new(row, "invitations", "id");
    let hash = row.bytes("hash")?;
    Ok(InvitationRow {
        id: row.parsed("id", "invitation id", InvitationId::parse)?,
        tenant: row.tenant("tenant")?,
        email: row.parsed("email", "e-mail address", |text| Email::parse(text).ok())?,
        position: position_of(&row)?,
        unit: row.optional("unit", "unit id", UnitId::parse)?,
        message: row.optional_text("message")?.map(str::to_owned),
        hash: hash.try_into().map_err(|_| row.corrupt("hash", format!("{} bytes instead of 32", hash.len())))?,
        inviter: row.text("inviter")?.to_owned(),
        created: row.time("created")?,
        sent: row.time("sent")?,
        expires: row.time("expires")?,
        revision: row.int("revision")?,
    })
}
