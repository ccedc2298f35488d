//! The rules of tenants, their domains and the operators' tokens. No HTTP and no SQL text: what is asked arrives as plain
//! values, and what is written goes through one transaction of the store with its audit row.
//!
//! Every write runs the same way: fields are checked before anything is opened; the row is read again inside the
//! transaction, so that the decision stands on what is overwritten; a refusal drops the transaction and leaves nothing;
//! and the answer waits until this node's directory has applied the revision.

mod access;
mod agenda;
mod billing;
mod branding;
mod caps;
mod catalogue;
mod checks;
mod contacts;
mod delete;
mod domains;
mod edge;
mod erasure;
mod error;
mod explained;
mod export;
mod follow;
mod gated;
mod hosts;
mod impersonation;
mod import;
mod import_domains;
mod import_tenants;
mod invitations;
mod ledger;
pub mod lifecycle;
mod lineage;
mod listing;
mod lists;
mod members;
mod memberships;
mod operators;
mod parent;
mod password_tokens;
mod people;
mod plan_state;
mod plans;
mod preview;
mod rank;
mod records;
mod roles;
mod sessions;
mod settings;
mod shown;
mod standing;
mod status;
mod tenants;
mod timers;
mod tokens;
mod units;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tokio::sync::Semaphore;

pub use access::{Principal, TenantHolder};
pub use agenda::Occasion;
pub use billing::{
    BillingAnswer, BillingRefusal, BillingStatus, BillingTaken, BillingTenant, BillingUpdate, Held, REF_MAX,
    SignatureError, Signed, TOLERANCE,
};
pub use branding::{Advice, BLURB_MAX, Branded, CSS_MAX, Dropped, PICTURE_MAX, TAGLINE_MAX, Upload};
pub use caps::CAP_MAX;
pub use catalogue::{FeatureEntry, PlanEntry, Plans};
pub use checks::{NAME_MAX, REASON_MAX, TRIAL_DAYS_MAX};
pub use contacts::Contacts;
pub use delete::{Deleted, Deletion};
pub use domains::{CUSTOM_DOMAIN, DomainClaim, NewDomain};
pub use erasure::{CANCELLABLE, MemberExport};
pub use error::{Fault, Kind, TenancyError};
pub use explained::{Explained, Sourced};
pub use export::{Export, Part};
pub use gated::{GatedPath, GatedRoute};
pub use hosts::{HostAnswer, Via, Visit};
pub use impersonation::{IMPERSONATION_MAX, Impersonation};
pub use import::{FAULTS_TOLD, Imported};
pub use invitations::{INVITED_FOR, IssuedInvitation, Joiner, MESSAGE_MAX, NewInvitation};
pub use lineage::MAX_DEPTH;
pub use listing::{ListingState, PRIORITY_MAX};
pub use lists::{DomainQuery, SEARCH_MAX, Stats, TenantQuery};
pub use members::{MemberChange, NewMember, RESTORABLE};
pub use memberships::{CUSTOM_ROLES, Membership};
pub use password_tokens::{IssuedPasswordToken, PASSWORD_TOKEN_FOR};
pub use people::PersonChange;
pub use plan_state::{CapUse, PlanState};
pub use plans::{PlanOrder, Stuck};
pub use preview::{CapChange, Effect, Gained, LimitChange, Lost, MOST_CHILDREN, PlanQuestion, Preview};
pub use records::{Record, Wanted, wanted};
pub use roles::{MOST_ROLES, NewRole, RoleChange};
pub use sessions::{NewSession, Origin, Picked, SessionState, csrf_token};
pub use settings::{SettingState, SettingsState};
pub use status::Suspension;
pub use tenants::{NewTenant, TenantChange, TenantState};
pub use tokens::{IssuedToken, NewToken, hash_token};
pub use units::{Heir, MOST_UNITS, UnitChange};

use crate::audit::Notes;
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::model::{Authority, Grounds, PersonId, Rights, Role, TenantId};
use crate::store::{AuditEntry, Store, Write};

/// The control plane's rules over one store. Clones share it.
#[derive(Clone)]
pub struct Tenancy {
    store: Store,
    config: Arc<ArcSwap<Config>>,
    clock: Clock,
    applied: Arc<dyn Applied>,
    notes: Notes,
    /// Who may judge a picture just now: the work goes on when whoever asked has gone.
    judges: Arc<Semaphore>,
}

