//! Members of a tenant: what they are in it, and where. What a role lets somebody do is said in `scope.rs`; whose member
//! somebody is, nowhere here.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Role;

/// Whether a membership counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MemberState {
    Active,
    /// Ended, and can be brought back for a time.
    Removed,
    /// Ended, and to be erased with what is personal in it, unless that is called off in time.
    Purging,
}

impl MemberState {
    pub const ALL: [Self; 3] = [Self::Active, Self::Removed, Self::Purging];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Removed => "removed",
            Self::Purging => "purging",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// The name of a role of a tenant's own: 1–32 lowercase letters, digits and dashes, a letter first. None of the five
/// built-in roles' names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleName(Arc<str>);

/// Why a text is no name of a role of a tenant's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RoleNameError {
    #[error("a role's name has 1 to {} lowercase letters, digits and dashes, and starts with a letter", RoleName::MAX)]
    Shape,
    #[error("this is the name of a built-in role; choose another")]
    BuiltIn,
}

impl RoleName {
    /// In bytes.
    pub const MAX: usize = 32;

    pub fn parse(text: &str) -> Result<Self, RoleNameError> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let starts = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        if !starts || text.len() > Self::MAX || !text.bytes().all(good) {
            return Err(RoleNameError::Shape);
        }
        if Role::parse(text).is_some() {
            return Err(RoleNameError::BuiltIn);
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RoleName {
    type Err = RoleNameError;

    fn from_str(text: &str) -> Result<Self, RoleNameError> {
        Self::parse(text)
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Serialize for RoleName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// What a member is: one of the built-in roles, or a role of the tenant's own, which stands in rank where its base does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Position {
    pub rank: Role,
    pub custom: Option<RoleName>,
}

impl Position {
    /// The one word for it.
    pub fn name(&self) -> &str {
        self.custom.as_ref().map_or(self.rank.as_str(), RoleName::as_str)
    }

    /// Whether, in the operator's own tenant, it makes somebody an operator, who may do everything everywhere. A role of the
    /// tenant's own says itself what it lets them do.
    pub fn makes_operators(&self) -> bool {
        self.custom.is_none() && self.rank >= Role::Admin
    }
}

impl From<Role> for Position {
    fn from(rank: Role) -> Self {
        Self { rank, custom: None }
    }
}
