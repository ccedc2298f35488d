//! `[tenancy]`: how tenants are treated.

use std::time::Duration;

use super::section::Section;
use crate::model::Slug;

const DAY: Duration = Duration::from_secs(86_400);
const SLUG: &str = "the slug of a tenant, such as \"arythmatic\"";
const COOKIE: &str = "the name of a cookie, such as \"tenantry_session\"";

/// `[tenancy]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tenancy {
    /// The slug of the operator's own tenant, whose members look after all others. `None` (the default): there is none.
    pub operator: Option<Slug>,
    /// How long a new trial lasts. Default 14.
    pub trial_days: u32,
    /// How long before a trial's end its tenant is told. Default 3 days.
    pub trial_notice: Duration,
    /// How long a cancelled tenant is kept as it is, before it is archived. Default 90 days.
    pub cancelled_for: Duration,
    /// How long an archived tenant can be restored, before it is purged. Default 90 days.
    pub archived_for: Duration,
    /// How long domains stay served whose tenant's plan does not cover them any more. Default 30 days.
    pub feature_grace: Duration,
    /// What happens to a trial that is over: `false` (the default) stays reachable, `true` is treated as suspended.
    pub suspend_expired_trials: bool,
    /// Tenant from a signed cookie on the main site; `None` (the default): off.
    pub session_cookie: Option<String>,
    /// Send HSTS on tenant hosts and custom domains, with this `max-age` (RFC 6797). Default 180 days; `None`: off.
    pub hsts: Option<Duration>,
}

impl Tenancy {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            operator: section.text("operator", SLUG, Slug::parse),
            trial_notice: section.duration("trial_notice", Duration::from_secs(60)..=90 * DAY, 3 * DAY),
            cancelled_for: section.duration("cancelled_for", DAY..=3_650 * DAY, 90 * DAY),
            archived_for: section.duration("archived_for", DAY..=3_650 * DAY, 90 * DAY),
            feature_grace: section.duration("feature_grace", DAY..=3_650 * DAY, 30 * DAY),
            trial_days: section.number("trial_days", 1..=3_650, 14),
            suspend_expired_trials: section.choice("expired_trials", &[("serve", false), ("suspend", true)], false),
            session_cookie: section.text("session_cookie", COOKIE, cookie_name),
            hsts: section.duration_or_off("hsts", Duration::from_secs(1)..=730 * DAY, Some(180 * DAY)),
        }
    }
}

/// A token (RFC 6265 §4.1.1, RFC 9110 §5.6.2).
fn cookie_name(text: &str) -> Result<String, &'static str> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !text.is_empty() && text.len() <= 64 && text.bytes().all(token) { Ok(text.to_owned()) } else { Err("") }
}
