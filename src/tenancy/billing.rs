//! What a billing system says of a tenant: its plan, whether it has paid, the period, its caps. Each of its webhooks is
//! believed by its signature alone, and done once or not at all: what it does, the note that it has been taken and the line of
//! the ledger are one transaction. Nothing here asks a billing system anything, and no amount of money is known here.

mod apply;
mod signature;
mod standing;

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::apply::Checked;
pub(super) use self::apply::reference;
pub use self::signature::{SignatureError, Signed, TOLERANCE};
pub use self::standing::BillingStatus;
use super::error::{Kind, TenancyError};
use super::plans::tell_scheduled;
use super::{Actor, Done, Tenancy, shown};
use crate::clock::Timestamp;
use crate::model::{Cap, Slug, Tenant, TenantId, When};
use crate::store::{BillingEventRow, Write};

/// The longest name that a billing system has for a tenant, in characters.
pub const REF_MAX: usize = 255;

/// What a webhook says, as it was sent. What is `None` stays as it is.
#[derive(Clone, Debug)]
pub struct BillingUpdate {
    /// When it happened. What is older than the newest that has been told of the tenant changes nothing any more.
    pub occurred_at: Timestamp,
    pub tenant: BillingTenant,
    /// A plan of the catalogue.
    pub plan: Option<String>,
    /// When the plan begins; `None`: an upgrade at once, a downgrade at the end of the period.
    pub when: Option<When>,
    pub status: Option<BillingStatus>,
    /// Why it is suspended or cancelled.
    pub reason: Option<String>,
    /// When the billing period under way began, and when it ends.
    pub period: Option<(Timestamp, Timestamp)>,
    /// Caps that count before the plan's, by name; `None` takes one back.
    pub limits: BTreeMap<String, Option<Cap>>,
    /// What the billing system calls the tenant from now on.
    pub billing_ref: Option<String>,
}

/// Whom it is about; exactly one of them.
#[derive(Clone, Debug, Default)]
pub struct BillingTenant {
    pub id: Option<String>,
    pub slug: Option<String>,
    /// What the billing system calls it.
    pub billing_ref: Option<String>,
}

/// What came of a webhook.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BillingAnswer {
    /// False: something newer had been told of the tenant, and nothing was changed.
    pub applied: bool,
    pub tenant: TenantId,
    /// The facts that are others than before: `plan`, `status`, …
    pub changed: Vec<String>,
    /// What it said and was not done, although everything else was.
    pub held: Vec<Held>,
    /// The revision of the store that it made.
    pub revision: i64,
}

/// Something that stays as it is because it is not the billing system's to change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Held {
    /// Where in the body, as a JSON pointer.
    pub pointer: String,
    /// Stable, for programs: `operators-word`.
    pub code: String,
    pub detail: String,
}

/// A webhook that has been taken.
#[derive(Clone, Debug)]
pub enum BillingTaken {
    Now(Done<BillingAnswer>),
    /// It has been taken before, and this came of it then.
    Before(BillingAnswer),
}

