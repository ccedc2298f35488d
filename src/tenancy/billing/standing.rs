//! What a billing system's word about a tenant's status comes to. Pure. A tenant that an operator has suspended or cancelled
//! is brought back by an operator alone, whatever has been paid; one that the billing system has stopped, it can bring back
//! by itself.

use serde::Deserialize;

use crate::model::{SetBy, Status, Tenant};
use crate::tenancy::lifecycle::Event;

/// How a billing system sees a tenant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BillingStatus {
    /// Paid, or not to be paid for: served.
    Active,
    /// Not paid: not served for now.
    Suspended,
    /// Over.
    Cancelled,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Nothing,
    /// This happens, and whose word it is from then on.
    Happens(Event, SetBy),
    /// An operator has decided otherwise.
    Held,
}

/// Whether the event can happen at all is for the life cycle to say.
pub(super) fn step(tenant: &Tenant, wanted: BillingStatus) -> Step {
    let gone = matches!(tenant.status, Status::Cancelled | Status::Archived);
    let stopped = gone || tenant.status == Status::Suspended;
    let held = stopped && tenant.subscription.status_by == SetBy::Operator;
    match wanted {
        BillingStatus::Active | BillingStatus::Suspended if held => Step::Held,
        BillingStatus::Active if tenant.status == Status::Active => Step::Nothing,
        BillingStatus::Active if gone => Step::Happens(Event::Restore, SetBy::Billing),
        BillingStatus::Active => Step::Happens(Event::Activate, SetBy::Billing),
        BillingStatus::Suspended => Step::Happens(Event::Suspend, SetBy::Billing),
        BillingStatus::Cancelled if gone => Step::Nothing,
        // It ends, and yet the suspension is not forgotten: to be paid for again does not lift it.
        BillingStatus::Cancelled if held => Step::Happens(Event::Cancel, SetBy::Operator),
        BillingStatus::Cancelled => Step::Happens(Event::Cancel, SetBy::Billing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::model::{Slug, Subscription};
    use crate::tenancy::lifecycle::next;

    fn tenant(status: Status, status_by: SetBy) -> Tenant {
        Tenant {
            status,
            subscription: Subscription { status_by, ..Subscription::default() },
            ..Tenant::new(Slug::parse("acme").unwrap(), Timestamp(0))
        }
    }

    /// A row for each status, and whose word it is (`o` an operator's, `b` the billing system's): what each word of the billing
    /// system makes of it, and whose word that is; `-` the life cycle refuses it, `=` it stays.
    const TABLE: &str = "
                      active       suspended     cancelled
        pending   o   active/b     -             cancelled/b
        pending   b   active/b     -             cancelled/b
        trial     o   active/b     suspended/b   cancelled/b
        active    o   =            suspended/b   cancelled/b
        active    b   =            suspended/b   cancelled/b
        suspended o   held         held          cancelled/o
        suspended b   active/b     suspended/b   cancelled/b
        cancelled o   held         held          =
        cancelled b   active/b     -             =
        archived  o   held         held          =
        archived  b   active/b     -             =
    ";

    #[test]
    fn every_word_about_every_status_has_its_answer() {
        let rows = TABLE.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).skip(2);
        for row in rows.filter(|row| !row.is_empty()) {
            let by = if row[1] == "b" { SetBy::Billing } else { SetBy::Operator };
            let tenant = tenant(Status::parse(row[0]).unwrap(), by);
            let wanted = [BillingStatus::Active, BillingStatus::Suspended, BillingStatus::Cancelled];
            for (wanted, expected) in wanted.into_iter().zip(&row[2..]) {
                let found = match step(&tenant, wanted) {
                    Step::Nothing => "=".to_owned(),
                    Step::Held => "held".to_owned(),
                    Step::Happens(event, by) => match next(tenant.status, event) {
                        Err(_) => "-".to_owned(),
                        Ok(status) => format!("{status}/{}", &by.as_str()[..1]),
                    },
                };
                assert_eq!(found, *expected, "{row:?} {wanted:?}");
            }
        }
    }
}
