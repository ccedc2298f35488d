//! Which visitors are among a canary's share: each has a number from 0 to 99, the same each time. It is kept in a cookie
//! that is set when a tenant has a canary; without one it follows from the client's address. It decides nothing but the
//! pool, so nobody gains anything by choosing it.

use std::hash::BuildHasher;
use std::net::IpAddr;

use foldhash::fast::FixedState;
use http::{HeaderMap, HeaderValue};

use super::session::cookie;
use crate::directory::{Network, View};

/// `__Host-`: no other host can set it (RFC 6265bis §4.1.3.2).
const COOKIE: &str = "__Host-tenantry-visitor";

/// A visitor's number, and whether it still has to be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Visitor {
    pub bucket: u8,
    pub new: bool,
}

impl Visitor {
    /// Whoever visits a tenant without a canary is not looked at.
    pub fn of(view: Option<&View>, headers: &HeaderMap, client: IpAddr) -> Self {
        let Some(view) = view.filter(|view| view.effective.edge.canary.is_some()) else { return Self::default() };
        match cookie(headers, COOKIE).and_then(|text| text.parse().ok()).filter(|bucket| *bucket < 100) {
            Some(bucket) => Self { bucket, new: false },
            None => {
                let hash = FixedState::with_seed(0).hash_one((Network::of(client), view.tenant.id));
                Self { bucket: (hash % 100) as u8, new: true }
            }
        }
    }

    /// The cookie that keeps the number; `None` where there is nothing to keep.
    pub fn cookie(self) -> Option<HeaderValue> {
        if !self.new {
            return None;
        }
        let text = format!("{COOKIE}={}; Path=/; Max-Age=2592000; Secure; HttpOnly; SameSite=Lax", self.bucket);
        HeaderValue::try_from(text).ok()
    }
}
