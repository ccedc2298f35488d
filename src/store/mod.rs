//! The system of record. SQL lives here and nowhere else; every write takes a revision, and what it changed leaves
//! through the change feed. One SQL text serves SQLite and PostgreSQL. Nothing here decides who may do what, or what
//! follows from a row: a row goes in and comes out as it is, and every wait has an end.

#[cfg(test)]
mod access_tests;
mod alone;
mod anchors;
mod assets;
mod audit;
mod audit_listing;
mod billing;
mod buckets;
mod calls;
mod certificate_listing;
mod certificates;
mod chains;
mod challenges;
mod connect;
mod counts;
mod domain_listing;
mod domains;
mod engine;
mod erasure;
mod error;
mod events;
mod feed;
mod import;
mod invitations;
mod keyset;
mod leases;
mod life;
mod links;
mod listing;
mod listings;
mod members;
mod mend;
mod migrate;
mod nodes;
mod orders;
mod overview;
mod paged;
mod password_tokens;
mod people;
mod plan_use;
mod portable;
mod profiles;
mod reseal;
mod roles;
mod row;
mod search;
mod secrets;
mod sessions;
mod tenants;
mod tokens;
mod units;
mod values;
mod write;

use std::fmt;
use std::sync::Arc;

use sqlx::ConnectOptions;
use sqlx::any::AnyRow;
use sqlx::postgres::PgConnectOptions;
use tokio_util::task::AbortOnDropHandle;

pub use anchors::{Anchored, Anchoring, Start, Tally};
pub use audit::{AuditEntry, AuditLine};
pub use audit_listing::{AuditFilter, AuditOrder};
pub use billing::BillingEventRow;
pub use buckets::BucketRow;
pub use calls::{CallRow, EarlierCall};
pub use certificate_listing::{CertificateFilter, CertificateSort};
pub use certificates::CertificateRow;
pub use chains::{ChainCursor, ChainRow};
pub use counts::TenantCounts;
pub use domain_listing::{DomainFilter, DomainSort};
pub use domains::DueDomain;
pub use erasure::Taken;
pub use error::StoreError;
pub use events::{Event, EventFilter, EventRow};
pub use feed::{MOST_NEWS, News};
pub use invitations::InvitationRow;
pub use listing::{Span, TenantFilter, TenantSort};
pub use members::{MemberFilter, MemberRow, MemberSearch};
pub use nodes::NodeRow;
pub use orders::{BEFORE_ALL, ISSUED, OrderRow, StageCount, WAITING};
pub use paged::{Found, MOST_EXAMINED};
pub use people::{Identity, PasswordHash};
pub use plan_use::PlanUse;
pub use portable::{Restored, dump, restore, tell};
pub use profiles::Profile;
pub use reseal::{Reseal, Resealed};
pub use roles::{RoleRow, RoleUse};
pub use sessions::{SessionRow, SiteSession};
pub use tenants::Removed;
pub use tokens::TokenRow;
pub use units::UnitRow;
pub use write::{Aside, Write};

use self::alone::Presence;
use self::connect::{Lease, Place, Pools, Statement};
use self::engine::Engine;
use self::feed::Announced;
use crate::clock::Clock;
use crate::seal::Sealer;

/// A handle on the store; clones share its connections.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    engine: Engine,
    pools: Pools,
    sealer: Sealer,
    clock: Clock,
    announced: Announced,
    /// Both end with the last handle.
    _presence: Option<Presence>,
    _listener: Option<AbortOnDropHandle<()>>,
}

/// A page of a listing: `after` is the last key of the page before.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// 1 to [`Page::MOST`]; 0 means [`Page::USUAL`].
    pub limit: u32,
    pub after: Option<String>,
}

impl Page {
    pub const USUAL: u32 = 50;
    pub const MOST: u32 = 1_000;

    fn limit(&self) -> i64 {
        i64::from(if self.limit == 0 { Self::USUAL } else { self.limit.min(Self::MOST) })
    }

    /// The least text that comes after `after` among slugs and host names: all their characters sort behind a blank.
    fn from(&self) -> String {
        self.after.as_deref().map_or_else(String::new, |after| format!("{} ", row::storable(after)))
    }
}

impl Store {
    /// Opens (and migrates) `sqlite:<path>` or `postgres://…`, with `max_connections` in all (at least two to SQLite,
    /// four to PostgreSQL are used). A `sealer` with another key than the store's secrets were sealed with is refused.
    pub async fn open(url: &str, max_connections: u32, sealer: Sealer, clock: Clock) -> Result<Self, StoreError> {
        let place = Place::parse(url)?;
        migrate::migrate(&place, &sealer, clock.now()).await?;
        let presence = match &place.file {
            Some(file) => Some(Presence::enter(file, &mut place.connect().await?).await?),
            None => None,
        };
        let announced = Announced::new();
        let listener = match place.engine.notification() {
            None => None,
            Some(_) => {
                let options = PgConnectOptions::from_url(&place.options.to_url_lossy())?.disable_statement_logging();
                Some(feed::listen(options, announced.clone()))
            }
        };
        let pools = place.pools(max_connections);
        let inner =
            Inner { engine: place.engine, pools, sealer, clock, announced, _presence: presence, _listener: listener };
        let store = Self(Arc::new(inner));
        store.mend_keys().await?;
        Ok(store)
    }

    /// Closes every connection, of all clones: later calls are [`StoreError::Unavailable`].
    pub async fn close(&self) {
        self.0.pools.writers.close().await;
        self.0.pools.readers.close().await;
    }

    async fn reader(&self) -> Result<Lease, StoreError> {
        Lease::of(&self.0.pools.readers).await
    }

    async fn one(&self, statement: Statement<'_>) -> Result<Option<AnyRow>, StoreError> {
        self.reader().await?.one(statement).await
    }

    async fn all(&self, statement: Statement<'_>) -> Result<Vec<AnyRow>, StoreError> {
        self.reader().await?.all(statement).await
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("engine", &self.0.engine).finish_non_exhaustive()
    }
}
