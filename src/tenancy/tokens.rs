//! API tokens, the operators' and those of tenants. A token is shown once, when it is made; the store keeps its SHA-256.

use aws_lc_rs::{digest, rand};
use serde_json::json;
use zeroize::{Zeroize, Zeroizing};

use super::error::{Fault, Faults, Kind, TenancyError};
use super::{Actor, Done, Tenancy, shown};
use crate::clock::Timestamp;
use crate::model::{Brand, Grant, Reach, Role, Scope, SessionId, TenantId, within_a_tenant};
use crate::store::{Page, StoreError, TokenRow, Write};

pub(super) const PREFIX_BYTES: usize = 4;
const SECRET_BYTES: usize = 32;
const NAME_MAX: usize = 64;

/// A token that was just made: the only moment at which its text exists.
pub struct IssuedToken {
    pub row: TokenRow,
    /// `<brand>_live_<prefix>_<secret>`, all but the brand in hexadecimal: `arc_live_0123abcd_…`
    pub secret: Zeroizing<String>,
}

impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedToken").field("name", &self.row.name).finish_non_exhaustive()
    }
}

/// What the store keeps of a token.
pub fn hash_token(secret: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
    hash
}

/// A token as it was asked for.
#[derive(Clone, Debug, Default)]
pub struct NewToken {
    pub name: String,
    /// `None`: never.
    pub expires: Option<Timestamp>,
    /// What it may do; `None`: all that its maker may.
    pub scopes: Option<Vec<String>>,
}

impl Tenancy {
    /// Makes a token: of a tenant (by id or slug), or of the operators. One that a token makes ends with it at the latest.
    pub async fn create_token(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        new: &NewToken,
    ) -> Result<Done<IssuedToken>, TenancyError> {
        let tenant = match tenant {
            Some(key) => Some(self.find(key).await?.id),
            None => None,
        };
        let mut faults = Faults::default();
        let name = faults.take(check_name(&new.name));
        let expires = faults.take(check_end(new.expires, actor.credential.expires, self.clock.now()));
        let scopes = scopes(actor, tenant, new.scopes.as_deref(), &mut faults);
        let (name, expires) = faults.or(name.zip(expires))?;
        within_rights(actor, &scopes)?;
        let role = match tenant {
            Some(_) => Some(actor.rights.rank.unwrap_or(Role::Admin).min(Role::Admin)),
            None => self.operators_rank(actor).await?,
        };
        let wanted = Wanted { name, expires, tenant, scopes, role, operator: None, session: None, parent: None };
        let (write, issued) = self.issue(actor, wanted).await?;
        let entry = actor.entry("token.create", tenant, &issued.row.name, json!({})).made(shown::token(&issued.row));
        self.finish(write, entry, issued).await
    }

    /// A tenant's tokens by name, or the operators', expired ones too; `page.after` is the last name of the page before.
    pub async fn tokens(&self, tenant: Option<&str>, page: &Page) -> Result<Vec<TokenRow>, TenancyError> {
        let tenant = match tenant {
            Some(key) => Some(self.find(key).await?.id),
            None => None,
        };
        Ok(self.store.tokens(tenant, page).await?)
    }

    /// Makes a token worthless at once: one that holds nothing that the actor lacks, and is of no higher rank. The last of
    /// the operators' that may do everything stays.
    pub async fn revoke_token(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        name: &str,
    ) -> Result<Done<()>, TenancyError> {
        let tenant = match tenant {
            Some(key) => Some(self.find(key).await?.id),
            None => None,
        };
        let mut write = self.store.write().await?;
        let row = write.token(tenant, name).await?;
        let row = row.ok_or_else(|| TenancyError::NotFound(Kind::Token, name.to_owned()))?;
        self.may_revoke(actor, &row).await?;
        // Looked at while nobody else can write, or two who revoke the last two tokens would both be allowed to.
        if self.is_last(&row).await? {
            let detail =
                format!("{name:?} is the last token that may do everything; create another before revoking it");
            return Err(TenancyError::conflict("", "last-token", detail));
        }
        write.delete_token(tenant, name).await?;
        let entry = actor.entry("token.revoke", tenant, name, json!({})).gone(shown::token(&row));
        self.finish(write, entry, ()).await
    }

