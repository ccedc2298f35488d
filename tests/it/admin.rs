//! The admin API over a real socket, on a store of its own; and the command line against it.

mod access;
mod accounts;
mod audit;
mod branding;
mod cli;
mod domains;
mod edge;
mod idempotency;
mod imports;
mod invitations;
mod members;
mod members_cli;
mod openapi;
mod refusals;
mod roles;
mod service;
mod standing;
mod tenants;
mod tokens;
pub mod world;
