//! Certificates that their owners bring: what is refused, what is served, and what remains secret.

mod expiry;
mod hand;
pub mod pki;
mod refusals;
mod serving;