    async fn may_revoke(&self, actor: &Actor, row: &TokenRow) -> Result<(), TenancyError> {
        let known: Vec<Scope> = match row.tenant {
            None => Scope::ALL.to_vec(),
            Some(_) => within_a_tenant().into_iter().collect(),
        };
        let own = match row.tenant {
            None => self.operators_rank(actor).await?,
            Some(_) => actor.rights.rank,
        };
        match actor.rights.lacking(&row.scopes.held(&known)) {
            lacking if !lacking.is_empty() => Err(TenancyError::Forbidden(lacking)),
            // An operators' token without a rank is above every role.
            _ => match (own, row.role.or(row.tenant.map(|_| Role::Guest))) {
                (Some(own), wanted) if wanted.is_none_or(|wanted| wanted > own) => {
                    Err(TenancyError::Outranked { wanted: wanted.unwrap_or(Role::Owner), own })
                }
                _ => Ok(()),
            },
        }
    }

    /// Whether this is an operators' token that works and lets its holder do everything, and no other does.
    async fn is_last(&self, row: &TokenRow) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let counts = |token: &TokenRow| {
            let works = token.expires.is_none_or(|at| at > now);
            works && token.scopes.held(Scope::ALL).len() == Scope::ALL.len()
        };
        if row.tenant.is_some() || !counts(row) {
            return Ok(false);
        }
        let mut page = Page { limit: Page::MOST, after: None };
        loop {
            let tokens = self.store.tokens(None, &page).await?;
            if tokens.iter().any(|token| token.name != row.name && counts(token)) {
                return Ok(false);
            }
            if tokens.len() < Page::MOST as usize {
                return Ok(true);
            }
            page.after = tokens.last().map(|token| token.name.clone());
        }
    }

    /// The rank that whoever this is has in the operator's own tenant. `None`: above every role.
    async fn operators_rank(&self, actor: &Actor) -> Result<Option<Role>, TenancyError> {
        let Some(operators) = self.operator_tenant().await? else { return Ok(actor.credential.rank) };
        Ok(self.rights_within(actor, &operators).await?.rank)
    }

    pub(super) async fn issue(&self, actor: &Actor, wanted: Wanted) -> Result<(Write, IssuedToken), TenancyError> {
        let Wanted { name, expires, tenant, scopes, role, operator, session, parent } = wanted;
        let secret = generate(&self.config().brand.key_prefix)?;
        let row = TokenRow {
            name,
            hash: hash_token(&secret),
            created: self.clock.now(),
            expires,
            tenant,
            scopes,
            maker: Some(actor.name.clone()),
            role,
            operator,
            made_by: actor.credential.person,
            session,
            parent,
        };
        let mut write = self.store.write().await?;
        if let Some(tenant) = tenant {
            // It may have gone since it was looked up.
            super::tenants::current(&mut write, tenant, &tenant.to_string()).await?;
        }
        write.insert_token(&row).await.map_err(|error| match error {
            StoreError::Conflict(_) => {
                TenancyError::conflict("/name", "token-exists", format!("there is a token {:?} already", row.name))
            }
            other => other.into(),
        })?;
        Ok((write, IssuedToken { row, secret }))
    }
}

/// A token that is to be, when all is checked.
pub(super) struct Wanted {
    pub name: String,
    pub expires: Option<Timestamp>,
    pub tenant: Option<TenantId>,
    pub scopes: Grant,
    pub role: Option<Role>,
    pub operator: Option<String>,
    pub session: Option<SessionId>,
    pub parent: Option<String>,
}

/// When a token ends that was to end at `wanted` and is made by one that ends at `own`.
fn check_end(wanted: Option<Timestamp>, own: Option<Timestamp>, now: Timestamp) -> Result<Option<Timestamp>, Fault> {
    let fault = |detail| Err(Fault::new("/expires", "out-of-range", detail));
    match (wanted, own) {
        (Some(at), _) if at <= now => fault(format!("a token expires in the future; it is {now} now")),
        (Some(at), Some(own)) if at > own => {
            fault(format!("a token ends no later than the one that makes it, which does at {own}"))
        }
        (wanted, own) => Ok(wanted.or(own)),
    }
}

