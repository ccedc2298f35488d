//! Every integration test, in one binary: real sockets, free ports, no sleeps as synchronisation.

#[path = "../support/mod.rs"]
mod support;

mod acme;
mod admin;
mod architecture;
mod balancing;
mod billing;
mod browser;
mod certificates;
pub mod config;
mod connection;
mod dev;
mod directory;
mod domains;
mod edge;
mod edge_policies;
mod lifecycle;
mod limits;
mod observability;
mod outbound;
mod people;
mod process;
mod reload;
mod routing;
mod store;
mod tenant_life;
mod version;
mod walkthrough;
