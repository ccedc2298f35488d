//! A request's way through the house, a file per step. Nothing here writes to the store or waits for anything remote
//! but the backend that the request goes to.

mod access_log;
mod answer;
mod assertion;
mod canary;
mod canonical;
mod compression;
pub mod connection;
mod context;
mod cors;
mod explain;
mod failure;
mod forwarded;
mod gates;
mod headers;
mod host;
mod limits;
pub mod listener;
mod look;
mod maintenance;
mod page;
pub mod patient;
mod pipeline;
mod policies;
mod proxy;
mod redaction;
mod registry;
mod rejection;
mod respond;
mod response;
mod route;
mod series;
mod server;
pub mod session;
mod spans;
mod upstream;

pub use assertion::Assertions;
pub use forwarded::Origin;
pub use gates::{Decision, Permit, Visit, decide};
pub use headers::{Contract, Identity, apply as apply_headers};
pub use pipeline::Edge;
pub use proxy::{Live, Proxy};
pub use registry::{Changes, Reaper, Registered, Registry};
pub use rejection::{Fault, Rejection};
pub use server::{EdgeServer, server};
pub use upstream::{Gauges, PoolError, Pools, Resolver, Surroundings};
