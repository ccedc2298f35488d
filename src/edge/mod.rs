//! A request's way through the house, a file per step. Nothing here writes to the store or waits for anything remote
//! but the backend that the request goes to.

mod assertion;
mod forwarded;
mod page;
mod rejection;
pub mod session;

pub use assertion::Assertions;
pub use rejection::{Fault, Rejection};
