//! `[tenancy]`: how tenants are treated.

use std::time::Duration;

use super::section::Section;

const DAY: Duration = Duration::from_secs(86_400);
const COOKIE: &str = "the name of a cookie, such as \"tenantry_session\"";

/// `[tenancy]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tenancy {
    /// How long a new trial lasts. Default 14.
    pub trial_days: u32,
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
