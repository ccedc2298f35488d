//! What the integration tests share: a whole edge in this process, backends that remember, and clients that speak raw.

pub mod backend;
pub mod client;
pub mod dns;
pub mod front;
pub mod glewlwyd;
pub mod internet;
pub mod knot;
pub mod node;
pub mod pebble;
pub mod picture;
pub mod postgres;
pub mod program;
pub mod provider;
pub mod script;
pub mod underway;
pub mod visitor;
pub mod world;
