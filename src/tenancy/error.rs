//! What can be wrong with something asked of the tenancy rooms. Every refusal is a value here; how it looks on the wire
//! is decided elsewhere.

use serde::Serialize;

use super::lifecycle::TransitionError;
use crate::model::{Feature, PlanName, Role, Scope};
use crate::store::StoreError;

/// One thing wrong with one field of what was sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Fault {
    /// Where, as a JSON pointer into what was sent (RFC 6901): `/slug`, `/features/on/2`.
    pub pointer: String,
    /// Stable, for programs: `reserved`, `too-long`, `unknown-plan`, …
    pub code: &'static str,
    /// For people: what was wrong, and what would be right.
    pub detail: String,
}

impl Fault {
    pub fn new(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, detail: detail.into() }
    }
}

/// What there is none of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Tenant,
    Domain,
    Token,
    Certificate,
    Person,
    Session,
    Member,
    Role,
    /// A business unit.
    Unit,
    Invitation,
    /// A certificate that is wanted from an authority.
    Order,
    /// A picture of a branding.
    Picture,
    /// What an operator does within a tenant in the place of its admins.
    Impersonation,
    /// By which somebody sets a password.
    PasswordToken,
    /// A change of a tenant's plan that waits.
    PlanChange,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Domain => "domain",
            Self::Token => "token",
            Self::Certificate => "certificate",
            Self::Person => "person",
            Self::Session => "session",
            Self::Member => "member",
            Self::Role => "role",
            Self::Unit => "unit",
            Self::Invitation => "invitation",
            Self::Order => "order for a certificate of",
            Self::Picture => "picture",
            Self::Impersonation => "impersonation by",
            Self::PasswordToken => "password token",
            Self::PlanChange => "change of plan that waits for",
        }
    }
}

/// Why nothing was done. Whatever the reason, nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum TenancyError {
    /// Fields that break a rule; all of them that were found, never none.
    #[error("{}", join(.0))]
    Invalid(Vec<Fault>),
    #[error("there is no {kind} {name:?}", kind = .0.as_str(), name = .1)]
    NotFound(Kind, String),
    /// Something that must be unique is there already, or is in the way.
    #[error("{}", .0.detail)]
    Conflict(Fault),
    #[error("{0}")]
    Transition(#[from] TransitionError),
    /// The tenant's plan, licence included, does not give this feature.
    #[error("this needs the feature {feature}, which the tenant does not have{}", offer(.plans))]
    PlanRequired { feature: Feature, plans: Vec<PlanName>, upgrade_url: Option<String> },
    /// The caller's idea of the tenant is out of date.
    #[error("the tenant has changed since: its revision is {current} now")]
    Stale { current: i64 },
    /// Whoever asks does not hold these scopes, and so can neither use nor hand them out.
    #[error("this needs {}, which you do not hold", scopes(.0))]
    Forbidden(Vec<Scope>),
    /// The token or session of whoever asks was good when they did, and is not any more.
    #[error("the token or session that this was asked with has ended meanwhile")]
    Ended,
    /// It is about somebody, or would make somebody, of a higher rank than whoever asks.
    #[error("this is about the role {wanted}, which is above your own, {own}")]
    Outranked { wanted: Role, own: Role },
    /// The tenant's plan has no room for one more. What there is already stays.
    #[error("the plan has room for {cap} members, and there are as many or more{}", larger(.plans))]
    OverCap { cap: u64, plans: Vec<PlanName>, upgrade_url: Option<String> },
    /// Asked for too often.
    #[error("this was asked for too often; again in {} s", .retry_after.as_secs().max(1))]
    TooOften { retry_after: std::time::Duration },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TenancyError {
    /// Something is in the way.
    pub fn conflict(pointer: &str, code: &'static str, detail: impl Into<String>) -> Self {
        Self::Conflict(Fault::new(pointer, code, detail))
    }
}

/// Collects every fault before saying no.
#[derive(Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub fn add(&mut self, pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) {
        self.0.push(Fault::new(pointer, code, detail));
    }

    /// The value, or its fault noted.
    pub fn take<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.0.push(fault)).ok()
    }

    /// `value` when there was no fault at all.
    pub fn or<T>(self, value: Option<T>) -> Result<T, TenancyError> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(TenancyError::Invalid(self.0)),
        }
    }
}

fn join(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("{}: {}", fault.pointer, fault.detail)).collect::<Vec<_>>().join("; ")
}

fn scopes(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(", ")
}

fn offer(plans: &[PlanName]) -> String {
    match plans {
        [] => String::new(),
        plans => {
            format!("; plans that have it: {}", plans.iter().map(PlanName::as_str).collect::<Vec<_>>().join(", "))
        }
    }
}

fn larger(plans: &[PlanName]) -> String {
    match plans {
        [] => String::new(),
        plans => format!("; plans with more: {}", plans.iter().map(PlanName::as_str).collect::<Vec<_>>().join(", ")),
    }
}
