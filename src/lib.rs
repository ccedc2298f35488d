//! Tenantry: the front door of a multi-tenant SaaS. An edge reverse proxy and tenant router, with its admin
//! service in the same binary.
//!
//! `ARCHITECTURE.md` shows the ways a request, a change, a certificate and a configuration file take through these
//! rooms, and which room may import which (a test enforces it).
#![forbid(unsafe_code)]

pub mod acme;
pub mod admin;
pub mod app;
pub mod audit;
pub mod branding;
pub mod certificates;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dev;
pub mod directory;
pub mod dns;
pub mod domains;
pub mod edge;
pub mod jobs;
pub mod keyring;
pub mod ledger;
pub mod metrics;
pub mod model;
pub mod outbound;
pub mod seal;
pub mod signin;
pub mod store;
pub mod telemetry;
pub mod tenancy;
pub mod tls;
pub mod traces;
pub mod traffic;
