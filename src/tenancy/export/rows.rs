//! Where each kind of row of an export is read, a page at a time. Personal data is in it, because it is the tenant's; what
//! anybody could sign in or be taken for somebody with is not.

use serde_json::json;

use super::{ROWS, Rows};
use crate::audit::LineView;
use crate::model::{MemberState, Tenant};
use crate::store::{AuditFilter, AuditOrder, EventFilter, MemberFilter, MemberSearch, Page};
use crate::tenancy::Tenancy;

/// The page's end: a page that is not full is the last.
fn next<T>(rows: &[T], key: impl Fn(&T) -> String) -> Option<String> {
    rows.last().filter(|_| rows.len() >= ROWS as usize).map(key)
}

pub async fn profile(tenancy: &Tenancy, tenant: &Tenant, _: Page) -> Rows {
    let profile = tenancy.store.profile(tenant.id).await?;
    Ok((vec![json!({ "contacts": profile.contacts, "settings": profile.settings })], None))
}

pub async fn listing(tenancy: &Tenancy, tenant: &Tenant, _: Page) -> Rows {
    Ok((vec![json!(tenancy.store.listing(tenant.id).await?)], None))
}

pub async fn children(tenancy: &Tenancy, tenant: &Tenant, page: Page) -> Rows {
    let rows = tenancy.store.child_tenants(tenant.id, &page).await?;
    let json = |child: &Tenant| json!({ "id": child.id.to_string(), "slug": child.slug, "name": child.name });
    Ok((rows.iter().map(json).collect(), next(&rows, |child| child.slug.to_string())))
}

pub async fn domains(tenancy: &Tenancy, tenant: &Tenant, page: Page) -> Rows {
    let rows = tenancy.store.domains(tenant.id, &page).await?;
    let json = rows.iter().map(|domain| {
        json!({ "domain": domain.name.to_string(), "state": domain.state, "token": domain.token,
            "created": domain.created, "updated": domain.updated })
    });
    Ok((json.collect(), next(&rows, |domain| domain.name.to_string())))
}

/// A row for each name that it holds and each certificate for that name; one of several names comes several times.
pub async fn certificates(tenancy: &Tenancy, tenant: &Tenant, page: Page) -> Rows {
    let names = tenancy.store.domains(tenant.id, &page).await?;
    let mut rows = Vec::new();
    for domain in names.iter().filter(|domain| domain.state.is_held()) {
        let name = domain.name.to_string();
        for row in tenancy.store.certificates_for(&name).await?.into_iter().rev() {
            rows.push(json!({
                "name": name, "id": row.id, "names": row.names, "source": row.source, "authority": row.authority,
                "not_before": row.not_before, "not_after": row.not_after, "revoked": row.revoked, "chain": row.chain,
            }));
        }
    }
    Ok((rows, next(&names, |domain| domain.name.to_string())))
}

pub async fn tokens(tenancy: &Tenancy, tenant: &Tenant, page: Page) -> Rows {
    let rows = tenancy.store.tokens(Some(tenant.id), &page).await?;
    let json = rows.iter().map(|token| {
        json!({ "name": token.name, "scopes": token.scopes, "maker": token.maker, "role": token.role,
            "operator": token.operator, "created": token.created, "expires": token.expires })
    });
    Ok((json.collect(), next(&rows, |token| token.name.clone())))
}

pub async fn events(tenancy: &Tenancy, tenant: &Tenant, page: Page) -> Rows {
    let rows = tenancy.store.events(&EventFilter { tenant: Some(tenant.id), ..EventFilter::default() }, &page).await?;
    let json = rows.iter().map(|row| {
        let event = &row.event;
        json!({ "cursor": row.cursor(), "at": row.at, "kind": event.kind, "subject": event.subject,
            "detail": event.detail })
    });
    Ok((json.collect(), next(&rows, |row| row.cursor())))
}

