//! The caps of a tenant's own, as an operator sets them.

use std::collections::BTreeMap;

use serde_json::json;

use super::error::{Fault, Faults, TenancyError};
use super::{Actor, Done, Expect, Tenancy, TenantState};
use crate::model::{Cap, CapName, OwnCap, OwnCaps, SetBy};

/// The largest cap: every program that reads JSON can count to it.
pub const CAP_MAX: u64 = 1_000_000_000_000_000;

impl Tenancy {
    /// Replaces the caps that count before the plan's; `None`, as what is not named: the plan's holds. One that stays as it
    /// is stays the word of whoever set it.
    pub async fn set_caps(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
        caps: &BTreeMap<String, Option<Cap>>,
    ) -> Result<Done<TenantState>, TenancyError> {
        let mut faults = Faults::default();
        let checked = caps.iter().filter_map(|(name, cap)| {
            let name = faults.take(check("/caps", name, *cap))?;
            Some((name, (*cap)?))
        });
        let caps: Vec<_> = checked.collect();
        let caps = faults.or(Some(caps))?;
        self.change(actor, key, expect, "tenant.caps", |tenant| {
            let before = std::mem::take(&mut tenant.subscription.caps);
            let own = caps.into_iter().map(|(name, cap)| {
                let by_operator = OwnCap { cap, by: SetBy::Operator };
                (name, before.0.get(&name).filter(|own| own.cap == cap).copied().unwrap_or(by_operator))
            });
            tenant.subscription.caps = OwnCaps(own.collect());
            Ok(json!({}))
        })
        .await
    }
}

/// A cap that there is, and a number that it can have, if it is to have one.
pub(super) fn check(beneath: &str, name: &str, cap: Option<Cap>) -> Result<CapName, Fault> {
    let Some(known) = CapName::parse(name) else {
        let names = CapName::ALL.map(CapName::as_str).join(", ");
        let pointer = format!("{beneath}/{}", name.replace('~', "~0").replace('/', "~1"));
        return Err(Fault::new(pointer, "unknown-cap", format!("there is no cap {name:?}; there are {names}")));
    };
    match cap {
        Some(Cap::Number(number)) if number > CAP_MAX => {
            let detail = format!("at most {CAP_MAX}, or \"unlimited\", and this is {number}");
            Err(Fault::new(format!("{beneath}/{known}"), "out-of-range", detail))
        }
        _ => Ok(known),
    }
}
