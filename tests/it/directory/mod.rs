//! The directory over a real store that can be made to stall, fail and count.

mod exact;
mod flood;
mod source;
mod stale;
