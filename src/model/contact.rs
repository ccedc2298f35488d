//! Whom to turn to at a tenant. Not who may do what: those are its members.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Email;

/// A person or a desk at a tenant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// 1–120 characters.
    pub name: String,
    #[schema(value_type = String, format = Email)]
    pub email: Email,
    pub kind: ContactKind,
}

/// What a contact is asked about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ContactKind {
    /// Whatever nobody else is named for.
    General,
    Billing,
    Technical,
    Security,
    /// Data protection and contracts.
    Legal,
}
