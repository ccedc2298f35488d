//! What a tenant has of what plans are about, counted when somebody asks what a change of plan would do. Reads only.

use sqlx::query;

use super::row::Row;
use super::{Store, StoreError};
use crate::model::TenantId;

/// How much of a tenant depends on its plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PlanUse {
    /// Active ones.
    pub members: u64,
    /// Domains that it holds.
    pub domains: u64,
    /// Roles of its own.
    pub roles: u64,
    /// Members, in whatever state, who have one of those.
    pub role_members: u64,
}

/// Further down than any descent of this house goes.
const DEEPEST: i64 = 16;

/// Those beneath a tenant, down every branch for as long as the condition holds.
macro_rules! down {
    ($holds:literal) => {
        concat!(
            "WITH RECURSIVE heirs (id, depth) AS ( \
               SELECT t.id, CAST(1 AS BIGINT) FROM tenants t WHERE t.parent = $1 AND ",
            $holds,
            " UNION ALL SELECT t.id, h.depth + 1 FROM tenants t JOIN heirs h ON t.parent = h.id WHERE h.depth < $2 AND ",
            $holds,
            ") SELECT COUNT(*) AS number FROM (SELECT id FROM heirs LIMIT $3) AS some"
        )
    };
}

impl Store {
    pub async fn plan_use(&self, tenant: TenantId) -> Result<PlanUse, StoreError> {
        // The states of `domains.rs` that are held.
        let domains =
            "SELECT COUNT(*) AS number FROM domains WHERE tenant = $1 AND state IN ('verified', 'live', 'moved')";
        let roles = "SELECT COUNT(*) AS number FROM roles WHERE tenant = $1";
        let role_members = "SELECT COUNT(*) AS number FROM roles r JOIN members m ON m.tenant = r.tenant AND \
                            m.role = r.name WHERE r.tenant = $1";
        Ok(PlanUse {
            members: self.member_count(tenant).await?,
            domains: self.number(domains, tenant).await?,
            roles: self.number(roles, tenant).await?,
            role_members: self.number(role_members, tenant).await?,
        })
    }

    /// How many tenants beneath this one have its plan because they have none of their own; at most `most`.
    pub async fn plan_heirs(&self, tenant: TenantId, most: u32) -> Result<u64, StoreError> {
        self.heirs(down!("t.plan IS NULL"), tenant, most).await
    }

    /// How many tenants are beneath this one; at most `most`.
    pub async fn descendants(&self, tenant: TenantId, most: u32) -> Result<u64, StoreError> {
        self.heirs(down!("1 = 1"), tenant, most).await
    }

    async fn heirs(&self, sql: &'static str, tenant: TenantId, most: u32) -> Result<u64, StoreError> {
        let statement = query(sql).bind(tenant.to_string()).bind(DEEPEST).bind(i64::from(most));
        counted(self.one(statement).await?.as_ref())
    }

    async fn number(&self, sql: &'static str, tenant: TenantId) -> Result<u64, StoreError> {
        counted(self.one(query(sql).bind(tenant.to_string())).await?.as_ref())
    }
}

fn counted(row: Option<&sqlx::any::AnyRow>) -> Result<u64, StoreError> {
    row.map_or(Ok(0), |row| Ok(Row::new(row, "tenants", "number").int("number")?.max(0).unsigned_abs()))
}