/// Knows when this node's directory has caught up with a revision.
#[async_trait]
pub trait Applied: Send + Sync {
    /// Returns when `revision` is in force on this node: `true`, or `false` when that cannot be had. May take for ever;
    /// the caller bounds its patience.
    async fn applied(&self, revision: i64) -> bool;
}

/// No directory to wait for: what is committed is in force.
#[async_trait]
impl Applied for () {
    async fn applied(&self, _revision: i64) -> bool {
        true
    }
}

/// Who asks: what they may do, and what the audit ledger says of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor {
    /// `operator:<token name>`, `token:<name>`, `person:<id>`, `cli`, `system`.
    pub name: String,
    /// In whose place, where an operator acts within a tenant.
    pub on_behalf: Option<String>,
    /// The caller's address.
    pub from: Option<IpAddr>,
    pub request_id: Option<String>,
    pub rights: Rights,
    /// What the rights stand on; `None`: on nothing that could be taken away.
    pub authority: Option<Authority>,
    pub credential: Credential,
}

/// What somebody makes ends with: that by which they were recognised.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Credential {
    /// By whose rights they act: the person who is signed in, or by whose rights the token stands.
    pub person: Option<PersonId>,
    /// The token's name.
    pub token: Option<String>,
    /// When a token ends.
    pub expires: Option<Timestamp>,
    /// The rank that an operator's token has in the operator's own tenant. `None`: above every role.
    pub rank: Option<Role>,
}

impl Actor {
    /// One who may do everything: the system itself, or whoever has the store's files in hands.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            on_behalf: None,
            from: None,
            request_id: None,
            rights: Rights::all(),
            authority: None,
            credential: Credential::default(),
        }
    }
}

/// What the caller believes the tenant's revision to be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Expect {
    #[default]
    Anything,
    /// One of these.
    Revision(Vec<i64>),
}

/// A write that is committed.
#[derive(Clone, Debug)]
pub struct Done<T> {
    pub value: T,
    pub revision: i64,
    /// False when this node's directory had not applied the revision in time. It will; the write stands.
    pub applied: bool,
}

/// How long an answer waits for this node's directory.
const APPLY_PATIENCE: Duration = Duration::from_secs(5);

impl Tenancy {
    pub fn new(store: Store, config: Arc<ArcSwap<Config>>, clock: Clock, applied: Arc<dyn Applied>) -> Self {
        let notes = Notes::new(store.clone());
        let judges = Arc::new(Semaphore::new(branding::JUDGES));
        Self { store, config, clock, applied, notes, judges }
    }

    pub fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// The store, for the rooms that have rules of their own about certificates and domains.
    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Looks again whether the actor may, adds the audit row, commits, and waits for the directory.
    pub async fn finish<T>(&self, mut write: Write, entry: AuditEntry, value: T) -> Result<Done<T>, TenancyError> {
        if let Some(grounds) = &entry.grounds {
            // Nobody else can commit now: what is read here holds until this does.
            self.still_may(grounds).await?;
        }
        write.audit(&entry).await?;
        let revision = write.commit().await?;
        let applied = tokio::time::timeout(APPLY_PATIENCE, self.applied.applied(revision)).await.unwrap_or(false);
        if !applied {
            tracing::warn!(revision, "the directory has not applied a write in time");
        }
        Ok(Done { value, revision, applied })
    }
}

impl Actor {
    fn grounds(&self) -> Option<Box<Grounds>> {
        let on = self.authority.clone()?;
        Some(Box::new(Grounds { on, rights: self.rights.clone() }))
    }

    /// A line of the ledger about what this actor does. Whether they may is looked at again when it is written.
    pub fn entry(
        &self,
        action: &str,
        tenant: Option<TenantId>,
        subject: impl ToString,
        detail: serde_json::Value,
    ) -> AuditEntry {
        AuditEntry {
            actor: self.name.clone(),
            on_behalf: self.on_behalf.clone(),
            from: self.from,
            action: action.to_owned(),
            tenant,
            subject: subject.to_string(),
            detail,
            request_id: self.request_id.clone(),
            grounds: self.grounds(),
            ..AuditEntry::default()
        }
    }
}