/// Why a webhook is not even looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BillingRefusal {
    #[error("no billing system is configured here: [billing] of tenantry.toml names the secrets that one signs with")]
    NotConfigured,
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl Tenancy {
    /// Whether a webhook comes from the billing system, and now.
    pub fn is_from_billing(&self, signed: Signed<'_>, body: &[u8]) -> Result<(), BillingRefusal> {
        let config = self.config();
        let billing = config.billing.as_ref().ok_or(BillingRefusal::NotConfigured)?;
        Ok(signature::verify(&billing.secrets, signed, body, self.clock.now())?)
    }

    /// Does what a webhook says: all of it, or nothing. `id` is its `webhook-id`, `body` what it was read from; the same once
    /// more is answered as it was and does nothing. `Conflict` when the id has come with another body.
    pub async fn take_billing(
        &self,
        actor: &Actor,
        id: &str,
        body: &[u8],
        update: &BillingUpdate,
    ) -> Result<BillingTaken, TenancyError> {
        let fingerprint = fingerprint(body);
        // Before its fields are looked at: what was right then is answered as it was, whatever the catalogue says now.
        if let Some(row) = self.store.billing_event(id).await? {
            return before(&row, fingerprint);
        }
        let checked = apply::check(update, &self.config(), self.clock.now())?;
        let mut write = self.store.write().await?;
        // Again, now that nobody else can write: it may have come twice at the same time.
        if let Some(row) = write.billing_event(id).await? {
            return before(&row, fingerprint);
        }
        let tenant = named(&mut write, &update.tenant).await?;
        let occurred = update.occurred_at;
        let is_old = tenant.subscription.told.is_some_and(|told| occurred < told);
        let (tenant, answer, entry) = match is_old {
            true => {
                let detail = json!({ "webhook": id, "occurred_at": occurred, "newest": tenant.subscription.told });
                let entry = actor.entry("billing.out-of-order", Some(tenant.id), &tenant.slug, detail);
                let answer = answer(&write, &tenant, false, Vec::new(), Vec::new());
                (tenant, answer, entry)
            }
            false => {
                let before = tenant;
                let (tenant, held) = self.apply(&mut write, &before, checked, occurred).await?;
                let changed = differences(&apply::facts(&before), &apply::facts(&tenant));
                let detail = json!({ "webhook": id, "occurred_at": occurred, "reason": update.reason, "held": held });
                let entry = actor.entry("billing.update", Some(tenant.id), &tenant.slug, detail);
                let entry = entry.changed(shown::tenant(&before), shown::tenant(&tenant));
                let answer = answer(&write, &tenant, true, changed, held);
                (tenant, answer, entry)
            }
        };
        let kept = serde_json::to_value(&answer).unwrap_or_default();
        let row = BillingEventRow { id: id.to_owned(), fingerprint, occurred, tenant: tenant.id, answer: kept };
        write.insert_billing_event(&row).await?;
        Ok(BillingTaken::Now(self.finish(write, entry, answer).await?))
    }

    /// Writes the tenant as the webhook would have it, but for what is held.
    async fn apply(
        &self,
        write: &mut Write,
        before: &Tenant,
        checked: Checked,
        occurred: Timestamp,
    ) -> Result<(Tenant, Vec<Held>), TenancyError> {
        if let Some(name) = checked.billing_ref() {
            free_ref(write, before.id, name).await?;
        }
        let mut tenant = before.clone();
        // The period first: a plan may begin at its end.
        let moved = checked.set_period(&mut tenant, self.clock.now());
        if let Some(plan) = checked.plan() {
            self.change_plan(write, &mut tenant, Some(plan.clone()), checked.when()).await?;
        } else if moved {
            tell_scheduled(write, &tenant).await?;
        }
        let held = checked.onto(&mut tenant, &self.config(), self.clock.now())?;
        tenant.subscription.told = Some(occurred);
        Ok((self.put(write, before, tenant).await?, held))
    }
}

/// Refuses a name of the billing system's that is another tenant's.
pub(super) async fn free_ref(write: &mut Write, of: TenantId, name: &str) -> Result<(), TenancyError> {
    match write.tenant_by_billing_ref(name).await? {
        Some(other) if other.id != of => {
            let detail = format!("the billing system calls the tenant {} {name:?}", other.slug);
            Err(TenancyError::conflict("/billing_ref", "billing-ref-taken", detail))
        }
        _ => Ok(()),
    }
}

async fn named(write: &mut Write, tenant: &BillingTenant) -> Result<Tenant, TenancyError> {
    let found = match (&tenant.id, &tenant.slug, &tenant.billing_ref) {
        (Some(id), ..) => match TenantId::parse(id) {
            Some(id) => write.tenant(id).await?,
            None => None,
        },
        (_, Some(slug), _) => match Slug::parse(slug) {
            Ok(slug) => write.tenant_by_slug(&slug).await?,
            Err(_) => None,
        },
        (.., Some(name)) => write.tenant_by_billing_ref(name).await?,
        (None, None, None) => None,
    };
    let key = [&tenant.id, &tenant.slug, &tenant.billing_ref].into_iter().flatten().next();
    found.ok_or_else(|| TenancyError::NotFound(Kind::Tenant, key.cloned().unwrap_or_default()))
}

fn before(row: &BillingEventRow, fingerprint: [u8; 32]) -> Result<BillingTaken, TenancyError> {
    if row.fingerprint != fingerprint {
        let detail = "this webhook-id has come with another body before; a new message needs a new id";
        return Err(TenancyError::conflict("", "webhook-id-reused", detail));
    }
    let answer = serde_json::from_value(row.answer.clone());
    let answer =
        answer.map_err(|error| crate::store::StoreError::Corrupt(format!("billing event {}: {error}", row.id)))?;
    Ok(BillingTaken::Before(answer))
}

fn answer(write: &Write, tenant: &Tenant, applied: bool, changed: Vec<String>, held: Vec<Held>) -> BillingAnswer {
    BillingAnswer { applied, tenant: tenant.id, changed, held, revision: write.revision() }
}

/// The names of the members that are not the same.
fn differences(was: &Value, is: &Value) -> Vec<String> {
    let members = is.as_object().into_iter().flatten();
    members.filter(|(name, value)| was.get(name.as_str()) != Some(*value)).map(|(name, _)| name.clone()).collect()
}

fn fingerprint(body: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, body).as_ref());
    hash
}
