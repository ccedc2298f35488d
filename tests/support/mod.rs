//! What the integration tests share: a whole edge in this process, backends that remember, and clients that speak raw.

pub mod backend;
pub mod client;
pub mod postgres;
pub mod script;
pub mod world;
