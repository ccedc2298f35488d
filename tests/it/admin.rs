//! The admin API over a real socket, on a store of its own; and the command line against it.

mod access;
mod accounts;
mod audit;
mod audit_cli;
mod authority;
mod branding;
mod changes;
pub mod cli;
mod commands;
mod docs;
mod domains;
mod edge;
mod idempotency;
mod imports;
mod invitations;
mod members;
mod members_cli;
mod noted;
mod openapi;
mod plans;
mod refusals;
mod roles;
mod service;
mod standing;
mod tenants;
mod tokens;
pub mod world;
