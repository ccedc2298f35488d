//! What somebody may do: dotted scopes, the five roles that hold them, and how far each reaches.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{SessionId, TenantId};

macro_rules! scopes {
    ($($(#[doc = $meaning:literal])+ $name:ident = $text:literal, $reach:ident;)+) => {
        /// One thing that somebody may do (`domains:manage`). The list is closed; `:read` and `:manage` are held apart, and
        /// `:manage` holds nothing else.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Scope {
            $($(#[doc = $meaning])+ $name,)+
        }

        impl Scope {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// For people: what it allows.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($meaning),+).trim_ascii(),)+
                }
            }

            /// Whether it can be held within one tenant, or only by the operators of the installation.
            pub fn reach(self) -> Reach {
                match self {
                    $(Self::$name => Reach::$reach,)+
                }
            }
        }
    };
}

/// How far a scope can reach.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// Held for one tenant by its members and tokens, for all tenants by operators.
    Tenant,
    /// Held by operators only.
    Installation,
}

scopes! {
    /// See the tenant: facts, effective state, settings, branding, plan.
    TenantRead = "tenant:read", Tenant;
    /// Change the tenant's name, contacts and settings.
    TenantManage = "tenant:manage", Tenant;
    /// Change colours, logos and style sheet of the tenant's pages.
    BrandingManage = "branding:manage", Tenant;
    /// Change whether and how the tenant is listed in the public directory.
    ListingManage = "listing:manage", Tenant;
    /// Change CORS, access lists, maintenance and redirects of the tenant's hosts.
    EdgeManage = "edge:manage", Tenant;
    /// See what the tenant uses.
    TrafficRead = "traffic:read", Tenant;
    /// See domains and what DNS says of them.
    DomainsRead = "domains:read", Tenant;
    /// Add, verify and remove domains.
    DomainsManage = "domains:manage", Tenant;
    /// See certificates and the orders for them.
    CertificatesRead = "certificates:read", Tenant;
    /// Upload, order, renew and revoke certificates.
    CertificatesManage = "certificates:manage", Tenant;
    /// See what happened to domains and certificates.
    EventsRead = "events:read", Tenant;
    /// See members, invitations, roles and business units.
    MembersRead = "members:read", Tenant;
    /// Invite, change and remove members; change business units.
    MembersManage = "members:manage", Tenant;
    /// Make and change roles of the tenant's own.
    RolesManage = "roles:manage", Tenant;
    /// See tokens, without their text.
    TokensRead = "tokens:read", Tenant;
    /// Make and revoke tokens.
    TokensManage = "tokens:manage", Tenant;
    /// Read and verify the audit ledger.
    AuditRead = "audit:read", Tenant;
    /// Export all that there is of the tenant.
    DataExport = "data:export", Tenant;
    /// Create and import tenants.
    TenantsCreate = "tenants:create", Installation;
    /// Change a tenant's status, plan, features, limits, backends and parent.
    TenantsManage = "tenants:manage", Installation;
    /// Delete tenants for ever.
    TenantsDelete = "tenants:delete", Installation;
    /// Act within a tenant in the place of its admins.
    TenantsImpersonate = "tenants:impersonate", Installation;
    /// See and disable people, and end their sessions.
    PeopleManage = "people:manage", Installation;
    /// See the configuration, pools and routes of a node.
    ConfigRead = "config:read", Installation;
    /// Reload the configuration of a node.
    ConfigManage = "config:manage", Installation;
    /// Replace a node's program.
    ProcessManage = "process:manage", Installation;
}

impl Scope {
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|scope| scope.as_str() == text)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no scope")))
    }
}

/// Scopes as they are written down with a token: listed, or all that can be held where it counts. JSON: a list of scopes,
/// or `["*"]`. A scope that this program does not know is nothing that it grants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Grant {
    All,
    These(BTreeSet<Scope>),
}

impl Grant {
    /// The scopes among `all` that are granted.
    pub fn held(&self, all: &[Scope]) -> BTreeSet<Scope> {
        let all = all.iter().copied();
        match self {
            Self::All => all.collect(),
            Self::These(scopes) => all.filter(|scope| scopes.contains(scope)).collect(),
        }
    }
}

impl Serialize for Grant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => ["*"].serialize(serializer),
            Self::These(scopes) => scopes.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Grant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        match words.iter().any(|word| word == "*") {
            true => Ok(Self::All),
            false => Ok(Self::These(words.iter().filter_map(|word| Scope::parse(word)).collect())),
        }
    }
}

/// What a member of a tenant is. Ordered: a later one stands above an earlier one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Guest,
    Member,
    Moderator,
    Admin,
    Owner,
}

