//! API tokens, by the SHA-256 of their secret. The secret itself never comes here.

use sqlx::any::AnyRow;
use sqlx::query;

use super::row::{Row, storable, to_json};
use super::{Aside, Page, Store, StoreError, Write};
use crate::clock::Timestamp;
use crate::model::{Grant, PersonId, Role, SessionId, TenantId};

/// An API token as stored: SHA-256 of the secret, never the secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenRow {
    /// Unique among its tenant's tokens, or among the operators'. Has no slash.
    pub name: String,
    pub hash: [u8; 32],
    pub created: Timestamp,
    pub expires: Option<Timestamp>,
    /// `None`: an operator's.
    pub tenant: Option<TenantId>,
    pub scopes: Grant,
    /// Who made it, as the ledger knows them.
    pub maker: Option<String>,
    /// The rank of a tenant's token; of an operator's, in the operator's own tenant. `None`: above every role.
    pub role: Option<Role>,
    /// The operator who acts within the tenant by it, as the ledger knows them.
    pub operator: Option<String>,
    /// The person by whose rights it stands, through whatever other tokens it was made.
    pub made_by: Option<PersonId>,
    /// The session that an operator acts within the tenant from: it is worth nothing without.
    pub session: Option<SessionId>,
    /// The same, of an operator's token, by its name.
    pub parent: Option<String>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT name, hash, created, expires, tenant, scopes, maker, role, operator, made_by, session, parent \
             FROM tokens ",
            $rest
        )
    };
}

impl Store {
    /// The token with this hash, expired or not.
    pub async fn token_by_hash(&self, hash: &[u8; 32]) -> Result<Option<TokenRow>, StoreError> {
        let statement = query(select!("WHERE hash = $1")).bind(hash.as_slice());
        self.one(statement).await?.as_ref().map(token_of).transpose()
    }

    /// A tenant's token of this name, or the operators'; expired or not.
    pub async fn token(&self, tenant: Option<TenantId>, name: &str) -> Result<Option<TokenRow>, StoreError> {
        let statement = query(select!("WHERE name = $1")).bind(key(tenant, name));
        let row = self.one(statement).await?.as_ref().map(token_of).transpose()?;
        // A name with a slash in it is no operator's, whatever it looks like.
        Ok(row.filter(|row| row.tenant == tenant))
    }

    /// A tenant's tokens by name, or the operators'. `page.after` is a name.
    pub async fn tokens(&self, tenant: Option<TenantId>, page: &Page) -> Result<Vec<TokenRow>, StoreError> {
        let after = key(tenant, page.after.as_deref().unwrap_or_default());
        let statement = match tenant {
            None => query(select!("WHERE tenant IS NULL AND name > $1 ORDER BY name LIMIT $2")),
            Some(_) => query(select!("WHERE name > $1 AND tenant = $3 ORDER BY name LIMIT $2")),
        };
        let statement = statement.bind(after).bind(page.limit());
        let statement = match tenant {
            None => statement,
            Some(tenant) => statement.bind(tenant.to_string()),
        };
        self.all(statement).await?.iter().map(token_of).collect()
    }
}

impl Write {
    /// `Conflict` when there is one of that name (or secret).
    pub async fn insert_token(&mut self, token: &TokenRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO tokens (name, hash, created, expires, tenant, scopes, maker, role, operator, made_by, \
                   session, parent) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING";
        let statement = query(sql)
            .bind(key(token.tenant, &token.name))
            .bind(token.hash.as_slice())
            .bind(token.created.millis())
            .bind(token.expires.map(Timestamp::millis))
            .bind(token.tenant.map(|tenant| tenant.to_string()))
            .bind(to_json(&token.scopes)?)
            .bind(token.maker.as_deref().map(|maker| storable(maker).into_owned()))
            .bind(token.role.map(Role::as_str))
            .bind(token.operator.as_deref().map(|operator| storable(operator).into_owned()))
            .bind(token.made_by.map(|person| person.to_string()))
            .bind(token.session.map(|session| session.to_string()))
            .bind(token.parent.as_deref().map(|parent| key(None, parent)));
        match self.execute(statement).await? {
            0 => Err(StoreError::Conflict(format!("a token named {} exists already", token.name))),
            _ => Ok(()),
        }
    }

    /// The token of that name, of that tenant or of the operators, expired or not.
    pub async fn token(&mut self, tenant: Option<TenantId>, name: &str) -> Result<Option<TokenRow>, StoreError> {
        let statement = query(select!("WHERE name = $1")).bind(key(tenant, name));
        let row = self.one(statement).await?.as_ref().map(token_of).transpose()?;
        // A name with a slash in it is no operator's, whatever it looks like.
        Ok(row.filter(|row| row.tenant == tenant))
    }

    /// False when there is none of that name, of that tenant or of the operators. What somebody does within a tenant from it
    /// ends with it.
    pub async fn delete_token(&mut self, tenant: Option<TenantId>, name: &str) -> Result<bool, StoreError> {
        let key = key(tenant, name);
        self.execute(query("DELETE FROM tokens WHERE parent = $1").bind(key.clone())).await?;
        Ok(self.execute(query("DELETE FROM tokens WHERE name = $1").bind(key)).await? > 0)
    }

    /// Makes worthless what stands by a person's rights: in one tenant, or everywhere; returns how many tokens.
    pub async fn delete_tokens_by(&mut self, person: PersonId, tenant: Option<TenantId>) -> Result<u64, StoreError> {
        let sql = "DELETE FROM tokens WHERE made_by = $1 AND ($2 = '' OR tenant = $2)";
        let tenant = tenant.map(|tenant| tenant.to_string()).unwrap_or_default();
        self.execute(query(sql).bind(person.to_string()).bind(tenant)).await
    }

    /// All tokens of a tenant that goes.
    pub(super) async fn delete_tokens_of(&mut self, tenant: TenantId) -> Result<u64, StoreError> {
        self.execute(query("DELETE FROM tokens WHERE tenant = $1").bind(tenant.to_string())).await
    }
}

impl Aside {
    /// Forgets the tokens that ended before; returns how many.
    pub async fn prune_tokens(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.execute(query("DELETE FROM tokens WHERE expires < $1").bind(before.millis())).await
    }
}

/// The primary key: operators' tokens were there first, by their bare names, which have no slash.
fn key(tenant: Option<TenantId>, name: &str) -> String {
    match tenant {
        None => storable(name).into_owned(),
        Some(tenant) => format!("{tenant}/{}", storable(name)),
    }
}

fn token_of(row: &AnyRow) -> Result<TokenRow, StoreError> {
    let row = Row::new(row, "tokens", "name");
    let hash = row.bytes("hash")?;
    let name = row.text("name")?;
    Ok(TokenRow {
        name: name.split_once('/').map_or(name, |(_, name)| name).to_owned(),
        hash: hash.try_into().map_err(|_| row.corrupt("hash", format!("{} bytes instead of 32", hash.len())))?,
        created: row.time("created")?,
        expires: row.optional_time("expires")?,
        tenant: row.optional("tenant", "tenant id", TenantId::parse)?,
        scopes: row.json("scopes")?,
        maker: row.optional_text("maker")?.map(str::to_owned),
        role: row.optional("role", "role", Role::parse)?,
        operator: row.optional_text("operator")?.map(str::to_owned),
        made_by: row.optional("made_by", "person id", PersonId::parse)?,
        session: row.optional("session", "session id", SessionId::parse)?,
        parent: row.optional_text("parent")?.map(str::to_owned),
    })
}
