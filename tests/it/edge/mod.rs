//! The edge as visitors, tenants and backends see it.

mod allocations;
mod assertions;
mod branding;
mod certificates;
mod directory;
mod first;
mod first_visitor;
mod forwarding;
mod hops;
mod hosts;
mod limits;
mod malformed;
mod moves;
mod nginx;
mod plain;
mod plans;
mod refusals;
mod scale;
mod sessions;
mod smuggling;
mod spoofing;
mod streams;
