//! A request's way through the house, a file per step. Nothing here writes to the store or waits for anything remote
//! but the backend that the request goes to.

mod access_log;
mod answer;
mod assertion;
pub mod connection;
mod context;
mod forwarded;
mod gates;
mod headers;
mod host;
pub mod listener;
mod page;
mod path;
mod pipeline;
mod proxy;
mod registry;
mod rejection;
mod respond;
mod response;
mod server;
pub mod session;
mod upgrade;
mod upstream;

pub use assertion::Assertions;
pub use pipeline::Edge;
pub use proxy::{Live, Proxy};
pub use registry::{Changes, Reaper, Registered, Registry};
pub use rejection::{Fault, Rejection};
pub use server::{EdgeServer, server};
pub use upstream::{PoolError, Pools};
