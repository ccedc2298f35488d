//! The admin API over a real socket, on a store of its own; and the command line against it.

mod access;
mod branding;
mod cli;
mod domains;
mod edge;
mod idempotency;
mod imports;
mod openapi;
mod refusals;
mod service;
mod tenants;
mod tokens;
pub mod world;
