//! What the rest of the house talks about: names, tenants, plans, domains. Pure values: nothing here reads a clock,
//! a socket or a row.

mod brand;
mod branding;
mod caps;
mod certificate;
mod colour;
mod contact;
mod contract;
mod domain;
mod edge_settings;
mod effective;
mod explanation;
mod hostname;
mod member;
mod path;
mod person;
mod plan;
mod pool_status;
mod provenance;
mod scope;
mod search_key;
mod setting;
mod slug;
mod subscription;
mod tenant;
mod units;

pub use brand::{Brand, BrandError, HostClass};
pub use branding::{Asset, Branding, DirectoryStretch, Image, ImageKind, Images, Listed, Listing, MediaType};
pub use caps::{CapName, Caps, OwnCap, OwnCaps, SetBy};
pub use certificate::{Certificate, CertificateSource};
pub use colour::{Colour, ColourError};
pub use contact::{Contact, ContactKind};
pub use contract::{X_FORWARDED, is_contract_header};
pub use domain::{Domain, DomainName, DomainState};
pub use edge_settings::{
    Access, Canary, Cap, Cors, EdgePolicy, EdgeSettings, LimitSettings, Limits, Maintenance, Rate, Www,
};
pub use effective::{Effective, Standing};
pub use explanation::{Explanation, Question, Told, Unclear, Verdict};
pub use hostname::{Hostname, HostnameError};
pub use member::{MemberState, Position, RoleName, RoleNameError};
pub use path::{folded_path, normal_path};
pub use person::{Email, EmailError, InvitationId, Person, PersonId, SessionId, UnitId};
pub use plan::{Catalogue, CatalogueError, Direction, Feature, FeatureError, Known, Plan, PlanName};
pub use pool_status::{BackendStatus, PoolStatus};
pub use provenance::{Origin, Provenance, Traced};
pub use scope::{Authority, Grant, Grounds, Reach, Realm, Rights, Role, Scope, within_a_tenant};
pub use search_key::{later_words, reversed_labels, search_key};
pub use setting::{Setting, SettingKind, Source, holding};
pub use slug::{Slug, SlugError};
pub use subscription::{PlanChange, Subscription, When};
pub use tenant::{Life, Status, Tenant, TenantId};
pub use units::{UnitNode, UnitTree, UnitTreeError};

/// One more place than the store has heard of: what a change touched, and therefore what every follower forgets.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Change {
    /// The facts of a tenant: status, plan, features, name, branding.
    Tenant(TenantId),
    /// Whom the slug host of this slug leads to.
    Slug(Slug),
    /// Whom a custom domain leads to.
    Host(Hostname),
    /// Whom every name one label beneath this one leads to: a wildcard domain came or went.
    Beneath(Hostname),
    /// The certificate served for a name. The name may be a wildcard (`*.connect.example.com`).
    Certificate(String),
    /// An ACME challenge answer: the token (http-01) or the name (tls-alpn-01).
    Challenge(String),
    /// A session at the edge that is over: what was served under it ends, and its cookie is worth nothing.
    Session(SessionId),
    /// The keys that sign assertions and session cookies.
    Keys,
    /// Too much to list (a bulk import, a restored backup): forget everything.
    Reset,
}

impl Change {
    /// What is touched when a custom domain comes, changes or goes.
    pub fn of_domain(name: &DomainName) -> Self {
        match name.is_wildcard() {
            true => Self::Beneath(name.host().clone()),
            false => Self::Host(name.host().clone()),
        }
    }
}
