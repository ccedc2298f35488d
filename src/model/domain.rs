//! A custom domain and its state.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Hostname, TenantId};
use crate::clock::Timestamp;

/// `pending` → `verifying` → `verified` → `live`, and `moved` / `failed` / `released` (product.md, *Custom domains*).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DomainState {
    Pending,
    Verifying,
    Verified,
    Live,
    Moved,
    Failed,
    Released,
}

impl DomainState {
    pub const ALL: [Self; 7] =
        [Self::Pending, Self::Verifying, Self::Verified, Self::Live, Self::Moved, Self::Failed, Self::Released];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Verifying => "verifying",
            Self::Verified => "verified",
            Self::Live => "live",
            Self::Moved => "moved",
            Self::Failed => "failed",
            Self::Released => "released",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether the domain belongs to its tenant and is served. `moved` is, until its grace ends.
    pub fn is_held(self) -> bool {
        matches!(self, Self::Verified | Self::Live | Self::Moved)
    }
}

impl fmt::Display for DomainState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One claim of a tenant to a name. At most one claim to a name is *held* at a time; pending ones never block it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Domain {
    pub name: Hostname,
    pub tenant: TenantId,
    pub state: DomainState,
    /// The value that the ownership TXT record must carry.
    pub token: String,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub revision: i64,
}
