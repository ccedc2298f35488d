//! What an export of a tenant tells of its members, roles, units and invitations: page by page, and no token.

use serde_json::{Value, json};

use super::{Tenancy, TenancyError};
use crate::model::{MemberState, Tenant};
use crate::store::{MemberFilter, MemberSearch, Page};

/// Some rows, and where the next ones begin.
type Rows = Result<(Vec<Value>, Option<String>), TenancyError>;

/// Members of every state, one state after the other. The cursor is `<state> <address>`.
pub(super) async fn members(tenancy: &Tenancy, tenant: &Tenant, page: Page) -> Rows {
    let from = page.after.as_deref().and_then(|after| after.split_once(' '));
    let (state, after) = match from {
        Some((state, after)) => (MemberState::parse(state).unwrap_or(MemberState::Active), Some(after.to_owned())),
        None => (MemberState::Active, None),
    };
    let filter = MemberFilter { state, role: None, unit: None, search: MemberSearch::Email(String::new()) };
    let rows = tenancy.store.members(tenant.id, &filter, &Page { after, ..page }).await?;
    let next = match rows.last().filter(|_| rows.len() >= page.limit as usize) {
        Some(last) => Some(format!("{} {}", state.as_str(), last.email)),
        None => {
            let later = MemberState::ALL.into_iter().skip_while(|other| *other != state).nth(1);
            later.map(|later| format!("{} ", later.as_str()))
        }
    };
    let json = rows.iter().map(|row| {
        json!({ "person": row.person, "email": row.email, "name": row.name, "state": row.state,
            "role": row.position.name(), "rank": row.position.rank, "unit": row.unit, "created": row.created,
            "updated": row.updated, "ended": row.ended, "due": row.due })
    });
    Ok((json.collect(), next))
}

pub(super) async fn roles(tenancy: &Tenancy, tenant: &Tenant, page: Page) -> Rows {
    let rows = tenancy.store.roles(tenant.id, &page).await?;
    let next = rows.last().filter(|_| rows.len() >= page.limit as usize).map(|row| row.name.to_string());
    let json = rows.iter().map(|row| {
        json!({ "name": row.name, "title": row.title, "base": row.base, "scopes": row.scopes, "created": row.created,
            "updated": row.updated })
    });
    Ok((json.collect(), next))
}

/// There is a bound to them: they are one page.
pub(super) async fn units(tenancy: &Tenancy, tenant: &Tenant, _page: Page) -> Rows {
    let rows = tenancy.store.units(tenant.id).await?;
    let json = rows.iter().map(
        |row| json!({ "id": row.node.id, "parent": row.node.parent, "name": row.node.name, "created": row.created }),
    );
    Ok((json.collect(), None))
}

pub(super) async fn invitations(tenancy: &Tenancy, tenant: &Tenant, page: Page) -> Rows {
    let rows = tenancy.store.invitations(tenant.id, &page).await?;
    let next = rows.last().filter(|_| rows.len() >= page.limit as usize).map(|row| row.email.to_string());
    let json = rows.iter().map(|row| {
        json!({ "id": row.id, "email": row.email, "role": row.position.name(), "unit": row.unit,
            "message": row.message, "inviter": row.inviter, "created": row.created, "expires": row.expires })
    });
    Ok((json.collect(), next))
}