impl Role {
    /// The lowest first.
    pub const ALL: [Self; 5] = [Self::Guest, Self::Member, Self::Moderator, Self::Admin, Self::Owner];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Member => "member",
            Self::Moderator => "moderator",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// What the role may do in its tenant. Owners and admins hold the same; they differ in rank.
    pub fn scopes(self) -> BTreeSet<Scope> {
        use Scope::{
            AuditRead, CertificatesRead, DomainsRead, EventsRead, ListingManage, MembersRead, TenantRead, TrafficRead,
        };
        match self {
            Self::Guest => BTreeSet::new(),
            Self::Member => [TenantRead].into(),
            Self::Moderator => [
                TenantRead,
                MembersRead,
                ListingManage,
                DomainsRead,
                CertificatesRead,
                EventsRead,
                TrafficRead,
                AuditRead,
            ]
            .into(),
            Self::Admin | Self::Owner => within_a_tenant(),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Every scope that can be held within one tenant.
pub fn within_a_tenant() -> BTreeSet<Scope> {
    Scope::ALL.iter().copied().filter(|scope| scope.reach() == Reach::Tenant).collect()
}

/// What somebody may do, and where: decided once, when they are recognised.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rights {
    pub realm: Realm,
    pub scopes: BTreeSet<Scope>,
    /// `None`: an operator, above every role. What is of a higher rank is not theirs to change or hand out.
    pub rank: Option<Role>,
}

/// Where somebody may do something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Realm {
    /// In every tenant, and beside them.
    Installation,
    /// In one tenant, and nowhere else.
    Tenant(TenantId),
}

/// What somebody presented, on which their rights stand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Authority {
    /// A token, by the SHA-256 of its text.
    Token([u8; 32]),
    Session(SessionId),
}

/// Rights that can be taken away, with what they stand on: so that whoever writes can look again, while nobody else writes,
/// whether they are still there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grounds {
    pub on: Authority,
    pub rights: Rights,
}

impl Rights {
    /// The system itself, and whoever has the store's own files in hands.
    pub fn all() -> Self {
        Self { realm: Realm::Installation, scopes: Scope::ALL.iter().copied().collect(), rank: None }
    }

    /// Nothing, nowhere: somebody who is known, and no more.
    pub fn none() -> Self {
        Self { realm: Realm::Tenant(TenantId(uuid::Uuid::nil())), scopes: BTreeSet::new(), rank: Some(Role::Guest) }
    }

    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether they hold all that `earlier` did, wherever that was, and stand as high.
    pub fn still_hold(&self, earlier: &Self) -> bool {
        let everywhere = self.realm == Realm::Installation;
        let as_high = match (self.rank, earlier.rank) {
            (None, _) => true,
            (Some(now), Some(then)) => now >= then,
            (Some(_), None) => false,
        };
        (everywhere || self.realm == earlier.realm) && as_high && self.lacking(&earlier.scopes).is_empty()
    }

    /// Whether this tenant is theirs to see at all.
    pub fn covers(&self, tenant: TenantId) -> bool {
        match self.realm {
            Realm::Installation => true,
            Realm::Tenant(own) => own == tenant,
        }
    }

    /// The one tenant that they are bound to.
    pub fn only(&self) -> Option<TenantId> {
        match self.realm {
            Realm::Installation => None,
            Realm::Tenant(own) => Some(own),
        }
    }

    /// The scopes among `wanted` that they do not hold, and so cannot hand out.
    pub fn lacking(&self, wanted: &BTreeSet<Scope>) -> Vec<Scope> {
        wanted.difference(&self.scopes).copied().collect()
    }

    /// Whether somebody of that role is theirs to make, change or remove: up to their own rank.
    pub fn outranks(&self, role: Role) -> bool {
        self.rank.is_none_or(|own| role <= own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_is_read_back_and_says_what_it_is() {
        for scope in Scope::ALL {
            assert_eq!(Scope::parse(scope.as_str()), Some(*scope));
            assert!(scope.as_str().split_once(':').is_some_and(|(of, what)| !of.is_empty() && !what.is_empty()));
            assert!(scope.meaning().ends_with('.') && !scope.meaning().starts_with(' '), "{scope}");
        }
        assert_eq!(Scope::parse("*"), None);
    }

    #[test]
    fn a_higher_role_holds_all_that_a_lower_one_does_and_none_reaches_beyond_its_tenant() {
        for pair in Role::ALL.windows(2) {
            assert!(pair[0] < pair[1] && pair[0].scopes().is_subset(&pair[1].scopes()), "{pair:?}");
        }
        assert!(Role::Owner.scopes().iter().all(|scope| scope.reach() == Reach::Tenant));
    }

    #[test]
    fn nobody_reaches_above_themselves() {
        let own = TenantId::new();
        let admin = Rights { realm: Realm::Tenant(own), scopes: Role::Admin.scopes(), rank: Some(Role::Admin) };
        assert!(admin.covers(own) && !admin.covers(TenantId::new()));
        assert!(admin.outranks(Role::Admin) && !admin.outranks(Role::Owner));
        assert_eq!(admin.lacking(&[Scope::DomainsManage, Scope::TenantsDelete].into()), [Scope::TenantsDelete]);
        let (owner, elsewhere) = (
            Rights { rank: Some(Role::Owner), ..admin.clone() },
            Rights { realm: Realm::Tenant(TenantId::new()), ..admin.clone() },
        );
        let fewer = Rights { scopes: Role::Moderator.scopes(), ..admin.clone() };
        assert!(owner.still_hold(&admin) && !admin.still_hold(&owner) && !elsewhere.still_hold(&admin));
        assert!(admin.still_hold(&fewer) && !fewer.still_hold(&admin));
        assert!(Rights::all().still_hold(&owner) && !owner.still_hold(&Rights::all()));
        assert!(Rights::all().outranks(Role::Owner) && Rights::all().lacking(&Role::Owner.scopes()).is_empty());
    }
}
