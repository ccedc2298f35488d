//! The caps of a tenant's own, as an operator sets them.

use std::collections::BTreeMap;

use serde_json::json;

use super::error::{Fault, Faults, TenancyError};
use super::{Actor, Done, Expect, Tenancy, TenantState};
use crate::model::{Cap, CapName, OwnCap, OwnCaps, SetBy};

/// The largest cap: every program that reads JSON can count to it.
pub const CAP_MAX: u64 = 1_000_000_000_000_000;

impl Tenancy {
    /// Replaces the caps that count before the plan's. One that stays as it is stays the word of whoever set it.
    pub async fn set_caps(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
        caps: &BTreeMap<CapName, Cap>,
    ) -> Result<Done<TenantState>, TenancyError> {
        let mut faults = Faults::default();
        for (name, cap) in caps {
            faults.take(check("/caps", *name, *cap));
        }
        faults.or(Some(()))?;
        self.change(actor, key, expect, "tenant.caps", |tenant| {
            let before = std::mem::take(&mut tenant.subscription.caps);
            let own = caps.iter().map(|(name, cap)| {
                let by_operator = OwnCap { cap: *cap, by: SetBy::Operator };
                (*name, before.0.get(name).filter(|own| own.cap == *cap).copied().unwrap_or(by_operator))
            });
            tenant.subscription.caps = OwnCaps(own.collect());
            Ok(json!({}))
        })
        .await
    }
}

pub(super) fn check(beneath: &str, name: CapName, cap: Cap) -> Result<(), Fault> {
    match cap {
        Cap::Number(number) if number > CAP_MAX => {
            let detail = format!("at most {CAP_MAX}, or \"unlimited\", and this is {number}");
            Err(Fault::new(format!("{beneath}/{name}"), "out-of-range", detail))
        }
        Cap::Number(_) | Cap::Unlimited => Ok(()),
    }
}