/// What a new token is to hold. Left out, it is what its maker holds, as far as it counts there.
fn scopes(actor: &Actor, tenant: Option<TenantId>, wanted: Option<&[String]>, faults: &mut Faults) -> Grant {
    let within = tenant.is_some();
    let Some(wanted) = wanted else {
        let all = actor.rights.lacking(&Scope::ALL.iter().copied().collect()).is_empty();
        let held = actor.rights.scopes.iter().copied().filter(|scope| !within || scope.reach() == Reach::Tenant);
        return if all { Grant::All } else { Grant::These(held.collect()) };
    };
    let check = |(index, text): (usize, &String)| match Scope::parse(text) {
        Some(scope) if within && scope.reach() == Reach::Installation => {
            let detail = format!("{scope} is the operators' and cannot be held within one tenant");
            faults.add(format!("/scopes/{index}"), "operators-only", detail);
            None
        }
        Some(scope) => Some(scope),
        None => {
            let known: Vec<_> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
            let detail = format!("there is no scope {text:?}; there are {}", known.join(", "));
            faults.add(format!("/scopes/{index}"), "unknown-scope", detail);
            None
        }
    };
    Grant::These(wanted.iter().enumerate().filter_map(check).collect())
}

/// Nobody hands out what they do not hold.
fn within_rights(actor: &Actor, scopes: &Grant) -> Result<(), TenancyError> {
    let Grant::These(scopes) = scopes else { return Ok(()) };
    match actor.rights.lacking(scopes) {
        lacking if lacking.is_empty() => Ok(()),
        lacking => Err(TenancyError::Forbidden(lacking)),
    }
}

/// Random bytes from the cryptographic generator.
pub(super) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| StoreError::Unavailable("the system gives no random bytes".to_owned()))?;
    Ok(bytes)
}

/// Whether a text has the shape of a token. Its brand may be that of earlier days: what was issued stays good.
pub(super) fn looks_like_a_token(text: &str) -> bool {
    let mut parts = text.split('_');
    let hex = |part: Option<&str>, bytes: usize| {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        part.is_some_and(|part| part.len() == 2 * bytes && part.bytes().all(digit))
    };
    parts.next().is_some_and(|brand| !brand.is_empty() && brand.len() <= Brand::KEY_PREFIX_MAX)
        && parts.next() == Some("live")
        && hex(parts.next(), PREFIX_BYTES)
        && hex(parts.next(), SECRET_BYTES)
        && parts.next().is_none()
}

fn generate(brand: &str) -> Result<Zeroizing<String>, StoreError> {
    let prefix = hex::encode(random::<PREFIX_BYTES>()?);
    let mut bytes = random::<SECRET_BYTES>()?;
    let secret = Zeroizing::new(hex::encode(bytes));
    bytes.zeroize();
    Ok(Zeroizing::new(format!("{brand}_live_{prefix}_{}", *secret)))
}

fn check_name(name: &str) -> Result<String, Fault> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(good) {
        let detail = format!("a token's name has 1 to {NAME_MAX} letters, digits, dashes, underscores, dots and @");
        return Err(Fault::new("/name", "invalid-name", detail));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_looks_like_one_and_little_else_does() {
        let made = generate("acme1").unwrap();
        assert!(made.starts_with("acme1_live_") && looks_like_a_token(&made), "{}", *made);
        let secret = "0".repeat(64);
        assert!(looks_like_a_token(&format!("arc_live_0123abcd_{secret}")));
        for wrong in [
            String::new(),
            format!("live_0123abcd_{secret}"),
            format!("_live_0123abcd_{secret}"),
            format!("arc_test_0123abcd_{secret}"),
            format!("arc_live_0123abc_{secret}"),
            format!("arc_live_0123ABCD_{secret}"),
            format!("arc_live_0123abcd_{secret}0"),
            format!("arc_live_0123abcd_{secret}_"),
            format!("{}_live_0123abcd_{secret}", "a".repeat(17)),
        ] {
            assert!(!looks_like_a_token(&wrong), "{wrong}");
        }
    }
}