/// Newest first, each line as the ledger's own export has it.
pub async fn audit(tenancy: &Tenancy, tenant: &Tenant, page: Page) -> Rows {
    let filter = AuditFilter { tenant: Some(tenant.id), ..AuditFilter::default() };
    let found = tenancy.store.audit_lines(&filter, AuditOrder::NewestFirst, &page).await?;
    Ok((found.rows.into_iter().map(|line| json!(LineView::from(line))).collect(), found.next))
}

/// The certificates that are wanted for its domains. What an authority was told meanwhile is not the tenant's.
pub async fn orders(tenancy: &Tenancy, tenant: &Tenant, page: Page) -> Rows {
    let rows = tenancy.store.orders_of(tenant.id, &page).await?;
    let json = rows.iter().map(|order| {
        json!({ "name": order.name, "names": order.names, "stage": order.stage, "failures": order.failures,
            "not_before": order.not_before, "created": order.created, "updated": order.updated })
    });
    Ok((json.collect(), next(&rows, |order| order.name.clone())))
}

/// Active ones first, then those who have left. Shadow memberships are nobody's rows.
pub async fn members(tenancy: &Tenancy, tenant: &Tenant, page: Page) -> Rows {
    let (state, after) = match page.after.as_deref().and_then(|after| after.split_once(' ')) {
        Some((state, email)) => (MemberState::parse(state).unwrap_or(MemberState::Active), email.to_owned()),
        None => (MemberState::Active, String::new()),
    };
    let search = MemberSearch::Email(String::new());
    let filter = MemberFilter { state, role: None, unit: None, search };
    let page = Page { after: Some(after).filter(|after| !after.is_empty()), ..page };
    let rows = tenancy.store.members(tenant.id, &filter, &page).await?;
    let json = rows.iter().map(|member| {
        json!({ "person": member.person.to_string(), "email": member.email, "name": member.name,
            "state": member.state.as_str(), "rank": member.position.rank, "role": member.position.name(),
            "unit": member.unit.map(|unit| unit.to_string()), "ended": member.ended,
            "created": member.created, "updated": member.updated })
    });
    let more = next(&rows, |member| format!("{state} {}", member.email, state = state.as_str()));
    // When one state is through the next one begins.
    let later = MemberState::ALL.into_iter().skip_while(|known| *known != state).nth(1);
    Ok((json.collect(), more.or_else(|| later.map(|later| format!("{} ", later.as_str())))))
}

/// Without what their tokens hash to.
pub async fn invitations(tenancy: &Tenancy, tenant: &Tenant, page: Page) -> Rows {
    let rows = tenancy.store.invitations(tenant.id, &page).await?;
    let json = rows.iter().map(|row| {
        json!({ "id": row.id.to_string(), "email": row.email, "role": row.position.name(),
            "unit": row.unit.map(|unit| unit.to_string()), "message": row.message, "inviter": row.inviter,
            "created": row.created, "sent": row.sent, "expires": row.expires })
    });
    Ok((json.collect(), next(&rows, |row| row.email.to_string())))
}

pub async fn roles(tenancy: &Tenancy, tenant: &Tenant, page: Page) -> Rows {
    let rows = tenancy.store.roles(tenant.id, &page).await?;
    let json = rows.iter().map(|role| {
        json!({ "name": role.name.as_str(), "title": role.title, "base": role.base, "scopes": role.scopes,
            "created": role.created, "updated": role.updated })
    });
    Ok((json.collect(), next(&rows, |role| role.name.as_str().to_owned())))
}

/// There is a bound to how many a tenant has.
pub async fn units(tenancy: &Tenancy, tenant: &Tenant, _: Page) -> Rows {
    let rows = tenancy.store.units(tenant.id).await?;
    let json = rows.iter().map(|unit| {
        json!({ "id": unit.node.id.to_string(), "parent": unit.node.parent.map(|id| id.to_string()),
            "name": unit.node.name, "created": unit.created, "updated": unit.updated })
    });
    Ok((json.collect(), None))
}
